"""Source cache: source images given as URLs, fetched once for providers that need the bytes, and copies of photos."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from anyio import Lock, to_thread

from ..errors import StoreError
from ..fault import Cause, Fault, ProviderError
from ..task import Source, Task
from .images import SOURCE_TYPES, DamagedImageError, ImageInfo, decode, sniff
from .images.heif import INSTALL
from .output import make_private, publish
from .source_names import copy_name, fetched_file, fetched_stem
from .source_objects import SourceObjects
from .spool import Scratch, Spool

_REPLACE = "replace it by an intact file, then run again"


class Fetch(Protocol):
    """Downloads a source image."""

    async def __call__(self, url: str, sink: Scratch) -> None:
        """Download *url* into *sink*; raise ProviderError if that fails."""
        ...


class SourceCache:
    """The folder of source images that are sent in place of those of the user: fetched ones, and copies."""

    def __init__(self, folder: Path, spool: Spool, fetch: Fetch, is_ending: Callable[[], bool] = lambda: False) -> None:
        """*is_ending*: whether the run sends nothing more, so that images in object stores are not waited for."""
        self._folder = make_private(folder)
        self._spool = spool
        self._fetch = fetch
        self._objects = SourceObjects(self._folder, _prepare, is_ending=is_ending)
        self._locks: dict[str, Lock] = {}  #: by URL, because many jobs may need the same image at once
        self._copies: dict[str, Source] = {}  #: by file name
        self._versions: dict[Path, tuple[int, int, str]] = {}  #: file -> (mtime, size, sha256) when it was verified

    async def require_unchanged(self, task: Task) -> None:
        """Raise ProviderError (invalid) if a source file differs from the one that the plan was made for."""
        for source in task.sources:
            if source.job is not None and source.sha256 is None:
                raise _invalid(
                    f"job {source.job} has no image {source.name}", f"redo {source.job}, then retry this job"
                )
            if source.path is not None and source.sha256 is not None:
                await to_thread.run_sync(self._verify, Path(source.path), source.sha256)

    async def with_copies(self, task: Task) -> Task:
        """Return *task* with the copies that are sent in place of source files; raise ProviderError (invalid)."""
        images = tuple([await self._copy(source) for source in task.images])
        mask = await self._copy(task.mask) if task.mask else None
        return replace(task, images=images, mask=mask)

    async def _copy(self, source: Source) -> Source:
        if source.copy is None or source.path is None:
            return source
        name = copy_name(source)
        async with self._locks.setdefault(name, Lock()):
            if name not in self._copies:
                self._copies[name] = await to_thread.run_sync(self._make, name, source)
            return self._copies[name]

    def _make(self, name: str, source: Source) -> Source:
        file, path = self._folder / name, Path(source.path or "")
        try:
            data = file.read_bytes() if file.exists() else _convert(path, source)
        except OSError as error:
            raise _invalid(f"source image {_shown(path)}: {error.strerror}", "put the file back, then retry") from error
        if not file.exists():
            publish(self._folder, name, data)
        sha256 = hashlib.sha256(data).hexdigest()
        return Source(path=str(file), sha256=sha256, mime=source.mime, size_bytes=len(data))

    def _verify(self, path: Path, sha256: str) -> None:
        try:
            facts = path.stat()
            version = (facts.st_mtime_ns, facts.st_size, sha256)
            if self._versions.get(path) == version:
                return
            data = path.read_bytes()
        except OSError as error:
            raise _invalid(f"source image {_shown(path)}: {error.strerror}", "put the file back, then retry") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise _changed(path)
        if sniff(data) is not None:  # Other images are decoded when their copy is made.
            # A provider may charge for a request with a damaged image.
            _examine(data, _shown(path), _REPLACE)
        self._versions[path] = version

    async def with_objects(self, task: Task) -> Task:
        """Return *task* with every source in an object store as a local file, which providers get as bytes.

        Raise ProviderError (invalid) if one has changed or cannot be used, StoreError if the store fails, and
        StopWaiting if the run ends first.
        """
        sources = task.sources
        if not any(source.etag for source in sources):
            return task
        files = [await self._objects.local(source) if source.etag else source for source in sources]
        if task.mask is None:
            return replace(task, images=tuple(files))
        *images, mask = files
        if task.mask.etag:
            await to_thread.run_sync(_check_mask, task.mask, mask, images[0])
        return replace(task, images=tuple(images), mask=mask)

    async def with_local_files(self, task: Task) -> Task:
        """Return *task* with every source as a local file; raise ProviderError (invalid) if one cannot be fetched."""
        images = tuple([await self._local(source) for source in task.images])
        mask = await self._local(task.mask) if task.mask else None
        return replace(task, images=images, mask=mask)

    async def _local(self, source: Source) -> Source:
        if source.url is None:
            return source
        async with self._locks.setdefault(source.url, Lock()):
            return await self._cached(source.url)

    async def _cached(self, url: str) -> Source:
        source = Source(url=url)
        if (fetched := fetched_file(self._folder, source)) is not None:
            return fetched
        with self._spool.scratch() as sink:
            await self._fetch(url, sink)
            data = sink.body()
        facts = await to_thread.run_sync(_examine, data, url)
        if facts.mime not in SOURCE_TYPES:
            raise _invalid(f"source image {url} is {facts.mime}; providers accept PNG, JPEG and WebP")
        name = f"{fetched_stem(source)}.{facts.extension}"
        await to_thread.run_sync(publish, self._folder, name, data)
        return Source(path=str(self._folder / name), mime=facts.mime, size_bytes=len(data))


def _convert(path: Path, source: Source) -> bytes:
    """Return the copy of a source image; raise ProviderError if it is damaged, StoreError if memory is short."""
    from .images.copies import make_copy

    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != source.sha256:
        raise _changed(path)
    try:
        return make_copy(data, str(source.copy))
    except DamagedImageError as error:
        raise _invalid(f"source image {_shown(path)}: {error}", _REPLACE) from error
    except ModuleNotFoundError as error:
        raise _invalid(f"source image {_shown(path)} is HEIC, which needs pillow-heif", INSTALL) from error
    except MemoryError as error:
        raise _out_of_memory(_shown(path)) from error


def _prepare(data: bytes, source: Source) -> tuple[bytes, str]:
    """Return what is sent in place of the bytes of an object, and its kind; raise ProviderError, StoreError."""
    from .images.copies import make_copy
    from .images.photos import read_photo

    name, wanted = str(source.url), (source.preparation or "").split("+")
    try:
        photo = read_photo(data)
        convert = next((kind for kind in wanted if kind in ("jpeg", "png")), None)
        kind = photo.copy_kind(orient="upright" in wanted, convert=convert)
        data = data if kind is None else make_copy(data, kind)
    except DamagedImageError as error:
        raise _invalid(f"source image {name}: {error}", _REPLACE) from error
    except ModuleNotFoundError as error:
        raise _invalid(f"source image {name} is HEIC, which needs pillow-heif", INSTALL) from error
    except MemoryError as error:
        raise _out_of_memory(name) from error
    facts = _examine(data, name, _REPLACE)
    if facts.mime not in SOURCE_TYPES:
        raise _invalid(
            f"source image {name} is {facts.mime}; providers accept PNG, JPEG and WebP", "write convert: jpeg (or png)"
        )
    return data, facts.mime


def _check_mask(source: Source, mask: Source, image: Source) -> None:
    """Raise ProviderError if a mask from an object store is not a PNG with alpha, as large as the image."""
    from .images.photos import read_photo

    if image.path is None or mask.path is None:
        return
    try:
        photo, other = read_photo(Path(mask.path).read_bytes()), read_photo(Path(image.path).read_bytes())
    except (OSError, DamagedImageError) as error:
        raise _invalid(f"mask {source.url}: {error}", _REPLACE) from error
    if photo.mime != "image/png" or not photo.alpha:
        raise _invalid(f"the mask {source.url} is not a PNG with an alpha channel", _REPLACE)
    if (photo.width, photo.height) != (other.width, other.height):
        sizes = f"it is {photo.width}x{photo.height}, the first image is {other.width}x{other.height}"
        raise _invalid(f"the mask {source.url} must be as large as the first image: {sizes}", _REPLACE)


def _examine(data: bytes, name: str, hint: str = "") -> ImageInfo:
    """Return the facts of a source image; raise ProviderError if it is damaged, StoreError if memory is short."""
    try:
        return decode(data)
    except DamagedImageError as error:
        raise _invalid(f"source image {name}: {error}", hint) from error
    except MemoryError as error:
        raise _out_of_memory(name) from error


def _out_of_memory(name: str) -> StoreError:
    return StoreError(
        f"not enough memory to read the source image {name}. Nothing was sent for it: free memory, then run the "
        "same command again"
    )


def _shown(path: Path) -> str:
    """Return a path as the user would type it: relative to the working folder if it is below that."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _changed(path: Path) -> ProviderError:
    message = f"source image {_shown(path)} changed after the plan was made"
    return _invalid(message, "run again: the job then counts as changed")


def _invalid(message: str, hint: str = "") -> ProviderError:
    return ProviderError(Fault(cause=Cause.INVALID, message=message, hint=hint))
