"""The servers that a run needs on an axis, and what may become of them while it runs."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.axes import Axis, PostgresAxis, RayAxis, S3Axis
from tests.servers import postgres, ray_workers, s3

from .stand import CANARY, KEYS

#: The axes that a torture may have.
SERVED = ("postgres", "s3", "ray")
#: How long a server is away.
SHORT, LONG = 0.1, 1.0


class Service:
    """The usual: a run needs no server."""

    #: Faults are timed by the requests that arrive, not by the clock.
    starts_slowly = False

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


class RayService(Service):
    """Calls from the workers of a Ray cluster, which all trials share."""

    starts_slowly = True

    def __init__(self, pool: ray_workers.Pool) -> None:
        self._pool = pool
        self._batch = ""

    @contextmanager
    def axis(self, folder: Path) -> Iterator[Axis]:
        # Workers, and the folders of their spools, are named by the batch, and by its job database after a hyphen.
        self._batch = f"{folder.name}-"
        try:
            yield RayAxis(folder, self._pool)
        finally:
            self._pool.release(self._batch)

    def outages(self) -> tuple[Callable[[random.Random], None], ...]:
        return (self._kill, self._pause, self._kill_all, self._pause_all)

    def _kill(self, chance: random.Random) -> None:
        self._signal(self._some(chance), signal.SIGKILL)

    def _kill_all(self, chance: random.Random) -> None:
        self._signal(self._pool.pids(self._batch), signal.SIGKILL)

    def _pause(self, chance: random.Random) -> None:
        self._stop(self._some(chance), chance)

    def _pause_all(self, chance: random.Random) -> None:
        self._stop(self._pool.pids(self._batch), chance)

    def _some(self, chance: random.Random) -> list[int]:
        pids = self._pool.pids(self._batch)
        return [chance.choice(pids)] if pids else []

    def _stop(self, pids: list[int], chance: random.Random) -> None:
        """Stop workers for up to twice the time after which a driver takes them for silent."""
        self._signal(pids, signal.SIGSTOP)
        time.sleep(chance.uniform(SHORT, 4 * LONG))
        self._signal(pids, signal.SIGCONT)

    @staticmethod
    def _signal(pids: list[int], number: int) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def services(name: str | None, count: int, folder: Path) -> Iterator[list[Service]]:
    """Start the servers of an axis for *count* trials at a time; what they keep is below *folder*."""
    with ExitStack() as stack:
        if name == "postgres":
            own = [stack.enter_context(postgres.running(safe=True)) for _ in range(count)]
            yield [PostgresService(server) for server in own]
        elif name == "s3":
            yield [S3Service(stack.enter_context(s3.running())) for _ in range(count)]
        elif name == "ray":
            pool = stack.enter_context(ray_workers.running(folder / "workers", dict.fromkeys(KEYS, CANARY)))
            yield [RayService(pool) for _ in range(count)]
        else:
            yield [Service() for _ in range(count)]
