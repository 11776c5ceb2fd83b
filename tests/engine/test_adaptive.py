"""Learned limits are found, kept to, found again after they changed, and remembered."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.engine.limits.adaptive import DAY, KEEP, Controller
from batchgen.fault import RateLimitInfo

MINUTE, HOUR = 60.0, 3600.0

#: Calls a minute that a provider takes, at any time.
Limit = Callable[[float], float]


class Sliding:
    """At most so many in any minute."""

    def __init__(self, limit: Limit) -> None:
        self.limit, self.seen = limit, deque()

    def refuse(self, now: float) -> float | None:
        """Take a call and return None, or return the seconds until one will be taken."""
        while self.seen and self.seen[0] <= now - MINUTE:
            self.seen.popleft()
        if len(self.seen) < self.limit(now):
            self.seen.append(now)
            return None
        return self.seen[0] + MINUTE - now


class Fixed:
    """At most so many from one full minute to the next."""

    def __init__(self, limit: Limit) -> None:
        self.limit, self.minute, self.count = limit, -1, 0

    def refuse(self, now: float) -> float | None:
        minute = math.floor(now / MINUTE)
        if minute != self.minute:
            self.minute, self.count = minute, 0
        if self.count < self.limit(now):
            self.count += 1
            return None
        return (minute + 1) * MINUTE - now


class Bucket:
    """A bucket of tokens that fills at the limit's rate."""

    def __init__(self, limit: Limit, size: float = 10.0) -> None:
        self.limit, self.size, self.level, self.at = limit, size, size, 0.0

    def refuse(self, now: float) -> float | None:
        rate = self.limit(now) / MINUTE
        self.level, self.at = min(self.size, self.level + (now - self.at) * rate), now
        if self.level >= 1:
            self.level -= 1
            return None
        return (1 - self.level) / rate


class Free:
    """No limit on the rate."""

    def refuse(self, now: float) -> None:
        return None


@dataclass(kw_only=True)
class Night:
    """A lane with work without end at a simulated provider, one event after the other."""

    provider: Sliding | Fixed | Bucket | Free
    controller: Controller = field(default_factory=lambda: Controller(None, 400))
    configured: float | None = None  #: requests a second
    tells: bool = True  #: whether a refusal names the seconds to wait
    hint: RateLimitInfo | None = None  #: what each refusal says besides
    latency: Callable[[float], float] = lambda _: 45.0  #: the median, at any time
    room: int | None = None  #: calls in flight that the provider bears
    down: tuple[float, float] = (0.0, 0.0)
    down_says: float | None = None  #: seconds to wait that each refusal names while it is down
    busy: float = 0.0  #: share of calls refused at random
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    now: float = 0.0
    log: list[tuple[float, bool]] = field(default_factory=list)  #: when each call was sent, and whether it was taken
    _open: list[tuple[float, float, bool, float | None]] = field(default_factory=list)

    def until(self, end: float) -> Night:
        while self.now < end:
            while self._open and self._open[0][0] <= self.now:
                self._close(*heapq.heappop(self._open))
            self.now = min(self._send(), self._open[0][0] if self._open else math.inf)
        return self

    def _send(self) -> float:
        """Send a call if one may go; return when to look again."""
        blocked = self.controller.blocked_until(self.now)
        if blocked is not None:
            return blocked
        if len(self._open) >= self.controller.width():
            return math.inf
        rates = [rate for rate in (self.controller.rate(), self.configured and self.configured / 1.01) if rate]
        wait = max(0.0, self.log[-1][0] + 1 / min(rates) - self.now) if self.log else 0.0
        if wait < 1e-9:
            self.controller.sent(self.now)
            taken, told = self._answer()
            self.log.append((self.now, taken))
            slow = self.latency(self.now) * self.chance.lognormvariate(0, 0.35)
            seconds = slow if taken else self.chance.uniform(0.25, 0.75)
            heapq.heappush(self._open, (self.now + seconds, self.now, taken, told))
        return self.now + wait

    def _answer(self) -> tuple[bool, float | None]:
        if self.down[0] <= self.now < self.down[1]:
            return False, self.down_says
        if self.room is not None and sum(taken for _, _, taken, _ in self._open) >= self.room:
            return False, None
        told = self.provider.refuse(self.now)
        if told is not None:
            return False, told if self.tells else None
        return self.chance.random() >= self.busy, None

    def _close(self, now: float, sent_at: float, taken: bool, told: float | None) -> None:
        if taken:
            self.controller.answered(sent_at, now)
        else:
            self.controller.throttled(sent_at, now, told, self.hint)

    def taken(self, start: float, end: float) -> float:
        """Return the calls a minute that were taken in this time."""
        return sum(taken for at, taken in self.log if start <= at < end) * MINUTE / (end - start)

    def refused(self, start: float, end: float) -> float:
        """Return the share of calls that were refused in this time."""
        calls = [taken for at, taken in self.log if start <= at < end]
        return calls.count(False) / len(calls)


def always(limit: float) -> Limit:
    return lambda _now: limit


def changing(first: float, then: float, at: float = HOUR) -> Limit:
    return lambda now: first if now < at else then


PROVIDERS = [Sliding, Fixed, Bucket]
kinds = pytest.mark.parametrize("kind", PROVIDERS, ids=[kind.__name__.lower() for kind in PROVIDERS])
tells = pytest.mark.parametrize("tells", [True, False], ids=["told", "untold"])


@kinds
@tells
@pytest.mark.parametrize("limit", [20, 60, 250])
def test_undeclared_limit_is_used_to_90_percent_after_10_minutes(kind, tells, limit):
    night = Night(provider=kind(always(limit)), tells=tells).until(2 * HOUR)
    assert night.taken(600, 2 * HOUR) >= 0.9 * limit
    assert night.refused(600, 2 * HOUR) < 0.03


@kinds
@pytest.mark.parametrize("says", [None, 1.0, 30.0, 300.0], ids=["silent", "1s", "30s", "300s"])
def test_storm_gets_few_calls_and_does_not_freeze_the_rate(kind, says):
    night = Night(provider=kind(always(60)), down=(HOUR, HOUR + 1200), down_says=says).until(3 * HOUR)
    storm, after = HOUR, HOUR + 1200
    assert night.taken(after + 600, after + 1200) >= 0.9 * 60
    assert night.taken(after + 120, after + 600) >= 0.8 * 60
    assert sum(storm <= at < after for at, _ in night.log) < 40
    assert night.refused(after + 600, 3 * HOUR) < 0.03


@kinds
@tells
def test_raised_limit_is_found_within_30_minutes(kind, tells):
    night = Night(provider=kind(changing(60, 120)), tells=tells).until(2 * HOUR)
    assert night.taken(HOUR + 1200, HOUR + 1800) >= 0.9 * 120
    assert night.refused(HOUR, 2 * HOUR) < 0.03


@kinds
@tells
def test_lowered_limit_is_found_within_minutes(kind, tells):
    night = Night(provider=kind(changing(60, 20)), tells=tells).until(2 * HOUR)
    assert night.taken(HOUR + 480, 2 * HOUR) >= 0.9 * 20
    assert night.refused(HOUR + 600, 2 * HOUR) < 0.04


def test_configured_limit_that_holds_is_used_in_full():
    night = Night(provider=Sliding(always(60)), configured=1.0, controller=Controller(1.0, 400)).until(3 * HOUR)
    assert night.taken(0, 3 * HOUR) >= 0.98 * 60
    assert night.refused(0, 3 * HOUR) == 0
    assert night.controller.rate() is None


@pytest.mark.parametrize("limit", [60, 250])
@pytest.mark.parametrize(("busy", "used"), [(0.02, 0.95), (0.03, 0.9)])
def test_configured_limit_survives_random_refusals(limit, busy, used):
    rate = limit / MINUTE
    night = Night(provider=Sliding(always(limit)), configured=rate, controller=Controller(rate, 400), busy=busy)
    night.until(3 * HOUR)
    assert len(night.log) >= used * limit * 180


@kinds
def test_learned_rate_survives_random_refusals(kind):
    night = Night(provider=kind(always(60)), busy=0.02).until(4 * HOUR)
    assert night.taken(600, 4 * HOUR) >= 0.9 * 60 * 0.98


@kinds
def test_undeclared_limit_below_the_configured_is_found(kind):
    night = Night(provider=kind(always(60)), configured=5.0, controller=Controller(5.0, 400)).until(2 * HOUR)
    assert night.taken(600, 2 * HOUR) >= 0.9 * 60
    assert night.refused(600, 2 * HOUR) < 0.03


@pytest.mark.parametrize("room", [4, 10])
def test_limit_on_calls_in_flight_that_is_named_is_found(room):
    night = Night(provider=Free(), room=room, hint=RateLimitInfo(concurrent=True)).until(4 * HOUR)
    possible = room * MINUTE / (45 * math.exp(0.35**2 / 2))
    assert night.taken(HOUR, 4 * HOUR) >= 0.9 * possible
    assert night.refused(HOUR, 4 * HOUR) < 0.04
    assert night.controller.width() in range(room - 1, room + 2)


@pytest.mark.parametrize("room", [4, 10])
def test_unnamed_concurrency_limit_is_met_by_a_lower_rate(room):
    night = Night(provider=Free(), room=room).until(4 * HOUR)
    possible = room * MINUTE / (45 * math.exp(0.35**2 / 2))
    assert night.taken(HOUR, 4 * HOUR) >= 0.5 * possible
    assert night.refused(HOUR, 4 * HOUR) < 0.08


@pytest.mark.parametrize(
    "hint",
    [
        pytest.param(RateLimitInfo(limit=5, used=5, window_seconds=MINUTE), id="requests"),
        pytest.param(RateLimitInfo(limit=5, used=5, window_seconds=MINUTE, unit="images"), id="images"),
    ],
)
def test_stated_limit_in_a_message_is_kept_at_once(hint):
    night = Night(provider=Sliding(always(5)), hint=hint).until(HOUR)
    assert night.taken(120, HOUR) >= 0.95 * 5
    assert night.refused(120, HOUR) == 0
    assert sum(not taken for _, taken in night.log) <= 2


def test_stated_limit_on_images_is_divided_by_images_per_request():
    one = Controller(None, 8)
    for number in range(100):
        one.sent(number * 100.0, images=4)
        one.answered(number * 100.0, number * 100.0 + 45)
    one.learned(RateLimitInfo(limit=60, window_seconds=MINUTE, unit="images"), 9_990.0)
    assert one.rate() == pytest.approx(0.25, rel=0.02)


def test_stated_limit_in_headers_ends_the_search():
    one = Controller(None, 8)
    rates = []
    for limit in (250, 500, 100):
        one.learned(RateLimitInfo(limit=limit, window_seconds=MINUTE), 0.0)
        rates.append(one.rate())
    assert rates == pytest.approx([0.99 * limit / MINUTE for limit in (250, 500, 100)])
    one.learned(RateLimitInfo(limit=3, concurrent=True), 0.0)
    assert one.width() == 3


@pytest.mark.parametrize(
    "hint",
    [
        RateLimitInfo(limit=0, window_seconds=MINUTE),
        RateLimitInfo(limit=10, window_seconds=DAY),
        RateLimitInfo(limit=10),
        RateLimitInfo(limit=1, window_seconds=MINUTE),
    ],
    ids=["nothing", "a-day", "no-window", "disproved"],
)
def test_stated_limit_that_does_not_apply_is_ignored(hint):
    one = Controller(1.0, 8)
    for number in range(60):
        one.sent(float(number))
    one.learned(hint, 60.0)
    assert one.rate() is None
    assert one.state() == {}


def storm(one: Controller) -> None:
    """Send four calls a second for 100 s; at the end the last hundred are refused, one after the other."""
    for number in range(400):
        one.sent(number / 4)
    for number in range(300, 400):
        one.throttled(number / 4, 100.5 + number / 1e4, 2.0)


def test_storm_is_one_decrease():
    one = Controller(None, 100, start=4.0)
    storm(one)
    assert one.rate() == pytest.approx(4 * KEEP, rel=0.02)
    assert one.blocked_until(100.6) == pytest.approx(102.54)


@pytest.mark.parametrize("seconds", [0.2, 12.0, 600.0, 6 * HOUR])
def test_retry_after_is_obeyed_in_full(seconds):
    one = Controller(1.0, 8)
    one.sent(0.0)
    one.throttled(0.0, 1.0, seconds)
    assert one.blocked_until(1.0) == 1 + seconds
    assert one.blocked_until(0.999 + seconds) == 1 + seconds
    assert one.blocked_until(1 + seconds) is None


def test_reset_counts_only_where_nothing_remains():
    waits = []
    for hint in (RateLimitInfo(remaining=0, reset_seconds=40), RateLimitInfo(remaining=3, reset_seconds=40)):
        one = Controller(1.0, 8)
        one.sent(0.0)
        one.throttled(0.0, 1.0, None, hint)
        waits.append(one.blocked_until(1.0))
    assert waits == [41.0, None]


def test_storm_is_probed_by_single_calls_ever_more_rarely():
    night = Night(provider=Free(), configured=20.0, controller=Controller(20.0, 400), down=(0.0, HOUR)).until(HOUR)
    tries = [at for at, _ in night.log if at > 60]
    assert len(tries) <= 60
    assert min(after - before for before, after in pairwise(tries)) >= 30
    assert night.controller.rate() is None or night.controller.rate() >= 9


def test_unused_rate_does_not_grow():
    one = Controller(None, 8)
    one.restore({"rate": 1.0, "throttled": True}, 60.0)
    for number in range(1000):
        one.sent(number * 10.0)
        one.answered(number * 10.0, number * 10.0 + 5)
    assert one.rate() == pytest.approx(KEEP)


def test_learned_rate_is_where_the_next_run_begins():
    night = Night(provider=Sliding(always(250))).until(HOUR)
    learned = night.controller.state()
    following = Controller(None, 400)
    following.restore(learned, 8 * HOUR)
    night = Night(provider=Sliding(always(250)), controller=following).until(600)
    assert night.taken(0, 600) >= 0.9 * 250
    assert night.refused(0, 600) < 0.03


def test_learned_rate_expires_by_age():
    rates = []
    for age in (HOUR, 2 * DAY, 8 * DAY):
        one = Controller(None, 400)
        one.restore({"rate": 4.0, "throttled": True, "width": 20.0}, age)
        rates.append((one.rate(), one.width()))
    assert rates == [(4 * KEEP, 18), (2.0, 400), (1.0, 400)]


@pytest.mark.parametrize(
    "state",
    [{}, {"rate": "fast"}, {"rate": -1.0, "width": 0}, {"rate": math.nan, "stated": math.inf}, {"x": 1}],
    ids=str,
)
def test_restored_state_that_makes_no_sense_is_ignored(state):
    one = Controller(None, 8)
    one.restore(state, HOUR)
    assert (one.rate(), one.width(), one.state()) == (1.0, 8, {})


def test_ceiling_changed_in_a_run_is_in_force_at_once():
    one = Controller(1.0, 8)
    one.restore({"rate": 0.5, "throttled": True}, HOUR)
    assert one.rate() == 0.45
    one.configure(0.4, 4)
    assert (one.rate(), one.width()) == (None, 4)
    one.configure(None, 8)
    assert one.rate() == 0.4


events = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "send", "answer", "refuse"]),
        st.floats(0, 90),
        st.none() | st.floats(0, 1e5),
        st.none() | st.builds(RateLimitInfo, limit=st.none() | st.floats(0.1, 1e4), window_seconds=st.floats(0.1, 1e5)),
    ),
    max_size=80,
)


@given(st.none() | st.floats(0.01, 100), st.integers(1, 500), events)
def test_any_history_leaves_rate_width_and_waits_valid(ceiling, concurrency, story):
    one, now, in_flight, named = Controller(ceiling, concurrency), 0.0, deque(), 0.0
    for what, gap, seconds, hint in story:
        now += gap
        if what == "send":
            one.sent(now)
            in_flight.append(now)
        elif in_flight and what == "answer":
            one.answered(in_flight.popleft(), now)
        elif in_flight:
            one.throttled(in_flight.popleft(), now, seconds, hint)
            named = max(named, now + (seconds or 0.0))
        rate = one.rate()
        assert rate is None or 0 < rate < math.inf
        assert rate is not None or ceiling is not None
        assert ceiling is None or rate is None or rate < ceiling
        assert 1 <= one.width() <= concurrency
        assert named <= now or one.blocked_until(now) >= named


def test_refusals_from_the_start_lengthen_the_waits():
    controller, now, waits = Controller(100.0, 1, waits=(0.1, 10.0)), 0.0, []
    for _ in range(6):
        controller.sent(now)
        controller.throttled(now, now + 0.01)
        until = controller.blocked_until(now + 0.01) or now + 0.1
        waits.append(round(until - now, 1))
        now = until
    assert waits[2:] == [0.4, 0.8, 1.6, 3.2]
