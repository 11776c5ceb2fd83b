"""Canvas: colours, gradients, letters and boxes that drawings and edits share."""

from __future__ import annotations

import colorsys
import threading

from PIL import Image, ImageFont

Box = tuple[int, int, int, int]
Colour = tuple[int, int, int]

_fonts = threading.local()  # a FreeType face must not be used by two threads at once


def fit(size: tuple[int, int], box: Box) -> Box:
    """Return the largest box of the proportions of ``size`` in the middle of ``box``."""
    left, top, right, bottom = box
    scale = min((right - left) / size[0], (bottom - top) / size[1])
    width, height = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    x, y = left + (right - left - width) // 2, top + (bottom - top - height) // 2
    return x, y, x + width, y + height


def colour(hue: float, saturation: float, value: float) -> Colour:
    """Return a colour by hue, which wraps around, saturation and value, each from 0 to 1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def gradient(width: int, height: int, top: Colour, bottom: Colour) -> Image.Image:
    """Return a picture that fades from *top* to *bottom*."""
    # A column stretched sideways: every row is one colour, which PNG stores in a few bytes.
    column = Image.linear_gradient("L").resize((1, height))
    picture = Image.composite(Image.new("RGB", (1, height), bottom), Image.new("RGB", (1, height), top), column)
    return picture.resize((width, height), Image.Resampling.NEAREST)


def letters(size: int) -> ImageFont.FreeTypeFont:
    """Return the font in this size."""
    cache: dict[int, ImageFont.FreeTypeFont] = _fonts.__dict__.setdefault("cache", {})
    if size not in cache:
        font = ImageFont.load_default(size)
        if not isinstance(font, ImageFont.FreeTypeFont):
            raise TypeError("the sandbox needs a build of Pillow with FreeType")
        cache[size] = font
    return cache[size]
