"""Versions of source images in object stores: whether two etags of one object belong to the same bytes.

A store may change the etag of an object whenever it is written, or moved, or encrypted with another key, although its
bytes are the same. What was fetched is therefore recorded by address and etag, in hashes of its bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..errors import StoreError
from ..object_url import ObjectUrl
from ..task import Source
from .object_catalog import NO_ETAG
from .object_store import ObjectStore
from .output import publish

#: So many objects are read at a time.
_AT_ONCE = 16
_MD5 = re.compile("[0-9a-f]{32}")


class _Digests(NamedTuple):
    """The hashes of one version of an object."""

    sha256: str
    md5: str  #: where a store derives the etag of a plain upload from its bytes, this is the etag


class SourceVersions:
    """The versions of source images that have been read, in the folder with the copies of these images."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, _Digests] = {}

    def record(self, source: Source, data: bytes) -> None:
        """Record the bytes of the version of *source*; raise StoreError."""
        self._record(source, _digests([data]))

    def has_bytes(self, source: Source, data: bytes) -> bool:
        """Return whether *data* is certainly the content of the version of *source*."""
        found, known = _digests([data]), self._find(source)
        return found == known or found.md5 == source.etag

    def compare(self, pairs: Sequence[tuple[Source, Source]]) -> list[bool | None]:
        """Return for each pair, a source before and after its etag changed, whether its bytes are the same.

        None: the bytes before are not known. The objects are read where that is needed. Raises StoreError.
        """
        if not pairs:
            return []
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return list(threads.map(lambda pair: self._is_same(*pair), pairs))

    def _is_same(self, before: Source, after: Source) -> bool | None:
        old, new = self._find(before), self._find(after)
        if old is not None and old.md5 == after.etag:
            return True
        if old is None and not _MD5.fullmatch(before.etag or ""):
            return None
        if new is None:
            try:
                new = self._read(after)
            except FileNotFoundError:
                return None  # It was written once more; the next plan compares again.
        if old is not None:
            return old == new
        if new.md5 == before.etag:
            return True
        # Where the etag is not the hash of the bytes now, it need not have been before.
        return False if new.md5 == after.etag else None

    def _read(self, source: Source) -> _Digests:
        url = ObjectUrl.parse(source.url or "")
        digests = _digests(ObjectStore(url.parent).chunks(url.name, condition(source)))
        with suppress(StoreError):  # A folder that cannot be written to: it is read again the next time.
            self._record(source, digests)
        return digests

    def _find(self, source: Source) -> _Digests | None:
        name = _name(source)
        if name not in self._known:
            with suppress(OSError, TypeError):
                self._known[name] = _Digests(*(self._folder / name).read_text("ascii").split())
        return self._known.get(name)

    def _record(self, source: Source, digests: _Digests) -> None:
        self._known[_name(source)] = digests
        publish(self._folder, _name(source), " ".join(digests).encode(), durable=False)


def condition(source: Source) -> str | None:
    """Return the etag that an object must have to be the version of *source*; None where the store states none."""
    return None if not source.etag or source.etag.startswith(NO_ETAG) else source.etag


def _digests(chunks: Iterable[bytes]) -> _Digests:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    for chunk in chunks:
        sha256.update(chunk)
        md5.update(chunk)
    return _Digests(sha256.hexdigest(), md5.hexdigest())


def _name(source: Source) -> str:
    return f"{hashlib.sha256(f'{source.url}@{source.etag}'.encode()).hexdigest()[:32]}.digests"
