"""What the log says of a run: calls, lanes, what ended it."""

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
    """Log a run while it goes on."""
    del reader
    eye = LaneLogger(runner)

    def note(lane: Lane, opened: OpenAttempt, settlement: Settlement | None) -> None:
        if settlement is None:
            _log_claim(lane, opened)
        else:
            _log_end(lane, opened, settlement)
            eye.look()

    runner.subscribe(note)
    with log.log_context(run=runner.attempts.run_id):
        log.event("begun", providers=[lane.name for lane in runner.lanes])
        try:
            async with create_task_group() as tasks:
                tasks.start_soon(_keep_looking, eye)
                yield
                tasks.cancel_scope.cancel()
        finally:
            eye.look()


async def _keep_looking(eye: LaneLogger) -> None:
    while True:
        eye.look()
        await sleep(LOOK)


def call_fields(lane: Lane, opened: OpenAttempt) -> dict[str, object]:
    """Return whom a call is about."""
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


def _log_claim(lane: Lane, opened: OpenAttempt) -> None:
    reserved = show_usd(opened.estimate.usd)
    log.event("claimed", logging.DEBUG, **call_fields(lane, opened), claim=opened.attempt.claim, reserved_usd=reserved)


def _log_end(lane: Lane, opened: OpenAttempt, settlement: Settlement) -> None:
    name, level, told = settlement_fields(opened, settlement)
    log.event(name, level, **call_fields(lane, opened), **told)


def settlement_fields(opened: OpenAttempt, settlement: Settlement) -> tuple[str, int, dict[str, object]]:
    """Return how a call ended: its name, how grave that is, and what there is to say of it."""
    name, level = _ENDS.get(type(settlement.event), (type(settlement.event).__name__.lower(), logging.INFO))
    fault = getattr(settlement.event, "fault", None)
    outcome = getattr(settlement.event, "outcome", None)
    told: dict[str, object] = {}
    if isinstance(fault, Fault):
        told = {"cause": fault.cause, "status": fault.status, "code": fault.code, "message": fault.message}
        told |= {"charged": fault.charged, "retry_after": fault.retry_after}
        # sent by every call: what to ask the provider about where it gave none
        told["request_id"] = settlement.request_id or opened.attempt.id
    paid: dict[str, object] = {
        "usd": show_usd(settlement.charge.usd),
        "credits": show_credits(settlement.charge.credits),
        "images": len(outcome.artifacts) if outcome is not None else None,
        "resumed": opened.attempt.resumed or None,
        "request_id": settlement.request_id,
    }
    return name, level, paid | told


@dataclass(slots=True)
class _Seen:
    """What a lane looked like."""

    closed: str | None = None
    paused: bool = False
    until: float = 0.0  #: its pause ends then, on its own clock
    took_over: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)  #: models


class LaneLogger:
    """Logs what changed of the lanes, and that a run drains, since it looked last."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._seen = {lane.name: _Seen() for lane in runner.lanes}
        self._drains = False

    def look(self) -> None:
        """Log what is new."""
        for lane in self._runner.lanes:
            for name, level, told in _news(lane, self._seen[lane.name]):
                log.event(name, level, lane=lane.name, provider=lane.provider, account=lane.account, **told)
        if self._runner.draining and not self._drains:
            self._drains = True
            log.event("draining", logging.WARNING, why=self._runner.drained)


def _news(lane: Lane, seen: _Seen) -> Iterator[tuple[str, int, dict[str, object]]]:
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
    """Return what lets all *followers* follow a run, the first one outermost."""

    @asynccontextmanager
    async def follow(runner: Runner, reader: Reader) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for follower in followers:
                await stack.enter_async_context(follower(runner, reader))
            yield

    return follow
