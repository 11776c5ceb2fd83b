"""Output tree: the files of a batch, on a disk or in an object store, behind the same verbs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from ..object_url import Folder, place_of
from . import output
from .object_file import ObjectFile
from .tree_file import Label, TreeFile


class OutputTree(Protocol):
    """The output folder of a batch; every method raises StoreError."""

    @property
    def folder(self) -> Folder:
        """Return where it is."""
        ...

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

    def file(self, name: str) -> StoredFile:
        """Return the file *name*, which may be missing."""
        ...

    def files(self, below: str = "") -> Iterator[TreeFile]:
        """Yield every file in the folder *below* and its folders, with sidecars and replaced ones."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        ...

    def sweep(self) -> int:
        """Remove what a killed run left half-written; return how many files there were."""
        ...

    def require_writable(self, names: Iterable[str] = ()) -> bool:
        """Make sure that files of these names can be written, before images are paid for.

        Returns whether a name can be created only once; otherwise a second writer would replace the file.
        """
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

    def file(self, name: str) -> DiskFile:
        """Return the file *name*, which may be missing."""
        return DiskFile(self.folder / name)

    def files(self, below: str = "") -> Iterator[TreeFile]:
        """Yield every file in the folder *below* and its folders."""
        for path in sorted((self.folder / below).rglob("*")):
            if path.is_file() and not path.is_symlink():
                facts = path.stat()
                changed = datetime.fromtimestamp(facts.st_mtime, UTC)
                yield TreeFile(path.relative_to(self.folder).as_posix(), facts.st_size, changed)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self.folder / name).unlink(missing_ok=True)

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
    def path(self) -> Folder:
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

    def recorded_digest(self) -> str | None:
        """Return the SHA-256 that was written together with it; None if its bytes have to be read."""
        ...

    def read(self) -> bytes:
        """Return its bytes."""
        ...

    def copy_to(self, target: Path) -> None:
        """Write its bytes to *target*."""
        ...


@dataclass(frozen=True, slots=True)
class DiskFile:
    """A file on a disk."""

    path: Path

    def exists(self) -> bool:
        """Return whether it is there."""
        return self.path.exists()

    def size(self) -> int:
        """Return its size in bytes."""
        return self.path.stat().st_size

    def digest(self) -> str:
        """Return the SHA-256 of its bytes, as hex."""
        return output.digest(self.path)

    def recorded_digest(self) -> None:
        """Return None: a disk keeps no facts."""

    def read(self) -> bytes:
        """Return its bytes."""
        return self.path.read_bytes()

    def copy_to(self, target: Path) -> None:
        """Write its bytes to *target*."""
        shutil.copyfile(self.path, target)


def open_file(root: Path, path: str) -> StoredFile:
    """Return the file at *path* as the job database has it: relative to *root*, absolute, or an object's address."""
    return file_at(place_of(path, root))


def file_at(place: Folder) -> StoredFile:
    """Return the file at *place*."""
    return DiskFile(place) if isinstance(place, Path) else ObjectFile(place)
