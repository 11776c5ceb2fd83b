"""Migration: upgrades the job database to the current schema, after a backup and in one transaction."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from glob import escape
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from ..database_url import Database, DatabaseUrl
from ..errors import SchemaMismatch, StoreError
from ..files.lock import is_alive
from .connection import brief_engine, copy_to, driver, patiently, prepare, writing
from .database_errors import explain, is_fatal, result_code
from .dialects import MIGRATION, POSTGRES_FUNCTIONS, POSTGRES_INDEXES, is_postgres, lock_rows_of
from .tables import metadata

#: The newest revision in ``migrations/versions``, which a test checks. A current database needs no import of alembic.
HEAD = "0008"

_PATIENCE = 30.0  #: seconds to wait for another process that upgrades the same database


def ensure(path: Database) -> None:
    """Create or upgrade the database at *path*; raise SchemaMismatch (newer, or failed) or StoreError.

    Several processes may call this at once: the first one upgrades, the others find it done.
    """
    current = revision(path)
    if current == HEAD:
        return
    refuse_unknown(path, current)
    backup = None
    if isinstance(path, Path):
        prepare(path)
        backup = _backup(path, current) if _has_data(path) else None
    elif path.sandbox:
        from .postgres import make_sandbox

        make_sandbox(path)
    engine = writing(path)
    try:
        patiently(_PATIENCE)(_upgrade, engine)
    except StoreError:
        raise
    except Exception as error:
        if isinstance(path, DatabaseUrl) and is_fatal(error):
            raise explain(error, path) from error
        note = f" There is a backup from before: {backup}." if backup else ""
        raise SchemaMismatch(
            f"Job database {path}: the upgrade from {current or 'nothing'} to {HEAD} failed and was undone ({error})."
            f"{note} The database is as it was; run again, or use the previous version of batchgen."
        ) from error
    finally:
        engine.dispose()


def exists(path: Database) -> bool:
    """Return whether there is a job database at *path*; raise StoreError if its server cannot be asked."""
    return path.exists() if isinstance(path, Path) else revision(path) is not None


def revision(path: Database) -> str | None:
    """Return the schema revision of the database at *path*; None if it is empty or missing; raise StoreError."""
    if isinstance(path, DatabaseUrl):
        return _revision_on_server(path)
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        with closing(_look(path)) as dbapi:
            names = dict(dbapi.execute("SELECT name, type FROM sqlite_master").fetchall())
            if {"trigger", "view"} & set(names.values()):  # they would run foreign code in our transactions
                raise StoreError(
                    f"Job database {path}: it has triggers or views, which batchgen never creates. Do not use it."
                )
            if "alembic_version" not in names:
                if names:
                    raise StoreError(f"Job database {path}: this database belongs to another program. Use --db.")
                return None
            row = dbapi.execute("SELECT version_num FROM alembic_version").fetchone()
            return None if row is None else str(row[0])
    except sqlite3.Error as error:
        raise explain(error, path) from error


def _revision_on_server(url: DatabaseUrl) -> str | None:
    try:
        with brief_engine(url) as engine, engine.connect() as connection:
            return _stored_revision(connection, url)
    except DBAPIError as error:
        raise explain(error, url) from None


def _stored_revision(connection: Connection, url: DatabaseUrl) -> str | None:
    schema = connection.exec_driver_sql("SELECT current_schema()").scalar()
    if schema is None and url.sandbox:
        return None
    if schema is None:
        raise StoreError(
            f"Job database {url}: the schema in its search_path does not exist. To continue: CREATE SCHEMA it."
        )
    names = set(connection.execute(text(_SERVER_TABLES), {"schema": schema}).scalars())
    if not names & (metadata.tables.keys() | {"alembic_version"}):
        return None
    if not {"alembic_version", "batches", "attempts", "ledger"} <= names:
        raise StoreError(
            f"Job database {url}: the schema {schema} has tables of another program. Use a schema of its own: "
            "CREATE SCHEMA batchgen, and add ?options=-csearch_path%3Dbatchgen to the address."
        )
    stored = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if stored is None else str(stored)


_SERVER_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = :schema"


def scripts() -> Path:
    """Return the folder of the migrations: inside the wheel, or next to the package in a source tree."""
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
        # If creating it was interrupted, the file has a journal that only a writer may roll back.
        dbapi = sqlite3.connect(f"{address}?mode=rw", uri=True, timeout=_PATIENCE)
    return dbapi


def refuse_unknown(path: Database, current: str | None) -> None:
    """Raise SchemaMismatch if this program does not know the revision *current* of the database at *path*."""
    if current is None:
        return
    from alembic.script import ScriptDirectory

    revisions = {script.revision for script in ScriptDirectory(str(scripts())).walk_revisions()}
    if current not in revisions:
        raise SchemaMismatch(
            f"Job database {path}: a newer batchgen wrote it (revision {current}, this one knows {HEAD}). "
            "Nothing was changed. Upgrade batchgen, or use another database with --db."
        )


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    with engine.begin() as connection:
        lock_rows_of(connection, MIGRATION)
        # This process holds the write lock now; another one may have upgraded while it waited.
        has_revision = inspect(connection).has_table("alembic_version")
        if has_revision and connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == HEAD:
            return
        on_server = is_postgres(connection)
        if on_server:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")  # A large table takes its time.
        for function in POSTGRES_FUNCTIONS if on_server else ():
            driver(connection).execute(function)
        config = Config()
        config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        for index in POSTGRES_INDEXES if on_server else ():
            driver(connection).execute(index)


def _has_data(path: Path) -> bool:
    return path.stat().st_size > 0 and revision(path) is not None


def _backup(path: Path, current: str | None) -> Path:
    """Copy the database to a file next to it, completely or not at all."""
    backup = path.with_name(f"{path.name}.before-{current}")
    part = path.with_name(f"{backup.name}.{os.getpid()}.part")
    _remove_unfinished(backup)
    try:
        with closing(_look(path)) as dbapi:
            copy_to(dbapi, part)
        part.replace(backup)
    except (sqlite3.Error, OSError) as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise SchemaMismatch(
            f"Job database {path}: no backup could be made before its upgrade ({error}), so nothing was changed. "
            "Free some space or check permissions, and run again."
        ) from error
    return backup


def _remove_unfinished(backup: Path) -> None:
    """Remove copies, each as large as the database, that processes were killed in; those of living ones are left."""
    for part in backup.parent.glob(f"{escape(backup.name)}.*.part"):
        number = part.suffixes[-2][1:]
        with suppress(OSError):
            if number.isdecimal() and not is_alive(int(number)):
                part.unlink()
