"""Files and batches of all accounts, as long as the server runs. Files are on disk: they may have gigabytes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from ..values import Json

if TYPE_CHECKING:
    from .memory import BatchMemory


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


class BatchStore:
    """All files and batches, by id, in the order in which they were made."""

    def __init__(self, memory: BatchMemory) -> None:
        self.memory = memory
        self.files: dict[str, RemoteFile] = {}
        self.uploads: dict[str, RemoteFile] = {}  #: files that are being uploaded in pieces
        self.batches: dict[str, Batch] = {}
        self.hold = False  #: batches wait before their first request until they are released
        self.tasks: set[asyncio.Task[None]] = set()

    def new_file(self, provider: str, purpose: str, name: str, mime: str, *, file_id: str = "") -> RemoteFile:
        """Return an empty file; it is listed once it is added."""
        file_id = file_id or f"file-{uuid4().hex[:24]}"
        path = self.memory.new_path()
        return RemoteFile(id=file_id, provider=provider, purpose=purpose, name=name, mime=mime, path=path)

    async def add_file(self, file: RemoteFile) -> None:
        """List a file, which is complete now."""
        file.size = file.path.stat().st_size
        await self.memory.add_file(file)
        self.files[file.id] = file

    async def add_batch(self, batch: Batch) -> None:
        """List a batch."""
        await self.memory.add_batch(batch)
        self.batches[batch.id] = batch

    def file(self, provider: str, file_id: object) -> RemoteFile | None:
        """Return a file of a provider."""
        found = self.files.get(file_id) if isinstance(file_id, str) else None
        return found if found is not None and found.provider == provider else None

    def remove_file(self, file: RemoteFile) -> None:
        """Delete a file."""
        del self.files[file.id]
        self.memory.remove_file(file)
        file.path.unlink(missing_ok=True)

    def batch(self, provider: str, batch_id: str) -> Batch | None:
        """Return a batch of a provider, unless it forgot it."""
        found = self.batches.get(batch_id)
        return found if found is not None and found.provider == provider and not found.is_gone else None

    def newest(self, provider: str) -> list[Batch]:
        """Return the batches of a provider, the newest first."""
        own = (batch for batch in self.batches.values() if batch.provider == provider and not batch.is_gone)
        return list(own)[::-1]

    def close(self) -> None:
        """End all work; the next server carries on with it."""
        for task in self.tasks:
            task.cancel()
        self.memory.close()
