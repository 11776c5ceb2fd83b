"""Remote tasks: commits their handles, waits between polls, and polls under a limit of its own.

A task costs money once, when it is submitted. From the moment its handle is committed no outcome leads to another
purchase by itself: the attempt stays open until the provider states how the task ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aiolimiter import AsyncLimiter
from anyio import CancelScope, CapacityLimiter, current_time, sleep

from ..errors import StoreError, UnfinishedTask
from ..fault import Cause, Fault, ProviderError
from ..job import Attempt
from ..providers import cancellation
from ..providers.base import Call, Remember, Reply, Request
from ..providers.retry_after import retry_after
from ..transport import LostResultError, ProviderClient, is_temporary
from .exchange import Exchange, TaskProgress
from .waits import Waits

#: Seconds for the answer to one poll, and bytes a second that an upload reaches at least.
POLL_SECONDS, SLOWEST_UPLOAD = 60.0, 100_000
#: Seconds before a poll is repeated that was not answered, doubled each time, and the longest such pause.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: Seconds before a result is downloaded again that could not be.
DOWNLOAD_PAUSE = 15.0
#: Seconds for a free call before the submission, such as an upload of a source image.
PREPARATION = 120.0
#: Seconds after the submission from which a result that cannot be downloaded counts as lost, unless its provider keeps
#: results for longer.
RESULT_LIFE = 24 * 3600.0

#: Causes that state nothing about a task: it is still at the provider.
_OPEN = frozenset({Cause.THROTTLED, Cause.UNREACHED, Cause.MONEY, Cause.DENIED})
#: Causes after which a task that was submitted is not bought again by itself.
_FINAL = frozenset({Cause.UNKNOWN, Cause.SPOILED})


@dataclass(frozen=True, slots=True)
class _Limit:
    """How many polls of an account may be in flight, and how far apart they go."""

    places: CapacityLimiter
    pace: AsyncLimiter


async def _nowhere(attempt_id: str, handle: Mapping[str, Any]) -> None:
    raise StoreError(f"attempt {attempt_id}: its remote task {dict(handle)} cannot be committed here")


async def _kept(_attempt: Attempt) -> bool:
    return False


@dataclass(kw_only=True, slots=True)
class RemoteTasks:
    """The remote tasks of a run."""

    #: Commits a handle to an attempt in the job database.
    commit: Callable[[str, Mapping[str, Any]], Awaitable[None]] = _nowhere
    remembered: Callable[[str], None] = lambda _id: None  #: called for an attempt once its handle is committed
    #: Returns whether the user has cancelled the job of an attempt meanwhile.
    is_given_up: Callable[[Attempt], Awaitable[bool]] = _kept
    ended: bool = False  #: the run sends nothing more: tasks are left to the next one
    _limits: dict[tuple[str, str], _Limit] = field(default_factory=dict)
    _waits: Waits = field(default_factory=Waits)

    def end(self) -> None:
        """End all waits and polls: their attempts stay open."""
        self.ended = True
        self._waits.interrupt()

    async def remember(self, exchange: Exchange, step: Remember) -> None:
        """Commit the handle of a task before anything else happens."""
        attempt, progress = exchange.attempt, exchange.task
        stored = attempt.handle if progress is None else progress.handle
        if stored is None or dict(stored) != dict(step.handle):
            with CancelScope(shield=True):
                await self.commit(attempt.id, step.handle)
        if progress is None or not progress.is_confirmed:
            before = progress or TaskProgress(ends=0.0)
            ends = current_time() + step.patience - attempt.age
            progress = exchange.task = replace(before, ends=ends, is_confirmed=True)
            self.remembered(attempt.id)
        progress.handle = step.handle

    async def wait(self, exchange: Exchange, seconds: float) -> None:
        """Wait before the next poll; raise UnfinishedTask once this run has waited long enough, or is to end."""
        progress = exchange.task
        if progress is None:
            raise ValueError("a dialect waits before it has submitted anything")
        left = progress.ends - current_time()
        if progress.polled and left <= 0:
            raise UnfinishedTask
        self._require_time(exchange)
        with self._until_end():
            await sleep(max(0.0, min(seconds, left)))

    async def cancel(self, exchange: Exchange, client: ProviderClient, request: Request) -> None:
        """Ask the provider once to cancel a task, if it can: later polls show what became of it."""
        progress = exchange.task
        if progress is None or progress.is_cancelled:
            return
        if (call := cancellation(replace(request, handle=progress.handle))) is not None:
            progress.is_cancelled = True
            before = progress.polled
            await self.poll(exchange, client, call)
            progress.polled = before  # that was not an answer about its state

    async def poll(self, exchange: Exchange, client: ProviderClient, call: Call) -> Reply:
        """Return the answer to a free call, which is repeated while there is none.

        Raises UnfinishedTask as ``wait`` does, and ProviderError if a call before the submission is not answered.
        """
        try:
            return await self._poll(exchange, client, call)
        except UnfinishedTask:
            if exchange.task is None:
                await exchange.ready()  # raises: nothing was submitted, and a run that is ending lets nothing go
            raise

    async def _poll(self, exchange: Exchange, client: ProviderClient, call: Call) -> Reply:
        profile, gives_up, pause = client.profile, current_time() + PREPARATION, FIRST_PAUSE
        if exchange.task is not None and profile.api_key_env and not client.key:
            variables = " or ".join(profile.api_key_env)
            raise UnfinishedTask(f"tasks at {profile.name} cannot be polled without its key ({variables})")
        while True:
            self._require_time(exchange)
            with self._until_end():
                news = await self._once(client, call)
            if exchange.task is not None:
                exchange.task.polled = True
            if isinstance(news, Reply) and not is_temporary(news.status):
                return news
            asked = retry_after(news.headers, "") if isinstance(news, Reply) else None
            if exchange.task is not None:
                await self.wait(exchange, max(asked or 0.0, pause))
            elif current_time() >= gives_up:
                raise ProviderError(_unprepared(call, news))
            else:
                with self._until_end():
                    await sleep(min(asked or pause, PREPARATION))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def before_download(self, exchange: Exchange, error: LostResultError) -> bool:
        """Wait before a result is downloaded again after *error*, and return True; False if it is given up.

        Raises UnfinishedTask if the task is left to a later run, which downloads all its results.
        """
        try:
            return exchange.task is not None and await self._repeats_download(exchange, error)
        except UnfinishedTask:
            if exchange.has_results:  # The provider may have deleted them by the next run.
                return False
            raise

    async def _repeats_download(self, exchange: Exchange, error: LostResultError) -> bool:
        attempt, profile, is_final = exchange.attempt, exchange.profile, error.fault.final
        if attempt.given_up and is_final:
            return False
        if error.unlisted is not None:  # It is not lost, however old it is.
            setting = profile.with_host("url_hosts", error.unlisted)
            raise UnfinishedTask(
                f"results at {error.unlisted} may not be fetched with these settings; if that host belongs to "
                f"{profile.name}, write  {setting}"
            )
        lifetime = profile.task.result.lifetime if profile.task is not None else None
        if attempt.age > max(RESULT_LIFE, lifetime or 0.0):
            return False
        if is_final:
            raise UnfinishedTask(f"a result of {profile.name} cannot be fetched: {error.reason}")
        if exchange.task is not None:
            exchange.task.polled = True
        await self.wait(exchange, DOWNLOAD_PAUSE)
        return True

    async def _once(self, client: ProviderClient, call: Call) -> Reply | Fault:
        limit = self._limit(client)
        async with limit.places, limit.pace:
            try:
                return await client.poll(call, POLL_SECONDS + _upload_bytes(call) / SLOWEST_UPLOAD)
            except ProviderError as error:
                if error.fault.cause is Cause.DENIED:
                    raise
                return error.fault

    def _limit(self, client: ProviderClient) -> _Limit:
        key = client.profile.name, client.key
        if key not in self._limits:
            rules = client.profile.polling
            pace = AsyncLimiter(1, 60 / rules.requests_per_minute)
            self._limits[key] = _Limit(CapacityLimiter(rules.concurrency), pace)
        return self._limits[key]

    def _require_time(self, exchange: Exchange) -> None:
        """Raise UnfinishedTask if this run is to end, or only takes in what earlier runs have stored."""
        attempt = exchange.attempt
        # A task whose handle was found in a slot is polled with all others, in its lane.
        if self.ended or (exchange.task is not None and attempt.resumed and attempt.handle is None):
            raise UnfinishedTask

    @contextmanager
    def _until_end(self) -> Iterator[None]:
        with self._waits.interruptible() as scope:
            yield
        if scope.cancelled_caught:
            raise UnfinishedTask


def _upload_bytes(call: Call) -> int:
    return sum(part.source.size_bytes or 0 for part in call.files)


def fault_of_task(exchange: Exchange, fault: Fault) -> Fault:
    """Return the fault that ends an attempt; raise UnfinishedTask where it states nothing about a submitted task."""
    if exchange.task is None:
        return fault
    if fault.cause in _OPEN:
        raise UnfinishedTask(fault.message)
    return replace(fault, final=True) if fault.cause in _FINAL else fault


def _unprepared(call: Call, news: Reply | Fault) -> Fault:
    why = news.message if isinstance(news, Fault) else f"HTTP {news.status}"
    cause = Cause.THROTTLED if isinstance(news, Reply) and news.status == 429 else Cause.UNREACHED
    return Fault(cause=cause, message=f"{call.method} {call.url} failed for {PREPARATION:g} s: {why}; nothing was sent")
