"""Catalog of objects: the facts about those that a manifest names, by as few requests as possible.

A manifest may name one object or a million. The first ones are asked for one by one. Where many are in one folder, the
folder is listed as well, a page of a thousand names for each object that is still missing: a page takes little longer
than one question, so a folder that is used in full costs a thousandth of the questions, and of one that is far too
large no more pages are read than there are questions.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
import shutil
import tempfile
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..errors import StoreError, nearest
from ..object_url import ObjectUrl
from .object_errors import NoBucketError, OutageError, StoreRefusal
from .object_store import ObjectStore, StoredObject
from .output import make_private

#: The beginning of the version of an object whose store states no etag.
NO_ETAG = "~"
#: So many objects of one folder are asked for one by one.
_QUESTIONS = 10
_PAGE = 1_000
#: Facts of so many objects are held in memory.
_MOST = 1_000_000
#: So often an object may be written while it is fetched.
_WRITES = 3
#: Seconds for which an earlier version of a list is kept: another command may be reading it.
_IN_USE = 24 * 3600
#: After so many refusals a bucket is not asked again; the first may be about one object alone.
_REFUSALS = 3


class ObjectCatalog:
    """The objects that one manifest names, each asked for once."""

    def __init__(self, lists: Path | None = None) -> None:
        """Keep fetched lists in the folder *lists*; None: in a temporary one, which ends with the catalog."""
        self._lists = lists if lists is not None and lists.parent.is_dir() else None
        self._known: dict[ObjectUrl, StoredObject | None] = {}
        self._listings: dict[ObjectUrl, _Listing] = {}  #: by folder
        self._questions = Counter[ObjectUrl]()  #: by folder, each with those in the folders below it
        self._refusals: dict[ObjectUrl, list[StoreError]] = {}  #: by bucket

    def find(self, url: ObjectUrl) -> StoredObject | None:
        """Return the facts about an object; None if there is none. Raise StoreError."""
        if url in self._known:
            return self._known[url]
        listing = self._listing_of(url)
        if listing is not None and len(self._known) < _MOST:
            self._known.update(listing.next_page())
        if url not in self._known:
            self._known[url] = None if listing is not None and listing.is_complete else self._ask(url)
        return self._known[url]

    def below(self, url: ObjectUrl) -> Iterator[tuple[str, StoredObject]]:
        """Yield the objects in the folder *url* and its folders, with their names below it. Raise StoreError."""
        self._require_answers(url)
        try:
            for facts in ObjectStore(url).list():
                if len(self._known) < _MOST:
                    self._known[url / facts.name] = facts
                yield facts.name, facts
        except StoreError as error:
            self._note(url, error)
            raise

    def fetch(self, url: ObjectUrl) -> Path | None:
        """Return the file with the content of an object, which is fetched where it has changed; None if there is none.

        Raise StoreError.
        """
        for _ in range(_WRITES):
            facts = self.find(url)
            if facts is None:
                return None
            if (file := self._fetch_version(url, facts)) is not None:
                return file
            del self._known[url]
        raise StoreRefusal(f"cannot read {url}: it is written again and again. Run the command again later")

    def _fetch_version(self, url: ObjectUrl, facts: StoredObject) -> Path | None:
        """Return the file with one version of an object; None if the object is not that one any more."""
        folder, stem = self._folder(), hashlib.sha256(str(url).encode()).hexdigest()[:24]
        file = folder / f"{stem}-{hashlib.sha256(version_of(facts).encode()).hexdigest()[:24]}{url.suffix}"
        if file.exists():
            return file
        partial = folder / f"{stem}-{secrets.token_hex(8)}.part"
        try:
            with partial.open("xb") as sink:
                ObjectStore(url.parent).get_to(url.name, sink, facts.etag)
            partial.replace(file)
        except FileNotFoundError:
            return None
        finally:
            partial.unlink(missing_ok=True)
        _remove_old(folder, stem)
        return file

    def similar(self, url: ObjectUrl) -> str | None:
        """Return the URL of an object in the same folder that was probably meant; None if there is none."""
        try:
            page = itertools.islice(self.below(url.parent), _PAGE)
            names = [name for name, _ in page if "/" not in name and name != url.name]
        except StoreError:
            return None
        same = [name for name in names if name.casefold() == url.name.casefold()]
        stems = [name for name in names if name.rpartition(".")[0].casefold() == url.stem.casefold()]
        guess = next(iter((*same, *stems)), None) or nearest(url.name, names, 0.8)
        return f"{url.parent}/{guess}" if guess else None

    def _ask(self, url: ObjectUrl) -> StoredObject | None:
        self._require_answers(url)
        try:
            return ObjectStore(url.parent).head(url.name)
        except StoreError as error:
            self._note(url, error)
            raise

    def _require_answers(self, url: ObjectUrl) -> None:
        """Raise the error of a bucket that does not answer, without another request."""
        refusals = self._refusals.get(url.root, [])
        final = next((error for error in refusals if isinstance(error, (OutageError, NoBucketError))), None)
        if final is not None or len(refusals) >= _REFUSALS:
            raise final or refusals[0]

    def _note(self, url: ObjectUrl, error: StoreError) -> None:
        self._refusals.setdefault(url.root, []).append(error)

    def _listing_of(self, url: ObjectUrl) -> _Listing | None:
        """Return the listing of the innermost folder of *url* with many questions; None without one."""
        folder = url
        while folder != url.root:
            folder = folder.parent
            if folder in self._listings:
                return self._listings[folder]
            self._questions[folder] += 1
            if self._questions[folder] > _QUESTIONS:
                self._listings[folder] = _Listing(folder)
                return self._listings[folder]
        return None

    def _folder(self) -> Path:
        if self._lists is None:
            self._lists = Path(tempfile.mkdtemp(prefix="batchgen-lists-"))
            weakref.finalize(self, shutil.rmtree, self._lists, ignore_errors=True)
        return make_private(self._lists)


class _Listing:
    """The names in one folder, as far as they have been read."""

    def __init__(self, folder: ObjectUrl) -> None:
        self._folder = folder
        self._objects: Iterator[StoredObject] | None = ObjectStore(folder).list()
        self.is_complete = False

    def next_page(self) -> dict[ObjectUrl, StoredObject]:
        """Return the next objects; none at the end, and where the folder may not be listed."""
        if self._objects is None:
            return {}
        try:
            page = list(itertools.islice(self._objects, _PAGE))
        except StoreRefusal:
            self._objects = None
            return {}
        if len(page) < _PAGE:
            self._objects, self.is_complete = None, True
        return {self._folder / facts.name: facts for facts in page}


def version_of(facts: StoredObject) -> str:
    """Return what changes whenever an object is written: its etag, or else its size and its date."""
    return facts.etag or f"{NO_ETAG}{facts.size_bytes}-{facts.changed:%Y%m%d%H%M%S}"


def _remove_old(folder: Path, stem: str) -> None:
    """Remove earlier versions of a list, and what killed commands left of it."""
    for path in folder.glob(f"{stem}-*"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - _IN_USE:
                path.unlink()
