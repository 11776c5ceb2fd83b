"""Draw what was ordered: a scene or the source images, the prompt in letters, a footer; then encode it."""

from __future__ import annotations

import hashlib
import io
import random
import threading
from dataclasses import replace

from PIL import Image, ImageDraw, ImageFont

from .scene import colour, paint_edit_backdrop, paint_scene
from .values import Order

Box = tuple[int, int, int, int]
MIMES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
_LONGEST_TEXT = 700  # characters drawn; more would not be readable
_fonts = threading.local()  # a FreeType face must not be used by two threads at once


def draw_picture(order: Order, *, provider: str, serial: int, index: int, seed: int) -> bytes:
    """Return the encoded image number ``index`` of an order; every call of the server has its own serial."""
    key = hashlib.sha256(f"{seed}:{serial}:{index}:{order.prompt}".encode()).hexdigest()
    size = (order.width, order.height)
    if order.sources:
        picture = paint_edit_backdrop(*size, key)
        for source, box in zip(order.sources, source_boxes(*size, len(order.sources)), strict=True):
            _hang(picture, source, box)
        if order.mask is not None:
            _tint(picture, order.mask, fit(order.mask.size, source_boxes(*size, len(order.sources))[0]), key)
    else:
        picture = paint_scene(*size, key)
    _letter(picture, order.prompt, f"sandbox · {provider} · {order.model} · {order.size} · {order.quality}")
    if order.transparent:
        _cut_out(picture)
    return encode(picture, order)


def draw_small(order: Order, *, serial: int, index: int, seed: int) -> bytes:
    """Return a tiny image that still differs from every other: cheap enough for thousands per second."""
    chance = random.Random(f"{seed}:{serial}:{index}")  # noqa: S311 - repeatable on purpose
    picture = Image.frombytes("RGB", (16, 16), chance.randbytes(768)).resize((48, 48), Image.Resampling.NEAREST)
    if order.transparent:
        picture.putalpha(128)
    return encode(picture, replace(order, width=48, height=48))


def draw_stand_in(url: str, size: tuple[int, int]) -> bytes:
    """Return the picture that stands in for an address on the internet: the same one every time."""
    picture = paint_scene(*size, hashlib.sha256(url.encode()).hexdigest())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def encode(picture: Image.Image, order: Order) -> bytes:
    """Encode as PNG, JPEG or WebP, quickly."""
    buffer = io.BytesIO()
    if order.output_format == "jpeg":
        picture.convert("RGB").save(buffer, "JPEG", quality=max(1, min(95, order.compression)))
    elif order.output_format == "webp":
        picture.save(buffer, "WEBP", quality=max(1, min(90, order.compression)), method=0)
    else:
        picture.save(buffer, "PNG", compress_level=2)
    return buffer.getvalue()


def source_boxes(width: int, height: int, count: int) -> list[Box]:
    """Return where each of ``count`` source images goes: a grid above the caption, one row up to four."""
    margin = max(2, min(width, height) // 24)
    columns = min(count, 4)
    rows = -(-count // columns)
    top, bottom = margin, round(height * 0.68)
    wide = (width - margin * (columns + 1)) // columns
    high = (bottom - top - margin * (rows - 1)) // rows
    boxes = []
    for place in range(count):
        left = margin + (place % columns) * (wide + margin)
        upper = top + (place // columns) * (high + margin)
        boxes.append((left, upper, left + max(1, wide), upper + max(1, high)))
    return boxes


def fit(size: tuple[int, int], box: Box) -> Box:
    """Return the largest box of the proportions of ``size`` in the middle of ``box``."""
    left, top, right, bottom = box
    scale = min((right - left) / size[0], (bottom - top) / size[1])
    width, height = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    x, y = left + (right - left - width) // 2, top + (bottom - top - height) // 2
    return x, y, x + width, y + height


def _hang(picture: Image.Image, source: Image.Image, box: Box) -> None:
    place = fit(source.size, box)
    frame = max(1, min(picture.size) // 170)
    ImageDraw.Draw(picture).rectangle(
        (place[0] - frame, place[1] - frame, place[2] + frame - 1, place[3] + frame - 1), fill=(246, 244, 238)
    )
    size = (place[2] - place[0], place[3] - place[1])
    # reducing_gap: a 50 MP photo is brought down by whole steps before the costly resampling.
    small = source.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.5)
    if small.mode == "RGBA":
        picture.paste(small, place[:2], small)
    else:
        picture.paste(small.convert("RGB"), place[:2])


def _tint(picture: Image.Image, mask: Image.Image, place: Box, key: str) -> None:
    """Tint what the mask leaves open: transparent areas are where an edit happens."""
    size = (place[2] - place[0], place[3] - place[1])
    alpha = mask.getchannel("A").resize(size, Image.Resampling.BILINEAR)
    open_area = alpha.point([round((255 - value) * 0.55) for value in range(256)])
    tint = Image.new("RGB", size, colour(int(key[:4], 16) / 65536, 0.85, 1.0))
    picture.paste(tint, place[:2], open_area)


def _cut_out(picture: Image.Image) -> None:
    """Make everything outside a round cornered card transparent, in place."""
    width, height = picture.size
    alpha = Image.new("L", picture.size, 0)
    edge = min(width, height) // 16
    card = (edge, edge, width - edge, height - edge)
    ImageDraw.Draw(alpha).rounded_rectangle(card, radius=min(width, height) // 5, fill=255)
    picture.putalpha(alpha)


def _letter(picture: Image.Image, prompt: str, footer: str) -> None:
    """Write the prompt on a panel in the lower part, and the footer under it."""
    width, height = picture.size
    short = min(width, height)
    margin = max(2, short // 24)
    draw = ImageDraw.Draw(picture, "RGBA")
    inset = round(width * 0.08)
    top, bottom = round(height * 0.7), height - margin // 2
    font, lines, spacing = _wrap(prompt, width - 2 * inset - 2 * margin, round(height * 0.86) - top, short)
    block = spacing * len(lines)
    draw.rounded_rectangle(
        (inset, top, width - inset, min(bottom, top + block + round(2.6 * margin))),
        radius=margin,
        fill=(18, 20, 28, 205),
    )
    y = top + margin * 0.8
    for line in lines:
        draw.text((width / 2, y), line, font=font, fill=(255, 255, 255), anchor="ma")
        y += spacing
    small = _font(max(8, round(short / 52)))
    while small.getlength(footer) > width - 2 * inset - margin and len(footer) > 12:
        footer = footer[:-2].rstrip("… ") + "…"
    draw.text((width / 2, y + margin * 0.5), footer, font=small, fill=(196, 204, 220), anchor="ma")


def _wrap(text: str, width: int, height: int, short: int) -> tuple[ImageFont.FreeTypeFont, list[str], int]:
    """Choose the largest letters that fit, and break the text into lines."""
    words = " ".join(text[:_LONGEST_TEXT].split()).split(" ")
    for divisor in (18, 22, 27, 33, 40, 50):
        font = _font(max(8, round(short / divisor)))
        lines = _break(words, font, width)
        spacing = round(font.size * 1.25)
        if len(lines) * spacing <= height:
            return font, lines, spacing
    kept = max(1, height // spacing)
    if len(lines) > kept:
        lines = [*lines[: kept - 1], lines[kept - 1][: max(1, len(lines[kept - 1]) - 2)] + "…"]
    return font, lines, spacing


def _break(words: list[str], font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines, line, used = [], "", 0.0
    space = font.getlength(" ")
    for word in words:
        length = font.getlength(word)
        while length > width and len(word) > 1:  # a word wider than the panel is cut
            cut = max(1, int(len(word) * width / length) - 1)
            lines += [line] if line else []
            lines.append(word[:cut])
            line, used, word = "", 0.0, word[cut:]  # noqa: PLW2901 - the rest of the word goes on
            length = font.getlength(word)
        if line and used + space + length > width:
            lines.append(line)
            line, used = word, length
        else:
            line, used = (f"{line} {word}", used + space + length) if line else (word, length)
    return [*lines, line] if line else lines


def _font(size: int) -> ImageFont.FreeTypeFont:
    cache: dict[int, ImageFont.FreeTypeFont] = _fonts.__dict__.setdefault("cache", {})
    if size not in cache:
        font = ImageFont.load_default(size)
        if not isinstance(font, ImageFont.FreeTypeFont):
            raise TypeError("the sandbox draws letters with FreeType, which this build of Pillow lacks")
        cache[size] = font
    return cache[size]
