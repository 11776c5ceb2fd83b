"""Thumbnails, and what is measured of a picture while its pixels are there. CPU-bound.

A JPEG is decoded at a fraction of its size. 1024 x 1024 pixels cost 25 ms as PNG, 12 as JPEG and 40 as WebP, of which
the resampling is 5 and the encoding 4: HAMMING looks like BICUBIC at these ratios and costs half of LANCZOS.
"""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module

from PIL import Image

from ...picture import PictureFacts
from . import decode, heif
from .decoding import MAX_PIXELS, bytes_per_pixel, decoder_errors, memory, open_image
from .formats import DamagedImageError, TooLargeError, refusal, sniff
from .pixels import in_rgb, upright, upright_size
from .provenance import carries_c2pa

#: Pixels of the longest side of a thumbnail.
SIDE = 384
_QUALITY, _METHOD = 78, 2
#: Larger colour profiles cost more than the thumbnail itself.
_MAX_PROFILE = 8192
#: Cells along each side of the grid of mean colours, and of the difference hash.
_GRID, _HASH = 4, 16
#: By how much the values of a channel may differ in a picture of one colour: JPEG makes noise of 2 or 3.
_NOISE = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Thumbnail:
    """A thumbnail as WebP, and the facts of its picture; no data where the picture cannot be read."""

    facts: PictureFacts
    data: bytes | None = None


def make_thumbnail(data: bytes, sha256: str) -> Thumbnail:
    """Return the thumbnail of a file; a file that cannot be read gives facts with an error."""
    try:
        mime, image, size, alpha = _decode(data)
        with image:
            small = shrink(image)
        facts = measure(small, data, sha256=sha256, mime=mime, size=size, alpha=alpha)
        return Thumbnail(facts=facts, data=_encode(small))
    except (DamagedImageError, MemoryError, OSError, ModuleNotFoundError) as error:
        return Thumbnail(facts=unreadable(data, sha256, str(error) or type(error).__name__))


def decode_facts(data: bytes, sha256: str) -> PictureFacts | None:
    """Decode every pixel of a file and return its facts; None where they cannot be measured although it decodes.

    Raises DamagedImageError and whatever else ``decode`` raises.
    """
    facts: list[PictureFacts] = []

    def look(mime: str, image: Image.Image) -> None:
        with suppress(Exception):  # an odd mode of pixels does not make a file damaged
            size, alpha = upright_size(image), is_transparent(image)
            facts.append(measure(shrink(image), data, sha256=sha256, mime=mime, size=size, alpha=alpha))

    decode(data, look)
    return facts[0] if facts else None


def unreadable(data: bytes, sha256: str, message: str) -> PictureFacts:
    """Return the facts of a file that cannot be read."""
    mime = sniff(data) or ""
    return PictureFacts(
        sha256=sha256, size_bytes=len(data), mime=mime, c2pa=carries_c2pa(mime, data), error=message[:300]
    )


def shrink(image: Image.Image) -> Image.Image:
    """Return a decoded image within the size of a thumbnail, upright, in RGB or RGBA; closes nothing."""
    image = in_rgb(image)
    ratio = min(1.0, SIDE / max(image.size))
    size = max(1, round(image.width * ratio)), max(1, round(image.height * ratio))
    small = image if size == image.size else image.resize(size, Image.Resampling.HAMMING)
    return upright(small)


def is_transparent(image: Image.Image) -> bool:
    """Return whether any pixel of an image is transparent."""
    if not image.has_transparency_data:
        return False
    alpha = image.getchannel("A") if "A" in image.getbands() else image.convert("RGBA").getchannel("A")
    lowest, _ = alpha.getextrema()
    return isinstance(lowest, int) and lowest < 255


def measure(
    small: Image.Image, data: bytes, *, sha256: str, mime: str, size: tuple[int, int], alpha: bool
) -> PictureFacts:
    """Return the facts of a picture from its thumbnail; *size* is that of the upright picture."""
    opaque = _on_grey(small)
    return PictureFacts(
        sha256=sha256,
        size_bytes=len(data),
        mime=mime,
        width=size[0],
        height=size[1],
        dhash=_difference_hash(opaque),
        colour=opaque.resize((_GRID, _GRID), Image.Resampling.BOX).tobytes().hex(),
        uniform=all(high - low <= _NOISE for low, high in _ranges(small)),
        alpha=alpha,
        c2pa=carries_c2pa(mime, data),
        thumb_width=small.width,
        thumb_height=small.height,
    )


def _decode(data: bytes) -> tuple[str, Image.Image, tuple[int, int], bool]:
    """Return the kind of a file, its pixels, its upright size, and whether some pixels are transparent."""
    mime = sniff(data)
    if mime is None:
        return _decode_heif(data)
    with decoder_errors():
        image = open_image(mime, data)
        size = upright_size(image)
        with memory.reserve(bytes_per_pixel(mime, image) * size[0] * size[1]):
            image.draft(None, (SIDE, SIDE))  # only JPEG can decode at a fraction of its size; others ignore it
            image.load()
        return mime, image, size, is_transparent(image)


def _decode_heif(data: bytes) -> tuple[str, Image.Image, tuple[int, int], bool]:
    if not heif.is_heif(data):
        raise refusal(data)
    if not heif.is_installed():
        raise DamagedImageError(f"it is HEIC, which needs pillow-heif ({heif.INSTALL})")
    with decoder_errors():
        width, height = heif.size_of(data)
        if width * height > MAX_PIXELS:
            raise TooLargeError(f"{width}x{height} pixels are more than the {MAX_PIXELS} allowed")
        image = heif.decode(data)
        return heif.MIME, image, image.size, is_transparent(image)


def _on_grey(small: Image.Image) -> Image.Image:
    """Return a picture without transparency: what lies under transparent pixels is noise."""
    if small.mode != "RGBA":
        return small
    below = Image.new("RGBA", small.size, (128, 128, 128, 255))
    below.alpha_composite(small)
    return below.convert("RGB")


def _difference_hash(picture: Image.Image) -> str:
    """Return a bit for each pixel of 16 x 16: whether it is brighter than its left neighbour."""
    grey = picture.convert("L").resize((_HASH + 1, _HASH), Image.Resampling.BOX).tobytes()
    bits = 0
    for row in range(0, len(grey), _HASH + 1):
        for left, right in zip(grey[row : row + _HASH], grey[row + 1 : row + _HASH + 1], strict=True):
            bits = bits << 1 | (right > left)
    return f"{bits:064x}"


def _ranges(small: Image.Image) -> list[tuple[int, int]]:
    """Return the lowest and the highest value of each channel."""
    return [channel.getextrema() for channel in small.split()]  # type: ignore[misc] # channels of 8 bits


def _encode(small: Image.Image) -> bytes:
    import_module("PIL.WebPImagePlugin")
    if small.mode == "RGBA" and not is_transparent(small):
        small = small.convert("RGB")
    profile = small.info.get("icc_profile") or b""
    sink = io.BytesIO()
    small.save(
        sink,
        "WEBP",
        quality=_QUALITY,
        method=_METHOD,
        icc_profile=profile if len(profile) <= _MAX_PROFILE else b"",
        exif=b"",
    )
    return sink.getvalue()
