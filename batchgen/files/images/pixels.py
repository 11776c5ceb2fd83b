"""Pixels of copies: upright, with 8 bits per channel, in RGB. What a copy is written from, whatever the image was."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

from PIL import Image

from .photos import orientation

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)
_PRINT_MODES = ("CMYK", "YCCK", "LAB")
#: The colour profiles of images in these modes describe RGB.
_RGB_MODES = ("RGB", "RGBA", "P")


def upright(image: Image.Image) -> Image.Image:
    """Return an image turned as its EXIF orientation asks; the image itself if it is upright."""
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height of an image as it is to be shown."""
    return (image.height, image.width) if orientation(image) in _SIDEWAYS else image.size


def in_rgb(image: Image.Image) -> Image.Image:
    """Return an image in RGB, or in RGBA if parts of it are transparent, with a colour profile only if that fits."""
    if image.mode in _PRINT_MODES:
        return _from_print_colors(image)
    image = _in_eight_bits(image)
    mode = "RGBA" if image.has_transparency_data else "RGB"
    converted = image if image.mode == mode else image.convert(mode)
    if image.mode not in _RGB_MODES:
        converted.info.pop("icc_profile", None)
    return converted


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """Return an image with 8 bits per channel; only grey ones have more when they are decoded."""
    if image.mode == "F":
        extrema: Any = image.getextrema()
        low, high = extrema
        scale = 255 / (high - low) if high > low else 0
        grey = image.point(lambda value: value * scale - low * scale).convert("L")
    elif image.mode.startswith("I"):
        grey = image.convert("I").point(lambda value: value / 256).convert("L")
    else:
        return image
    grey.info.pop("transparency", None)  # a value of more than 8 bits
    return grey


def _from_print_colors(image: Image.Image) -> Image.Image:
    """Return a CMYK image in sRGB, by its own profile where that can be used."""
    converted = None
    if (profile := image.info.get("icc_profile")) is not None:
        with suppress(ImportError, OSError, ValueError, TypeError):
            from PIL import ImageCms

            source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            with suppress(ImageCms.PyCMSError):
                converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    converted = image.convert("RGB") if converted is None else converted
    converted.info.pop("icc_profile", None)
    return converted
