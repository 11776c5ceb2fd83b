"""Image checks: the real format of an image, and whether it is complete. CPU-bound; runs in worker threads.

No truncated or damaged file passes: the container must have its stated length, its checksums must match, and every
pixel must decode. ``Image.verify()`` alone accepts a JPEG that was cut in half.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import ImageFile

from . import jpeg
from .containers import require_container, require_whole
from .decoding import MAX_MEMORY, MAX_PIXELS, bytes_per_pixel, decoder_errors, memory, open_image, require_size
from .formats import EXTENSIONS, SOURCE_TYPES, DamagedImageError, TooLargeError, UnknownFormatError, refusal, sniff

__all__ = [
    "EXTENSIONS",
    "MAX_MEMORY",
    "MAX_PIXELS",
    "SOURCE_TYPES",
    "DamagedImageError",
    "ImageInfo",
    "TooLargeError",
    "UnknownFormatError",
    "examine",
    "require_whole",
    "sniff",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageInfo:
    """The facts of an image; width and height are in pixels."""

    mime: str
    width: int
    height: int

    @property
    def extension(self) -> str:
        """Return the file extension that matches the content, without a dot."""
        return EXTENSIONS[self.mime]


def examine(data: bytes) -> ImageInfo:
    """Decode *data* fully and return its facts.

    Raises DamagedImageError if anything is missing or wrong, UnknownFormatError if it may be an image that cannot be
    decoded here, and MemoryError or OSError if this machine fails, not the image.
    """
    mime = sniff(data)
    if mime is None:
        raise refusal(data)
    require_container(mime, data)
    with decoder_errors(), open_image(mime, data) as image:
        facts = ImageInfo(mime=mime, width=image.width, height=image.height)
        try:
            _decode(mime, image)
        except (OSError, ValueError) as error:
            if mime == "image/jpeg" and not jpeg.is_usual(data):
                raise UnknownFormatError(f"a kind of JPEG that cannot be read here: {error}", "jpg") from error
            raise
    return facts


def _decode(mime: str, image: ImageFile.ImageFile) -> None:
    pages = getattr(image, "n_frames", 1) if mime == "image/tiff" else 1  # TIFF pages may be anywhere in the file
    size = bytes_per_pixel(mime, image) * image.width * image.height
    with memory.reserve(size if pages == 1 else MAX_MEMORY):
        try:
            image.load()
            for page in range(1, pages):
                image.seek(page)
                require_size(image)
                image.load()
        finally:
            image.close()  # frees the pixels before the next image is decoded
