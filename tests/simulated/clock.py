"""An event loop on whose clock waiting takes no time, but on which the work of threads is waited for.

Where nothing is ready the loop asks its selector to wait for the next timer. That wait is the only thing replaced:

* A thread has work of ours: wait for it, in real time. The clock stands still, so a commit takes no virtual time.
* No thread has: move the clock to the timer.
* Neither thread nor timer: nothing can ever happen again, which is an error and not a hang.

Work leaves the loop through five doors, ``anyio.to_thread.run_sync``, ``asyncio.wrap_future``, ``Committer.post`` (the
writer's thread), ``Readers`` and ``GroupThread``, and each is counted from before it is handed over until its answer
has been put into the loop. A callback from a thread while the count is zero means one more: the run ends with an error,
because its times mean nothing.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import anyio
from anyio import to_thread

from batchgen.engine import readers
from batchgen.files import group_thread
from batchgen.files.group_thread import GroupThread
from batchgen.store import committer
from batchgen.store.committer import Committer

T = TypeVar("T")

#: When every simulated night begins.
DUSK = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
#: Virtual seconds by which every wake-up is late. Never none: who looks whether its time has come must find it has.
LATE = 1e-6
#: Turns of the loop in a row that may find something ready without the clock moving.
TURNS = 1_000_000
#: Real seconds that a thread may take for one piece of work.
PATIENCE = 30.0


class StandstillError(RuntimeError):
    """Nothing is ready, nothing is timed and no thread has work."""


class UncountedError(RuntimeError):
    """A thread answered that nobody was waiting for: time may have passed while it worked."""


@dataclass(slots=True)
class Clock:
    """Virtual seconds since dusk. Outlives loops: a run that was killed goes on at the same clock in the next."""

    seconds: float = 0.0
    start: datetime = DUSK

    def now(self) -> datetime:
        """Return the virtual time (UTC)."""
        return self.start + timedelta(seconds=self.seconds)


class _Jump(selectors.DefaultSelector):
    """Waits in real time for threads, and in no time at all for timers."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.at_work = 0  #: pieces of work that threads have; changed by the loop's own thread only
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.at_work and timeout != 0:
            came = super().select(PATIENCE)
            if not came:
                raise StandstillError(f"a thread has been at work for {PATIENCE:g} s of real time")
            return came
        came = super().select(0)
        if came or timeout == 0:
            self._turns += 1
            if self._turns > TURNS:
                self._turns = 0  # those that are cancelled now need a few more
                raise StandstillError(f"{TURNS:,} turns of the loop, and the clock has not moved")
            return came
        if timeout is None:
            raise StandstillError("nothing is ready, nothing is timed and no thread has work")
        self.clock.seconds += timeout + LATE
        self._turns = 0
        return came


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a virtual clock."""

    def __init__(self, clock: Clock) -> None:
        self._jump = _Jump(clock)
        self.uncounted = 0  #: answers of threads that nobody was waiting for
        self._owner = threading.get_ident()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.clock.seconds

    @property
    def at_work(self) -> int:
        """Return how many pieces of work threads have now."""
        return self._jump.at_work

    def lend(self) -> None:
        """Count a piece of work as handed to a thread."""
        self._jump.at_work += 1

    def restore(self) -> None:
        """Count a piece of work as answered."""
        self._jump.at_work -= 1

    def call_soon_threadsafe(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        if threading.get_ident() != self._owner and not self._jump.at_work:
            self.uncounted += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


def live(clock: Clock, main: Callable[[], Awaitable[T]]) -> T:
    """Run *main* to its end on *clock*; raise UncountedError where a thread worked unseen."""

    async def watched() -> T:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        answer = await main()
        if loop.uncounted:
            raise UncountedError(f"{loop.uncounted} answers came from threads that nobody was waiting for")
        return answer

    with _counted_doors():
        return anyio.run(watched, backend="asyncio", backend_options={"loop_factory": partial(VirtualLoop, clock)})


@contextmanager
def _counted_doors() -> Iterator[None]:
    """Count what leaves a virtual loop for a thread."""
    run_sync, wrap_future = to_thread.run_sync, asyncio.wrap_future
    post, set_results = Committer.post, committer._set_results

    async def counted_run_sync(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            return await run_sync(work, *args, **options)
        loop.lend()
        try:
            return await run_sync(work, *args, **options)
        finally:
            loop.restore()

    def counted_wrap_future(future: Future[Any], *, loop: Any = None) -> asyncio.Future[Any]:
        home = loop or asyncio.get_running_loop()
        if not isinstance(home, VirtualLoop) or not isinstance(future, Future):
            return wrap_future(future, loop=home)
        home.lend()
        answer = wrap_future(future, loop=home)
        # Callbacks run in the order they were added: when this one asks the loop to count, the answer is in the loop
        # already. It is the future's own end that counts, so a waiter who left changes nothing.
        future.add_done_callback(lambda _: _soon(home, home.restore))
        return answer

    def counted_post(self: Committer, *arguments: Any, **options: Any) -> asyncio.Future[Any]:
        home = asyncio.get_running_loop()
        if not isinstance(home, VirtualLoop):
            return post(self, *arguments, **options)
        home.lend()  # The writer may answer before ``post`` returns.
        try:
            answer = post(self, *arguments, **options)
        except BaseException:
            home.restore()
            raise
        lent.add(answer)
        return answer

    def counted_results(results: list[tuple[asyncio.Future[Any], object]]) -> None:
        # Runs in the loop. It is the command's own end that counts, so a waiter who left changes nothing.
        set_results(results)
        for answer in [answer for answer, _ in results if answer in lent]:
            lent.discard(answer)
            answer.get_loop().restore()

    lent: set[asyncio.Future[Any]] = set()
    to_thread.run_sync, asyncio.wrap_future = counted_run_sync, counted_wrap_future
    Committer.post, committer._set_results = counted_post, counted_results
    try:
        with _counted_threads():
            yield
    finally:
        to_thread.run_sync, asyncio.wrap_future = run_sync, wrap_future
        Committer.post, committer._set_results = post, set_results


@contextmanager
def _counted_threads() -> Iterator[None]:
    """Count the work of readers and of threads that work in groups."""
    hop, submit, answer = readers._hop, GroupThread.submit, group_thread._answer

    async def counted_hop(inbox: Any, work: Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            return await hop(inbox, work)
        loop.lend()
        try:
            return await hop(inbox, work)
        finally:
            loop.restore()

    def counted_submit(self: GroupThread[Any, Any], piece: Any) -> asyncio.Future[Any]:
        home = asyncio.get_running_loop()
        if not isinstance(home, VirtualLoop):
            return submit(self, piece)
        home.lend()
        try:
            return submit(self, piece)
        except BaseException:
            home.restore()
            raise

    def counted_answer(answers: Any) -> None:
        # Runs in the loop. It is the end of the work that counts, so a waiter who left changes nothing.
        answer(answers)
        for future, _ in answers:
            if isinstance(loop := future.get_loop(), VirtualLoop):
                loop.restore()

    readers._hop, GroupThread.submit, group_thread._answer = counted_hop, counted_submit, counted_answer  # type: ignore[method-assign]
    try:
        yield
    finally:
        readers._hop, GroupThread.submit, group_thread._answer = hop, submit, answer  # type: ignore[method-assign]


def _soon(loop: VirtualLoop, callback: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)
