"""Forecast of a run: how long requests take at a provider's limits, and how much disk their images fill.

The time is a bound, not a simulation: the limit that takes longest decides, and the last answers come on top.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..providers.profile import Limits
from ..providers.sizes import pixels
from ..task import Task

#: Requests are spaced so much wider than the limits ask for (``engine.limits.windows.MARGIN``).
MARGIN = 1.01
DAY = 86_400.0

#: How much faster or slower a provider may turn out: where only typical times are known (45 s to 200 s are reported
#: for the same request), and where this job database has measured it.
_TYPICAL, _MEASURED = (0.5, 2.0), (0.8, 1.25)

#: The 0.9 quantile of the standard normal distribution.
_Z90 = 1.2815515655446004


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """How long answers take, in seconds: half of them at most *median*, nine of ten at most *p90*."""

    median: float = 45.0  #: aimlapi's own example of a render
    p90: float = 90.0  #: where users set their timeouts
    measured: bool = False  #: in this job database; else typical

    @property
    def sigma(self) -> float:
        """Return the standard deviation of the logarithm: latencies are log-normal."""
        return math.log(max(1.0, self.p90 / self.median)) / _Z90 if self.median > 0 else 0.0

    @property
    def mean(self) -> float:
        """Return the mean, which slow answers lift above the median."""
        return self.median * math.exp(self.sigma**2 / 2)


class Share(NamedTuple):
    """Requests of one provider that are alike."""

    requests: int
    weight: int  #: images that one of them counts as: source images of an edit count too
    latency: Latency


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Range of seconds until one provider has answered everything."""

    low: float = 0.0
    expected: float = 0.0
    high: float = 0.0
    limit: str | None = None  #: the field of ``Limits`` that decides it; None: a single answer's time does


class _Spacing(NamedTuple):
    """A limit as the seconds between two requests, on average."""

    name: str  #: the field of ``Limits``
    seconds: float


def forecast(limits: Limits, shares: Sequence[Share]) -> Forecast:
    """Return how long *shares* take at *limits*."""
    shares = [share for share in shares if share.requests]
    if not shares:
        return Forecast()
    fast, slow = _MEASURED if all(share.latency.measured for share in shares) else _TYPICAL
    expected, limit = _duration(limits, shares, 1.0)
    return Forecast(
        low=_duration(limits, shares, fast)[0],
        expected=expected,
        high=_duration(limits, shares, slow)[0],
        limit=limit,
    )


def longest(forecasts: Sequence[Forecast]) -> Forecast:
    """Return the forecast for all of these at the same time."""
    last = max(forecasts, key=lambda each: each.expected)
    return replace(last, low=max(each.low for each in forecasts), high=max(each.high for each in forecasts))


def _duration(limits: Limits, shares: Sequence[Share], factor: float) -> tuple[float, str | None]:
    """Return the seconds until the last answer and the limit that takes most of them.

    *factor*: how much slower answers come than their latency says.
    """
    requests = sum(share.requests for share in shares)
    mean = factor * sum(share.requests * share.latency.mean for share in shares) / requests
    # The last answers are on their way when the last request has gone out; the slowest of several is no median.
    latencies = [share.latency.p90 if requests > 1 else share.latency.median for share in shares]
    last = factor * max(latencies)
    spacings = list(_spacings(limits, shares, requests))
    step = max((spacing.seconds for spacing in spacings), default=0.0)

    def span(count: int) -> float:
        rounds = math.ceil(count / limits.concurrency)
        return max((count - 1) * step + last, (rounds - 1) * mean + last, count * mean / limits.concurrency)

    takes = {spacing.name: (requests - 1) * spacing.seconds for spacing in spacings}
    if requests > limits.concurrency:
        takes["concurrency"] = requests * mean / limits.concurrency
    seconds = span(requests)
    if limits.requests_per_day:
        full_days = (requests - 1) // limits.requests_per_day
        takes["requests_per_day"] = full_days * DAY
        seconds = max(seconds, full_days * DAY + span(requests - full_days * limits.requests_per_day))
    name = max(takes, key=takes.__getitem__, default=None)
    return seconds, name if name is not None and takes[name] >= seconds / 2 else None


def _spacings(limits: Limits, shares: Sequence[Share], requests: int) -> Iterator[_Spacing]:
    if limits.requests_per_second:
        yield _Spacing("requests_per_second", MARGIN / limits.requests_per_second)
    if limits.requests_per_minute:
        yield _Spacing("requests_per_minute", MARGIN * 60 / limits.requests_per_minute)
    if limits.spacing:
        yield _Spacing("spacing", MARGIN * limits.spacing)
    if limits.images_per_minute:
        images = sum(share.requests * share.weight for share in shares)
        yield _Spacing("images_per_minute", MARGIN * 60 / limits.images_per_minute * images / requests)


# --- disk ---------------------------------------------------------------------

#: Bytes a pixel, where this job database has not measured them. PNG: the providers' 1024x1024 answers have 1.3 to
#: 1.6 MB. JPEG: photographs at quality 90 or so. WebP: a quarter to a third less than JPEG (Google's own study).
BYTES_PER_PIXEL: Mapping[str, float] = {"png": 1.5, "jpeg": 0.35, "webp": 0.25}
#: Bytes that come with each image: its sidecar, which takes a block, and about 1,100 bytes of the job database.
BESIDE = 4_096 + 1_100

_AREA = {"512": 512 * 512, "0.5k": 512 * 512, "1k": 1024 * 1024, "2k": 2048 * 2048, "4k": 4096 * 4096}
#: Without a size the provider decides; this is the largest of the usual sizes.
_OPEN_AREA = 1024 * 1536


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """Disk space that a run needs, and the free space."""

    bytes: int = 0
    free_bytes: int | None = None  #: None: unknown

    @property
    def fits(self) -> bool:
        """Return whether the space suffices, or is unknown."""
        return self.free_bytes is None or self.bytes <= self.free_bytes


def image_bytes(task: Task, measured: Mapping[str, float]) -> int:
    """Return the bytes that one image of *task* takes on disk, sidecar and database rows included.

    *measured* are bytes a pixel by format; without a format providers send PNG.
    """
    form = (task.output_format or "png").lower()
    rate = measured.get(form, BYTES_PER_PIXEL.get(form, BYTES_PER_PIXEL["png"]))
    return math.ceil(_area(task) * rate) + BESIDE


def call_bytes(task: Task) -> int:
    """Return the bytes reserved in the spool for the answer to *task*.

    A photo has about two bytes a pixel as PNG, and four thirds of that in base64.
    """
    return task.n * min(_area(task), 8_294_400) * 8 // 3 + 65_536


def _area(task: Task) -> int:
    return pixels(task.size) or _AREA.get((task.resolution or "").strip().lower(), _OPEN_AREA)
