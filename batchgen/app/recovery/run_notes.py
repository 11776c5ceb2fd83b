"""Notes of runs, as they are found in the folder of a project's state: which batches ran, and with which manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...database_url import Database

NAME = "last-run"


def read_notes(state: Path) -> dict[str, Any]:
    """Return the notes of every job database, by its name; empty if there are none, or none that can be read."""
    try:
        known = json.loads((state / NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def name_of(database: Database) -> str:
    """Return the name of a job database in the notes."""
    return database.name if isinstance(database, Path) else str(database)


def last_manifest(state: Path, database: Database) -> str | None:
    """Return the manifest that ran last with a job database, or the name of its batch; None if nothing has run."""
    notes = read_notes(state).get(name_of(database))
    if not isinstance(notes, dict) or not notes:
        return None
    batch, note = max(notes.items(), key=lambda item: str(item[1].get("run", "")) if isinstance(item[1], dict) else "")
    try:
        manifest = json.loads((state / "runs" / note["run"] / "summary.json").read_bytes())["run"]["manifest"]
    except (OSError, ValueError, KeyError, TypeError):
        return str(batch)  # The run was cut off before it wrote its summary; a batch's name is as good.
    return str(manifest)
