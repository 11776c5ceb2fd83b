"""A PostgreSQL server that no longer answers: a run that is to end at once gives its connections up.

The driver waits for an answer without a limit, and a server that is stopped, or a network that loses every packet, does
not end the connection.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ..database_url import Database, DatabaseUrl
from ..errors import StoreError

if TYPE_CHECKING:
    from .postgres import Dbapi

_lock = Lock()  #: guards the two below
_connections: WeakKeyDictionary[Dbapi, DatabaseUrl] = WeakKeyDictionary()
_given_up: set[DatabaseUrl] = set()


def answers(url: DatabaseUrl, seconds: int) -> bool:
    """Return whether the server accepts a new connection within *seconds*."""
    from . import postgres
    from .postgres_errors import UnreachableServer

    try:
        postgres.connect(url, seconds).close()
    except UnreachableServer:
        return False
    except StoreError:  # such as too many connections: it does answer
        return True
    return True


def give_up(url: DatabaseUrl) -> None:
    """End every connection of this process to the server; whoever waits for an answer gets an error."""
    with _lock:
        _given_up.add(url)
        connections = [dbapi for dbapi, each in _connections.items() if each == url]
    for dbapi in connections:
        _end(dbapi)


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


def register(dbapi: Dbapi, url: DatabaseUrl) -> None:
    """Note an open connection; raise StoreError if the server was given up meanwhile."""
    with _lock:
        _connections[dbapi] = url
    if url in _given_up:
        dbapi.close()
    require_wanted(url)


def _end(dbapi: Dbapi) -> None:
    """End a connection under the thread that waits for its answer."""
    from .postgres import plain_errors

    with suppress(OSError, StoreError), plain_errors(_connections[dbapi]):
        # A copy of the descriptor: closing it leaves that of the connection open.
        copy = socket.socket(fileno=os.dup(dbapi.fileno()))
        try:
            copy.shutdown(socket.SHUT_RDWR)
        finally:
            copy.close()
