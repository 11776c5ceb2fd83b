"""What an image really is, by its bytes.  A doer: CPU-bound, runs in worker threads.

No truncated or damaged file passes: the container must end where it says it ends, its checksums must hold,
and every pixel must decode.  ``Image.verify()`` alone lets a JPEG through that was cut in half.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import ImageFile

from . import jpeg
from .containers import CHECKS, require_pixels
from .decoding import MAX_MEMORY, MAX_PIXELS, bytes_per_pixel, explained, memory, open_image, require_size
from .formats import EXTENSIONS, SOURCE_TYPES, DamagedImageError, UnknownFormatError, refusal, sniff

__all__ = [
    "EXTENSIONS",
    "MAX_MEMORY",
    "MAX_PIXELS",
    "SOURCE_TYPES",
    "DamagedImageError",
    "ImageInfo",
    "UnknownFormatError",
    "examine",
    "require_whole",
    "sniff",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageInfo:
    """What an image turned out to be; width and height in pixels."""

    mime: str
    width: int
    height: int

    @property
    def extension(self) -> str:
        """Return the file extension that matches the content, without a dot."""
        return EXTENSIONS[self.mime]


def examine(data: bytes) -> ImageInfo:
    """Decode *data* fully and return what it is.

    Raises DamagedImageError where anything is missing or wrong, UnknownFormatError where it may be a picture that
    cannot be decoded here, and MemoryError or OSError where this machine fails, not the image.
    """
    mime = sniff(data)
    if mime is None:
        raise refusal(data)
    _require_container(mime, data)
    with explained(), open_image(mime, data) as image:
        facts = ImageInfo(mime=mime, width=image.width, height=image.height)
        try:
            _decode(mime, image)
        except (OSError, ValueError) as error:
            if mime == "image/jpeg" and not jpeg.is_usual(data):
                raise UnknownFormatError(f"a kind of JPEG that cannot be read here: {error}", "jpg") from error
            raise
    return facts


def require_whole(mime: str, data: bytes) -> None:
    """Raise DamagedImageError where an image is cut off or fails a checksum: what examine finds, without its cost."""
    _require_container(mime, data)
    if mime == "image/png":
        require_pixels(data)


def _require_container(mime: str, data: bytes) -> None:
    if mime == "image/jpeg":
        jpeg.is_whole(data)
    elif (check := CHECKS.get(mime)) is not None:
        check(data)


def _decode(mime: str, image: ImageFile.ImageFile) -> None:
    pages = getattr(image, "n_frames", 1) if mime == "image/tiff" else 1  # they lie anywhere in the file
    size = bytes_per_pixel(mime, image) * image.width * image.height
    with memory.reserve(size if pages == 1 else MAX_MEMORY):
        try:
            image.load()
            for page in range(1, pages):
                image.seek(page)
                require_size(image)
                image.load()
        finally:
            image.close()  # the pixels go before the next picture's come
