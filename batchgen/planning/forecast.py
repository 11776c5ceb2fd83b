"""How long requests take at a provider's limits, and how much disk their images fill.  A decision: pure.

A lane is simulated request by request, as the runner sends them.  Beyond some thousands it goes on at the pace that
it has reached, so that a million requests take no longer than ten thousand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import accumulate, pairwise
from statistics import NormalDist
from typing import NamedTuple

from ..providers.profile import Limits
from ..providers.sizes import pixels
from ..task import Task

#: Paces run so much slower than allowed (``windows.MARGIN``).
MARGIN = 1.01
DAY = 86_400.0

#: Requests that are simulated one by one, and at least so many for each that may be in flight.
_EXACT, _ROUNDS = 4_000, 8

#: How much faster or slower a provider may turn out: where only its kind is known (45 s to 200 s are reported for
#: the same request), and where this job table has measured it.
_TYPICAL, _MEASURED = (0.5, 2.0), (0.8, 1.25)

#: The 0.9 quantile of the standard normal distribution.
_Z90 = 1.2815515655446004
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """How long answers take, in seconds: half of them at most *median*, nine of ten at most *p90*."""

    median: float = 45.0  #: aimlapi's own example of a render
    p90: float = 90.0  #: where users set their timeouts
    measured: bool = False  #: in this job table; else typical

    @property
    def sigma(self) -> float:
        """Return the standard deviation of the logarithm: latencies are log-normal."""
        return math.log(max(1.0, self.p90 / self.median)) / _Z90 if self.median > 0 else 0.0

    @property
    def mean(self) -> float:
        """Return the mean; slow answers make it more than the median."""
        return self.median * math.exp(self.sigma**2 / 2)


class Share(NamedTuple):
    """Requests of one provider that are alike."""

    requests: int
    weight: int  #: images that one of them counts as: source images of an edit count too
    latency: Latency


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Seconds until one provider has answered everything, as it may turn out."""

    low: float = 0.0
    expected: float = 0.0
    high: float = 0.0
    limit: str | None = None  #: the field of ``Limits`` that decides it; None: a single answer's time does


class _Pace(NamedTuple):
    """A rate of one provider."""

    name: str  #: a field of ``Limits``
    seconds: float  #: between two requests, or two images
    of_images: bool = False


class _Request(NamedTuple):
    weight: int
    seconds: float


def forecast(limits: Limits, shares: Sequence[Share]) -> Forecast:
    """Return how long *shares* take at *limits*."""
    shares = [share for share in shares if share.requests]
    if not shares:
        return Forecast()
    width = limits.concurrency
    fast, slow = _MEASURED if all(share.latency.measured for share in shares) else _TYPICAL
    likely = _Lane(limits, shares, width, 1.0)
    seconds = likely.seconds()
    return Forecast(
        low=_Lane(limits, shares, width, fast).seconds(),
        expected=seconds,
        high=_Lane(limits, shares, width, slow).seconds(),
        limit=likely.limit(seconds),
    )


def longest(found: Sequence[Forecast]) -> Forecast:
    """Return how long it takes until all of these are over, which go on at the same time."""
    last = max(found, key=lambda one: one.expected)
    return replace(last, low=max(one.low for one in found), high=max(one.high for one in found))


class _Lane:
    """One provider at work on *shares*, its answers *factor* times as slow as they should be."""

    def __init__(self, limits: Limits, shares: Sequence[Share], width: int, factor: float) -> None:
        self._shares = shares
        self._width = width
        self._factor = factor
        self._paces = tuple(_paces(limits))
        self._a_day = limits.requests_per_day
        self._total = sum(share.requests for share in shares)
        self._weight = sum(share.requests * share.weight for share in shares) / self._total
        self._mean = factor * sum(share.requests * share.latency.mean for share in shares) / self._total

    def seconds(self) -> float:
        """Return the time until the last answer."""
        whole = self._span(self._total)
        if self._a_day is None:
            return whole
        days = (self._total - 1) // self._a_day
        return max(whole, days * DAY + self._span(self._total - days * self._a_day)) if days else whole

    def limit(self, seconds: float) -> str | None:
        """Return the name of the limit that takes most of *seconds*; None where none takes half."""
        takes = {pace.name: (self._total - 1) * self._step(pace) for pace in self._paces}
        if self._total > self._width:
            takes["concurrency"] = self._total * self._mean / self._width
        if self._a_day is not None:
            takes["requests_per_day"] = (self._total - 1) // self._a_day * DAY
        name = max(takes, key=takes.__getitem__, default=None)
        return name if name is not None and takes[name] >= seconds / 2 else None

    def _span(self, count: int) -> float:
        """Return the time for *count* requests on one day."""
        sample = min(count, max(_EXACT, _ROUNDS * self._width))
        last, end = _simulated(self._paces, self._width, self._mixed(sample))
        if sample < count:
            # the mean from the first request on: where a limit is wider, no request of the sample goes out later
            reached = last / (sample - 1)
            end += (count - sample) * max(reached, self._mean / self._width, *map(self._step, self._paces))
        return end

    def _step(self, pace: _Pace) -> float:
        """Return the seconds between two requests at *pace* alone."""
        return pace.seconds * (self._weight if pace.of_images else 1)

    def _mixed(self, count: int) -> Iterator[_Request]:
        """Yield *count* requests in which all shares are mixed evenly.

        Their latencies are spread over the whole distribution, not drawn from it: the same every time.
        """
        normal = NormalDist()
        parts = _apportioned([share.requests for share in self._shares], count)
        order = sorted(((turn + 0.5) / part, number) for number, part in enumerate(parts) for turn in range(part))
        for turn, (_, number) in enumerate(order):
            share = self._shares[number]
            scale = math.exp(share.latency.sigma * normal.inv_cdf((0.5 + turn * _GOLDEN) % 1.0 or 0.5))
            yield _Request(share.weight, self._factor * share.latency.median * scale)


def _simulated(paces: Sequence[_Pace], width: int, requests: Iterator[_Request]) -> tuple[float, float]:
    """Return when the last request goes out, and when the last answer is there.

    As ``runner`` and ``limits`` do it: one after another, each waits for a free slot, then for every pace in turn.
    """
    free = [0.0] * len(paces)
    in_flight: list[float] = []
    now = end = 0.0
    for weight, seconds in requests:
        if len(in_flight) == width:
            now = max(now, heappop(in_flight))
        for number, pace in enumerate(paces):
            units = weight if pace.of_images else 1
            now = max(now, free[number]) + (units - 1) * pace.seconds
            free[number] = now + pace.seconds
        heappush(in_flight, now + seconds)
        end = max(end, now + seconds)
    return now, end


def _paces(limits: Limits) -> Iterator[_Pace]:
    if limits.requests_per_second:
        yield _Pace("requests_per_second", MARGIN / limits.requests_per_second)
    if limits.requests_per_minute:
        yield _Pace("requests_per_minute", MARGIN * 60 / limits.requests_per_minute)
    if limits.spacing:
        yield _Pace("spacing", MARGIN * limits.spacing)
    if limits.images_per_minute:
        yield _Pace("images_per_minute", MARGIN * 60 / limits.images_per_minute, of_images=True)


def _apportioned(numbers: Sequence[int], count: int) -> list[int]:
    """Return *numbers* scaled so that their sum is *count*, none off by more than one."""
    ends = [end * count // sum(numbers) for end in accumulate(numbers)]
    return [end - start for start, end in pairwise([0, *ends])]


# --- disk ---------------------------------------------------------------------

#: Bytes a pixel, where this job table has not measured them.  PNG: the providers' 1024x1024 answers have 1.3 to
#: 1.6 MB.  JPEG: photographs at quality 90 or so.  WebP: a quarter to a third less than JPEG (Google's own study).
BYTES_PER_PIXEL: Mapping[str, float] = {"png": 1.5, "jpeg": 0.35, "webp": 0.25}
#: What stands beside an image: its sidecar, which takes a block, and about 1,100 bytes of the job table.
BESIDE = 4_096 + 1_100

_AREA = {"0.5k": 512 * 512, "1k": 1024 * 1024, "2k": 2048 * 2048, "4k": 4096 * 4096}
#: Where nothing is said the provider decides, and the largest of the usual sizes is this.
_OPEN_AREA = 1024 * 1536


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """Room that a run needs, and the room there is."""

    bytes: int = 0
    free_bytes: int | None = None  #: None: nobody knows

    @property
    def fits(self) -> bool:
        """Return whether there is room, as far as anybody knows."""
        return self.free_bytes is None or self.bytes <= self.free_bytes


def image_bytes(task: Task, measured: Mapping[str, float]) -> int:
    """Return what one image of *task* takes on disk, with what stands beside it.

    *measured* are bytes a pixel by format; a provider that is told no format sends PNG.
    """
    form = (task.output_format or "png").lower()
    rate = measured.get(form, BYTES_PER_PIXEL.get(form, BYTES_PER_PIXEL["png"]))
    return math.ceil(_area(task) * rate) + BESIDE


def call_bytes(task: Task) -> int:
    """Return what is set aside in the spool while a request of *task* is in flight (as ``perform`` does it)."""
    return task.n * min(_area(task), 8_294_400) * 8 // 3 + 65_536


def _area(task: Task) -> int:
    return pixels(task.size) or _AREA.get((task.resolution or "").strip().lower(), _OPEN_AREA)
