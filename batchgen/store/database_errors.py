"""Errors of the job database, as messages for users; those of PostgreSQL are in ``postgres_errors``."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError

from ..database_url import Database, DatabaseUrl
from ..errors import StoreError
from . import postgres_errors

#: Errors after which nothing more may be written: primary result code -> (what happened, why, what to do).
FATAL: dict[int, tuple[str, str, str]] = {
    sqlite3.SQLITE_FULL: ("the disk is full", "no space is left on its disk", "free some space and run again"),
    sqlite3.SQLITE_IOERR: ("the disk failed", "a read or write returned an error", "check the disk and run again"),
    sqlite3.SQLITE_CORRUPT: (
        "it is damaged",
        "pages were lost or overwritten",
        "batchgen db recover MANIFEST rebuilds it; this file is kept",
    ),
    sqlite3.SQLITE_NOTADB: (
        "it is not a database",
        "another file has this name, or it was overwritten",
        "batchgen db recover MANIFEST, or use --db",
    ),
    sqlite3.SQLITE_READONLY: (
        "it is read-only",
        "the file or its folder is write-protected",
        "check owner and permissions",
    ),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "it is gone or permission is missing", "check path and owner"),
    sqlite3.SQLITE_PERM: ("access is denied", "the file belongs to another user", "check owner and permissions"),
}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def result_code(error: BaseException) -> int:
    """Return SQLite's primary result code of *error*; 0 if it has none."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return int(getattr(cause, "sqlite_errorcode", 0)) & 0xFF


def is_busy(error: BaseException) -> bool:
    """Return whether another process held the database, or its server went away, so that trying again may work."""
    return result_code(error) in _BUSY or postgres_errors.is_busy(error) or postgres_errors.is_lost(error)


def is_fatal(error: BaseException) -> bool:
    """Return whether nothing more may be written after *error*."""
    return result_code(error) in FATAL or is_busy(error) or postgres_errors.is_fatal(error)


def explain(error: BaseException, path: Database) -> StoreError:
    """Return *error* as a message for users: what happened, the probable reason, and what to do."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    detail = " ".join(str(cause).split()) or type(cause).__name__
    what, why, todo = postgres_errors.diagnose(error) if isinstance(path, DatabaseUrl) else _diagnose(error)
    kind = postgres_errors.UnreachableServer if postgres_errors.is_lost(error) else StoreError
    return kind(f"Job database {path}: {what} ({detail}). Probably {why}. To continue: {todo}.")


def _diagnose(error: BaseException) -> tuple[str, str, str]:
    """Return what happened, the probable reason, and what to do about an error of SQLite."""
    code = result_code(error)
    if code in FATAL:
        return FATAL[code]
    if code in _BUSY:
        return "it stayed locked", "another program is writing to it", "end that program and run again"
    return "it failed", "this is a bug", "report it with this text"
