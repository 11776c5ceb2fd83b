"""Output tree in an object store: each object is created whole or not at all, and never over another one.

Every write of a name is conditional: of two writers one wins, and the other compares. The same bytes are left; others
are kept in ``.superseded/`` before they are replaced. Sidecars are written after their images.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from urllib.parse import quote

from anyio import to_thread

from ..errors import StoreError
from ..object_url import ObjectUrl
from .object_errors import OutageError, StoreRefusal
from .object_file import ObjectFile
from .object_store import ObjectStore
from .output import SUPERSEDED, candidates_aside
from .sidecar import cut_off
from .tree_file import Label, TreeFile

#: batchgen's own objects below the output prefix.
OWN = ".batchgen"
#: Object stores allow names of so many bytes; the rest is for suffixes and ``.superseded/``.
_NAME_BYTES = 1024 - 64
#: Seconds for which an earlier file is moved aside again and again while the store does not answer, and the waits.
_PATIENCE, _FIRST_WAIT, _LONGEST_WAIT = 90.0, 0.5, 5.0
#: So often another writer may come in between.
_WRITES = 5
_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One object of an upload."""

    name: str
    data: bytes
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Upload:
    """An image on its way to a store, and then its sidecar."""

    tree: ObjectTree
    parts: tuple[Part, ...]


def facts_of(name: str, data: bytes, label: Label | None = None, sha256: str | None = None) -> dict[str, str]:
    """Return the content type and the metadata of an object; *sha256* is its hash, if that is known."""
    facts = {
        "Content-Type": _TYPES.get(PurePosixPath(name).suffix, "application/octet-stream"),
        "batchgen-sha256": sha256 or hashlib.sha256(data).hexdigest(),
    }
    if label is not None:
        # Headers are ASCII; job ids may hold any character.
        facts |= {"batchgen-job": quote(label.job, safe=" /:+,;=@()"), "batchgen-attempt": label.attempt}
    return facts


class ObjectTree:
    """The files of a batch below a prefix."""

    def __init__(self, folder: ObjectUrl) -> None:
        self.folder = folder
        self.store = ObjectStore(folder)

    def publish(
        self,
        name: str,
        data: bytes,
        *,
        sidecar: bytes | None = None,
        label: Label | None = None,
        durable: bool = True,  # noqa: ARG002 - an object is durable as soon as it is there
    ) -> None:
        """Write *data* to *name*, and then *sidecar*, if there is one, to ``<name>.json``; raise StoreError."""
        for part in self.upload(name, data, sidecar=sidecar, label=label).parts:
            if not self.store.put_new(part.name, part.data, part.facts):
                self._replace(part)

    def upload(
        self,
        name: str,
        data: bytes,
        *,
        sha256: str | None = None,
        sidecar: bytes | None = None,
        label: Label | None = None,
    ) -> Upload:
        """Return the upload that publishes a file; where *sha256* is not given, this hashes it."""
        parts = [Part(name, data, facts_of(name, data, label, sha256))]
        if sidecar is not None:
            parts.append(Part(f"{name}.json", sidecar, facts_of(f"{name}.json", sidecar, label)))
        return Upload(self, tuple(parts))

    async def put_soon(self, part: Part, is_superseded: Callable[[], bool]) -> None:
        """Write one object of an upload; a name that is taken is looked into by a thread. Raises StoreError.

        *is_superseded*: whether the name is that of a later attempt by now, whose object must stay.
        """
        if not await self.store.put_new_soon(part.name, part.data, part.facts):
            await to_thread.run_sync(self._replace, part, is_superseded)

    def restore_sidecar(self, name: str, data: bytes, at: datetime) -> None:  # noqa: ARG002 - stores set the time
        """Write the sidecar of the file *name* again; raise StoreError."""
        self.store.put(f"{name}.json", data, facts_of(f"{name}.json", data))

    def withdraw(self, name: str, sha256: str, attempt_id: str, *, bare: Callable[[], bool]) -> None:
        """Move the file *name*, which *attempt_id* delivered, with its sidecar to ``.superseded/``.

        The file is recognized by its hash *sha256* and by a sidecar that names the attempt; without a sidecar, *bare*
        decides. Any other file stays. A second call completes an interrupted one, so that this one is repeated while
        the store does not answer, for a while. Raises StoreError.
        """
        end, wait = time.monotonic() + _PATIENCE, _FIRST_WAIT
        while True:
            try:
                self._withdraw(name, sha256, attempt_id, bare)
            except OutageError:
                if time.monotonic() > end:
                    raise
                time.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
            else:
                return

    def _withdraw(self, name: str, sha256: str, attempt_id: str, bare: Callable[[], bool]) -> None:
        sidecar = f"{name}.json"
        data, note = self.store.find(name), self.store.find(sidecar)
        matches = data is not None and hashlib.sha256(data).hexdigest() == sha256
        named = note is not None and attempt_id.encode() in note
        if data is not None and matches and (named or (note is None and bare())):
            self._move_aside(name, data)
        if note is not None and named and (matches or data is None):
            self._move_aside(sidecar, note)

    def file(self, name: str) -> ObjectFile:
        """Return the file *name*, which may be missing."""
        return ObjectFile(self.folder / name)

    def files(self, below: str = "") -> Iterator[TreeFile]:
        """Yield every object in the folder *below* and its folders, page by page."""
        for found in self.store.list(below):
            yield TreeFile(found.name, found.size_bytes, found.changed)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        self.store.delete(name)

    def sweep(self) -> int:
        """Return 0: an object store shows no file before it is complete."""
        return 0

    def require_writable(self, names: Iterable[str] = ()) -> bool:
        """Make sure that objects can be created and removed; raise StoreError before money is spent.

        Returns whether the store refuses to create an object that exists.
        """
        longest = max(names, key=lambda name: len(name.encode()), default="")
        if len(str((self.folder / longest).path).encode()) > _NAME_BYTES:
            raise StoreRefusal(
                f"the file name {longest} is too long for an object store, which allows {_NAME_BYTES} bytes with its "
                "prefix. Nothing was sent: shorten it in the manifest"
            )
        try:
            return self.store.require_writable()
        except StoreError as error:
            raise type(error)(f"{error}. Nothing was sent") from error

    def _replace(self, part: Part, is_superseded: Callable[[], bool] = lambda: False) -> None:
        """Write an object over another one, which is kept; leave one that has the same bytes or that must stay."""
        for _ in range(_WRITES):
            present = self.store.find_version(part.name)
            if present is None:
                if self.store.put_new(part.name, part.data, part.facts):
                    return
                continue
            before, version = present
            if before == part.data:
                return
            if is_superseded():
                self.set_aside(part.name, part.data)
                return
            self.set_aside(part.name, before)
            if self.store.replace(part.name, part.data, part.facts, version):
                return
        raise OutageError(f"cannot write {self.folder / part.name}: another program writes it at the same time")

    def set_aside(self, name: str, data: bytes) -> None:
        """Keep *data*, the present content of *name*, in ``.superseded/``; a sidecar that was cut off is not kept."""
        if name.endswith(".json") and cut_off(data):
            return
        path = PurePosixPath(name)
        for candidate in candidates_aside(path, data):
            target = str(PurePosixPath(SUPERSEDED, path.parent, candidate))
            if self.store.put_new(target, data, facts_of(name, data)) or self.store.find(target) == data:
                return
        raise StoreRefusal(f"cannot keep {self.folder / name} in {self.folder / SUPERSEDED}: all names are taken there")

    def _move_aside(self, name: str, data: bytes) -> None:
        self.set_aside(name, data)
        self.store.delete(name)
