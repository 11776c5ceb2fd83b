"""Events of a run in the log: calls, changes of lanes, the end."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from anyio import create_task_group, sleep

from ...engine.attempts import OpenAttempt
from ...engine.lane import Lane
from ...engine.runner import Runner
from ...fault import Cause, Fault
from ...files import log
from ...job import Deferred, Delivery, Event, Exhausted, Incomplete, PartialDelivery, Released, Settlement, Unknown
from ...money import show_credits, show_usd
from ...store.reader import Reader
from ..wiring import Follow

#: Seconds between two looks at the lanes.
LOOK = 1.0

_ENDS: dict[type[Event], tuple[str, int]] = {
    Delivery: ("delivered", logging.INFO),
    PartialDelivery: ("delivered_short", logging.WARNING),
    Deferred: ("deferred", logging.WARNING),
    Released: ("returned", logging.WARNING),
    Exhausted: ("failed", logging.ERROR),
    Incomplete: ("failed", logging.ERROR),
    Unknown: ("unknown", logging.ERROR),
}


@asynccontextmanager
async def log_events(runner: Runner, reader: Reader) -> AsyncIterator[None]:
    """Log the events of a run."""
    del reader
    lane_logger = LaneLogger(runner)

    def log_call(lane: Lane, opened: OpenAttempt, settlement: Settlement | None) -> None:
        if settlement is None:
            reserved = show_usd(opened.estimate.usd)
            claim = {"claim": opened.attempt.claim, "reserved_usd": reserved}
            log.event("claimed", logging.DEBUG, **call_fields(lane, opened), **claim)
        else:
            name, level, fields = settlement_fields(opened, settlement)
            log.event(name, level, **call_fields(lane, opened), **fields)
            if level > logging.INFO:
                lane_logger.look()  # What it did to its lane is logged after it; the rest is looked for every second.

    runner.subscribe(log_call)
    with log.log_context(run=runner.attempts.run_id):
        log.event("begun", providers=[lane.name for lane in runner.lanes])
        try:
            async with create_task_group() as tasks:
                tasks.start_soon(_keep_looking, lane_logger)
                yield
                tasks.cancel_scope.cancel()
        finally:
            lane_logger.look()


async def _keep_looking(lane_logger: LaneLogger) -> None:
    while True:
        lane_logger.look()
        await sleep(LOOK)


def call_fields(lane: Lane, opened: OpenAttempt) -> dict[str, object]:
    """Return the log fields that identify a call."""
    attempt = opened.attempt
    stands_in = opened.job.task.provider if opened.job.task.provider != lane.provider else None
    return {
        "job": attempt.key,
        "attempt": attempt.id,
        "provider": lane.provider,
        "account": lane.account,
        "model": attempt.task.model,
        "stands_in_for": stands_in,
    }


def settlement_fields(opened: OpenAttempt, settlement: Settlement) -> tuple[str, int, dict[str, object]]:
    """Return name, level and fields of the event in which a call ended."""
    name, level = _ENDS.get(type(settlement.event), (type(settlement.event).__name__.lower(), logging.INFO))
    fault = getattr(settlement.event, "fault", None)
    outcome = getattr(settlement.event, "outcome", None)
    failure: dict[str, object] = {}
    if isinstance(fault, Fault):
        failure = {"cause": fault.cause, "status": fault.status, "code": fault.code, "message": fault.message}
        failure |= {"charged": fault.charged, "retry_after": fault.retry_after}
        # Every call sends its attempt id, so that a provider that returned no id of its own can be asked about it.
        failure["request_id"] = settlement.request_id or opened.attempt.id
    paid: dict[str, object] = {
        "usd": show_usd(settlement.charge.usd),
        "credits": show_credits(settlement.charge.credits),
        "images": len(outcome.artifacts) if outcome is not None else None,
        "resumed": opened.attempt.resumed or None,
        "request_id": settlement.request_id,
    }
    return name, level, paid | failure


@dataclass(slots=True)
class _Seen:
    """The last logged state of a lane."""

    closed: str | None = None
    paused: bool = False
    until: float = 0.0  #: end of its pause, on its own clock
    took_over: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)  #: models


class LaneLogger:
    """Logs changes of the lanes, and that the run drains."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._seen = {lane.name: _Seen() for lane in runner.lanes}
        self._drains = False

    def look(self) -> None:
        """Log the changes since the last look."""
        for lane in self._runner.lanes:
            for name, level, fields in _changes(lane, self._seen[lane.name]):
                log.event(name, level, lane=lane.name, provider=lane.provider, account=lane.account, **fields)
        if self._runner.draining and not self._drains:
            self._drains = True
            log.event("draining", logging.WARNING, why=self._runner.drained)


def _changes(lane: Lane, seen: _Seen) -> Iterator[tuple[str, int, dict[str, object]]]:
    closed = None if lane.closed is None else str(lane.closed)
    message = lane.fault.message if lane.fault else None
    if closed != seen.closed:
        yield ("lane_closed" if closed else "lane_reopened"), logging.WARNING, {"why": closed, "message": message}
        seen.closed = closed
    if lane.paused != seen.paused:
        yield ("lane_held" if lane.paused else "lane_released"), logging.WARNING, {}
        seen.paused = lane.paused
    left, now = lane.pause_left, lane.account_gate.clock()
    if left >= LOOK and now + left > seen.until + LOOK:
        throttled = lane.fault is not None and lane.fault.cause is Cause.THROTTLED
        name = "lane_throttled" if throttled or lane.fault is None else "lane_paused"
        yield name, logging.WARNING, {"seconds": round(left, 1), "message": message}
        seen.until = now + left
    elif seen.until and left <= 0:
        yield "lane_goes_on", logging.INFO, {}
        seen.until = 0.0
    for model in lane.denied.keys() - seen.denied:
        yield "model_denied", logging.WARNING, {"model": model, "message": lane.denied[model].message}
        seen.denied.add(model)
    for home in lane.failed_over.keys() - seen.took_over:
        yield "stood_in", logging.WARNING, {"stands_in_for": home}
        seen.took_over.add(home)


def combine(*followers: Follow) -> Follow:
    """Combine several followers into one; the first is outermost."""

    @asynccontextmanager
    async def follow(runner: Runner, reader: Reader) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for follower in followers:
                await stack.enter_async_context(follower(runner, reader))
            yield

    return follow
