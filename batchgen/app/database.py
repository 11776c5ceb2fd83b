"""The job table as a file: is it whole, a copy, the newest form."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from ..errors import NotFound
from ..files import lock
from ..store import maintenance, migrate
from ..store.maintenance import Health
from .project import Project


def check(place: Project) -> Health:
    """Read the whole job table and say what is wrong with it; writes nothing."""
    _require(place)
    return maintenance.examine(place.db)


def backup(place: Project, target: Path) -> int:
    """Copy the job table to *target*, also while a run goes on; return its bytes.  Never over another file."""
    _require(place)
    return maintenance.backup(place.db, target)


def upgrade(place: Project) -> tuple[str | None, str]:
    """Bring the job table to the form this program knows; return the revisions before and after."""
    _require(place)
    with lock.hold(place.db, command=shlex.join(["batchgen", *sys.argv[1:]])):
        before = migrate.revision(place.db)
        migrate.ensure(place.db)
        return before, migrate.HEAD


def vacuum(place: Project) -> tuple[int, int]:
    """Write the job table anew without its gaps; return its bytes before and after.  Raises LockHeld, StoreError."""
    _require(place)
    with lock.hold(place.db, command=shlex.join(["batchgen", *sys.argv[1:]])):
        migrate.ensure(place.db)
        return maintenance.vacuum(place.db)


def _require(place: Project) -> None:
    if not place.db.exists():
        raise NotFound(f"no job table at {place.db}.  Where it was lost: batchgen db recover MANIFEST")
