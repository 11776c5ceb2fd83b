"""The job database as a file: check, back up, upgrade, vacuum."""

from __future__ import annotations

from pathlib import Path

from ..errors import NotFound
from ..store import maintenance, migrate
from ..store.maintenance import Health
from .project import Project, hold_lock, no_database


def check(project: Project) -> Health:
    """Check the whole job database; writes nothing."""
    _require(project)
    return maintenance.examine(project.db)


def backup(project: Project, target: Path) -> int:
    """Copy the job database to *target*, even during a run; return its bytes. Never overwrites a file."""
    _require(project)
    return maintenance.backup(project.db, target)


def upgrade(project: Project) -> tuple[str | None, str]:
    """Upgrade the job database to this program's schema; return the revisions before and after."""
    _require(project)
    with hold_lock(project):
        before = migrate.revision(project.db)
        migrate.ensure(project.db)
        return before, migrate.HEAD


def vacuum(project: Project) -> tuple[int, int]:
    """Compact the job database; return its bytes before and after. Raises AlreadyRunning, StoreError."""
    _require(project)
    with hold_lock(project):
        migrate.ensure(project.db)
        return maintenance.vacuum(project.db)


def _require(project: Project) -> None:
    if not migrate.exists(project.db):
        raise NotFound(no_database(project))
