"""Where a project keeps its state, and the way into its job table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import NotFound
from ..store import migrate
from ..store.reader import Reader

STATE = ".batchgen"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a project keeps its state: the job table, and beside it the spool and fetched inputs."""

    root: Path  #: the working folder
    db: Path
    sandbox: bool = False  #: a rehearsal: its own job table and output, simulated providers

    @classmethod
    def of(cls, root: Path, db: Path | None, *, sandbox: bool = False) -> Place:
        """Return the place under *root*; a rehearsal lies under ``.batchgen/sandbox``."""
        root = root.absolute()
        state = root / STATE / "sandbox" if sandbox else root / STATE
        return cls(root=root, db=root / db if db else state / "batchgen.db", sandbox=sandbox)

    @property
    def state(self) -> Path:
        """Return the folder of the job table."""
        return self.db.parent


@contextmanager
def opened(place: Place) -> Iterator[Reader]:
    """Open the job table for reading; raise NotFound where there is none yet."""
    if not place.db.exists():
        rehearsal = " --sandbox" if place.sandbox else ""
        raise NotFound(
            f"no job table at {place.db}: nothing has run here yet.  To start: batchgen run MANIFEST{rehearsal}"
        )
    migrate.ensure(place.db)
    with Reader(place.db) as reader:
        yield reader
