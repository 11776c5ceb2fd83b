"""The servers that a run needs on an axis, and what may become of them while it runs."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.axes import Axis, PostgresAxis, S3Axis
from tests.servers import postgres, s3

#: The axes that a torture may have.
SERVED = ("postgres", "s3")
#: How long a server is away.
SHORT, LONG = 0.1, 1.0


class Service:
    """The usual: a run needs no server."""

    @contextmanager
    def axis(self, folder: Path) -> Iterator[Axis]:
        """Make what a batch in *folder* needs; at the end remove it."""
        yield Axis(folder)

    def outages(self) -> tuple[Callable[[random.Random], None], ...]:
        """Return the ways in which the servers fail; each returns when they are back."""
        return ()


class PostgresService(Service):
    """The job database in PostgreSQL."""

    def __init__(self, server: postgres.PostgresServer) -> None:
        self._server = server
        self._name = ""

    @contextmanager
    def axis(self, folder: Path) -> Iterator[Axis]:
        with self._server.database() as database:
            self._name = database.name
            yield PostgresAxis(folder, database)

    def outages(self) -> tuple[Callable[[random.Random], None], ...]:
        return (self._end_sessions, self._kill_backend, self._kill, self._restart, self._pause)

    def _end_sessions(self, chance: random.Random) -> None:
        self._server.end_sessions(self._name)

    def _kill_backend(self, chance: random.Random) -> None:
        """Kill a process that serves the run: the server ends all others, and recovers as after a crash."""
        backends = self._server.backends(self._name)
        if backends:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(backends), signal.SIGKILL)
        time.sleep(SHORT)
        self._server.wait()

    def _kill(self, chance: random.Random) -> None:
        self._server.kill()
        time.sleep(chance.uniform(0, LONG))
        self._server.start()

    def _restart(self, chance: random.Random) -> None:
        self._server.stop()
        time.sleep(chance.uniform(0, LONG))
        self._server.start()

    def _pause(self, chance: random.Random) -> None:
        with self._server.paused():
            time.sleep(chance.uniform(SHORT, 2 * LONG))


class S3Service(Service):
    """The output folder in an object store."""

    def __init__(self, server: s3.S3Server) -> None:
        self._server = server

    @contextmanager
    def axis(self, folder: Path) -> Iterator[Axis]:
        with self._server.bucket() as bucket:
            yield S3Axis(folder, bucket)

    def outages(self) -> tuple[Callable[[random.Random], None], ...]:
        return (self._pause, self._restart) if self._server.durable else (self._pause,)

    def _pause(self, chance: random.Random) -> None:
        with self._server.paused():
            time.sleep(chance.uniform(SHORT, 2 * LONG))

    def _restart(self, chance: random.Random) -> None:
        self._server.kill()
        time.sleep(chance.uniform(0, LONG))
        self._server.start()


@contextmanager
def service(name: str | None) -> Iterator[Service]:
    """Start the servers of an axis."""
    if name == "postgres":
        with postgres.running(safe=True) as database_server:
            yield PostgresService(database_server)
    elif name == "s3":
        with s3.running() as store:
            yield S3Service(store)
    else:
        yield Service()
