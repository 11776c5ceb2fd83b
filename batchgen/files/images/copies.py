"""Copies of source images that are sent in their place: upright, or as a kind that providers accept.

The same file always makes the same copy. Metadata, which may hold the place where a photo was taken, is left out of it.
"""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from typing import Any

from PIL import Image, JpegImagePlugin

from . import heif
from .decoding import decoder_errors, memory, open_image, require_size
from .formats import sniff
from .photos import orientation, read_photo

#: Good enough that a second encoding is not seen.
_QUALITY = 95
#: The image as it is stored and turned or converted, each with up to four bytes, and what encoding takes.
_BYTES_PER_PIXEL = 12
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def make_copy(data: bytes, kind: str) -> bytes:
    """Return the copy of an image: *kind* is upright, which keeps its format, or jpeg or png, which is upright too.

    Raises DamagedImageError if the image does not decode.
    """
    photo = read_photo(data)
    with memory.reserve(_BYTES_PER_PIXEL * photo.width * photo.height), decoder_errors():
        image, options = _opened(data)
        if kind == "upright":
            return _encoded(_upright(image), options)
        image = _of_eight_bits(_upright(image))
        if kind == "png":
            return _encoded(_in_rgb(image, alpha=True), {"format": "PNG"})
        return _encoded(_in_rgb(image, alpha=False), {"format": "JPEG", "quality": _QUALITY, "subsampling": 0})


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


def _upright(image: Image.Image) -> Image.Image:
    turn = _UPRIGHT.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def _of_eight_bits(image: Image.Image) -> Image.Image:
    """Return an image with 8 bits per channel; only grey ones have more when they are decoded."""
    if image.mode == "F":
        extrema: Any = image.getextrema()
        low, high = extrema
        scale = 255 / (high - low) if high > low else 0
        return image.point(lambda value: value * scale - low * scale).convert("L")
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value / 256).convert("L")
    return image


def _in_rgb(image: Image.Image, *, alpha: bool) -> Image.Image:
    """Return an image in RGB; its transparent parts stay so with *alpha*, and become white without."""
    profile = image.info.get("icc_profile")
    if image.mode in ("CMYK", "YCCK", "LAB"):
        return _from_print_colors(image, profile)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    clear = image.convert("RGBA")
    if alpha:
        return clear
    flat = Image.new("RGB", clear.size, "white")
    flat.paste(clear, mask=clear.getchannel("A"))
    if profile is not None:
        flat.info["icc_profile"] = profile
    return flat


def _from_print_colors(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a CMYK image in sRGB, by its own profile where that can be used."""
    if profile is not None:
        with suppress(ImportError, OSError, ValueError, TypeError):
            from PIL import ImageCms

            source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            with suppress(ImageCms.PyCMSError):
                converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
                if converted is not None:
                    converted.info.pop("icc_profile", None)
                    return converted
    converted = image.convert("RGB")
    converted.info.pop("icc_profile", None)
    return converted


def _encoded(image: Image.Image, options: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    profile = image.info.get("icc_profile")
    # What else an image carries, such as its EXIF with the orientation, is not written unless it is passed.
    extra = {} if profile is None else {"icc_profile": profile}
    image.save(out, **options, **extra)
    return out.getvalue()
