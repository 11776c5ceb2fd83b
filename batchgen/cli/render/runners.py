"""Runners that share a job database, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .format import duration, under

if TYPE_CHECKING:
    from ...store.runners import RunnerRecord


def runner_lines(runners: Sequence[RunnerRecord]) -> list[str]:
    """Return a line for each runner."""
    return under("runners", [_line(each) for each in runners])


def elsewhere_lines(runners: Sequence[RunnerRecord]) -> list[str]:
    """Return a line for each runner of another batch."""
    return under("others", [f"{each.batch}: {_line(each)}" for each in runners])


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


def _line(runner: RunnerRecord) -> str:
    part = "all jobs" if runner.shard is None else f"shard {runner.shard}"
    text = f"process {runner.pid} on {runner.host}, {part}"
    if not runner.silent:
        return f"{text}, since {runner.started_at.astimezone():%H:%M:%S}"
    return f"{text}: silent for {duration(runner.age)}; a run of the same jobs takes its place"
