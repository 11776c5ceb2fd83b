"""The last transaction: whether it was committed although the answer to its commit never came. SQL on a connection.

PostgreSQL numbers transactions and knows for long how each ended. So a transaction whose connection broke is looked up
before it is carried out again, and whatever it wrote is written once. SQLite's commits always answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from .dialects import is_postgres
from .postgres_errors import UnreachableServer


@dataclass(slots=True)
class LastTransaction:
    """The last transaction of a connection, which may have broken meanwhile."""

    _number: int | None = None

    def record(self, connection: Connection) -> None:
        """Remember the transaction that is open on *connection*."""
        if is_postgres(connection):
            self._number = connection.exec_driver_sql("SELECT txid_current()").scalar_one()

    def is_committed(self, connection: Connection) -> bool:
        """Return whether the recorded transaction was committed; raise UnreachableServer while it is open.

        The server may notice only seconds later that the connection broke.
        """
        if self._number is None:
            return False
        with connection.begin():
            end = connection.exec_driver_sql(f"SELECT txid_status({self._number})").scalar_one()
        if end == "in progress":
            raise UnreachableServer("Job database: a transaction whose connection broke is still open on the server.")
        committed: bool = end == "committed"
        return committed
