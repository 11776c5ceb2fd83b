"""The last transaction: whether it was committed although the answer to its commit never came. SQL on a connection.

A transaction on PostgreSQL leaves a token in the database. After its connection broke, the token shows whether it was
committed, so that whatever it wrote is written once. The server's own number of the transaction shows only whether it
is still open: after a crash, PostgreSQL gives numbers out again. SQLite's commits always answer.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from threading import get_ident
from uuid import uuid4

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from .dialects import is_postgres
from .postgres_errors import UnreachableServer, is_busy, is_lost
from .tables import properties

_PREFIX = "last transaction of "
#: Of this process: hosts in containers share names and numbers of processes.
_PROCESS = uuid4().hex
#: The token and its time by the clock of the server, in seconds.
_RECORD = """
INSERT INTO properties (name, value)
VALUES (%(name)s, concat(CAST(%(token)s AS text), ' ', CAST(extract(epoch FROM clock_timestamp()) AS bigint)))
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
#: No transaction is asked about for as long as this.
_DAY = 86_400
_REMOVE = """
DELETE FROM properties WHERE name = %(name)s OR (name LIKE %(prefix)s || '%%' AND CASE
WHEN value ~ '^[0-9a-f]+ [0-9]+$' THEN CAST(split_part(value, ' ', 2) AS bigint) ELSE 0 END
< extract(epoch FROM clock_timestamp()) - %(day)s)
"""


@dataclass(slots=True)
class LastTransaction:
    """The last transaction of a thread, whose connection may have broken meanwhile."""

    _number: int | None = None
    _token: str = ""

    def record(self, connection: Connection) -> None:
        """Leave a token in the transaction that is open on *connection*."""
        if is_postgres(connection):
            self._number, self._token = None, uuid4().hex
            number: int = connection.exec_driver_sql("SELECT txid_current()").scalar_one()
            connection.exec_driver_sql(_RECORD, {"name": _name(), "token": self._token})
            self._number = number

    def is_committed(self, connection: Connection) -> bool:
        """Return whether the recorded transaction was committed; raise UnreachableServer while it is open.

        The server may notice only seconds later that the connection broke.
        """
        if self._number is None:
            return False
        if _is_open(connection, self._number):
            raise UnreachableServer("Job database: a transaction whose connection broke is still open on the server.")
        with connection.begin():
            value = connection.scalar(select(properties.c.value).where(properties.c.name == _name()))
        return bool(value and value.split()[0] == self._token)


def remove_tokens(connection: Connection) -> None:
    """Remove the token of this thread, which writes nothing more, and those of programs that ended long ago."""
    if is_postgres(connection):
        with connection.begin():
            connection.exec_driver_sql(_REMOVE, {"name": _name(), "prefix": _PREFIX, "day": _DAY})


def _name() -> str:
    """Return the name of the token: a thread has one transaction at a time."""
    return f"{_PREFIX}{_PROCESS} {os.getpid()} {get_ident()}"


def _is_open(connection: Connection, number: int) -> bool:
    try:
        with connection.begin():
            return bool(connection.exec_driver_sql(f"SELECT txid_status({number})").scalar_one() == "in progress")
    except DBAPIError as error:
        if is_lost(error) or is_busy(error):
            raise
        return False  # The server crashed, and has not given this number out again.
