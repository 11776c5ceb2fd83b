"""The night of a report: images and money over time, and for each provider when it delivered and what held it up.

Calls of the job database show when a provider delivered, throttled or failed; when a lane was closed or paused is in
the log. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from ...money import NANO
from ...store.report_rows import Call
from ...store.tables import micros
from .details import iso
from .jobs import ReportJob
from .tiles import TICKS, visible

#: Lengths of a bar in seconds; the first that gives no more than ``_MOST`` bars is taken.
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)
_MOST = 96
#: Parts into which the whole time is divided for a lane.
_PARTS = 1_000
#: Failed calls in a row, without a delivery between them, that count as an outage.
_OUTAGE = 3
#: Seconds between two runs that are a gap.
_GAP = 600


class Span(NamedTuple):
    """A time during which a provider did not deliver as it should, in microseconds since 1970."""

    kind: str  #: throttled, outage, closed or paused
    start: int
    end: int
    message: str


@dataclass(kw_only=True, slots=True)
class Night:
    """Collects the calls of a report by time."""

    _calls: dict[str, list[tuple[int, Call]]] = field(default_factory=lambda: defaultdict(list))
    _images: dict[str, int] = field(default_factory=lambda: defaultdict(int))  #: by attempt

    def add(self, job: ReportJob) -> None:
        """Add the calls of *job*."""
        for call in job.calls:
            self._calls[call.provider].append((call.at, call))
        for file in (*job.files, *job.earlier):
            self._images[file.attempt_id] += 1

    def document(
        self, runs: Sequence[tuple[datetime, datetime]], logged: Mapping[str, Sequence[Span]]
    ) -> dict[str, Any]:
        """Return the night; *runs*: start and end of each; *logged*: spans of the log by provider."""
        for calls in self._calls.values():
            calls.sort(key=lambda each: each[0])
        every = [each for calls in self._calls.values() for each in calls]
        if not every:
            return {"from": iso(0), "to": iso(0), "step": 1, "bars": [], "usd": [], "lanes": [], "gaps": []}
        start = min(call.started_at for _, call in every) // TICKS
        end = max(at for at, _ in every) // TICKS + 1
        step = next((step for step in _STEPS if (end - start) / step <= _MOST), _STEPS[-1])
        start -= start % step
        count = (end - start - 1) // step + 1
        bars, usd = self._bars(every, start, step, count)
        return {
            "from": iso(start * TICKS),
            "to": iso((start + count * step) * TICKS),
            "step": step,
            "bars": bars,
            "usd": usd,
            "lanes": [self._lane(name, start, end, logged.get(name, ())) for name in self._names()],
            "gaps": _gaps([(micros(begin) // TICKS, micros(finish) // TICKS) for begin, finish in runs], start, end),
        }

    def _names(self) -> list[str]:
        return sorted(self._calls, key=lambda name: (self._calls[name][0][1].started_at, name))

    def _bars(
        self, every: Iterable[tuple[int, Call]], start: int, step: int, count: int
    ) -> tuple[list[int], list[float | None]]:
        bars, amounts = [0] * count, [0] * count
        has_price = False
        for at, call in every:
            place = min(max((at // TICKS - start) // step, 0), count - 1)
            bars[place] += self._images[call.id]
            if call.usd is not None:
                amounts[place] += call.usd
                has_price = True
        return bars, [round(amount / NANO, 6) if has_price else None for amount in amounts]

    def _lane(self, name: str, start: int, end: int, logged: Sequence[Span]) -> dict[str, Any]:
        calls, apart = self._calls[name], max(1, (end - start) // _PARTS)
        delivered = {(at // TICKS - start) // apart * apart for at, call in calls if call.state == "delivered"}
        spans = merge([*logged, *_throttled(calls), *_outages(calls)], apart * 5 * TICKS)
        return {
            "name": name,
            "ticks": sorted(delivered),
            "spans": [
                {
                    "kind": span.kind,
                    "from": max(0, span.start // TICKS - start),
                    "to": min(end, -(-span.end // TICKS)) - start,
                    "message": visible(span.message),
                }
                for span in spans
                if span.end // TICKS >= start and span.start // TICKS <= end
            ],
        }


def merge(spans: Iterable[Span], apart: int) -> list[Span]:
    """Join spans of one kind that overlap, or are less than *apart* from each other; the first message stays."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.kind, span.start)):
        last = merged[-1] if merged else None
        if last is not None and last.kind == span.kind and span.start - last.end <= apart:
            merged[-1] = last._replace(end=max(last.end, span.end), message=last.message or span.message)
        else:
            merged.append(span)
    return sorted(merged, key=lambda span: (span.start, span.kind))


def _throttled(calls: Iterable[tuple[int, Call]]) -> Iterable[Span]:
    return [Span("throttled", c.started_at, at, c.message or "") for at, c in calls if c.cause == "throttled"]


def _outages(calls: Iterable[tuple[int, Call]]) -> Iterable[Span]:
    """Yield the times in which all calls to a provider failed."""
    failures: list[tuple[int, Call]] = []
    for at, call in (*calls, (0, None)):
        if call is not None and call.cause in ("error", "unreached", "unknown", "denied", "money"):
            failures.append((at, call))
            continue
        if len(failures) >= _OUTAGE and (call is None or call.state == "delivered"):
            yield Span("outage", failures[0][0], failures[-1][0], failures[0][1].message or "")
        if call is None or call.state == "delivered":
            failures = []


def _gaps(runs: Sequence[tuple[int, int]], start: int, end: int) -> list[dict[str, int]]:
    """Return the times between runs, in seconds after *start*."""
    gaps, last = [], start
    for begin, finish in sorted(runs):
        if begin - last >= _GAP and last > start:
            gaps.append({"from": last - start, "to": begin - start})
        last = max(last, min(finish, end))
    return gaps
