"""The job table as a file: is it whole, a copy, the newest form."""

from __future__ import annotations

from pathlib import Path

from ..errors import NotFound
from ..files import lock
from ..store import maintenance, migrate
from ..store.maintenance import Health
from .project import Project, command_line


def check(project: Project) -> Health:
    """Read the whole job table and say what is wrong with it; writes nothing."""
    _require(project)
    return maintenance.examine(project.db)


def backup(project: Project, target: Path) -> int:
    """Copy the job table to *target*, also while a run goes on; return its bytes.  Never over another file."""
    _require(project)
    return maintenance.backup(project.db, target)


def upgrade(project: Project) -> tuple[str | None, str]:
    """Bring the job table to the form this program knows; return the revisions before and after."""
    _require(project)
    with lock.hold(project.db, command=command_line()):
        before = migrate.revision(project.db)
        migrate.ensure(project.db)
        return before, migrate.HEAD


def vacuum(project: Project) -> tuple[int, int]:
    """Write the job table anew without its gaps; return its bytes before and after.  Raises LockHeld, StoreError."""
    _require(project)
    with lock.hold(project.db, command=command_line()):
        migrate.ensure(project.db)
        return maintenance.vacuum(project.db)


def _require(project: Project) -> None:
    if not project.db.exists():
        raise NotFound(f"no job table at {project.db}.  Where it was lost: batchgen db recover MANIFEST")
