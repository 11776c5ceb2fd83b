"""Source images of edits: found, checked and hashed before anything is sent."""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from urllib.parse import urlsplit

from ..files import naming
from ..files.object_catalog import ObjectCatalog
from ..files.opening import OpenError, open_file
from ..object_url import is_object_url
from ..task import Source
from .bad_source import BadSource, MissingSource, base_of
from .object_sources import MAX_BYTES, MAX_MATCHES, ObjectSources

if TYPE_CHECKING:
    from ..files.images.photos import Photo

MAX_PIXELS = 64_000_000
#: For so many missing files a similar name is looked for; more of them have one cause.
_MAX_GUESSES = 20


_LABELS = {
    "image/jp2": "JPEG 2000",
    "image/x-icon": "an icon",
    "image/x-portable-anymap": "PNM",
}


class Preparation(NamedTuple):
    """What a job does to its source images before they are sent; nothing, by default."""

    orient: bool = False  #: turn those upright that are stored rotated
    convert: str | None = None  #: jpeg or png for those of a kind that providers do not accept, or misunderstand

    def copy_of(self, photo: Photo) -> str | None:
        """Return the kind of copy that is sent in place of *photo*; None if it is sent as it is."""
        return photo.copy_kind(orient=self.orient, convert=self.convert)


_NONE = Preparation()


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceImage:
    """A local image that was read."""

    name: str  #: as the manifest names it
    source: Source
    photo: Photo

    def prepared(self, preparation: Preparation) -> Source:
        """Return the source as a job sends it; raise BadSource if no provider accepts it like that."""
        photo, kind = self.photo, preparation.copy_of(self.photo)
        if kind is None and not photo.accepted:
            label = _LABELS.get(photo.mime) or photo.mime.removeprefix("image/").upper()
            raise BadSource(
                f"{self.name} is {label}, and providers accept PNG, JPEG and WebP: write convert: jpeg (or png) to "
                "send a converted copy"
            )
        if kind is None:
            return self.source
        return replace(self.source, copy=kind, mime=photo.mime if kind == "upright" else f"image/{kind}")

    def size(self, source: Source) -> tuple[int, int]:
        """Return width and height of what is sent as *source*."""
        return (self.photo.width, self.photo.height) if source.copy is None else self.photo.upright_size


class Sources:
    """The local images that manifests name; each file is read once, however many jobs name it."""

    def __init__(self, catalog: ObjectCatalog | None = None) -> None:
        self._objects = ObjectSources(catalog or ObjectCatalog())
        self._images: dict[str, SourceImage | BadSource] = {}
        self._matches: dict[tuple[Path, str], tuple[str, ...]] = {}
        self._guesses = 0
        self._base = ""  #: the folder that was left out before the last missing name

    def images(
        self, names: Sequence[str], folder: Path, preparation: Preparation = _NONE
    ) -> tuple[tuple[Source, ...], tuple[SourceImage, ...]]:
        """Return the sources of *names*, and those of them that are local images.

        The names are https URLs, URLs and globs of objects in a store, and paths and globs relative to *folder*. Raise
        BadSource.
        """
        sources: list[Source] = []
        local: list[SourceImage] = []
        for name in map(naming.without_scheme, names):
            if is_object_url(name):
                sources += self._objects.sources(name, orient=preparation.orient, convert=preparation.convert)
                continue
            if is_url(name):
                sources.append(Source(url=_checked_url(name)))
                continue
            for path in self._paths(name, folder):
                local.append(self._image(path, folder))
                sources.append(local[-1].prepared(preparation))
        return tuple(sources), tuple(local)

    def mask(self, name: str, first: Source | None, folder: Path, preparation: Preparation = _NONE) -> Source:
        """Return a mask: a PNG with alpha, as large as the *first* image if that is known; or raise BadSource."""
        name = naming.without_scheme(name)
        if is_object_url(name):
            return self._objects.mask(name, orient=preparation.orient)
        if is_url(name):
            return Source(url=_checked_url(name))
        mask = self._image(name, folder)
        if mask.photo.mime != "image/png":
            raise BadSource(f"the mask {name} is not a PNG")
        if not mask.photo.alpha:
            raise BadSource(f"the mask {name} has no alpha channel; its transparent parts mark what may change")
        source = mask.prepared(preparation._replace(convert=None))
        if first is not None and first.path is not None:
            image = self._image(first.path, folder)
            size, wanted = mask.size(source), image.size(first)
            if size != wanted:
                sizes = f"{size[0]}x{size[1]}, the first image is {wanted[0]}x{wanted[1]}"
                turned = image.photo.rotated and size == image.photo.upright_size
                hint = "; upright it has that size: write orient: true" if turned else ""
                raise BadSource(f"the mask {name} must be as large as the first image: it is {sizes}{hint}")
        return source

    def _paths(self, name: str, folder: Path) -> tuple[str, ...]:
        """Return the files that a path or a glob names, sorted, so that their order never depends on the disk."""
        if not glob.has_magic(name):
            return (name,)
        try:
            if (found := naming.find(folder, name)) is not None:
                return (found,)
        except ValueError:  # a NUL
            return (name,)
        if (folder, name) not in self._matches:
            fixed = naming.fixed_parts(folder, name)
            parts = name.split("/")
            pattern = "/".join([*map(glob.escape, parts[:fixed]), *parts[fixed:]])
            paths = naming.matching(folder, pattern)
            self._matches[folder, name] = tuple(sorted(itertools.islice(paths, MAX_MATCHES + 1)))
        matches = self._matches[folder, name]
        if not matches:
            raise self._no_match(name, folder)
        if len(matches) > MAX_MATCHES:
            raise BadSource(
                f"the pattern {name} matches more than {MAX_MATCHES} files; all of them would go into one edit"
            )
        return matches

    def _image(self, name: str, folder: Path) -> SourceImage:
        path = os.path.abspath(folder / name)  # noqa: PTH100 - resolve() would follow links; the name counts
        if path not in self._images:
            try:
                self._images[path] = self._read(path, name, folder)
            except BadSource as bad:
                self._images[path] = bad
        image = self._images[path]
        if isinstance(image, BadSource):
            raise image
        return image

    def _read(self, path: str, name: str, folder: Path) -> SourceImage:
        try:
            with open_file(path) as file:
                return _examine(file, path, name)
        except OpenError as error:
            if error.why == "missing" and (found := naming.find(folder, name)) is not None and found != name:
                return self._image(found, folder)
            raise self._not_open(error, path, name, folder) from None

    def _not_open(self, error: OpenError, path: str, name: str, folder: Path) -> BadSource:
        """Return why a file could not be opened, with the name that was probably meant if there is none."""
        if error.why == "folder":
            hint = f"from: {name} edits each image in it, images: {name.rstrip('/')}/*.jpg all in one edit"
            return BadSource(f"{name} is a folder; {hint}")
        if error.why == "device":
            return BadSource(f"{name} {error}")
        if error.why == "missing":
            if os.path.islink(path):  # noqa: PTH114
                return BadSource(f"{name}: is a link to {os.readlink(path)}, which does not exist")  # noqa: PTH115
            shown = f"{name}: {error} ({path})" if name.isprintable() else f"{name!r}: {error}"
            return (
                BadSource(f"{shown}{hint}") if (hint := _several(name, folder)) else self._missing(shown, name, folder)
            )
        return BadSource(f"{name}: {error} ({path})")

    def _missing(self, message: str, name: str, folder: Path) -> MissingSource:
        return MissingSource(message, name, self._guess(name, folder))

    def _guess(self, name: str, folder: Path) -> str | None:
        if self._base and (found := naming.find(folder, self._base + name)) is not None:
            return found
        self._guesses += 1
        guess = naming.similar(folder, name) if self._guesses <= _MAX_GUESSES else None
        self._base = base_of(name, guess) or self._base
        return guess

    def _no_match(self, pattern: str, folder: Path) -> BadSource:
        """Return why a pattern matches nothing; one without ``*`` and ``?`` is probably a name with brackets."""
        if "*" in pattern or "?" in pattern:
            hint = "; upper and lower case count" if _matches_otherwise(pattern, folder) else ""
            return BadSource(f"the pattern {pattern} matches no file in {folder}{hint}")
        return MissingSource(f"{pattern}: there is no such file in {folder}", pattern, self._guess(pattern, folder))


def _several(name: str, folder: Path) -> str:
    """Return a hint where *name* is several files in one cell, separated by something else than semicolons."""
    for separator, called in ((",", "commas"), ("|", "bars"), ("\n", "line breaks")):
        names = [part.strip() for part in name.split(separator)]
        if len(names) > 1 and all(part and naming.find(folder, part) is not None for part in names):
            return f"; separate several images with ; and not with {called}"
    return ""


def _matches_otherwise(pattern: str, folder: Path) -> bool:
    """Return whether a pattern matches a file if upper and lower case do not count in its suffix."""
    stem, suffix = os.path.splitext(pattern)  # noqa: PTH122
    either = "".join(f"[{letter.lower()}{letter.upper()}]" if letter.isalpha() else letter for letter in suffix)
    return any(naming.matching(folder, f"{stem}{either}"))


def is_url(name: str) -> bool:
    """Return whether a source is given as a URL."""
    return "://" in name[:20] or name.startswith(("data:", "file:"))


def is_web_url(name: str) -> bool:
    """Return whether a source is given as a URL that leads to no object store."""
    return is_url(name) and not is_object_url(name)


def _checked_url(name: str) -> str:
    if name.startswith("data:"):
        raise BadSource("a data URL cannot be used in a manifest; save the image as a file and name that")
    try:
        parts = urlsplit(name)
        host = parts.hostname
    except ValueError:
        raise BadSource(f"{name[:60]} is not a valid URL") from None
    if parts.scheme != "https" or not host:
        raise BadSource(
            f"{name[:60]} is not an https URL, nor one of an object store (s3://, gs://, az://); others are not fetched"
        )
    if parts.username is not None or any(char.isspace() or not char.isprintable() for char in name):
        raise BadSource(f"the URL at {host} contains a password, a space or a control character")
    return name


def _examine(file: BinaryIO, path: str, name: str) -> SourceImage:
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise BadSource(f"{name} is empty")
    if size > MAX_BYTES:
        raise BadSource(f"{name} has {size / 1e6:.0f} MB; the limit is {MAX_BYTES / 1e6:.0f} MB")
    data = file.read()
    photo = _photo(data, name)
    source = Source(path=path, sha256=hashlib.sha256(data).hexdigest(), mime=photo.mime, size_bytes=len(data))
    return SourceImage(name=name, source=source, photo=photo)


def _photo(data: bytes, name: str) -> Photo:
    """Return the facts in the header of an image; no pixel of a photo is decoded."""
    # Imported here: most manifests have no source images, and Pillow takes a while to load.
    from ..files.images import DamagedImageError, TooLargeError, UnknownFormatError
    from ..files.images.heif import INSTALL, MIME, is_installed
    from ..files.images.photos import read_photo

    try:
        photo = read_photo(data)
    except UnknownFormatError:
        raise BadSource(f"{name} is not a PNG, JPEG or WebP image (by its content, not its name)") from None
    except TooLargeError:
        raise BadSource(f"{name} has more than {MAX_PIXELS // 1_000_000} million pixels") from None
    except DamagedImageError as error:
        raise BadSource(f"{name} is damaged: {str(error) or 'its header makes no sense'}") from error
    if photo.mime == MIME and not is_installed():
        raise BadSource(
            f"{name} is HEIC: install what reads it, {INSTALL}, and write convert: jpeg; or export it as jpg"
        )
    return photo
