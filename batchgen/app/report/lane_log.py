"""Lanes in the log: when each was closed, paused or slowed down, as the runs wrote it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from ...store.tables import micros
from .night import Span
from .tiles import TICKS

#: What every line about a lane contains.
_SIGN = b'"lane_'
#: The kind of span that each event begins or ends, and those of events that state their own length.
_BEGINS = {"lane_closed": "closed", "lane_held": "paused"}
_ENDS = {"lane_reopened": "closed", "lane_released": "paused"}
_LASTS = {"lane_throttled": "throttled", "lane_paused": "outage"}


def lane_spans(folder: Path, runs: Mapping[str, datetime | None]) -> dict[str, list[Span]]:
    """Return by provider the delays of its lanes in *runs*, ids with their ends; *folder* has the log's files."""
    spans: dict[str, list[Span]] = defaultdict(list)
    ends = {run: None if end is None else micros(end) for run, end in runs.items()}
    open_spans: dict[tuple[str, str, str], tuple[int, dict[str, Any]]] = {}
    last: dict[str, int] = {}
    for event in _events(folder, ends):
        at, name = _ticks(event["time"]), event["event"]
        run, lane = event["run"], event.get("lane", event["provider"])
        last[run] = max(at, last.get(run, at))
        if name in _LASTS:
            end = at + round(float(event.get("seconds", 0)) * TICKS)
            spans[event["provider"]].append(Span(_LASTS[name], at, end, event.get("message", "")))
        elif name in _BEGINS:
            open_spans.setdefault((run, lane, _BEGINS[name]), (at, event))
        elif name in _ENDS and (started := open_spans.pop((run, lane, _ENDS[name]), None)):
            spans[event["provider"]].append(Span(_ENDS[name], started[0], at, _why(started[1])))
    for (run, _, kind), (at, event) in open_spans.items():
        spans[event["provider"]].append(Span(kind, at, ends[run] or last[run], _why(event)))
    return spans


def _why(event: Mapping[str, Any]) -> str:
    from ..lane_result import CLOSURES, WHOLE_SENTENCE

    why, message = CLOSURES.get(str(event.get("why")), ""), event.get("message", "")
    return message if message and event.get("why") in WHOLE_SENTENCE else ": ".join(filter(None, [why, message]))


def _events(folder: Path, runs: Collection[str]) -> Iterator[dict[str, Any]]:
    for line in _lines(folder):
        if _SIGN not in line:
            continue
        with suppress(ValueError):  # a line that was cut off, or is not JSON
            event = json.loads(line)
            if isinstance(event, dict) and event.get("run") in runs and {"time", "event", "provider"} <= event.keys():
                yield event


def _lines(folder: Path) -> Iterable[bytes]:
    """Yield the lines of the log, the oldest file first."""
    files = sorted(folder.glob("batchgen.*"), key=lambda path: (len(path.name), path.name), reverse=True)
    for path in files:
        with suppress(OSError), path.open("rb") as file:
            yield from file


def _ticks(text: str) -> int:
    return micros(datetime.fromisoformat(text))
