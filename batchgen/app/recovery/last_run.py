"""Which run a job table should know last, noted beside it.  A doer: one small file in the state folder.

A table that does not know its last run, or not its end, was lost or put back: it is older than the files around it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ...errors import StoreError
from ...files.atomic import write_atomic
from ...store.records import Run
from ..project import Project

NAME = "last-run"


def record_start(project: Project, batch: str, run_id: str) -> None:
    """Note durably, beside the job table, that a run began; raise StoreError."""
    try:
        _note(project, batch, {"run": run_id, "ended": False})
    except OSError as error:
        raise StoreError(f"cannot write {project.state / NAME}: {error.strerror}.  Nothing was sent") from error


def record_end(project: Project, batch: str, run_id: str) -> None:
    """Note that it ended; where that fails, the next run only looks around a little longer."""
    with suppress(OSError):
        _note(project, batch, {"run": run_id, "ended": True})


def _notes(project: Project) -> dict[str, Any]:
    try:
        known = json.loads((project.state / NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _note(project: Project, batch: str, said: Mapping[str, object]) -> None:
    notes = _notes(project)
    # several job tables may lie in one folder
    notes[project.db.name] = {**notes.get(project.db.name, {}), batch: said}
    write_atomic(project.state / NAME, json.dumps(notes).encode() + b"\n")


def record_recovery(project: Project, batch: str) -> None:
    """Note that the table knows all there is to know of the last run, although it may not name it."""
    with suppress(OSError):
        _note(project, batch, {})


def is_behind(project: Project, batch: str, runs: Sequence[Run]) -> bool:
    """Tell whether a table whose *runs* of a batch are these is older than the batch's last run."""
    said = _notes(project).get(project.db.name, {}).get(batch)
    if not said:
        return False
    known = next((run for run in runs if run.id == said["run"]), None)
    return known is None or (said["ended"] and known.ended_at is None)
