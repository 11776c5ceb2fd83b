"""The watch command: a live table on a terminal, plain lines elsewhere, on stdout."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .. import output
from ..options import Session, batch, batch_argument, command, option, sandbox
from ..params import INTERVAL
from ..render.watch import document, ending

if TYPE_CHECKING:
    from ...app.watch import Snapshot

#: Seconds between two plain lines: at least, and at most.
LEAST, MOST = 5.0, 60.0


@command("watch", "batchgen watch", "batchgen watch --batch autumn --every 10", "batchgen watch --json | jq .jobs")
@option(
    "--every",
    type=INTERVAL,
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Interval between two looks.",
)
@batch_argument
@batch
@sandbox
def watch(session: Session, every: float, batch: str | None) -> int:
    """Follow a run from another terminal.

    It ends with the run. It only reads, so that it can neither slow nor harm the run. --json prints a line for every
    look.
    """
    from ...app.watch import follow

    project = session.project()
    snapshots = _paced(follow(project, batch), every)
    if session.as_json:
        for snapshot in snapshots:
            output.raw(output.to_json(document(snapshot)))
            sys.stdout.flush()
        return 0
    moving = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    last = _live(snapshots) if moving else _plain(snapshots)
    for line in ending(last, project.command_flags(batch)):
        output.data(line)
    return 0


def _paced(snapshots: Iterable[Snapshot], every: float) -> Iterator[Snapshot]:
    for snapshot in snapshots:
        yield snapshot
        if snapshot.is_running:
            time.sleep(every)


def _plain(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Print a line when something has changed: at most every five seconds, at least every minute."""
    from ..render.figures import summary, waits

    previous, at, last = "", 0.0, None
    for snapshot in snapshots:
        last, now = snapshot, time.monotonic()
        if not snapshot.is_running:
            break
        line = "; ".join([f"{snapshot.batch.name}: {summary(snapshot.figures)}", *waits(snapshot.figures)])
        if not previous or (line != previous and now - at >= LEAST) or now - at >= MOST:
            output.data(line)
            sys.stdout.flush()
            previous, at = line, now
    assert last is not None  # noqa: S101 - there is always a first snapshot
    return last


def _live(snapshots: Iterable[Snapshot]) -> Snapshot:
    from rich.console import Console
    from rich.live import Live

    from ..render.live import screen

    last = None
    with Live(console=Console(), auto_refresh=False, transient=True) as live:
        for last in snapshots:
            live.update(screen(last.figures, live.console.width), refresh=True)
    assert last is not None  # noqa: S101 - there is always a first snapshot
    return last
