"""What a provider really takes, learned from how it answers.  A decision with a memory: pure, no clock.

Rate and width are found the way TCP's CUBIC finds a bandwidth: double until the first throttling, then fall back a
little, come back to what was taken last, stay there for long, and only then try for more.  A refusal while trying for
more ends the try; otherwise it takes several close together, because providers refuse a call now and then for
reasons of their own.  Where nothing at all is taken the rate stays, and only the waits grow.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from ...fault import RateLimitInfo
from .history import HORIZON, Traffic

START = 1.0  #: requests a second to begin with, where nothing is configured and nothing known
KEEP = 0.9  #: what is left of a rate, or a width, after throttling
#: Seconds until it is back, and at least so many requests: each try for more costs a refused call or two.
SPAN, SPAN_REQUESTS = 240.0, 100
STATED = 0.99  #: a limit that the provider states is kept to with the margin of the paces
LONGEST_WINDOW = 3600.0  #: seconds: a quota over more than this says nothing about how fast to go
LONGEST_WAIT = 60.0  #: seconds between two tries where everything is refused, and no wait is named
#: So many calls taken in a row, or a few over so many seconds, after a fall to less than half: it was a storm.
CALM, CALM_FEW, CALM_SECONDS = 40, 8, 240.0
LONGEST_GRACE = 120.0  #: seconds at most until a call that was not refused counts as taken
#: Five refusals in a row are throttling, or more of them if up to 20 calls for each were taken in between.
DENSE, FADING, ALONE = 4.5, 0.05, 1.5
#: The share of calls that are refused at any rate is measured over so many calls; from that share on it counts.
LOOSE_CALLS, LOOSE = 200, 0.008
ALIKE, FEW = 4, 4  #: so many throttlings with the same number in flight are about that number, unless these are few
#: Seconds after which what was learned counts for less, and for nothing.
DAY, FORGOTTEN = 86_400.0, 7 * 86_400.0


@dataclass(slots=True)
class _Climb:
    """A rate or a width on its way up."""

    value: float
    peak: float | None = None  #: what was taken when throttling set in last; None: never throttled
    climbed: float = 0.0  #: seconds of full use since then

    @property
    def trying(self) -> bool:  # more than is known to be taken
        return self.peak is not None and self.value > self.peak

    def cut(self, peak: float) -> None:
        self.value, self.peak, self.climbed = KEEP * peak, peak, 0.0

    def grow(self, seconds: float) -> None:
        if self.peak is not None:
            self.climbed += seconds
            span = max(SPAN, SPAN_REQUESTS / self.peak)
            self.value = self.peak * (1 + (1 - KEEP) * (self.climbed / span - 1) ** 3)


class Controller:
    """Learn how fast, and how many at once, one provider can be asked.

    *ceiling* is the configured rate in requests per second (None: nothing is configured), *concurrency* the
    configured width, *start* the first rate to try without a ceiling, *waits* the shortest and the longest wait where
    everything is refused and the provider names none.  Times are seconds on one clock, of any origin.
    Report each call twice: ``sent``, then ``answered`` or ``throttled`` with the time at which it was sent.
    """

    def __init__(
        self,
        ceiling: float | None,
        concurrency: int,
        *,
        start: float = START,
        waits: tuple[float, float] = (1.0, LONGEST_WAIT),
    ) -> None:
        self._first_wait, self._longest_wait = waits
        self._ceiling, self._concurrency = ceiling, concurrency
        self._rate = None if ceiling else _Climb(start)
        self._width: _Climb | None = None
        self._stated: float | None = None  #: requests per second, in the provider's own words
        self._stated_width = math.inf
        self._weight = 1.0  #: images per request, on the average
        self._calls = Traffic()
        self._tempo = 1.0  #: time between two calls, in units of what the rate asks for
        self._doubled = -math.inf
        self._evidence = 0.0  #: for throttling: 1 for each refusal, fading with each call that is taken
        self._onset = self._evident = -math.inf  #: when its first and its last refused call was sent
        self._loose = 0.0  #: share of calls that are refused at any rate
        self._marks: deque[tuple[int, float]] = deque(maxlen=ALIKE)  #: calls in flight and taken, at each throttling
        self._since = -math.inf  #: calls sent before this met the last throttling
        self._taken = True  #: a call sent since then was taken
        self._echo, self._grace = 0.5, 1.2  #: seconds in which a refusal comes back, and surely has come back
        self._rounds = 0  #: refusals in a row, without a call taken in between
        self._calm = 0  #: calls taken since the last refusal
        self._fell_from = 0.0  #: the rate before it fell; 0: it is known why
        self._leapt = False  #: it was doubled since
        self._trial = False  #: the next call goes alone, and the others wait for what becomes of it
        self._blocked = self._trial_ends = -math.inf

    def configure(self, ceiling: float | None, concurrency: int) -> None:
        """Put another ceiling and width in force; what was learned stays."""
        if ceiling is None and self._rate is None:
            self._rate = _Climb(self._ceiling or START)
        self._ceiling, self._concurrency = ceiling, concurrency
        self._leave_at_ceiling()

    def rate(self) -> float | None:
        """Return the requests per second to keep to; None: only what is configured counts."""
        known = [rate for rate in (self._rate and self._rate.value, self._stated) if rate]
        rate = min(known, default=None)
        return None if rate is None or (self._ceiling and rate >= self._ceiling) else rate

    def width(self) -> int:
        """Return how many calls may be in flight."""
        learned = self._width.value + 0.5 if self._width else math.inf
        return max(1, math.floor(min(self._concurrency, self._stated_width, learned)))

    def blocked_until(self, now: float) -> float | None:
        """Return until when nothing is to be sent; None where nothing is in the way."""
        until = max(self._blocked, self._trial_ends)
        return until if until > now else None

    def sent(self, at: float, images: int = 1) -> None:
        """Take note of a call that goes out, with so many images."""
        gap = max(0.0, at - max(self._calls.last, self._blocked, self._trial_ends))
        self._calls.add(at, gap)
        self._weight += 0.1 * (images - self._weight)
        if self._below:
            self._loose -= self._loose / LOOSE_CALLS
        rate = self._in_force
        self._tempo += 0.2 * (min(gap * rate, 4.0) - self._tempo)
        # only what is used may grow: else it says nothing
        if self._rate and self._rate.value == rate and gap * rate <= 2:
            self._rate.grow(gap)
            self._rate.value = min(self._rate.value, self._stated or math.inf)
            self._leave_at_ceiling()
        if self._width and self._calls.flying >= self.width():
            self._width.grow(min(gap, HORIZON))
        if self._trial:
            self._trial, self._trial_ends = False, at + self._grace

    def answered(self, sent_at: float, now: float) -> None:
        """Take note of a call that ended in any way but throttling."""
        self._calls.land(sent_at, now, refused=False)
        if sent_at > self._since:
            self._taken, self._rounds = True, 0
            self._trial_ends = -math.inf
        self._calm += 1
        if self._rate and self._rate.value < self._fell_from / 2 and self._is_calm(now):
            self._rate, self._calm, self._leapt = _Climb(2 * self._rate.value, 2 * self._rate.value), 0, True
            self._leave_at_ceiling()
        # doubling is for those who could not go faster, and only when a call at the present rate has come back
        rate, new = self._rate, self._doubled < sent_at < self._calls.last
        if rate and rate.peak is None and new and self._tempo < 2:
            rate.value, self._doubled = 2 * rate.value, now
            self._leave_at_ceiling()

    def throttled(
        self, sent_at: float, now: float, retry_after: float | None = None, hint: RateLimitInfo | None = None
    ) -> None:
        """Take note of a call that was refused because of a limit; *retry_after* in seconds is obeyed in full."""
        self._calls.land(sent_at, now, refused=True)
        self._echo = max(now - sent_at, self._echo + 0.1 * (now - sent_at - self._echo))
        self._grace = min(2 * self._echo + 0.2, LONGEST_GRACE)
        if hint:
            self.learned(hint, now)
            if retry_after is None and hint.spent:
                retry_after = hint.reset_seconds
        self._calm = 0
        if sent_at > self._evident:
            self._weigh(sent_at, now)
        if sent_at <= self._since:  # calls already in flight meet the same weather
            self._blocked = max(self._blocked, now + (retry_after or 0.0))
            return
        concurrent = bool(hint and hint.concurrent)
        if not self._taken:  # that says how long to wait, not how fast to go
            self._rounds += 1
            self._trial, self._evidence = True, 0.0
        else:
            self._rounds = 1
            if concurrent or self._is_throttling(sent_at, told=retry_after is not None):
                self._cut(sent_at, concurrent=concurrent)
                self._evidence, self._evident = 0.0, now
            elif retry_after is None:
                return
        self._since, self._taken = now, False
        self._blocked = max(self._blocked, now + self._wait(retry_after))

    def learned(self, hint: RateLimitInfo, now: float) -> None:
        """Take note of what the provider says about its limits."""
        if not hint.limit or hint.limit <= 0:
            return
        if hint.concurrent:
            self._stated_width = hint.limit
            return
        if not hint.window_seconds or not 0 < hint.window_seconds <= LONGEST_WINDOW:
            return
        stated = STATED * hint.limit / hint.window_seconds / (self._weight if hint.unit == "images" else 1)
        if self._calls.taken(now - HORIZON, now) / HORIZON > 1.2 * stated:
            return  # another limit than that of these calls: they go faster than it says
        higher = self._stated is not None and stated > 1.01 * self._stated
        self._stated = stated
        if self._rate and (self._rate.peak is None or higher):
            self._rate = _Climb(stated, stated, max(SPAN, SPAN_REQUESTS / stated))

    def state(self) -> dict[str, float | bool]:
        """Return what is worth remembering for the next run: plain numbers, nothing where nothing was learned."""
        found: dict[str, float | bool] = {}
        if self._rate and (self._rate.peak or self._doubled > -math.inf):
            found |= {"rate": self._rate.peak or self._rate.value, "throttled": self._rate.peak is not None}
        if self._stated:
            found["stated"] = self._stated
        if self._width and self._width.peak:
            found["width"] = self._width.peak
        return found

    def restore(self, state: Mapping[str, object], age: float) -> None:
        """Go on from what ``state`` returned *age* seconds ago; what does not look like it is ignored."""
        if not 0 <= age < FORGOTTEN:
            return
        known = {name: float(one) for name, one in state.items() if isinstance(one, int | float) and 0 < one < math.inf}
        rate, width, stated, fresh = known.get("rate"), known.get("width"), known.get("stated"), age < DAY
        if rate:
            self._rate = _Climb(KEEP * rate, rate) if fresh and state.get("throttled") is True else _Climb(rate / 2)
            self._leave_at_ceiling()
        if fresh:
            self._width = _Climb(KEEP * width, width) if width else None
            self._stated = stated

    @property
    def _in_force(self) -> float:
        return self.rate() or self._ceiling or START

    @property
    def _pace(self) -> float:
        """Return the calls per second that go out while nothing is in the way."""
        return self._in_force / (self._tempo if self._tempo > 1.5 else 1.0)

    def _lately(self, sent_at: float) -> float:
        """Return the calls per second that were taken, before these refusals began or up to now."""
        horizon = max(HORIZON, min(20 / self._pace, sent_at - self._calls.began, 20 * HORIZON))
        return max(self._calls.taken(at - horizon, at) for at in (self._onset, sent_at)) / horizon

    def _wider(self, held: int) -> bool:
        """Return whether one call more than *held* is more than is known to be taken at once."""
        return bool(self._width and self._width.trying and self._width.peak and held + 1 > self._width.peak)

    @property
    def _below(self) -> bool:
        """Return whether calls go at a pace that was taken before, with something to spare, and not just since now."""
        one = self._width if self._width and self._tempo > 1.5 else self._rate
        return one is None or (one.peak is not None and one.value < 0.95 * one.peak and one.climbed > SPAN / 16)

    def _leave_at_ceiling(self) -> None:
        if self._ceiling and self._rate and self._rate.value >= self._ceiling:
            self._rate = None

    def _weigh(self, sent_at: float, now: float) -> None:
        """Take a refusal into the evidence, and look whether any call was taken since the last."""
        self._taken = self._taken or self._calls.taken(self._since, now - self._grace) > 0
        self._evidence = max(0.0, self._evidence - FADING * self._calls.between(self._evident, sent_at))
        self._onset = self._onset if self._evidence else sent_at
        self._evidence, self._evident = self._evidence + 1, sent_at

    def _is_throttling(self, sent_at: float, *, told: bool) -> bool:
        """Return whether the refusals so far say that calls go too fast."""
        share = self._lately(sent_at) / self._pace
        if self._below and self._evidence < ALONE and share >= 0.95:
            self._loose += 1 / LOOSE_CALLS
        if told and share < 0.85 and sent_at - self._calls.began >= HORIZON:
            return True
        if self._loose < LOOSE and (self._wider(self._calls.flying) or (self._rate and self._rate.trying)):
            return True
        if self._loose < LOOSE and self._rate and self._rate.peak is None:
            return told or self._evidence >= ALONE
        return self._evidence >= DENSE

    def _cut(self, sent_at: float, *, concurrent: bool) -> None:
        held, lately, pace = self._calls.held(sent_at), self._lately(sent_at), self._pace
        if self._rate and self._rate.peak:
            self._marks.append((held, lately))
        rate, width, alike = self._rate, self._width, self._alike()
        dense = self._evidence >= DENSE
        slow = dense and rate and rate.peak and self._tempo > 2 and held >= FEW
        if concurrent or slow or alike or self._wider(held):
            if alike and rate:  # it was no matter of rate
                self._rate = _Climb(rate.value)
                self._leave_at_ceiling()
                self._marks.clear()
                self._loose = 0.0
            known = width.peak if width and width.peak and not (concurrent or dense) else 1.0
            self._width = width or _Climb(self._concurrency)
            self._width.cut(max(known, held))
            return
        least = pace / 2
        if dense:
            self._loose = 0.0
        elif rate and rate.peak and rate.trying:
            least = 0.97 * rate.peak  # so much was taken just before
        if self._ceiling and lately >= 0.95 * pace:
            least = pace  # hardly fewer than were sent: what is configured may be right
        self._rate = rate or _Climb(pace)
        self._rate.cut(max(least, min(pace, lately / (1 - self._loose)), 1 / LONGEST_WAIT))
        # one that went up in leaps has found how far it goes
        found = self._leapt or (rate is not None and rate.peak is None)
        self._fell_from, self._leapt = 0.0 if found else max(pace, self._fell_from), False

    def _alike(self) -> bool:
        """Return whether throttling came with the same number of calls in flight each time, at different rates."""
        held, rates = sorted(mark[0] for mark in self._marks), sorted(mark[1] for mark in self._marks)
        same = len(held) == ALIKE and held[0] >= FEW and held[-1] - held[0] <= 1
        return same and rates[0] < 0.85 * rates[-1]

    def _is_calm(self, now: float) -> bool:
        return self._calm >= CALM or (self._calm >= CALM_FEW and now - self._evident >= CALM_SECONDS)

    def _wait(self, told: float | None) -> float:
        """Return how long to wait: as told, and longer where that was too short before."""
        step = max(self._first_wait, 1 / self._in_force)
        longer = min(step * 2.0 ** (min(self._rounds, 20) - 1), max(step, self._longest_wait))
        return longer if told is None else told if self._rounds <= 3 else max(told, longer)
