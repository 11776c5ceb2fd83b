"""The last-run note: which run the job database should know as its last, in a small file next to it.

A database that lacks its last run, or its end, was lost or restored from a copy: it is older than the files around it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress

from ...errors import AlreadyRunning, StoreError
from ...files.atomic import write_atomic
from ...files.lock import hold_folder
from ...store.records import Run
from ..project import Project
from .run_notes import NAME, name_of, read_notes

#: Seconds to wait while another run writes its note.
_TURN = 5.0


def record_start(project: Project, batch: str, run_id: str) -> None:
    """Note durably that a run began; raise StoreError."""
    try:
        _note(project, batch, {"run": run_id, "ended": False})
    except OSError as error:
        raise StoreError(f"cannot write {project.state / NAME}: {error.strerror}. Nothing was sent") from error


def record_end(project: Project, batch: str, run_id: str) -> None:
    """Note that a run ended; if that fails, the next run only scans more files."""
    with suppress(OSError):
        _note(project, batch, {"run": run_id, "ended": True})


def _note(project: Project, batch: str, note: Mapping[str, object]) -> None:
    # Several job databases may share a folder, and several runs one database on a server.
    with ExitStack() as turn:
        with suppress(AlreadyRunning):  # A run that was stopped in its turn must not hold up the others.
            turn.enter_context(hold_folder(project.state, wait=_TURN))
        notes = read_notes(project.state)
        notes[name_of(project.db)] = {**notes.get(name_of(project.db), {}), batch: note}
        write_atomic(project.state / NAME, json.dumps(notes).encode() + b"\n")


def record_recovery(project: Project, batch: str) -> None:
    """Note that the database is complete although it may not know the last run."""
    with suppress(OSError):
        _note(project, batch, {})


def is_behind(project: Project, batch: str, runs: Sequence[Run]) -> bool:
    """Return whether a database with these *runs* of a batch is older than the batch's last run."""
    note = read_notes(project.state).get(name_of(project.db), {}).get(batch)
    if not note:
        return False
    known = next((run for run in runs if run.id == note["run"]), None)
    return known is None or (note["ended"] and known.ended_at is None)
