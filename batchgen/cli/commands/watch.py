"""A run from another terminal: a live table on a terminal, plain lines elsewhere.  On stdout."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ...money import show_usd
from .. import output
from ..options import Session, batch, command
from ..options import sandbox as rehearsal

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ...app.project import CommandFlags
    from ...app.watch import Snapshot

#: Plain lines: at most one so often (seconds), and at least one so often.
LEAST, MOST = 5.0, 60.0
_HEADS = ("provider", "done", "in flight", "pending", "failed", "images/min", "spent", "controls")


@command("watch", "batchgen watch", "batchgen watch --batch autumn --every 10", "batchgen watch --json | jq .jobs")
@click.option("--every", type=click.FloatRange(min=0.05), default=1.0, show_default=True, metavar="SECONDS")
@batch
@rehearsal
def watch(session: Session, every: float, batch: str | None, sandbox: bool) -> int:
    """Follow a run from another terminal until it ends.  Only reads: it can neither slow nor harm the run.

    With --json a line for every look.
    """
    from ...app.watch import follow

    project = session.project(sandbox=sandbox)
    looks = _paced(follow(project, batch), every)
    if session.as_json:
        for glimpse in looks:
            output.raw(output.tame(json.dumps(document(glimpse))))
            sys.stdout.flush()
        return 0
    moving = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    last = _live(looks) if moving else _plain(looks)
    for line in ending(last, project.command_flags(batch)):
        output.data(line)
    return 0


def _paced(looks: Iterable[Snapshot], every: float) -> Iterator[Snapshot]:
    for glimpse in looks:
        yield glimpse
        if glimpse.is_running:
            time.sleep(every)


def _plain(looks: Iterable[Snapshot]) -> Snapshot:
    """Print a line when something changed, not more often than every five seconds, not less than every minute."""
    said, at, last = "", 0.0, None
    for glimpse in looks:
        last, now = glimpse, time.monotonic()
        if not glimpse.is_running:
            break
        line = summary(glimpse)
        if not said or (line != said and now - at >= LEAST) or now - at >= MOST:
            output.data(line)
            sys.stdout.flush()
            said, at = line, now
    assert last is not None  # noqa: S101 - there is always a first look
    return last


def _live(looks: Iterable[Snapshot]) -> Snapshot:
    from rich.console import Console
    from rich.live import Live

    last = None
    with Live(console=Console(), auto_refresh=False, transient=True) as live:
        for last in looks:
            live.update(_screen(last), refresh=True)
    assert last is not None  # noqa: S101 - there is always a first look
    return last


def _screen(glimpse: Snapshot) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(_HEADS):
        side = "right" if 0 < number < len(_HEADS) - 1 else "left"
        table.add_column(head, justify="right" if side == "right" else "left", no_wrap=True, overflow="ellipsis")
    for row in rows(glimpse):
        table.add_row(*(Text(output.printable(cell)) for cell in row))
    return Group(table, Text(output.printable(summary(glimpse))))


def rows(glimpse: Snapshot) -> Iterator[tuple[str, ...]]:
    """Yield a row for each provider."""
    for name, lane in glimpse.lanes.items():
        spent = [line.usd for line in glimpse.usage if line.provider == name and line.usd is not None]
        yield (
            name,
            str(lane.done),
            str(lane.running),
            str(lane.pending),
            str(lane.failed or ""),
            f"{glimpse.rates.get(name, 0.0):.0f}",
            output.usd(sum(spent)),
            _controls(glimpse, name),
        )


def summary(glimpse: Snapshot) -> str:
    """Return one line: jobs, pace, spend, time left, controls."""
    counts = glimpse.counts
    parts = [f"{glimpse.batch.name}: {counts.done}/{counts.total} jobs done"]
    parts += [f"{number} {name}" for name in ("failed", "unknown") if (number := getattr(counts, name))]
    parts += [f"{counts.running} in flight", f"{glimpse.per_minute:.0f} images/min"]
    parts.append(f"spent {output.usd(sum(line.usd or 0 for line in glimpse.usage))}")
    left = counts.pending + counts.running
    if left and glimpse.per_minute >= 0.5 and counts.done:
        each = counts.images / counts.done
        parts.append(f"about {output.duration(left * each / glimpse.per_minute * 60)} left")
    parts += [f"{name} {said}" for name in glimpse.controls if (said := _controls(glimpse, name))]
    return ", ".join(parts)


def ending(glimpse: Snapshot, way: CommandFlags) -> list[str]:
    """Return the last lines: how the run ended, and where to read more."""
    run, counts = glimpse.run, glimpse.counts
    if run is None:
        how = "has not run yet"
    elif run.ended_at is None:
        how = f"its last run was cut off; batchgen resume{way.flags} goes on with it"
    else:
        how = f"no run is on; the last one ended at {run.ended_at.astimezone():%Y-%m-%d %H:%M:%S} with {run.exit_code}"
    stood = f"{counts.done} of {output.count(counts.total, 'job')} done"
    return [f"{glimpse.batch.name}: {how}; {stood}", f"next      batchgen status{way.of_batch}"]


def document(glimpse: Snapshot) -> dict[str, Any]:
    """Return one look as a line of ``--json``."""
    counts, run = glimpse.counts, glimpse.run
    return {
        "schema_version": 1,
        "batch": glimpse.batch.name,
        "going": glimpse.is_running,
        "run": run and {"id": run.id, "exit_code": run.exit_code, "started": run.started_at.isoformat()},
        "jobs": {"total": counts.total} | {name: value for name, value in asdict(counts).items() if name != "images"},
        "images": counts.images,
        "images_per_minute": round(glimpse.per_minute, 3),
        "usd": show_usd(sum(line.usd or 0 for line in glimpse.usage)),
        "lanes": {
            name: asdict(lane) | {"images_per_minute": round(glimpse.rates.get(name, 0.0), 3)}
            for name, lane in glimpse.lanes.items()
        },
        "controls": {
            name: {"paused_at": said.paused_at.isoformat() if said.paused_at else None, "limits": dict(said.limits)}
            for name, said in glimpse.controls.items()
        },
    }


def _controls(glimpse: Snapshot, name: str) -> str:
    from ...app.clock import local_time
    from ...app.live_limits import limits_text

    said = glimpse.controls.get(name)
    if said is None:
        return ""
    paused = [f"paused since {local_time(said.paused_at)}"] if said.paused_at else []
    return ", ".join([*paused, *([limits_text(said.limits)] if said.limits else [])])
