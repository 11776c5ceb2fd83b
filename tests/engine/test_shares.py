"""Shares of limits: whatever runners do, together they never exceed a limit, and they use what there is."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.engine.limits.gate import windows
from batchgen.engine.limits.shares import CONCURRENCY, capacities, name_of, narrow
from batchgen.engine.limits.windows import DAY, SlidingWindows, Window
from batchgen.share import Capacity, Share, allot

BEAT = 2.0
LEASE = 8.0


@dataclass(eq=False)
class SimulatedRunner:
    """A runner that sends as fast as its share allows."""

    windows: SlidingWindows
    wants: bool = True
    granted: int = 0
    next_beat: float = 0.0
    lease_ends: float = 0.0
    stopped_until: float = 0.0
    dead: bool = False
    gone: frozenset[int] = frozenset()  #: runners whose lease had ended at the last beat
    counted: dict[int, int] = field(default_factory=dict)  #: how many requests of each of them it counts as its own
    sends: list[float] = field(default_factory=list)


class Cluster:
    """Runners that share one limit through a table, as the job database keeps it."""

    def __init__(self, limit: Window) -> None:
        self.limit, self.name = limit, name_of(limit)
        self.now = 0.0
        self.runners: list[SimulatedRunner] = []
        self.table: dict[int, tuple[Share, float]] = {}  # by the number of the runner: its share, the end of its lease

    def join(self) -> SimulatedRunner:
        runner = SimulatedRunner(windows=SlidingWindows([self.limit]), next_beat=self.now)
        self.runners.append(runner)
        runner.gone = self.gone()
        self.count_gone(runner)
        return runner

    def gone(self) -> frozenset[int]:
        return frozenset(number for number, (_, ends) in self.table.items() if ends < self.now)

    def count_gone(self, runner: SimulatedRunner) -> None:
        """Count the requests of all runners without a lease, also of those that others have counted."""
        for number, other in enumerate(self.runners):
            is_alive = number in self.table and self.table[number][1] >= self.now
            if other is not runner and not is_alive:
                runner.windows.seed((at, 1) for at in other.sends[runner.counted.get(number, 0) :])
                runner.counted[number] = len(other.sends)

    def beat(self, number: int) -> None:
        """Report what is in force, learn what may be in force, and apply that only afterwards."""
        runner = self.runners[number]
        for gone in runner.gone:
            if gone in self.table and self.table[gone][1] < self.now:  # It may have come back.
                del self.table[gone]
        used = {self.name: runner.windows.used(self.now)[0]}
        mine = Share(granted={self.name: runner.granted}, used=used, wanted=runner.wants)
        order = sorted({*self.table, number})
        shares = [mine if one == number else self.table[one][0] for one in order]
        granted = allot(capacities([self.limit], 10), shares, order.index(number))
        stored = {self.name: max(granted[self.name], runner.granted)}
        runner.lease_ends = self.now + LEASE
        self.table[number] = Share(granted=stored, used=used, wanted=runner.wants), runner.lease_ends
        limits = narrow([self.limit], 10, {CONCURRENCY: 10, self.name: granted[self.name]})
        runner.granted = granted[self.name]
        runner.windows.change(limits[0] if limits else [self.limit])
        if self.gone() - runner.gone:
            self.count_gone(runner)
        runner.gone = self.gone()
        runner.next_beat = self.now + BEAT

    def step(self, seconds: float) -> None:
        for number, runner in enumerate(self.runners):
            if runner.dead or runner.stopped_until > self.now:
                continue
            while (
                runner.wants and runner.granted and self.now < runner.lease_ends and not runner.windows.wait(self.now)
            ):
                runner.windows.sent(self.now)
                runner.sends.append(self.now)
            if runner.next_beat <= self.now:
                runner.dead = runner.lease_ends > 0 and number not in self.table  # Another one counts its requests.
                if not runner.dead:
                    self.beat(number)
        self.now += seconds

    def run(self, until: float) -> None:
        while self.now < until:
            self.step(0.05)

    @property
    def sends(self) -> list[float]:
        return sorted(at for runner in self.runners for at in runner.sends)

    def fullest(self) -> int:
        sends = self.sends
        return max((bisect_left(sends, at + self.limit.span) - n for n, at in enumerate(sends)), default=0)

    def used(self, since: float, until: float) -> float:
        """Return which part of the limit was used."""
        sent = sum(since <= at < until for at in self.sends)
        return sent / (until - since) * self.limit.span / self.limit.most


def test_one_runner_has_the_whole_limit():
    shares = [Share()]
    assert allot(capacities(windows(requests_per_minute=60), 8), shares, 0) == {CONCURRENCY: 8, "requests/60": 60}


@pytest.mark.parametrize(("most", "parts"), [(60, [20, 20, 20]), (10, [4, 3, 3]), (2, [1, 1, 0])])
def test_runners_get_whole_parts_that_add_up_to_the_limit(most: int, parts: list[int]):
    capacity = {"requests/1": Capacity(most=most)}
    assert [allot(capacity, [Share()] * 3, number)["requests/1"] for number in range(3)] == parts


def test_a_share_grows_only_into_what_the_others_do_not_hold():
    capacity = {"requests/60": Capacity(most=60)}
    alone = Share(granted={"requests/60": 60}, used={"requests/60": 60})
    assert allot(capacity, [alone, Share()], 1) == {"requests/60": 0}
    shrunk = Share(granted={"requests/60": 30}, used={"requests/60": 45})
    assert allot(capacity, [shrunk, Share()], 1) == {"requests/60": 15}


def test_a_runner_without_jobs_leaves_its_share_to_the_others():
    capacity = {"requests/60": Capacity(most=60)}
    assert allot(capacity, [Share(wanted=False), Share()], 1) == {"requests/60": 60}
    assert allot(capacity, [Share(wanted=False), Share()], 0) == {"requests/60": 0}


def test_a_share_of_images_holds_the_heaviest_request():
    capacity = {"images/60": Capacity(most=10, counts_images=True)}
    shares = [Share(heaviest=4), Share(), Share()]
    parts = [allot(capacity, shares, number)["images/60"] for number in range(3)]
    assert parts == [5, 5, 0], "three shares would be smaller than a request of four images"


def test_a_daily_quota_is_divided_as_far_as_it_is_left():
    name = f"requests/{DAY:g}"
    shares = [Share(granted={name: 1000}, used={name: 600}), Share()]
    capacity = {name: Capacity(most=1000, lasting=True)}
    assert allot(capacity, shares, 0) == {name: 800}
    assert allot(capacity, [Share(granted={name: 800}, used={name: 600}), Share()], 1) == {name: 200}


def test_shares_of_a_broken_limit_keep_its_window():
    [window] = windows(requests_per_second=2.5)
    limits = narrow([window], 8, {"requests/1": 1, CONCURRENCY: 3})
    assert limits is not None
    [part], width = limits
    assert (part.most, part.span, width) == (1, window.span, 3)
    assert narrow([window], 8, {"requests/1": 0, CONCURRENCY: 8}) is None
    assert narrow([window], 8, {"requests/1": 3, CONCURRENCY: 0}) is None


@settings(max_examples=60, deadline=None)
@given(
    limit=st.sampled_from(
        [Window(1, 5, burst=5), Window(10, 12), Window(1, 2.5), Window(10, 2, burst=2), Window(60, 40, burst=40)]
    ),
    events=st.lists(
        st.tuples(st.sampled_from(["join", "kill", "stop", "idle", "busy"]), st.integers(0, 4), st.integers(1, 60)),
        min_size=3,
        max_size=14,
    ),
)
def test_no_window_is_exceeded_whatever_runners_do(limit: Window, events: list[tuple[str, int, int]]):
    cluster = Cluster(limit)
    cluster.join()
    for what, which, ticks in events:
        runner = cluster.runners[which % len(cluster.runners)]
        match what:
            case "join" if len(cluster.runners) < 6:
                cluster.join()
            case "kill":
                runner.dead = True
            case "stop":
                runner.stopped_until = cluster.now + ticks / 2
            case "idle" | "busy":
                runner.wants = what == "busy"
        for _ in range(ticks):
            cluster.step(0.25)
    assert cluster.fullest() <= limit.most


@pytest.mark.parametrize("limit", [Window(10, 30, burst=30), Window(1, 7)])
def test_three_runners_use_nearly_all_of_a_limit(limit: Window):
    cluster = Cluster(limit)
    for _ in range(3):
        cluster.join()
    cluster.run(120)
    assert cluster.used(60, 120) >= 0.9
    cluster.runners[0].dead = True
    cluster.run(260)
    assert cluster.used(200, 260) >= 0.9, "the share of a runner that died is used by the others"
    assert cluster.fullest() <= limit.most


def test_requests_of_a_runner_that_died_count_until_they_have_left_the_window():
    cluster = Cluster(limit := Window(60, 40, burst=40))
    first, _ = cluster.join(), cluster.join()
    cluster.run(140)
    recent = max(first.sends)
    cluster.run(recent + 59)
    cluster.runners[1].wants = False  # The first one has the whole limit, and uses it at once.
    cluster.run(recent + 65)
    first.dead, cluster.runners[1].wants = True, True
    cluster.run(recent + 200)
    assert cluster.fullest() <= limit.most
