"""A snapshot of a run: the rows of its providers, a summary, and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...money import show_usd
from .format import count, duration, usd

if TYPE_CHECKING:
    from ...app.project import CommandFlags
    from ...app.watch import Snapshot

HEADS = ("provider", "done", "in flight", "pending", "failed", "images/min", "spent", "controls")


def rows(snapshot: Snapshot) -> Iterator[tuple[str, ...]]:
    """Yield a row for each provider."""
    for name, lane in snapshot.lanes.items():
        spent = [line.usd for line in snapshot.usage if line.provider == name and line.usd is not None]
        yield (
            name,
            str(lane.done),
            str(lane.running),
            str(lane.pending),
            str(lane.failed or ""),
            f"{snapshot.rates.get(name, 0.0):.0f}",
            usd(sum(spent)),
            _controls(snapshot, name),
        )


def summary(snapshot: Snapshot) -> str:
    """Return one line: jobs, pace, spending, time left, controls."""
    counts = snapshot.counts
    parts = [f"{snapshot.batch.name}: {counts.done}/{counts.total} jobs done"]
    parts += [f"{number} {state}" for state in ("failed", "unknown") if (number := getattr(counts, state))]
    parts += [f"{counts.running} in flight", f"{snapshot.per_minute:.0f} images/min"]
    parts.append(f"spent {usd(sum(line.usd or 0 for line in snapshot.usage))}")
    left = counts.pending + counts.running
    if left and snapshot.per_minute >= 0.5 and counts.done:
        images_per_job = counts.images / counts.done
        parts.append(f"about {duration(left * images_per_job / snapshot.per_minute * 60)} left")
    parts += [f"{name} {controls}" for name in snapshot.controls if (controls := _controls(snapshot, name))]
    return ", ".join(parts)


def ending(snapshot: Snapshot, way: CommandFlags) -> list[str]:
    """Return the last lines: how the run ended, and where to read more."""
    run, counts = snapshot.run, snapshot.counts
    if run is None:
        state = "has not run yet"
    elif run.ended_at is None:
        state = f"its last run was cut off; batchgen resume{way.flags} continues it"
    else:
        ended = f"{run.ended_at.astimezone():%Y-%m-%d %H:%M:%S}"
        state = f"no run is in progress; the last one ended at {ended} with {run.exit_code}"
    done = f"{counts.done} of {count(counts.total, 'job')} done"
    return [f"{snapshot.batch.name}: {state}; {done}", f"next      batchgen status{way.of_batch}"]


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
        "controls": {
            name: {
                "paused_at": control.paused_at.isoformat() if control.paused_at else None,
                "limits": dict(control.limits),
            }
            for name, control in snapshot.controls.items()
        },
    }


def _controls(snapshot: Snapshot, name: str) -> str:
    from ...app.clock import local_time
    from ...app.live_limits import limits_text

    control = snapshot.controls.get(name)
    if control is None:
        return ""
    parts = [f"paused since {local_time(control.paused_at)}"] if control.paused_at else []
    return ", ".join([*parts, *([limits_text(control.limits)] if control.limits else [])])
