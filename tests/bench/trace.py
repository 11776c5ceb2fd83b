"""What Chromium's trace tells about a page: the CPU of each task of its main thread, and how much of it is script."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CATEGORIES = ("toplevel", "devtools.timeline", "v8", "disabled-by-default-devtools.timeline")
#: Events within which the page's own script runs.
_SCRIPT = frozenset(
    {"FunctionCall", "EvaluateScript", "v8.run", "RunMicrotasks", "TimerFire", "FireAnimationFrame", "EventDispatch"}
    | {"FireIdleCallback", "v8.callFunction", "V8.RunMicrotasks"}
)
_TASK = frozenset({"RunTask", "ThreadControllerImpl::RunTask"})

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """A task of the main thread, in milliseconds of CPU."""

    at: float  #: microseconds, by the clock of the trace
    cpu: float
    script: float  #: of it, within events that run script


def read(path: Path) -> list[Event]:
    """Return the events of a trace."""
    return list(json.loads(path.read_text(encoding="utf-8"))["traceEvents"])


def tasks(events: Sequence[Event]) -> list[Task]:
    """Return the tasks of the busiest renderer's main thread, in the order of time."""
    mains = {(e["pid"], e["tid"]) for e in events if e.get("name") == "thread_name" and _is_main(e)}
    by_thread: dict[tuple[int, int], list[Event]] = {thread: [] for thread in mains}
    for event in events:
        thread = (event.get("pid", 0), event.get("tid", 0))
        if event.get("ph") == "X" and thread in by_thread and "tdur" in event:
            by_thread[thread].append(event)
    if not by_thread:
        return []
    busiest = max(by_thread.values(), key=lambda each: sum(e["tdur"] for e in each if e["name"] in _TASK))
    return sorted(_tasks(busiest), key=lambda task: task.at)


def _is_main(event: Event) -> bool:
    return event["args"]["name"] == "CrRendererMain"


def _tasks(events: Iterable[Event]) -> Iterable[Task]:
    """Yield outer tasks; script within script is counted once."""
    ordered = sorted(events, key=lambda e: (e["ts"], -e["dur"]))
    start, end, cpu, script, covered = 0.0, -1.0, 0.0, 0.0, -1.0
    for event in ordered:
        begin, finish = event["ts"], event["ts"] + event["dur"]
        if event["name"] in _TASK and begin >= end:
            if end >= 0:
                yield Task(at=start, cpu=cpu / 1000, script=script / 1000)
            start, end, cpu, script, covered = begin, finish, event["tdur"], 0.0, -1.0
        elif event["name"] in _SCRIPT and begin < end and begin >= covered:
            script += event["tdur"]
            covered = finish
    if end >= 0:
        yield Task(at=start, cpu=cpu / 1000, script=script / 1000)
