"""The nights that matter, each as long or as short as wanted; what they show is read from the providers' logs.

A scenario plays its night and returns it with its figures. Shares and ratios are of 1, times are virtual seconds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from . import witness
from .allowance import Allowance, Bucket, Fixed, Sliding
from .night import Night, Wish, wishes
from .server import Call, Nature, Outage, Said, Tells

MINUTE = 60.0
HOUR = 3600.0

#: Ways in which a provider may count to so many a minute.
COUNTING: Mapping[str, Callable[[int], Allowance]] = {
    "sliding": Sliding,
    "fixed": Fixed,
    "bucket": lambda limit: Bucket(limit, burst=max(1, limit // 6)),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A night, and what it showed."""

    night: Night
    figures: Mapping[str, float]


def steady(
    folder: Path,
    *,
    minutes: int = 240,
    images: int = 1,
    per_minute: int = 250,
    throttled: float = 0.02,
    lost: float = 0.0,
) -> Told:
    """A known limit of images, some throttled and 1 % failing by chance: is all of it used, and never more?"""
    night = Night(
        folder=folder,
        wishes=wishes(minutes * per_minute // images, "openai", images=images),
        natures={
            "openai": Nature(
                allows_images=[Sliding(per_minute)], weather={Said.BUSY: throttled, Said.ERROR: 0.01, Said.LOST: lost}
            ),
        },
        settings=_limits("openai", images_per_minute=per_minute, concurrency=2 * per_minute),
    )
    night.play()
    log = night.log()
    busy = log[: len(log) * 99 // 100]  # The last calls may be retries that wait, with nothing else left to send.
    return _told(
        night,
        makespan=witness.makespan(busy) / witness.ideal(busy, per_minute, images=True),
        fullest=witness.fullest(log, MINUTE, images=True) / per_minute,
        waste=len(witness.in_vain(log)) / len(log),
        refused=sum(call.said.refused for call in log) / len(log),
        done=night.counts().done / len(night.wishes),
        charges=max(witness.charges([log]).values()),
    )


def unknown(
    folder: Path,
    *,
    minutes: int = 60,
    per_minute: int = 60,
    counting: str = "sliding",
    tells: Tells = Tells.HEADER,
    width: int = 100,
) -> Told:
    """A limit that nobody configured: how much of it is used, and how much is throttled, after ten minutes?"""
    night = Night(
        folder=folder,
        wishes=wishes((minutes + 1) * per_minute, "openai"),
        natures={"openai": Nature(allows=[COUNTING[counting](per_minute)], tells=tells)},
        settings=_limits("openai", concurrency=width),
    )
    night.play(killed_at=minutes * MINUTE)
    late = witness.between(night.log(), 10 * MINUTE, minutes * MINUTE)
    passed = [call for call in late if not call.said.refused]
    early = witness.between(night.log(), 0, 10 * MINUTE)
    return _told(
        night,
        used=len(passed) / ((minutes - 10) * per_minute),
        throttled=witness.share(late, {Said.LIMIT}),
        throttled_early=witness.share(early, {Said.LIMIT}),
    )


def trouble(folder: Path, *, jobs: int = 600, routed: bool = True) -> Told:
    """A runs out of money at 30 %, B throttles for 20 minutes, C is dead for an hour: who does what, and when?"""
    names = ("aimlapi", "openai", "aigate")
    night = Night(
        folder=folder,
        wishes=[
            Wish(
                key=f"{name}-{number:05}",
                provider=name,
                others=tuple(other for other in names if routed and other != name),
            )
            for number in range(jobs)
            for name in names
        ],
        natures={
            "aimlapi": Nature(funds=jobs * 3 // 10),
            "openai": Nature(outages=[Outage(start=5 * MINUTE, seconds=20 * MINUTE, said=Said.OVERLOADED)]),
            "aigate": Nature(outages=[Outage(start=5 * MINUTE, seconds=HOUR, said=Said.UNREACHED)]),
        },
        settings={name: {"limits": {"requests_per_minute": 60, "concurrency": 100}} for name in names},
    )
    night.play()
    out, throttled, dead = (night.log(name) for name in names)
    logs = [out, throttled, dead]
    counts = night.counts()
    return _told(
        night,
        done=counts.done / (3 * jobs),
        left=counts.pending,
        after_402=len(witness.after_the_first(out, Said.MONEY)),
        in_throttling=sum(call.said is Said.OVERLOADED for call in throttled),
        in_outage=sum(call.said is Said.UNREACHED for call in dead),
        back_after=_back(throttled, 25 * MINUTE),
        charges=max(witness.charges(logs).values()),
        sold=sum(server.sold for server in night.servers.values()) / (3 * jobs),
        hours=night.clock.seconds / HOUR,
    )


def broken(folder: Path, *, jobs: int = 1200, poisoned: int = 3) -> Told:
    """For twenty minutes every call is answered with an error: is any job but the few bad ones given up for it?"""
    everything = wishes(jobs, "openai")
    bad = frozenset(wish.key for wish in everything[:: jobs // poisoned])
    night = Night(
        folder=folder,
        wishes=everything,
        natures={
            "openai": Nature(
                outages=[Outage(start=5 * MINUTE, seconds=20 * MINUTE, said=Said.ERROR)], poisoned=bad, median=20.0
            )
        },
        settings=_limits("openai", requests_per_minute=60, concurrency=40),
    )
    night.play()
    log, counts = night.log(), night.counts()
    during = witness.between(log, 5 * MINUTE, 25 * MINUTE)
    return _told(
        night,
        done=counts.done / (jobs - len(bad)),
        failed=counts.failed / len(bad),
        during=len(during),
        back_after=min(call.at for call in log if call.said is Said.IMAGE and call.at > 25 * MINUTE) - 25 * MINUTE,
        charges=max(witness.charges([log]).values()),
        hours=night.clock.seconds / HOUR,
    )


def shared(folder: Path, *, jobs: int = 240, any_order: bool = True) -> Told:
    """One list, two providers of 30 a minute each: does whoever has room take the next (or only in need)?"""
    names = ("openai", "aimlapi")
    keys = [f"job-{number:05}" for number in range(jobs)]
    night = Night(
        folder=folder,
        wishes=[Wish(key=key, provider=names[0], others=names[1:], any_order=any_order) for key in keys],
        natures={name: Nature(allows=[Sliding(30)], median=5.0) for name in names},
        settings={name: {"limits": {"requests_per_minute": 30, "concurrency": 30}} for name in names},
    )
    night.play()
    logs = [night.log(name) for name in names]
    return _told(
        night,
        done=night.counts().done / jobs,
        second=len(logs[1]) / jobs,
        charges=max(witness.charges(logs).values()),
        minutes=night.clock.seconds / MINUTE,
    )


def storm(folder: Path, *, answers: int = 10_000, median: float = 5.0) -> Told:
    """Mostly 429, 503 and failed connections: one request an attempt, nothing paid twice, everything done?"""
    bad = {Said.BUSY: 0.3, Said.OVERLOADED: 0.3, Said.UNREACHED: 0.3}
    night = Night(
        folder=folder,
        wishes=wishes(max(1, answers // 8), "openai"),
        natures={"openai": Nature(weather=bad, median=median, transit=0.0)},
        settings=_limits("openai", concurrency=64),
    )
    night.play()
    log = night.log()
    return _told(
        night,
        answers=sum(call.said in bad for call in log),
        done=night.counts().done / len(night.wishes),
        calls_per_attempt=max(witness.calls_per_attempt([log]).values()),
        charges=max(witness.charges([log]).values(), default=0),
        hours=night.clock.seconds / HOUR,
    )


def restart(folder: Path, *, lives: int = 16, each: float = 7.3, pause: float = 0.4, per_minute: int = 60) -> Told:
    """Killed again and again in the middle of a minute: does any minute across see more than the limit?"""
    night = Night(
        folder=folder,
        wishes=wishes(int(lives * each * per_minute / 60) + 60, "openai"),
        natures={"openai": Nature(allows=[Sliding(per_minute)], median=2.0)},
        settings=_limits("openai", requests_per_minute=per_minute, concurrency=100),
    )
    for _ in range(lives):
        night.play(killed_at=night.clock.seconds + each)
        night.clock.seconds += pause
    night.play()
    log = night.log()
    charged = witness.charges([log])
    return _told(
        night,
        fullest=witness.fullest(log, MINUTE) / per_minute,
        throttled=sum(call.said is Said.LIMIT for call in log),
        done=night.counts().done / len(night.wishes),
        again=sum(count - 1 for count in charged.values()),
        cut=sum(call.attempt not in night.servers["openai"].heard for call in log),
    )


def priorities(folder: Path, *, jobs: int = 300, urgent: int = 60) -> Told:
    """Urgent jobs stand at the end of the list: are they done first, and the rest in its order?"""
    plain = wishes(jobs - urgent, "openai")
    first = [Wish(key=f"urgent-{number:05}", provider="openai", priority=5) for number in range(urgent)]
    night = Night(
        folder=folder,
        wishes=[*plain, *first],
        natures={"openai": Nature(weather={Said.ERROR: 0.05}, median=20.0)},
        settings=_limits("openai", requests_per_minute=60, concurrency=60),
    )
    night.play()
    log = night.log()
    seen = [call.job for call in log]
    last_urgent = max(seen.index(wish.key) for wish in first)
    apart = witness.displacement(log, [wish.key for wish in (*first, *plain)])
    return _told(
        night,
        overtaken=sum(not job.startswith("urgent") for job in seen[:last_urgent]),
        displaced=statistics.median(abs(places) for places in apart),
        displaced_most=max(apart),
        done=night.counts().done / jobs,
    )


def poison(folder: Path, *, jobs: int = 600, poisoned: int = 60, attempts: int = 40, max_wait: float = 10) -> Told:
    """Jobs that always fail stand at the head of the list: do the others get on, and are these tried again in time?"""
    everything = wishes(jobs, "openai")
    bad = frozenset(wish.key for wish in everything[:poisoned])
    night = Night(
        folder=folder,
        wishes=everything,
        natures={"openai": Nature(poisoned=bad, median=5.0)},
        settings={
            "openai": {
                "limits": {"requests_per_minute": 60, "concurrency": 30},
                "retry": {"attempts": attempts, "first_wait": 1, "max_wait": max_wait},
            }
        },
    )
    night.play()
    log, counts = night.log(), night.counts()
    good = [call.at for call in log if call.job not in bad]
    early = witness.between(log, 0, log[-1].at / 2)
    return _told(
        night,
        fresh_early=sum(call.job not in bad for call in early) / len(early),
        fresh_gap=max(after - before for before, after in pairwise(good)),
        retry_late=max(0.0, max(witness.waits_for_retry(log)) - max_wait),
        calls=len(log),
        done=counts.done / (jobs - poisoned),
        failed=counts.failed / poisoned,
    )


def _limits(provider: str, **limits: Any) -> dict[str, dict[str, Any]]:
    return {provider: {"limits": limits}}


def _told(night: Night, **figures: float) -> Told:
    return Told(night=night, figures=figures)


def _back(log: list[Call], end: float) -> float:
    """Return how long after the end of an outage the next call came; -1 where none did."""
    return min((call.at - end for call in log if call.at >= end), default=-1.0)
