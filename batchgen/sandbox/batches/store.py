"""Files and batches of all accounts, as long as the server runs. Files are on disk: they may have gigabytes."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from .batch import Batch, RemoteFile
from .memory import BatchMemory


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
