"""Output tree: the files of a batch, on a disk or in an object store, behind the same verbs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..object_url import Folder, ObjectUrl, is_object_url
from . import output

if TYPE_CHECKING:
    from .object_store import ObjectStore
    from .object_tree import Label


class OutputTree(Protocol):
    """The output folder of a batch; every method raises StoreError."""

    def publish(
        self, name: str, data: bytes, *, sidecar: bytes | None = None, label: Label | None = None, durable: bool = True
    ) -> None:
        """Write *data* to *name*, and *sidecar* to ``<name>.json``; a file with other bytes is kept."""
        ...

    def restore_sidecar(self, name: str, data: bytes, at: datetime) -> None:
        """Write the sidecar of the file *name* again."""
        ...

    def withdraw(self, name: str, sha256: str, attempt_id: str, *, bare: Callable[[], bool]) -> None:
        """Move a file that *attempt_id* delivered, with its sidecar, to ``.superseded/``."""
        ...

    def sweep(self) -> int:
        """Remove what a killed run left half-written; return how many files there were."""
        ...

    def require_writable(self, names: Iterable[str] = ()) -> bool:
        """Make sure that files of these names can be written, before images are paid for."""
        ...


@dataclass(frozen=True, slots=True)
class DiskTree:
    """An output folder on a disk."""

    folder: Path

    def publish(
        self,
        name: str,
        data: bytes,
        *,
        sidecar: bytes | None = None,
        label: Label | None = None,  # noqa: ARG002 - the sidecar states it
        durable: bool = True,
    ) -> None:
        """See ``output.publish``."""
        output.publish(self.folder, name, data, sidecar=sidecar, durable=durable)

    def restore_sidecar(self, name: str, data: bytes, at: datetime) -> None:
        """See ``output.restore_sidecar``."""
        output.restore_sidecar(self.folder, name, data, at)

    def withdraw(self, name: str, sha256: str, attempt_id: str, *, bare: Callable[[], bool]) -> None:
        """See ``output.withdraw``."""
        output.withdraw(self.folder, name, sha256, attempt_id, bare=bare)

    def sweep(self) -> int:
        """See ``output.sweep``."""
        return output.sweep(self.folder)

    def require_writable(self, names: Iterable[str] = ()) -> bool:
        """See ``output.require_writable``."""
        return output.require_writable(self.folder, names)


def output_tree(folder: Folder) -> OutputTree:
    """Return the output tree at *folder*."""
    if isinstance(folder, Path):
        return DiskTree(folder)
    from .object_tree import ObjectTree

    return ObjectTree(folder)


class StoredFile(Protocol):
    """A delivered file; where it is missing, all but ``exists`` raise FileNotFoundError."""

    @property
    def location(self) -> Folder:
        """Return where it is."""
        ...

    def exists(self) -> bool:
        """Return whether it is there."""
        ...

    def size(self) -> int:
        """Return its size in bytes."""
        ...

    def digest(self) -> str:
        """Return the SHA-256 of its bytes, which are read, as hex."""
        ...

    def read(self) -> bytes:
        """Return its bytes."""
        ...


@dataclass(frozen=True, slots=True)
class DiskFile:
    """A file on a disk."""

    location: Path

    def exists(self) -> bool:
        """Return whether it is there."""
        return self.location.exists()

    def size(self) -> int:
        """Return its size in bytes."""
        return self.location.stat().st_size

    def digest(self) -> str:
        """Return the SHA-256 of its bytes, as hex."""
        return output.digest(self.location)

    def read(self) -> bytes:
        """Return its bytes."""
        return self.location.read_bytes()


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """An object."""

    location: ObjectUrl

    def exists(self) -> bool:
        """Return whether it is there."""
        return self._store().head(self.location.name) is not None

    def size(self) -> int:
        """Return its size in bytes."""
        facts = self._store().head(self.location.name)
        if facts is None:
            raise FileNotFoundError(str(self.location))
        return facts.size

    def digest(self) -> str:
        """Return the SHA-256 of its bytes, as hex."""
        return hashlib.sha256(self.read()).hexdigest()

    def read(self) -> bytes:
        """Return its bytes."""
        data = self._store().get(self.location.name)
        if data is None:
            raise FileNotFoundError(str(self.location))
        return data

    def _store(self) -> ObjectStore:
        from .object_store import ObjectStore

        return ObjectStore(self.location.parent)


def open_file(root: Path, path: str) -> StoredFile:
    """Return the file at *path* as the job database has it: relative to *root*, absolute, or an object's address."""
    return ObjectFile(ObjectUrl.parse(path)) if is_object_url(path) else DiskFile(root / path)
