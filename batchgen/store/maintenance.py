"""Maintenance of the database file: integrity check, backup, vacuum, and moving a damaged file aside."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from ..errors import StoreError, UsageError
from ..files.atomic import place
from . import totals
from .connection import copy_to, explain, reading, writing

_PATIENCE = 30.0
_TABLES = ("batches", "jobs", "attempts", "artifacts", "ledger", "runs")


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """The result of an integrity check."""

    problems: tuple[str, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    only_totals: bool = False  #: the only problem is in sums, which ``vacuum`` adds up again


def examine(path: Path) -> Health:
    """Read the whole database and return its problems; never writes."""
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


def _differing_blocks(path: Path) -> int:
    engine = reading(path)
    try:
        with engine.connect() as connection:
            return totals.differing_blocks(connection)
    finally:
        engine.dispose()


def is_whole(path: Path) -> bool:
    """Return whether the file is an undamaged database or still empty."""
    if not path.exists() or path.stat().st_size == 0:
        return True
    try:
        with closing(_look(path)) as dbapi:
            return [row[0] for row in dbapi.execute("PRAGMA integrity_check(1)")] == ["ok"]
    except sqlite3.OperationalError as error:
        raise explain(error, path) from error  # locked or unreadable, which does not mean damaged
    except sqlite3.DatabaseError:
        return False


def backup(path: Path, target: Path) -> int:
    """Write a copy of the database to *target* (0600), completely or not at all; return its size."""
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


def vacuum(path: Path) -> tuple[int, int]:
    """Rewrite the database without gaps, and add up the ledger again; return its size before and after.

    The caller must hold the run lock.
    """
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
