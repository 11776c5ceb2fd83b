"""Builds the lanes of a run: one for each account at a provider, and one for each group of its models.

Requests that earlier runs sent lately count against the limits, and learned rates are restored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..database_url import Database
from ..engine.lane import Lane
from ..engine.limits.adaptive import LONGEST_WAIT, Controller
from ..engine.limits.gate import Gate, ceiling, windows
from ..engine.limits.windows import Window
from ..engine.retry import Policy
from ..mode import Mode
from ..providers.profile import LONGEST, Group, Limits, Profile, Retry
from ..route import ModelFilter
from ..store.history import LearnedRate, SentRequest, sent_since

#: Requests per second to begin with, at least, if no limit is configured or learned. In practice this is no limit.
FIRST_RATE = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneHistory:
    """The requests and learned rates of earlier runs, as of *now*."""

    table: Database  #: the job database
    lessons: Mapping[str, LearnedRate]  #: by lane
    now: datetime
    others: Collection[str] = ()  #: runs that count their requests themselves


def lanes(profile: Profile, account: str | None, width: int, history: LaneHistory) -> Iterator[Lane]:
    """Yield the lanes of one account at a provider, together *width* calls wide; None is the only account."""
    policy = policy_of(profile.retry, profile.on_unknown)
    groups: dict[str | None, ModelFilter] = {None: ModelFilter(frozenset[str]().union(*profile.grouped.values()))}
    groups |= {name: ModelFilter(models, only=True) for name, models in profile.grouped.items()}
    account_gate = _gate(profile.limits, profile.retry, width)
    group_gates = {
        name: _gate(group, profile.retry, group.concurrency or width) for name, group in profile.groups.items()
    }
    longest = max(gate.windows.memory for gate in (account_gate, *group_gates.values()))
    earlier = sent(profile.name, account, longest, history)
    account_gate.seed(ago(earlier, history.now))
    for name, models in groups.items():
        if name is not None:
            group_gates[name].seed(ago((request for request in earlier if models.matches(request.model)), history.now))
        lane = Lane(
            provider=profile.name,
            account=account,
            group=name,
            policy=policy,
            account_gate=account_gate,
            model_gate=group_gates.get(name) if name is not None else None,
            models=models,
        )
        lane.flex.has_end = any(step.mode is Mode.FLEX and step.until is not None for step in profile.modes)
        _restore_rate(lane, history)
        yield lane


def policy_of(retry: Retry, on_unknown: str) -> Policy:
    """Return the policy of the settings ``retry`` and ``on_unknown``."""
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
    """Return a gate; without a configured limit it begins as fast as its width allows."""
    limit_windows = configured(limits)
    controller = None
    if limits.adaptive:
        waits = retry.first_wait / 2, min(retry.max_wait, LONGEST_WAIT)
        controller = Controller(ceiling(limit_windows), width, start=max(FIRST_RATE, 2.0 * width), waits=waits)
    return Gate(limits=limit_windows, width=width, controller=controller)


def sent(provider: str, account: str | None, seconds: float, history: LaneHistory) -> list[SentRequest]:
    """Return the requests of an account in the last *seconds*; none are looked up for a window of zero."""
    if not seconds:
        return []
    span = timedelta(seconds=min(seconds, LONGEST))
    requests = sent_since(history.table, provider, history.now - span)
    # Requests further ahead than the window is long were sent by a clock that was wrong: they would fill it for ever.
    requests = [request for request in requests if request.at <= history.now + span]
    requests = [each for each in requests if each.run_id not in history.others]
    # A request without an account may have been any account's, so that it counts against each.
    return [request for request in requests if account is None or request.account in (account, None)]


def _restore_rate(lane: Lane, history: LaneHistory) -> None:
    """Restore the rate that earlier runs learned for a lane."""
    lesson, controller = history.lessons.get(lane.name), lane.inner_gate.controller
    if lesson is not None and controller is not None:
        controller.restore(lesson.state, (history.now - lesson.at).total_seconds())


def ago(requests: Iterable[SentRequest], now: datetime) -> Iterator[tuple[float, int]]:
    """Yield the age of each request in seconds and its images; a clock that was set back makes no age negative."""
    for request in requests:
        yield max(0.0, (now - request.at).total_seconds()), request.images
