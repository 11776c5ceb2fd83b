"""Advice of the latest run on what stopped it, until a file shows that it was followed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from .clock import utc_now
from .config import settings
from .project import Project

#: The beginning of a step about the jobs that other runs make.
SHARD = "shard "
#: The beginning of advice about tasks that a run could not collect.
HELD = "held at the provider:"
#: The beginning of advice about a pause, which the job database knows better, and words about a calendar period.
_PAUSE, _PERIOD = "batchgen unpause", ", or wait for the next "


def remaining_advice(project: Project, manifest: str, summary: Mapping[str, Any], ended_at: datetime) -> list[str]:
    """Return the advice in the summary of a run that ended without a command, if no file of it has changed since."""
    if any(_changed(file) > ended_at.timestamp() for file in _files(project, Path(manifest))):
        return []
    texts = [str(step["what"]) for step in summary["next"] if step["command"] is None and step["cause"] is None]
    same_day = ended_at.astimezone().date() == utc_now().astimezone().date()
    return [text for text in texts if not text.startswith((_PAUSE, SHARD)) and (same_day or _PERIOD not in text)]


def _files(project: Project, manifest: Path) -> Iterator[Path]:
    """Yield the files in which a user raises a budget or sets a key."""
    yield from (manifest, project.root / ".env", manifest.parent / settings.PROJECT_FILE)
    if (shared := settings.project_file(project.root)) is not None:
        yield shared


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
