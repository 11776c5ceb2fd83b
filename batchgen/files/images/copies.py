"""Copies of source images that are sent in their place: upright, or as a kind that providers accept.

The same file always makes the same copy. Metadata, which may hold the place where a photo was taken, is left out of it.
"""

from __future__ import annotations

import io
import struct
from typing import Any

from PIL import Image, JpegImagePlugin

from . import heif
from .decoding import decoder_errors, memory, open_image, require_size
from .formats import sniff
from .photos import read_photo
from .pixels import in_rgb, upright

#: Good enough that a second encoding is not seen.
_QUALITY = 95
#: The image as it is stored and turned or converted, each with up to four bytes, and what encoding takes.
_BYTES_PER_PIXEL = 12


def make_copy(data: bytes, kind: str) -> bytes:
    """Return the copy of an image: *kind* is upright, which keeps its format, or jpeg or png, which is upright too.

    Raises DamagedImageError if the image does not decode.
    """
    photo = read_photo(data)
    with memory.reserve(_BYTES_PER_PIXEL * photo.width * photo.height), decoder_errors():
        image, options = _opened(data)
        if kind == "upright":
            return _encoded(upright(image), options)
        image = in_rgb(upright(image))
        if kind == "png":
            return _encoded(image, {"format": "PNG"})
        return _encoded(_without_alpha(image), {"format": "JPEG", "quality": _QUALITY, "subsampling": 0})


def _opened(data: bytes) -> tuple[Image.Image, dict[str, Any]]:
    """Return an image, decoded, and how it is written in its own format."""
    mime = sniff(data)
    if mime is None:
        return heif.decode(data), {"format": "PNG"}
    image = open_image(mime, data)
    require_size(image)
    options = _own_format(mime, image, data)
    image.load()
    return image, options


def _own_format(mime: str, image: Image.Image, data: bytes) -> dict[str, Any]:
    if mime == "image/jpeg":
        sampling = JpegImagePlugin.get_sampling(image)
        return {"format": "JPEG", "quality": _QUALITY, "subsampling": 2 if sampling == 2 else 0}
    if mime == "image/webp":
        return {"format": "WEBP", "quality": _QUALITY, "lossless": _is_lossless(data)}
    return {"format": "PNG"}


def _is_lossless(data: bytes) -> bool:
    """Return whether the first frame of a WebP is coded without loss."""
    position = 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind in (b"VP8L", b"VP8 "):
            return bool(kind == b"VP8L")
        position += 8 + (16 if kind == b"ANMF" else length + length % 2)  # a frame holds chunks of its own
    return False


def _without_alpha(image: Image.Image) -> Image.Image:
    """Return an image in RGB, with white behind its transparent parts."""
    if image.mode == "RGB":
        return image
    flat = Image.new("RGB", image.size, "white")
    flat.paste(image, mask=image.getchannel("A"))
    flat.info = image.info
    return flat


def _encoded(image: Image.Image, options: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    profile = image.info.get("icc_profile")
    extra = {} if profile is None else {"icc_profile": profile}
    # Pillow would write a comment as well. The EXIF data, with the orientation, is written only where it is passed.
    image.info = {key: value for key, value in image.info.items() if key == "transparency"}
    image.save(out, **options, **extra)
    return out.getvalue()
