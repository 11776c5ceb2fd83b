"""Source images of edits: found, checked and hashed before anything is sent."""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from ..files.opening import OpenError, open_file
from ..task import Source

MAX_BYTES = 200_000_000
MAX_PIXELS = 64_000_000
#: A pattern that matches more is a mistake: no provider accepts so many for one image.
MAX_MATCHES = 100

_FORMATS = ("PNG", "JPEG", "WEBP")


class BadSource(ValueError):
    """A source image that cannot be used; the text says which and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Image:
    """A local image that was read."""

    source: Source
    width: int
    height: int
    alpha: bool


class Sources:
    """The local images that manifests name; each file is read once, however many jobs name it."""

    def __init__(self) -> None:
        self._images: dict[str, _Image | BadSource] = {}
        self._matches: dict[tuple[Path, str], tuple[str, ...]] = {}

    def images(self, names: list[str], folder: Path) -> tuple[Source, ...]:
        """Return the sources of *names*: https URLs, and paths and globs relative to *folder*; raise BadSource."""
        sources: list[Source] = []
        for name in names:
            if _is_url(name):
                sources.append(Source(url=_checked_url(name)))
            else:
                sources.extend(self._image(path, folder).source for path in self._paths(name, folder))
        return tuple(sources)

    def mask(self, name: str, first: Source, folder: Path) -> Source:
        """Return a mask: a PNG with alpha, as large as the *first* image; raise BadSource otherwise."""
        if _is_url(name):
            return Source(url=_checked_url(name))
        mask = self._image(name, folder)
        if mask.source.mime != "image/png":
            raise BadSource(f"the mask {name} is not a PNG")
        if not mask.alpha:
            raise BadSource(f"the mask {name} has no alpha channel; its transparent parts mark what may change")
        if first.path is not None:
            image = self._image(first.path, folder)
            if (mask.width, mask.height) != (image.width, image.height):
                sizes = f"{mask.width}x{mask.height}, the first image is {image.width}x{image.height}"
                raise BadSource(f"the mask {name} must be as large as the first image: it is {sizes}")
        return mask.source

    def _paths(self, name: str, folder: Path) -> tuple[str, ...]:
        """Return the files that a path or a glob names, sorted, so that their order never depends on the disk."""
        if not glob.has_magic(name) or os.path.lexists(folder / name):
            return (name,)
        if (folder, name) not in self._matches:
            # Path.glob refuses absolute patterns and some relative ones
            paths = glob.iglob(name, root_dir=folder, recursive=True)  # noqa: PTH207
            self._matches[folder, name] = tuple(sorted(itertools.islice(paths, MAX_MATCHES + 1)))
        matches = self._matches[folder, name]
        if not matches:
            raise BadSource(f"the pattern {name} matches no file in {folder}")
        if len(matches) > MAX_MATCHES:
            raise BadSource(
                f"the pattern {name} matches more than {MAX_MATCHES} files; all of them would go into one edit"
            )
        return matches

    def _image(self, name: str, folder: Path) -> _Image:
        path = os.path.abspath(folder / name)  # noqa: PTH100 - resolve() would follow links; the name counts
        if path not in self._images:
            try:
                self._images[path] = _read(path, name)
            except BadSource as bad:
                self._images[path] = bad
        image = self._images[path]
        if isinstance(image, BadSource):
            raise image
        return image


def _is_url(name: str) -> bool:
    return "://" in name[:20] or name.startswith(("data:", "file:"))


def _checked_url(name: str) -> str:
    if name.startswith("data:"):
        raise BadSource("a data URL cannot be used in a manifest; save the image as a file and name that")
    try:
        parts = urlsplit(name)
        host = parts.hostname
    except ValueError:
        raise BadSource(f"{name[:60]} is not a valid URL") from None
    if parts.scheme != "https" or not host:
        raise BadSource(f"{name[:60]} is not an https URL; others are not fetched")
    if parts.username is not None or any(char.isspace() or not char.isprintable() for char in name):
        raise BadSource(f"the URL at {host} contains a password, a space or a control character")
    return name


def _read(path: str, name: str) -> _Image:
    try:
        with open_file(path) as file:
            return _examine(file, path, name)
    except OpenError as error:
        if error.why == "folder":
            hint = f"from: {name} edits each image in it, images: {name.rstrip('/')}/*.jpg all in one edit"
            raise BadSource(f"{name} is a folder; {hint}") from None
        raise BadSource(f"{name} {error}" if error.why == "device" else f"{name}: {error} ({path})") from None


def _examine(file: BinaryIO, path: str, name: str) -> _Image:
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise BadSource(f"{name} is empty")
    if size > MAX_BYTES:
        raise BadSource(f"{name} has {size / 1e6:.0f} MB; the limit is {MAX_BYTES / 1e6:.0f} MB")
    data = file.read()
    mime, width, height, alpha = _header(data, name)
    source = Source(path=path, sha256=hashlib.sha256(data).hexdigest(), mime=mime, size_bytes=len(data))
    return _Image(source=source, width=width, height=height, alpha=alpha)


def _header(data: bytes, name: str) -> tuple[str, int, int, bool]:
    """Return type by content, width, height and whether there is an alpha channel; no pixel is decoded."""
    # Imported here: most manifests have no source images, and Pillow takes a while to load.
    from PIL import Image, UnidentifiedImageError

    from ..files.images import require_whole, sniff

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is stricter
            image = Image.open(BytesIO(data), formats=_FORMATS)
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise BadSource(f"{name} has {width}x{height} pixels; the limit is {MAX_PIXELS // 1_000_000} megapixels")
        mime, alpha = sniff(data) or "", image.has_transparency_data  # Pillow calls some JPEGs otherwise
        require_whole(mime, data)
    except UnidentifiedImageError:
        raise BadSource(f"{name} is not a PNG, JPEG or WebP image (by its content, not its name)") from None
    except Image.DecompressionBombError:
        raise BadSource(f"{name} has more than {MAX_PIXELS // 1_000_000} megapixels") from None
    except (BadSource, MemoryError, ImportError):
        raise
    except Exception as error:
        # Pillow raises OSError, SyntaxError, AssertionError, struct.error, ... for broken files, by format
        raise BadSource(f"{name} is damaged: {str(error) or 'its header makes no sense'}") from error
    return mime, width, height, alpha
