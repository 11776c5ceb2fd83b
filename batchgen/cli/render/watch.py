"""A snapshot of a run: its last lines, and JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...money import show_usd
from .format import count
from .runners import runner_documents

if TYPE_CHECKING:
    from ...app.figures import RunFigures
    from ...app.project import CommandFlags
    from ...app.watch import Snapshot


def ending(snapshot: Snapshot, way: CommandFlags) -> list[str]:
    """Return the last lines: how the run ended, and where to read more."""
    run, counts = snapshot.run, snapshot.counts
    if run is None:
        state = "has not run yet"
    elif run.ended_at is None:
        state = f"its last run was cut off; {way.on_manifest('run', snapshot.batch.manifest)} continues it"
    else:
        ended = f"{run.ended_at.astimezone():%Y-%m-%d %H:%M:%S}"
        state = f"no run is in progress; the last one ended at {ended} with {run.exit_code}"
    done = f"{counts.done:,} of {count(counts.total, 'job')} done"
    return [f"{snapshot.batch.name}: {state}; {done}", f"next      {way.on_batch('status')}"]


def document(snapshot: Snapshot) -> dict[str, Any]:
    """Return one line of ``watch --json``."""
    counts, run = snapshot.counts, snapshot.run
    return {
        "schema_version": 1,
        "batch": snapshot.batch.name,
        "going": snapshot.is_running,
        "run": run and {"id": run.id, "exit_code": run.exit_code, "started": run.started_at.isoformat()},
        "jobs": {"total": counts.total} | {name: value for name, value in asdict(counts).items() if name != "images"},
        "images": counts.images,
        "images_per_minute": round(snapshot.per_minute, 3),
        "usd": show_usd(sum(line.usd or 0 for line in snapshot.usage)),
        "lanes": {
            name: asdict(lane) | {"images_per_minute": round(snapshot.rates.get(name, 0.0), 3)}
            for name, lane in snapshot.lanes.items()
        },
        "runners": runner_documents(snapshot.runners),
        "this_run": _run_document(snapshot.figures),
        "controls": {
            name: {
                "paused_at": control.paused_at.isoformat() if control.paused_at else None,
                "limits": dict(control.limits),
            }
            for name, control in snapshot.controls.items()
        },
    }


def _run_document(figures: RunFigures) -> dict[str, Any]:
    left = figures.seconds_left
    return {
        "jobs": {
            "total": figures.ended + figures.left,
            "done": figures.done,
            "failed": figures.failed,
            "unknown": figures.unknown,
            "left": figures.left,
        },
        "usd": show_usd(figures.usd),
        "seconds": round(figures.seconds),
        "seconds_left": None if left is None else round(left),
        "budgets": [budget.as_json() for budget in figures.budgets],
        "workers": [asdict(worker) for worker in figures.workers],
        "providers": {
            each.provider: {
                "done": each.done,
                "failed": each.failed,
                "unknown": each.unknown,
                "in_flight": each.in_flight,
                "images": each.images,
                "usd": show_usd(each.usd),
                "waits": each.waits,
            }
            for each in figures.providers
        },
    }
