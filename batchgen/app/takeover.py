"""Takeover: a run on PostgreSQL waits until the runner that had its jobs before can send no more, and takes its place.

The lock of batch and shard alone does not show that: it belongs to a connection, which may break while its runner lives
and sends. The lease does: it has ended when the last heartbeat is old enough, or when the process is known to be dead.
"""

from __future__ import annotations

import time
from datetime import datetime
from functools import partial

from ..database_url import DatabaseUrl
from ..errors import AlreadyRunning
from ..planning.selection import Selection
from ..store import runners
from ..store.guest import write_as_guest
from ..store.reader import Reader
from ..store.runners import RunnerRecord
from .heartbeat import shard_text
from .project import Project
from .run_options import ShowMessage

#: Seconds between two looks at a runner that may be cut off.
LOOK = 0.5


def take_over(
    project: Project, reader: Reader, batch: str, selection: Selection, *, deadline: float, show_message: ShowMessage
) -> None:
    """Take the place of runners that had these jobs and are gone; wait for leases to end, and then for *deadline*.

    Raises AlreadyRunning if one of them lives.
    """
    if not isinstance(project.db, DatabaseUrl):
        return
    beats, is_shown = dict[str, datetime](), False
    while True:
        rivals = [each for each in reader.ask(runners.records) if _is_rival(each, batch, shard_text(selection))]
        living = [each for each in rivals if not each.silent]
        if not living:
            if rivals:
                write_as_guest(project.db, partial(runners.take_over, ids=[each.id for each in rivals]))
            return
        for each in living:
            if beats.setdefault(each.id, each.heartbeat_at) != each.heartbeat_at and time.monotonic() >= deadline:
                watch = project.command_flags(batch).on_batch("watch")
                raise AlreadyRunning(
                    f"Another run has these jobs: {_name(each)}. Wait for it to end, watch it with `{watch}`, or start "
                    "with --wait-lock 1h."
                )
        if not is_shown:
            is_shown = True
            seconds = max((each.lease_until - each.heartbeat_at).total_seconds() for each in living)
            show_message(f"waiting   up to {seconds:.0f} s: {_name(living[0])} has these jobs until its lease ends")
        time.sleep(LOOK)


def _is_rival(runner: RunnerRecord, batch: str, shard: str | None) -> bool:
    return runner.batch == batch and runners.overlap(runner.shard, shard)


def _name(runner: RunnerRecord) -> str:
    part = f" (shard {runner.shard})" if runner.shard else ""
    return f"process {runner.pid} on {runner.host}{part}, since {runner.started_at.astimezone():%Y-%m-%d %H:%M}"
