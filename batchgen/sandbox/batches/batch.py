"""Batches, their files and the lines of these, as a provider knows them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from ..values import Json


class Phase(StrEnum):
    """The state of a batch."""

    VALIDATING = "validating"
    RUNNING = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the batch has ended."""
        return self in (Phase.COMPLETED, Phase.FAILED, Phase.EXPIRED, Phase.CANCELLED)


@dataclass(kw_only=True, slots=True)
class RemoteFile:
    """An uploaded file, or one of results."""

    id: str
    provider: str
    purpose: str
    name: str
    mime: str
    path: Path
    size: int = 0
    created: float = field(default_factory=time.time)
    failures: int = 0  #: downloads that fail from now on
    cuts: int = 0  #: downloads that break off
    padding: float = 0.0  #: megabytes that are added while it is sent


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A request in a file of requests."""

    number: int  #: the first is 1
    key: str
    start: int
    length: int


@dataclass(kw_only=True, slots=True)
class Batch:
    """A batch at one provider."""

    id: str
    provider: str
    kind: str  #: of its requests: ``generation``, ``edit`` or ``chat``
    model: str
    input_file: RemoteFile
    label: Json | str | None = None  #: the metadata or the display name that its owner gave it
    phase: Phase = Phase.VALIDATING
    lines: list[Line] = field(default_factory=list)
    completed: int = 0
    failed: int = 0
    problems: list[Json] = field(default_factory=list)
    output: RemoteFile | None = None
    errors: RemoteFile | None = None
    times: dict[Phase, float] = field(default_factory=dict)  #: when it entered each phase
    traits: dict[str, float] = field(default_factory=dict)  #: how it misbehaves: kinds of faults, and their amounts
    is_gone: bool = False  #: the provider does not know it any more
    news: asyncio.Event = field(default_factory=asyncio.Event)  #: set by a cancellation or a control request
    charged: set[str] = field(default_factory=set)  #: requests that an earlier server charged
    released: bool = False
    expires: bool = False  #: the control interface ends its window

    def enter(self, phase: Phase) -> None:
        """Change the state, with the time."""
        self.phase = phase
        self.times[phase] = time.time()

    @property
    def created(self) -> float:
        """When it was created."""
        return self.times[Phase.VALIDATING]
