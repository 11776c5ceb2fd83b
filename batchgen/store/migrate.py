"""Bring a job table to the shape this program knows: backup first, one transaction, or not at all.  A doer."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from sqlalchemy import Engine

from ..errors import SchemaMismatch, StoreError
from .connection import copy_to, explain, is_busy, prepare, result_code, writing

#: The newest revision in ``migrations/versions``; a test keeps it so.  A file at it is used without reading alembic.
HEAD = "0002"

_PATIENCE = 30.0  #: seconds to wait for another process that upgrades the same file


def ensure(path: Path) -> None:
    """Make the job table at *path* ready for this program; raise SchemaMismatch (newer, failed) or StoreError.

    Safe to call from several processes at once: the first one upgrades, the others find it done.
    """
    found = revision(path)
    if found == HEAD:
        return
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

    refuse_unknown(path, found)
    prepare(path)
    backup = _backup(path, found) if _has_data(path) else None
    engine = writing(path)
    try:
        patiently = Retrying(
            retry=retry_if_exception(is_busy),
            stop=stop_after_delay(_PATIENCE),
            wait=wait_random_exponential(multiplier=0.05, max=1),
            reraise=True,
        )
        patiently(_upgrade, engine)
    except StoreError:
        raise
    except Exception as error:
        kept = f" A backup from before is {backup}." if backup else ""
        raise SchemaMismatch(
            f"Job table {path}: the upgrade from {found or 'nothing'} to {HEAD} failed and was undone ({error}).{kept} "
            "The table is as it was; run again, or go back to the former version of batchgen."
        ) from error
    finally:
        engine.dispose()


def revision(path: Path) -> str | None:
    """Return the revision that the file at *path* is at, None for none yet; never writes; raise StoreError."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        with closing(_look(path)) as dbapi:
            names = dict(dbapi.execute("SELECT name, type FROM sqlite_master").fetchall())
            if {"trigger", "view"} & set(names.values()):  # somebody wants code of theirs run in our transactions
                raise StoreError(
                    f"Job table {path}: it holds triggers or views, which batchgen never makes. Do not use this file."
                )
            if "alembic_version" not in names:
                if names:
                    raise StoreError(f"Job table {path}: this database belongs to another program. Use --db.")
                return None
            row = dbapi.execute("SELECT version_num FROM alembic_version").fetchone()
            return None if row is None else str(row[0])
    except sqlite3.Error as error:
        raise explain(error, path) from error


def scripts() -> Path:
    """Return where the migrations are: inside the wheel, or beside the package in a source tree."""
    packed = Path(__file__).parents[1] / "_migrations"
    return packed if packed.is_dir() else Path(__file__).parents[2] / "migrations"


def _look(path: Path) -> sqlite3.Connection:
    address = path.absolute().as_uri()
    dbapi = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=_PATIENCE)
    try:
        dbapi.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        dbapi.close()
        if result_code(error) != sqlite3.SQLITE_READONLY:
            raise
        # killed while it was made, the file has a journal that only a writer may roll back
        dbapi = sqlite3.connect(f"{address}?mode=rw", uri=True, timeout=_PATIENCE)
    return dbapi


def refuse_unknown(path: Path, found: str | None) -> None:
    """Raise SchemaMismatch where the revision *found* of the file at *path* is none that this program knows."""
    if found is None:
        return
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory(str(scripts())).walk_revisions()}
    if found not in known:
        raise SchemaMismatch(
            f"Job table {path}: a newer batchgen wrote it (revision {found}, this one knows {HEAD}). "
            "Nothing was changed. Upgrade batchgen, or use another job table with --db."
        )


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    with engine.begin() as connection:
        # Under the write lock by now: whoever waited for it may find the work done.
        known = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'").scalar()
        if known and connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == HEAD:
            return
        config = Config()
        config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _has_data(path: Path) -> bool:
    return path.stat().st_size > 0 and revision(path) is not None


def _backup(path: Path, found: str | None) -> Path:
    """Copy the table to a file next to it, whole or not at all."""
    backup = path.with_name(f"{path.name}.before-{found}")
    part = path.with_name(f"{backup.name}.{os.getpid()}.part")
    try:
        with closing(_look(path)) as dbapi:
            copy_to(dbapi, part)
        part.replace(backup)
    except (sqlite3.Error, OSError) as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise SchemaMismatch(
            f"Job table {path}: no backup could be made before its upgrade ({error}), so nothing was changed. "
            "Free some space or check permissions, and run again."
        ) from error
    return backup
