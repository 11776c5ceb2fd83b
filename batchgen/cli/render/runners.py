"""Runners that share a job database, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .format import duration, under

if TYPE_CHECKING:
    from ...files.lock import Holder
    from ...store.runners import RunnerRecord


def runner_lines(runners: Sequence[RunnerRecord]) -> list[str]:
    """Return a line for each runner."""
    return under("runners", [_line(each) for each in runners])


def elsewhere_lines(runners: Sequence[RunnerRecord], preparing: Sequence[Holder] = ()) -> list[str]:
    """Return a line for each runner of another batch, and for each process that prepares a run."""
    lines = [f"{each.batch}: {_line(each)}" for each in runners]
    lines += [f"process {each.pid} on {each.host}, since {_time(each.since)}: preparing a run" for each in preparing]
    return under("others", lines)


def runner_documents(runners: Sequence[RunnerRecord]) -> list[dict[str, Any]]:
    """Return the runners for ``status --json``."""
    return [
        {
            "id": each.id,
            "batch": each.batch,
            "shard": each.shard,
            "host": each.host,
            "pid": each.pid,
            "started": each.started_at.isoformat(),
            "heartbeat": each.heartbeat_at.isoformat(),
            "silent": each.silent,
        }
        for each in runners
    ]


def holder_documents(holders: Sequence[Holder]) -> list[dict[str, Any]]:
    """Return processes that prepare a run for ``status --json``."""
    return [{"host": each.host, "pid": each.pid, "started": each.since} for each in holders]


def _time(since: str) -> str:
    return f"{datetime.fromisoformat(since).astimezone():%H:%M:%S}"


def _line(runner: RunnerRecord) -> str:
    part = "all jobs" if runner.shard is None else f"shard {runner.shard}"
    text = f"process {runner.pid} on {runner.host}, {part}"
    if not runner.silent:
        return f"{text}, since {runner.started_at.astimezone():%H:%M:%S}"
    return f"{text}: silent for {duration(runner.age)}; a run of the same jobs takes its place"
