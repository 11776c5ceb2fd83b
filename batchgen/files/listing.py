"""Listing of the files below an output folder, on a disk or in an object store."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ..errors import StoreError
from ..object_url import Folder, ObjectUrl
from .output_tree import output_tree

#: Objects that one request removes.
_TOGETHER = 1_000


class ListedFile(NamedTuple):
    """A file as its folder lists it."""

    place: Folder
    size_bytes: int
    changed_at: datetime


def list_files(folder: Folder, below: str = "") -> Iterator[ListedFile]:
    """Yield the files in an output folder, or only in its folder *below*, and in their folders; raise StoreError."""
    for each in output_tree(folder).files(below):
        yield ListedFile(folder / each.name, each.size_bytes, each.changed)


def list_file(place: Folder) -> ListedFile | None:
    """Return one file; None if there is none. Raises StoreError for an object store."""
    if isinstance(place, Path):
        with suppress(OSError):
            facts = place.lstat()
            if stat.S_ISREG(facts.st_mode):
                return ListedFile(place, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC))
        return None
    from .object_store import ObjectStore

    found = ObjectStore(place.parent).head(place.name)
    return None if found is None else ListedFile(place, found.size_bytes, found.changed)


class FileSizes:
    """Which files exist, and their sizes: a disk is asked for each of them, and an object store lists all at once."""

    def __init__(self, folder: Folder, below: str = "") -> None:
        self._folder, self._below = folder, below
        self._sizes: Mapping[str, int] | None = None  #: by name

    def size(self, place: Folder) -> int | None:
        """Return the size of a file; None if it is missing. Raises StoreError for an object store."""
        if isinstance(place, ObjectUrl):
            return self.size_of(str(place))
        try:
            return place.stat().st_size
        except OSError:
            return None

    def size_of(self, address: str) -> int | None:
        """Return the size of an object; None if it is missing. Raises StoreError."""
        prefix = f"{self._folder}/"
        if not address.startswith(prefix):  # of an earlier output folder
            file = list_file(ObjectUrl.parse(address))
            return None if file is None else file.size_bytes
        if self._sizes is None:
            files = output_tree(self._folder).files(self._below)
            self._sizes = {file.name: file.size_bytes for file in files}
        return self._sizes.get(address.removeprefix(prefix))


def remove_files(places: Sequence[Folder]) -> None:
    """Remove files; those that are missing do no harm. Raises StoreError."""
    names: dict[ObjectUrl, list[str]] = {}
    for place in places:
        if isinstance(place, ObjectUrl):
            names.setdefault(place.root, []).append(str(place.path))
            continue
        try:
            place.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot remove {place}: {error.strerror}") from error
    for bucket, below in names.items():
        from .object_store import ObjectStore

        for start in range(0, len(below), _TOGETHER):
            ObjectStore(bucket).delete(below[start : start + _TOGETHER])
