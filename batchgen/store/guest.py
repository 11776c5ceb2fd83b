"""Guest writes: short transactions beside a run, without its lock, that wait for other writers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ..database_url import Database
from .connection import brief_engine, patiently
from .database_errors import explain
from .last_transaction import LastTransaction

#: Seconds to keep trying while another process writes.
PATIENCE = 30.0

T = TypeVar("T")


def write_as_guest(path: Database, change: Callable[[Connection], T], *, patience: float = PATIENCE) -> T:
    """Carry out *change* in a transaction of its own, and return its result once that is durable; raise StoreError."""
    last, results = LastTransaction(), list[T]()
    with brief_engine(path, writes=True) as engine:

        def carry_out() -> T:
            with engine.connect() as connection:
                if not last.is_committed(connection):
                    with connection.begin():
                        last.record(connection)
                        results[:] = [change(connection)]
            return results[0]

        try:
            return patiently(patience)(carry_out)
        except (DBAPIError, sqlite3.Error) as error:
            raise explain(error, path) from error
