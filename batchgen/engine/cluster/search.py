"""Search for what became of a call whose worker or driver was lost: ask the workers, then read the marker."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from anyio import sleep, to_thread

from ...errors import StoreError
from ...fault import WORKER_LOST, Cause, Charged, Fault
from ...job import Attempt, Missed
from . import marker
from .call import Result, Trace, WorkerLost
from .link import Dispatch, Link

#: Seconds between the first two rounds of questions, and at most: hundreds of calls may be lost together, for minutes.
ROUND, LONGEST_ROUND = 1.0, 8.0
UNSENT = Missed(
    fault=Fault(cause=Cause.UNREACHED, message="nothing was sent: its worker was lost before", code=WORKER_LOST)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """A search for the outcome of one call."""

    links: Mapping[str, Link]
    call: Dispatch
    spool: str | None  #: id of the spool in which its slot was made, if that is known
    owners: Collection[str]  #: the workers that may carry it out, even if they do not answer
    until: float  #: by the clock: no worker can still be waiting for its answer, or publishing it
    soonest: float = math.inf  #: by the clock: from then on it is unknown if all its owners answer that they lack it
    given_up: Callable[[], bool] = lambda: False  #: the run cannot continue
    clock: Callable[[], float] = time.monotonic

    async def outcome(self) -> Result | None:
        """Return the result of the call as soon as anything shows it; None if nothing does in time.

        Raises StoreError if the run is given up: the attempt stays open for the next one.
        """
        pause = ROUND
        while True:
            if self.given_up():
                raise StoreError("the run ended before it was known what became of a call")
            now = self.clock()
            traces = await self._traces()
            silent = any(traces.get(owner, "never") is None for owner in self.owners)
            last = now >= self.until or (now >= self.soonest and not silent)
            if (result := await self._look(traces, has_owner=silent and not last)) is not None or last:
                return result
            await sleep(min(pause, max(0.0, self.until - self.clock())))
            pause = min(2 * pause, LONGEST_ROUND)

    async def _traces(self) -> dict[str, Trace | None]:
        """Return what every worker knows of the call; None for those that do not answer."""
        id_ = self.call.attempt.id
        answers = {name: await link.traces([id_]) for name, link in self.links.items()}
        return {name: None if answer is None else answer[id_] for name, answer in answers.items()}

    async def _look(self, traces: Mapping[str, Trace | None], *, has_owner: bool) -> Result | None:
        """Return the result that *traces* or the marker show; *has_owner*: a silent worker may have the call."""
        attempt = self.call.attempt
        # Workers of a host share a spool: the slot of a call in flight belongs to the one that carries it out.
        holders = [name for name, trace in traces.items() if trace == "here"]
        holders += [name for name, trace in traces.items() if trace == "stored" and not has_owner]
        if holders:
            return await self._collect(self.links[holders[0]])
        delivered = await to_thread.run_sync(marker.read, attempt.folder, attempt.id)
        if delivered is not None:
            return Result(attempt_id=attempt.id, worker="", outcome=delivered)
        own = [name for name, link in self.links.items() if link.hello is not None and link.hello.spool == self.spool]
        if own and all(traces[name] == "never" for name in own):
            # A slot is made before a request is sent, and removed only if it was not.
            return Result(attempt_id=attempt.id, worker="", outcome=UNSENT)
        return None

    async def _collect(self, link: Link) -> Result | None:
        call = replace(self.call.attempt, resumed=True, key_valid=False)
        try:
            return await link.run(replace_attempt(self.call, call))
        except WorkerLost:
            return None


def replace_attempt(call: Dispatch, attempt: Attempt) -> Dispatch:
    """Return a new dispatch of *call* for *attempt*."""
    return Dispatch(attempt=attempt, clearance=call.clearance, limit=call.limit, granted_at=call.granted_at)


def unknown_outcome(worker: str) -> Missed:
    """Return the outcome of a call that nothing shows the end of."""
    message = f"worker {worker} was lost while the request was in flight, and nothing shows how it ended"
    hint = "it may have been carried out and charged; check the provider's own log"
    return Missed(fault=Fault(cause=Cause.UNKNOWN, message=message, charged=Charged.MAYBE, code=WORKER_LOST, hint=hint))
