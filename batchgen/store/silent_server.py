"""A PostgreSQL server that no longer answers: a run that is to end at once gives its connections up.

The driver waits for an answer without a limit, and a server that is stopped, or a network that loses every packet, does
not end the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from ..database_url import Database, DatabaseUrl
from ..errors import StoreError

#: Ends a connection under the thread that waits for its answer.
End: TypeAlias = Callable[[Any], None]


class Dbapi(Protocol):
    """A connection of the driver."""

    def close(self) -> None:
        """Close it; a thread that waits for its answer waits on."""


_lock = Lock()  #: guards the two below
_connections: WeakKeyDictionary[Dbapi, tuple[DatabaseUrl, End]] = WeakKeyDictionary()
_given_up: set[DatabaseUrl] = set()


def give_up(url: DatabaseUrl) -> None:
    """End every connection of this process to the server; a thread that waits for an answer gets an error."""
    with _lock:
        _given_up.add(url)
        connections = [(dbapi, end) for dbapi, (each, end) in _connections.items() if each == url]
    for dbapi, end in connections:
        end(dbapi)


@contextmanager
def until_end(database: Database) -> Iterator[None]:
    """Allow new connections again at the end of a run that gave its server up."""
    try:
        yield
    finally:
        with _lock:
            _given_up.discard(database)


def require_wanted(url: DatabaseUrl) -> None:
    """Raise StoreError if the server was given up."""
    if url in _given_up:
        raise StoreError(
            f"Job database {url}: the server did not answer, and the run was to end at once. Answers that had arrived "
            "are kept in the spool. To continue: run again as soon as the server answers."
        )


def register(dbapi: Dbapi, url: DatabaseUrl, end: End) -> None:
    """Note an open connection, and what ends it; raise StoreError if the server was given up meanwhile."""
    with _lock:
        _connections[dbapi] = url, end
    if url in _given_up:
        dbapi.close()
    require_wanted(url)
