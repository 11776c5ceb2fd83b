"""Learned limits of one provider: AIMD on the rate and on the calls in flight, stated limits, Retry-After.

The rate doubles until the first refusal, falls to just below what was taken, and climbs back: fast at first, slowly
near the last peak, and faster again beyond it, as TCP's CUBIC does. One refusal ends a try for more than the peak;
at a rate that was taken before, a few are tolerated, because providers refuse a call now and then for other reasons.
Where everything is refused the rate stays, and only the waits grow. No clock: times are seconds of any origin.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

from ...fault import RateLimitInfo

START = 1.0  #: requests a second to begin with, where nothing is configured and nothing was learned
KEEP = 0.9  #: share of a rate, or of a width, that is kept after throttling
#: Seconds of a climb back to the peak, and at least so many requests: each try for more costs a refused call or two.
SPAN, SPAN_REQUESTS = 240.0, 120
STATED = 0.99  #: share of a stated limit that is used: requests are uneven on their way
#: Seconds over which the calls that were taken are counted, as most limits are per minute; more for slow rates.
HORIZON, LONGEST_HORIZON = 60.0, 1200.0
LONGEST_WINDOW = 3600.0  #: seconds: a stated quota over more than this does not limit the rate
LONGEST_WAIT = 60.0  #: seconds between two tries where everything is refused and no wait is named
#: Refusals that are tolerated at a rate that was taken before: so many at once, and so many per call in the long run.
TOLERATED, TOLERATED_SHARE = 4.0, 0.045
#: The share of calls refused at a rate below the peak, measured over so many calls; from that share on it is noise.
NOISE_CALLS, NOISE = 200, 0.008
#: So many calls taken in a row, over so many seconds, after a fall to less than half: the refusals were an outage.
CALM_CALLS, CALM_SECONDS = 20, 600.0
#: Seconds after which what was learned counts for less, and for nothing.
DAY, FORGOTTEN = 86_400.0, 7 * 86_400.0


@dataclass(slots=True)
class _Climb:
    """A rate or a width on its way up."""

    value: float
    peak: float | None = None  #: what was taken when throttling set in last; None: never throttled
    climbed: float = 0.0  #: seconds of full use since then

    @property
    def searching(self) -> bool:
        """Return whether it is above all that is known to be taken."""
        return self.peak is None or self.value > self.peak

    def cut(self, peak: float) -> None:
        self.value, self.peak, self.climbed = KEEP * peak, peak, 0.0

    def grow(self, seconds: float) -> None:
        if self.peak is not None:
            self.climbed += seconds
            span = max(SPAN, SPAN_REQUESTS / self.peak)
            self.value = self.peak * (1 + (1 - KEEP) * (self.climbed / span - 1) ** 3)


class Controller:
    """Learns how fast, and how many at once, one provider can be asked.

    *ceiling* is the configured rate in requests per second (None: nothing is configured), *concurrency* the
    configured width, *start* the first rate to try without a ceiling, *waits* the shortest and the longest wait where
    everything is refused and the provider names none.
    Report each call when it is let go (``sent``) and when it is ``written``, then as ``answered`` or ``throttled`` with
    the time at which it was written, or else as ``withdrawn``.
    """

    def __init__(
        self,
        ceiling: float | None,
        concurrency: int,
        *,
        start: float = START,
        waits: tuple[float, float] = (1.0, LONGEST_WAIT),
    ) -> None:
        self._ceiling, self._concurrency = ceiling, concurrency
        self._first_wait, self._longest_wait = waits
        self._rate = None if ceiling else _Climb(start)
        self._width: _Climb | None = None
        self._stated_rate: float | None = None  #: requests per second
        self._stated_width = math.inf
        self._images = 1.0  #: images per request, on average
        self._in_flight = 0
        self._taken = deque[float]()  #: when the latest calls that were not refused went out, in order
        self._last_sent = self._last_written = -math.inf
        self._tempo = 1.0  #: average time between two calls, in units of what the rate asks for
        self._doubled_at = -math.inf
        self._tolerance = TOLERATED  #: refusals that are still tolerated
        self._noise = 0.0  #: share of calls that are refused at any rate
        self._throttled_at = -math.inf  #: calls sent before this met the same throttling
        self._recovered = True  #: a call sent since then was taken
        self._refusals = 0  #: in a row, without a call taken in between
        self._calm_calls, self._calm_since = 0, -math.inf
        self._fell_from = 0.0  #: the rate before it fell; 0: it is known why
        self._echo = 0.5  #: seconds until a refusal comes back
        self._blocked_until = self._probe_until = -math.inf
        self._probe_next = False  #: the next call goes alone; the others wait for its answer

    def configure(self, ceiling: float | None, concurrency: int) -> None:
        """Put another ceiling and width in force; what was learned stays."""
        if ceiling is None and self._rate is None:
            self._rate = _Climb(self._ceiling or START)
        self._ceiling, self._concurrency = ceiling, concurrency
        self._leave_at_ceiling()

    def rate(self) -> float | None:
        """Return the requests per second to keep to; None: only what is configured counts."""
        rates = [rate for rate in (self._rate and self._rate.value, self._stated_rate) if rate]
        rate = min(rates, default=None)
        return None if rate is None or (self._ceiling and rate >= self._ceiling) else rate

    def width(self) -> int:
        """Return how many calls may be in flight."""
        learned = self._width.value + 0.5 if self._width else math.inf
        return max(1, math.floor(min(self._concurrency, self._stated_width, learned)))

    def blocked_until(self, now: float) -> float | None:
        """Return until when nothing may be sent; None if a call may go now."""
        until = max(self._blocked_until, self._probe_until)
        return until if until > now else None

    def sent(self, at: float, images: int = 1) -> None:
        """Record a call that goes out, with so many images."""
        gap = max(0.0, at - max(self._last_sent, self._blocked_until, self._probe_until))
        self._last_sent = at
        self._in_flight += 1
        self._tolerance = min(self._tolerance + TOLERATED_SHARE, TOLERATED)
        insort(self._taken, at)
        while self._taken[0] <= at - LONGEST_HORIZON:
            self._taken.popleft()
        self._images += 0.1 * (images - self._images)
        if self._below_peak:
            self._noise -= self._noise / NOISE_CALLS
        rate = self._rate_in_force
        self._tempo += 0.2 * (min(gap * rate, 4.0) - self._tempo)
        # A rate or a width that is not fully used may not grow: nothing is learned about it.
        if self._rate and self._rate.value == rate and gap * rate <= 2:
            self._rate.grow(gap)
            self._rate.value = min(self._rate.value, self._stated_rate or math.inf)
            self._leave_at_ceiling()
        if self._width and self._in_flight >= self.width():
            self._width.grow(min(gap, HORIZON))
        if self._probe_next:
            self._probe_next, self._probe_until = False, at + self._grace

    def written(self, sent_at: float, now: float) -> None:
        """Record that a call that was ``sent`` some time ago is written now: that is when the provider counts it."""
        self._forget(sent_at)
        insort(self._taken, now)
        self._last_written = now
        if sent_at == self._last_sent and self._probe_until > -math.inf:
            self._probe_until = max(self._probe_until, now + self._grace)

    def withdrawn(self, sent_at: float) -> None:
        """Record that a call that was ``sent`` was never written."""
        self._in_flight -= 1
        self._forget(sent_at)
        if sent_at == self._last_sent and self._probe_until > -math.inf:
            self._probe_next, self._probe_until = True, -math.inf

    @property
    def refused_until(self) -> float:
        """Return until when every call would be refused."""
        return self._blocked_until

    def adopt(self) -> None:
        """Record a call of an earlier run that is still in flight."""
        self._in_flight += 1

    def answered(self, sent_at: float, now: float) -> None:
        """Record a call that ended in any way but throttling."""
        self._in_flight -= 1
        self._calm_calls += 1
        if sent_at > self._throttled_at:
            self._recovered, self._refusals, self._probe_until = True, 0, -math.inf
        rate = self._rate
        if rate is None:
            return
        calm = self._calm_calls >= CALM_CALLS and now - self._calm_since >= CALM_SECONDS
        if calm and rate.value < self._fell_from / 2:
            rate.peak, self._fell_from = None, 0.0
        # The rate doubles once a call at the present rate was answered, and only if that rate was used.
        if (
            rate.peak is None
            and self._doubled_at < sent_at < max(self._last_sent, self._last_written)
            and self._tempo < 2
        ):
            rate.value, self._doubled_at = 2 * rate.value, now
            self._leave_at_ceiling()

    def throttled(
        self, sent_at: float, now: float, retry_after: float | None = None, hint: RateLimitInfo | None = None
    ) -> None:
        """Record a call that was refused because of a limit; *retry_after* in seconds is obeyed in full."""
        in_flight, self._in_flight = self._in_flight, self._in_flight - 1
        self._forget(sent_at)
        self._echo = max(now - sent_at, self._echo + 0.1 * (now - sent_at - self._echo))
        self._calm_calls, self._calm_since = 0, now
        if hint is not None:
            self.learned(hint, now)
            if retry_after is None and hint.spent:
                retry_after = hint.reset_seconds
        if sent_at <= self._throttled_at:
            self._blocked_until = max(self._blocked_until, now + (retry_after or 0.0))
            return
        self._probe_until = -math.inf
        # A call that has not come back after some echoes was not refused, though its answer may take minutes.
        if not (self._recovered or self._taken_between(self._throttled_at, now - self._grace)):
            # Everything is refused: that determines how long to wait, not how fast to send.
            self._refusals += 1
            self._probe_next = True
        else:
            self._refusals = 1
            if hint is not None and hint.concurrent:
                self._width = self._width or _Climb(self._concurrency)
                self._width.cut(max(1, in_flight - 1))
            elif self._is_too_fast(now, named=retry_after is not None):
                self._cut_rate(now)
            elif retry_after is None:
                self._recovered = False
                return
        self._throttled_at, self._recovered = now, False
        self._blocked_until = max(self._blocked_until, now + self._wait(retry_after))

    def learned(self, hint: RateLimitInfo, now: float) -> None:
        """Record what the provider states about its limits."""
        if not hint.limit or hint.limit <= 0:
            return
        if hint.concurrent:
            self._stated_width = hint.limit
            return
        if not hint.window_seconds or not 0 < hint.window_seconds <= LONGEST_WINDOW:
            return
        stated = STATED * hint.limit / hint.window_seconds / (self._images if hint.unit == "images" else 1)
        if self._taken_rate(now) > 1.2 * stated:
            return  # The calls go faster than this limit allows: it does not apply to them.
        raised = self._stated_rate is not None and stated > 1.01 * self._stated_rate
        self._stated_rate = stated
        if self._rate and (self._rate.peak is None or raised):
            self._rate = _Climb(stated, stated, max(SPAN, SPAN_REQUESTS / stated))

    def state(self) -> dict[str, float | bool]:
        """Return what the next run should know, as plain numbers; empty if nothing was learned."""
        state: dict[str, float | bool] = {}
        if self._rate and (self._rate.peak or self._doubled_at > -math.inf):
            state |= {"rate": self._rate.peak or self._rate.value, "throttled": self._rate.peak is not None}
        if self._stated_rate:
            state["stated"] = self._stated_rate
        if self._width and self._width.peak:
            state["width"] = self._width.peak
        return state

    def restore(self, state: Mapping[str, object], age: float) -> None:
        """Continue from what ``state`` returned *age* seconds ago; values that make no sense are ignored."""
        if not 0 <= age < FORGOTTEN:
            return
        numbers = {name: float(value) for name, value in state.items() if _is_positive(value)}
        rate, width, fresh = numbers.get("rate"), numbers.get("width"), age < DAY
        if rate:
            self._rate = _Climb(KEEP * rate, rate) if fresh and state.get("throttled") is True else _Climb(rate / 2)
            self._leave_at_ceiling()
        if fresh:
            self._width = _Climb(KEEP * width, width) if width else None
            self._stated_rate = numbers.get("stated")

    @property
    def _rate_in_force(self) -> float:
        return self.rate() or self._ceiling or START

    @property
    def _grace(self) -> float:
        """Return the seconds after which a call that was not refused counts as taken."""
        return min(2 * self._echo + 0.2, 2 * HORIZON)

    def _taken_rate(self, now: float) -> float:
        """Return the calls per second that were taken lately: in the last minute, or of the last 20 slow calls."""
        first = self._taken[0] if self._taken else now
        horizon = max(HORIZON, min(20 / self._rate_in_force, now - first))
        return self._taken_between(now - horizon, math.inf) / horizon

    def _taken_between(self, after: float, until: float) -> int:
        """Return how many calls of those that were not refused went out later than *after* and not after *until*."""
        # By bisection: at ten calls a second, twelve thousand are remembered, and each answer may ask.
        return max(0, bisect_right(self._taken, until) - bisect_right(self._taken, after))

    def _forget(self, sent_at: float) -> None:
        index = bisect_right(self._taken, sent_at) - 1
        if index >= 0 and self._taken[index] == sent_at:
            del self._taken[index]

    def _leave_at_ceiling(self) -> None:
        if self._ceiling and self._rate and self._rate.value >= self._ceiling:
            self._rate = None

    @property
    def _pace(self) -> float:
        """Return the calls per second that go out while nothing is in the way."""
        return self._rate_in_force / (self._tempo if self._tempo > 1.5 else 1.0)

    @property
    def _below_peak(self) -> bool:
        """Return whether calls go at a rate that was taken before, with something to spare."""
        return self._rate is None or (self._rate.peak is not None and self._rate.value < 0.95 * self._rate.peak)

    def _is_too_fast(self, now: float, *, named: bool) -> bool:
        """Return whether a refusal means that calls go too fast; *named*: it came with a wait."""
        self._tolerance -= 1
        used = self._taken_rate(now) / self._pace
        if named and used < 0.85 and self._taken and self._taken[0] <= now - HORIZON:
            return True
        if self._below_peak and used >= 0.95:
            self._noise += 1 / NOISE_CALLS
        if self._rate and self._rate.searching and self._noise < NOISE and (named or self._rate.peak):
            return True
        return self._tolerance < 0

    def _cut_rate(self, now: float) -> None:
        pace = self._pace
        rate = self._rate or _Climb(pace)
        least = max(pace / 2, 1 / LONGEST_WAIT)
        if rate.peak is None:
            self._fell_from = 0.0
        elif rate.searching:  # Nearly the peak was taken a moment ago.
            least, self._fell_from = 0.97 * rate.peak, 0.0
        else:
            self._fell_from = max(pace, self._fell_from)
        rate.cut(max(least, min(pace, self._taken_rate(now) / (1 - self._noise))))
        self._rate, self._tolerance = rate, TOLERATED

    def _wait(self, named: float | None) -> float:
        """Return how long to wait: the wait that was named, and longer where that was too short before."""
        step = max(self._first_wait, 1 / self._rate_in_force)
        backoff = min(step * 2.0 ** (min(self._refusals, 20) - 1), max(step, self._longest_wait))
        if named is None:
            return backoff
        return named if self._refusals <= 3 else max(named, backoff)


def _is_positive(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and 0 < value < math.inf
