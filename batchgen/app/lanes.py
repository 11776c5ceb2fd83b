"""One lane for each account at a provider, and for each group of its models: how wide, how patient, how fast.

What any run sent lately counts, and what earlier runs learned is remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from ..engine.lane import Lane
from ..engine.limits.adaptive import LONGEST_WAIT, Controller
from ..engine.limits.gate import Gate, ceiling, windows
from ..engine.limits.windows import Window
from ..engine.retry import Policy
from ..providers.profile import Group, Limits, Profile, Retry
from ..route import ModelFilter
from ..store.learned_rates import LearnedRate
from ..store.sends import SentRequest, sends

#: Requests per second, at least, to begin with where nothing is configured and nothing known: as good as no limit.
FIRST_RATE = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneHistory:
    """What is known from before *now*."""

    table: Path  #: the job table, which knows every call
    lessons: Mapping[str, LearnedRate]  #: by lane
    now: datetime


def lanes(known: Profile, account: str | None, width: int, memory: LaneHistory) -> Iterator[Lane]:
    """Yield the lanes of one account at a provider, which is *width* calls wide; None is the only account."""
    policy = policy_of(known.retry, known.on_unknown)
    groups: dict[str | None, ModelFilter] = {None: ModelFilter(frozenset[str]().union(*known.grouped.values()))}
    groups |= {name: ModelFilter(models, only=True) for name, models in known.grouped.items()}
    shared = _gate(known.limits, known.retry, width)
    own = {name: _gate(group, known.retry, group.concurrency or width) for name, group in known.groups.items()}
    before = sent(known.name, account, max(gate.windows.memory for gate in (shared, *own.values())), memory)
    shared.seed(ago(before, memory.now))
    for name, models in groups.items():
        if name is not None:
            own[name].seed(ago((one for one in before if models.matches(one.model)), memory.now))
        lane = Lane(
            provider=known.name,
            account=account,
            group=name,
            policy=policy,
            account_gate=shared,
            model_gate=own[name] if name is not None else None,
            models=models,
        )
        _recall(lane, memory)
        yield lane


def policy_of(retry: Retry, on_unknown: str) -> Policy:
    """Return the policy that a ``retry`` and an ``on_unknown`` describe."""
    return Policy(
        attempts=retry.attempts,
        first_wait=retry.first_wait,
        max_wait=retry.max_wait,
        buy_again=on_unknown == "retry",
        patience=retry.patience,
    )


def configured(limits: Limits | Group) -> list[Window]:
    """Return the windows of configured limits."""
    return windows(
        requests_per_second=limits.requests_per_second,
        requests_per_minute=limits.requests_per_minute,
        requests_per_day=limits.requests_per_day,
        images_per_minute=limits.images_per_minute,
        burst=limits.burst,
        spacing=limits.spacing,
    )


def _gate(limits: Limits | Group, retry: Retry, width: int) -> Gate:
    """Return a gate; what nothing is configured for begins as fast as its width allows."""
    found = configured(limits)
    controller = None
    if limits.adaptive:
        waits = retry.first_wait / 2, min(retry.max_wait, LONGEST_WAIT)
        controller = Controller(ceiling(found), width, start=max(FIRST_RATE, 2.0 * width), waits=waits)
    return Gate(limits=found, width=width, controller=controller)


def sent(provider: str, account: str | None, seconds: float, memory: LaneHistory) -> list[SentRequest]:
    """Return what an account sent in the last *seconds*; where nothing limits it, nobody need know."""
    if not seconds:
        return []
    # whose a call was that names no account, or which one is the only account now, nobody knows: they count
    found = sends(memory.table, provider, memory.now - timedelta(seconds=seconds))
    return [one for one in found if account is None or one.account in (account, None)]


def _recall(lane: Lane, memory: LaneHistory) -> None:
    """Go on from what earlier runs learned of a lane."""
    lesson, controller = memory.lessons.get(lane.name), lane.inner_gate.controller
    if lesson is not None and controller is not None:
        controller.restore(lesson.state, (memory.now - lesson.at).total_seconds())


def ago(found: Iterable[SentRequest], now: datetime) -> Iterator[tuple[float, int]]:
    """Yield how many seconds ago each call went; a clock that was set back makes none of them a call to come."""
    for one in found:
        yield max(0.0, (now - one.at).total_seconds()), one.images
