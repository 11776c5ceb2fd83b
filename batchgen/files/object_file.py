"""A delivered file that is an object."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..object_url import ObjectUrl

if TYPE_CHECKING:
    from .object_store import ObjectStore


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """An object."""

    path: ObjectUrl

    def exists(self) -> bool:
        """Return whether it is there."""
        return self._store().head(self.path.name) is not None

    def size(self) -> int:
        """Return its size in bytes."""
        facts = self._store().head(self.path.name)
        if facts is None:
            raise FileNotFoundError(str(self.path))
        return facts.size_bytes

    def digest(self) -> str:
        """Return the SHA-256 of its bytes, as hex."""
        sha256 = hashlib.sha256()
        for chunk in self._store().chunks(self.path.name):
            sha256.update(chunk)
        return sha256.hexdigest()

    def recorded_digest(self) -> str | None:
        """Return the SHA-256 in its metadata, which batchgen writes together with the bytes; None without one."""
        found = self._store().head(self.path.name)
        if found is None:
            raise FileNotFoundError(str(self.path))
        return (found.facts or {}).get("batchgen-sha256")

    def read(self) -> bytes:
        """Return its bytes."""
        return self._store().get(self.path.name)

    def copy_to(self, target: Path) -> None:
        """Write its bytes to *target*."""
        with target.open("wb") as file:
            self._store().get_to(self.path.name, file)

    def _store(self) -> ObjectStore:
        from .object_store import ObjectStore

        return ObjectStore(self.path.parent)
