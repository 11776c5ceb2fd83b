"""The only wiring: one function per use case.  Parts are built and joined here and nowhere else."""

from __future__ import annotations

import os
import random
import shlex
import socket
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter

from . import ledger, lock, manifest, settings
from .backends.local import LocalBackend
from .budget import Caps, Purse
from .errors import KeyMissing, NotFound
from .files import make_private, sweep
from .inputs import Inputs
from .job import Job
from .lane import Lane
from .ledger import Counts
from .limits import gate
from .manifest.batch import Batch
from .perform import Workshop
from .plan import Plan, compare
from .pricing import estimate
from .providers.presets import preset_names, profile
from .providers.profile import Profile
from .retry import Policy
from .runner import Runner, Watch
from .sandbox import launch
from .spool import Spool
from .store import migrate
from .store.reader import Reader
from .store.values import AttemptRecord, Selection, StoredArtifact
from .store.writer import Writer
from .task import Charge, Task
from .transport import Transport

STATE = ".batchgen"
SANDBOX_KEY = "sandbox-key"


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
        return cls(root=root, db=(root / db if db else state / "batchgen.db"), sandbox=sandbox)

    @property
    def state(self) -> Path:
        """Return the folder of the job table."""
        return self.db.parent
