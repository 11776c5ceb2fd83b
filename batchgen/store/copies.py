"""Records of derived copies: which file was written from which image, by which recipe.

They are in a file of their own next to the job database. All of it can be made again from the images, so that it may
be lost, and a newer or older version of batchgen can open the job database whatever is recorded here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import astuple, fields
from pathlib import Path
from threading import Lock
from typing import Any

from ..errors import StoreError
from .records import StoredCopy
from .rows import encode_list

#: Name of the file next to the job database.
FILE = "copies.db"

_TABLE = """
CREATE TABLE IF NOT EXISTS copies (
  path TEXT PRIMARY KEY, batch TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, source TEXT NOT NULL,
  source_sha256 TEXT NOT NULL, recipe TEXT NOT NULL, sha256 TEXT NOT NULL, size_bytes INTEGER NOT NULL,
  width INTEGER NOT NULL, height INTEGER NOT NULL, mime TEXT NOT NULL, before TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS copies_job ON copies (batch, key);
"""
_BUSY = 30.0  #: seconds to wait for another process


_COLUMNS = ", ".join(field.name for field in fields(StoredCopy))
_UPSERT = f"INSERT OR REPLACE INTO copies ({_COLUMNS}) VALUES ({', '.join('?' * len(fields(StoredCopy)))})"  # noqa: S608
_OF_JOBS = f"SELECT {_COLUMNS} FROM copies WHERE batch = ? AND key IN (SELECT value FROM json_each(?)) ORDER BY path"  # noqa: S608


class CopyRecords:
    """The records next to one job database; methods may be called from any thread."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE
        self._lock = Lock()

    def of_jobs(self, batch: str, keys: Iterable[str]) -> Mapping[str, Sequence[StoredCopy]]:
        """Return the copies of these jobs, by key; keys without a copy are left out.

        Records that cannot be read count as lost: nothing that is bought or shown may depend on them.
        """
        if not self._path.exists():
            return {}
        found: dict[str, list[StoredCopy]] = {}
        try:
            rows = self._execute(_OF_JOBS, [(batch, encode_list(keys))])
        except StoreError:
            return {}
        for row in rows:
            copy = StoredCopy(**dict(zip((field.name for field in fields(StoredCopy)), row, strict=True)))
            found.setdefault(copy.key, []).append(copy)
        return found

    def add(self, copies: Sequence[StoredCopy]) -> None:
        """Record copies; those with the same paths are replaced. Raises StoreError."""
        if copies:
            self._execute(_UPSERT, [astuple(copy) for copy in copies])

    def remove(self, paths: Sequence[str]) -> None:
        """Forget copies that were removed. Raises StoreError."""
        if paths:
            self._execute("DELETE FROM copies WHERE path = ?", [(path,) for path in paths])

    def _execute(self, statement: str, rows: Sequence[tuple[object, ...]]) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._run(statement, rows)
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                    raise StoreError(f"cannot use {self._path}: {error}") from error
            with suppress(OSError):
                self._path.unlink()
            try:
                return self._run(statement, rows)
            except sqlite3.Error as error:
                raise StoreError(f"cannot use {self._path}: {error}") from error

    def _run(self, statement: str, rows: Sequence[tuple[object, ...]]) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._path, timeout=_BUSY)) as connection, connection:
            connection.executescript(_TABLE)
            return [found for row in rows for found in connection.execute(statement, row).fetchall()]
