"""Maintenance of the database file: integrity check, backup, vacuum, and moving a damaged file aside."""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from ..database_url import Database, DatabaseUrl
from ..errors import StoreError, UsageError
from ..files.atomic import place
from . import totals
from .connection import copy_to, reading, writing
from .database_errors import explain
from .tables import metadata

_PATIENCE = 30.0
_TABLES = ("batches", "jobs", "attempts", "artifacts", "ledger", "runs")


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """The result of an integrity check."""

    problems: tuple[str, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    only_totals: bool = False  #: the only problem is in sums, which ``vacuum`` adds up again


def examine(path: Database) -> Health:
    """Read the whole database and return its problems; never writes."""
    if isinstance(path, DatabaseUrl):
        return _examine_server(path)
    problems: list[str] = []
    rows: dict[str, int] = {}
    try:
        with closing(_look(path)) as dbapi:
            messages = [str(row[0]) for row in dbapi.execute("PRAGMA integrity_check(20)")]
            problems += [message for message in messages if message != "ok"]
            for table, row, parent, _ in dbapi.execute("PRAGMA foreign_key_check").fetchmany(20):
                problems.append(f"{table} row {row} refers to a missing row of {parent}")
            for table in _TABLES:
                rows[table] = dbapi.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - our own names
            has_totals = dbapi.execute("SELECT 1 FROM sqlite_master WHERE name = 'ledger_totals'").fetchone()
    except sqlite3.Error as error:
        problems.append(str(error))
    only_totals = False
    if not problems and has_totals and (blocks := _differing_blocks(path)):
        only_totals = True
        problems.append(f"the sums that `usage` reads differ from the ledger in {blocks:,} of its blocks")
    return Health(problems=tuple(problems), rows=rows, only_totals=only_totals)


def _examine_server(url: DatabaseUrl) -> Health:
    """Count the rows and compare the sums: the pages are the server's to check."""
    engine = reading(url)
    try:
        with engine.connect() as connection:
            rows = {
                name: connection.execute(select(func.count()).select_from(metadata.tables[name])).scalar_one()
                for name in _TABLES
            }
    except DBAPIError as error:
        return Health(problems=(str(explain(error, url)),))
    finally:
        engine.dispose()
    blocks = _differing_blocks(url)
    problem = f"the sums that `usage` reads differ from the ledger in {blocks:,} of its blocks"
    return Health(problems=(problem,) if blocks else (), rows=rows, only_totals=bool(blocks))


def _differing_blocks(path: Database) -> int:
    engine = reading(path)
    try:
        with engine.connect() as connection:
            return totals.differing_blocks(connection)
    finally:
        engine.dispose()


def is_whole(path: Database) -> bool:
    """Return whether the file is an undamaged database or still empty; a server looks after its own files."""
    if isinstance(path, DatabaseUrl):
        return True
    if not path.exists() or path.stat().st_size == 0:
        return True
    try:
        with closing(_look(path)) as dbapi:
            return [row[0] for row in dbapi.execute("PRAGMA integrity_check(1)")] == ["ok"]
    except sqlite3.OperationalError as error:
        raise explain(error, path) from error  # locked or unreadable, which does not mean damaged
    except sqlite3.DatabaseError:
        return False


def backup(path: Database, target: Path) -> int:
    """Write a copy of the database to *target* (0600), completely or not at all; return its size."""
    if isinstance(path, DatabaseUrl):
        raise UsageError(
            f"{path} is on a PostgreSQL server, whose own tool copies it during runs: "
            f"pg_dump --format=custom --file={shlex.quote(str(target))} {shlex.quote(path.conninfo)}"
        )
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} exists already. Nothing was written; choose another name")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with closing(_look(path)) as dbapi:
            copy_to(dbapi, part)
        place(str(part), str(target))  # fails if the name was taken meanwhile
        return target.stat().st_size
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"no backup of {path} at {target}: {error}. Nothing was left there") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def vacuum(path: Database) -> tuple[int, int]:
    """Rewrite the database without gaps, and add up the ledger again; return its size before and after.

    The caller must hold the run lock. PostgreSQL is only asked to make the space of old rows free for new ones.
    """
    if isinstance(path, DatabaseUrl):
        return _vacuum_server(path)
    before = path.stat().st_size
    engine = writing(path)
    try:
        with engine.begin() as connection:
            totals.rebuild(connection)
        engine.dispose()
        with closing(sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)) as dbapi:
            dbapi.execute("VACUUM")
            dbapi.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except (sqlite3.Error, DBAPIError) as error:
        raise explain(error, path) from error
    finally:
        engine.dispose()
    return before, path.stat().st_size


def _vacuum_server(url: DatabaseUrl) -> tuple[int, int]:
    engine = writing(url)
    try:
        with engine.begin() as connection:
            totals.rebuild(connection)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            before = int(connection.exec_driver_sql(_SIZE).scalar_one())
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql(f"VACUUM (ANALYZE) {', '.join(metadata.tables)}")
            return before, int(connection.exec_driver_sql(_SIZE).scalar_one())
    except DBAPIError as error:
        raise explain(error, url) from error
    finally:
        engine.dispose()


_SIZE = (
    "SELECT sum(pg_total_relation_size(quote_ident(schemaname) || '.' || quote_ident(tablename))) "
    "FROM pg_tables WHERE schemaname = current_schema()"
)


def set_aside(path: Path, stamp: str) -> Path:
    """Rename a damaged database and its log, and return the new name. Nothing is deleted."""
    target = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    for tail in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + tail).rename(target.with_name(target.name + tail))
    return target


def _look(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_PATIENCE)
