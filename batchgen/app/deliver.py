"""Derived copies of delivered images: finds those that are missing, and writes them.

A copy is made from an image that is safe on disk and booked. Whatever goes wrong with it costs no image, no money and
no exit code: it is reported, and the next run tries again. Images of earlier runs get the copies that they lack.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..copies import CopySpec
from ..errors import StoreError
from ..files.copies import copies_in_sidecar, list_in_sidecar, remove_copy, write_copy
from ..files.output_tree import open_file
from ..manifest import Batch
from ..object_url import ObjectUrl, name_in, place_of, stored_path
from ..store.copies import CopyRecords
from ..store.reader import Reader
from ..store.records import DeliveredFile, StoredCopy
from .project import Project

if TYPE_CHECKING:
    from ..files.images.derive import DerivedImage

#: Errors after which no other copy can be written either.
_FATAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """The copies to make from one image, and those that it has."""

    image: DeliveredFile
    specs: Sequence[CopySpec]  #: to be written
    present: Sequence[StoredCopy] = ()  #: up to date
    known: Mapping[str, StoredCopy] = field(default_factory=dict)  #: by path, all that were written for the job
    stale: Sequence[StoredCopy] = ()  #: of images that the job no longer has, to be removed


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyFailure:
    """A copy that could not be written."""

    path: str
    message: str
    fatal: bool = False  #: no other copy can be written either

    def as_json(self) -> dict[str, str]:
        """Return the failure for ``run --json``."""
        return {"path": self.path, "message": self.message}


@dataclass(kw_only=True, slots=True)
class CopyReport:
    """What became of the copies in one run."""

    written: int = 0
    failures: list[CopyFailure] = field(default_factory=list)
    unfinished: bool = False  #: the run was stopped before all were written

    def as_json(self) -> dict[str, object]:
        """Return the report for ``run --json``."""
        failed = [failure.as_json() for failure in self.failures]
        return {"written": self.written, "failed": failed, "unfinished": self.unfinished}


class Copies:
    """The copies of one batch, as its manifest describes them; methods block."""

    def __init__(self, project: Project, batch: Batch) -> None:
        self._root = project.root
        self._batch = batch
        self._records = CopyRecords(project.state)

    def count_missing(self, reader: Reader, batch_id: int) -> int:
        """Return how many copies of delivered images are missing."""
        return sum(len(order.specs) for page in reader.files(batch_id) for order in self.orders(page))

    def orders(self, files: Sequence[DeliveredFile]) -> Iterator[Order]:
        """Yield what is missing of the copies of these images, which are all that their jobs have."""
        jobs: dict[str, list[DeliveredFile]] = {}
        for file in files:
            jobs.setdefault(file.key, []).append(file)
        records = self._records.of_jobs(self._batch.name, jobs)
        for key, images in jobs.items():
            known = {copy.path: copy for copy in records.get(key, ())}
            current = {image.file.path for image in images}
            stale = [copy for copy in known.values() if copy.source not in current]
            for number, image in enumerate(images):
                order = self._order(image, known)
                if order is not None or (stale and number == 0):
                    found = order or Order(image=image, specs=())
                    yield replace(found, stale=() if number else stale)

    def _order(self, image: DeliveredFile, known: dict[str, StoredCopy]) -> Order | None:
        name = self._name(image.file.path)
        if name is None or image.orphaned:
            return None
        missing, present = [], []
        for spec in self._batch.copies:
            copy = known.get(self._path(spec.file_name(name)))
            if copy is not None and self._is_current(copy, spec, image):
                present.append(copy)
            else:
                missing.append(spec)
        if not missing:
            return None
        return Order(image=image, specs=missing, present=present, known=known)

    def _is_current(self, copy: StoredCopy, spec: CopySpec, image: DeliveredFile) -> bool:
        if (copy.source_sha256, copy.recipe) != (image.file.sha256, spec.recipe):
            return False
        if isinstance(self._batch.folder, ObjectUrl):
            return True  # a request for each copy of a batch in each run would take too long; verify asks for them
        try:
            return open_file(self._root, copy.path).size() == copy.size_bytes
        except OSError:
            return False

    def write(self, order: Order) -> tuple[int, list[CopyFailure]]:
        """Write the copies of one image; return how many were written, and what failed."""
        failures = list(self._remove_stale(order))
        name, written = self._name(order.image.file.path), list[StoredCopy]()
        if name is None or not order.specs:
            return 0, failures
        try:
            data = self._content(order.image)
            for copy in self._derived(order, name, data):
                if isinstance(copy, CopyFailure):
                    failures.append(copy)
                else:
                    written.append(copy)
            listed = sorted([*order.present, *written], key=lambda copy: copy.path)
            documents = [_in_sidecar(copy, self._name(copy.path)) for copy in listed]
            list_in_sidecar(self._batch.folder, name, order.image.file.sha256, documents)
            # Last: if this is cut off, the next run completes the sidecar.
            self._records.add(written)
        except (StoreError, ValueError, MemoryError, OSError) as error:
            failures.append(_failure(order.image.file.path, error))
        return len(written), failures

    def _derived(self, order: Order, name: str, data: bytes) -> Iterator[StoredCopy | CopyFailure]:
        from ..files.images.derive import Original

        listed = copies_in_sidecar(self._batch.folder, name)
        with Original(data) as original:
            for spec in order.specs:
                path = self._path(spec.file_name(name))
                try:
                    derived = original.copy(spec)
                    copy = self._stored(order.image, spec, path, derived)
                    known = order.known.get(path)
                    ours = listed | (known.hashes if known else frozenset())
                    # Before the file: if this is cut off, the next run still knows whose file it finds.
                    self._records.add([replace(copy, recipe="", before=" ".join(sorted(ours)))])
                    write_copy(self._batch.folder, spec.file_name(name), derived.data, ours)
                    yield copy
                except (StoreError, ValueError, MemoryError, OSError) as error:
                    yield _failure(path, error)

    def _stored(self, image: DeliveredFile, spec: CopySpec, path: str, derived: DerivedImage) -> StoredCopy:
        return StoredCopy(
            path=path,
            batch=self._batch.name,
            key=image.key,
            name=spec.name,
            source=image.file.path,
            source_sha256=image.file.sha256,
            recipe=spec.recipe,
            sha256=hashlib.sha256(derived.data).hexdigest(),
            size_bytes=len(derived.data),
            width=derived.width,
            height=derived.height,
            mime=derived.mime,
        )

    def _content(self, image: DeliveredFile) -> bytes:
        data = open_file(self._root, image.file.path).read()
        if hashlib.sha256(data).hexdigest() != image.file.sha256:
            raise StoreError("the image is not as it was delivered (see verify)")
        return data

    def _remove_stale(self, order: Order) -> Iterator[CopyFailure]:
        """Remove the copies of images that the job no longer has: their images are under ``.superseded/``."""
        removed = []
        for copy in order.stale:
            name = self._name(copy.path)
            try:
                if name is not None:
                    remove_copy(self._batch.folder, name, copy.sha256)
                removed.append(copy.path)
            except StoreError as error:
                yield _failure(copy.path, error)
        self._records.remove(removed)

    def _name(self, path: str) -> str | None:
        """Return a stored path as seen from the output folder; None outside of it."""
        return name_in(self._batch.folder, place_of(path, self._root))

    def _path(self, name: str) -> str:
        """Return a name in the output folder as the job database stores paths."""
        return stored_path(self._batch.folder / name, self._root)


def _in_sidecar(copy: StoredCopy, name: str | None) -> dict[str, object]:
    document = copy.as_json()
    return {"name": document["name"], "file": name} | {
        key: document[key] for key in ("sha256", "bytes", "width", "height", "mime")
    }


def _failure(path: str, error: Exception) -> CopyFailure:
    cause = error if isinstance(error, OSError) else error.__cause__
    number = cause.errno if isinstance(cause, OSError) else None
    message = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(error)
    return CopyFailure(path=path, message=message or type(error).__name__, fatal=number in _FATAL)
