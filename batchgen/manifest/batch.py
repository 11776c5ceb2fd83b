"""What a manifest becomes: the jobs of one batch, ready for the job table.  Values; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..budget import Caps
from ..errors import Problem
from ..providers.profile import Profile, Retry
from ..task import Task


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """One job as the manifest asks for it."""

    key: str  #: unique in the batch
    task: Task  #: with the provider chosen and the canonical model
    fingerprint: str  #: "1:<sha256>"; decides whether the job is redone
    output: str  #: file stem, relative to the batch's output folder
    tags: tuple[str, ...] = ()
    priority: int = 0
    sidecar: bool = True
    wanted: int = 1  #: images in all; ``names.stems`` says which files they become


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """One manifest, read, checked and expanded."""

    name: str
    manifest: Path  #: absolute
    folder: Path  #: absolute output folder
    jobs: tuple[Planned, ...]
    profiles: Mapping[str, Profile]  #: every provider configured or named; ``retry`` and ``on_unknown`` merged in
    budget: tuple[Caps, ...] = ()  #: of this batch, of one day of it, of single providers
    retry: Retry | None = None  #: as stated at the top of the manifest
    on_unknown: Literal["retry", "hold"] | None = None  #: as stated at the top of the manifest
    warnings: tuple[Problem, ...] = ()
