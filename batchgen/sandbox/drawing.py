"""Drawings: a landscape with the prompt in letters, or an edit of the source images, encoded as ordered."""

from __future__ import annotations

import hashlib
import io
import math
import random
import textwrap
from dataclasses import replace

from PIL import Image, ImageDraw, ImageFont

from .canvas import colour, gradient, letters
from .editing import draw_edit
from .values import Order

MIMES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
_LONGEST_TEXT = 700  # characters drawn; more would not be readable


def draw_picture(order: Order, *, provider: str, serial: int, index: int, seed: int) -> bytes:
    """Return the encoded image number ``index`` of an order; every call of the server has its own serial."""
    key = hashlib.sha256(f"{seed}:{serial}:{index}:{order.prompt}".encode()).hexdigest()
    footer = f"sandbox · {provider} · {order.model} · {order.size} · {order.quality}"
    if order.sources:
        picture = draw_edit(order, key, footer)
    else:
        picture = _landscape(order.width, order.height, key)
        _write_caption(picture, order.prompt, footer)
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


def draw_source(url: str, size: tuple[int, int]) -> bytes:
    """Return the picture for an address on the internet: always the same one."""
    buffer = io.BytesIO()
    _landscape(*size, hashlib.sha256(url.encode()).hexdigest()).save(buffer, "PNG", compress_level=1)
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


def _cut_out(picture: Image.Image) -> None:
    """Make everything outside a round cornered card transparent, in place."""
    width, height = picture.size
    edge = min(width, height) // 16
    alpha = Image.new("L", picture.size, 0)
    ImageDraw.Draw(alpha).rounded_rectangle((edge, edge, width - edge, height - edge), min(width, height) // 5, 255)
    picture.putalpha(alpha)


def _landscape(width: int, height: int, seed: str) -> Image.Image:
    """Return one of several kinds of landscape in a palette of its own, flat so that it compresses well."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    hue = chance.random()
    picture = _sky(width, height, hue, chance)
    paint = chance.choice((_hills, _peaks, _bubbles, _dunes, _skyline))
    paint(picture, hue, chance)
    return picture


def _sky(width: int, height: int, hue: float, chance: random.Random) -> Image.Image:
    night = chance.random() < 0.3
    top = colour(hue, 0.6, 0.28) if night else colour(hue, 0.42, 0.86)
    bottom = colour(hue + 0.12, 0.5, 0.55) if night else colour(hue + 0.1, 0.2, 0.99)
    picture = gradient(width, height, top, bottom)
    draw = ImageDraw.Draw(picture)
    short = min(width, height)
    radius = short * chance.uniform(0.07, 0.13)
    sun = (width * chance.uniform(0.2, 0.8), height * chance.uniform(0.14, 0.3))
    draw.circle(sun, radius, fill=colour(hue + 0.1, 0.12 if night else 0.25, 0.97))
    for _ in range(60 if night else 0):
        star = (chance.uniform(0, width), chance.uniform(0, height * 0.5))
        draw.circle(star, max(1.0, short / 500), fill=(255, 255, 245))
    return picture


def _hills(picture: Image.Image, hue: float, chance: random.Random, swing: float = 0.1) -> None:
    """Paint ridges one behind the other, each the sum of a slow and a fast wave."""
    width, height = picture.size
    draw = ImageDraw.Draw(picture)
    count = chance.randint(3, 5)
    for layer in range(count):
        share = layer / (count - 1)
        slow, fast = chance.uniform(1, 2.6), chance.uniform(3, 6)
        shift = chance.uniform(0, 6.3)
        base, rise = height * (0.45 + 0.4 * share), height * swing * (1 - 0.5 * share)
        ridge = []
        for x in range(0, width + 1, max(2, width // 160)):
            turn = 6.283 * x / width
            wave = 0.62 * math.sin(slow * turn + shift) + 0.3 * math.sin(fast * turn + 2 * shift)
            ridge.append((float(x), base + rise * wave))
        fill = colour(hue + 0.02 * layer, 0.3 + 0.35 * share, 0.82 - 0.5 * share)
        draw.polygon([(0.0, height), *ridge, (width, ridge[-1][1]), (width, height)], fill=fill)


def _dunes(picture: Image.Image, hue: float, chance: random.Random) -> None:
    _hills(picture, hue + 0.45, chance, 0.05)


def _peaks(picture: Image.Image, hue: float, chance: random.Random) -> None:
    width, height = picture.size
    draw = ImageDraw.Draw(picture)
    for layer in range(3):
        fill = colour(hue + 0.03 * layer, 0.35 + 0.1 * layer, 0.72 - 0.18 * layer)
        for _ in range(4 - layer):
            x, spread = chance.uniform(0, width), width * chance.uniform(0.2, 0.4)
            top = height * chance.uniform(0.25 + 0.14 * layer, 0.5 + 0.14 * layer)
            snow, edge = (height - top) * 0.12, spread * 0.12
            draw.polygon([(x - spread, height), (x, top), (x + spread, height)], fill=fill)
            draw.polygon([(x - edge, top + snow), (x, top), (x + edge, top + snow)], fill=(250, 250, 255))


def _bubbles(picture: Image.Image, hue: float, chance: random.Random) -> None:
    width, height = picture.size
    draw = ImageDraw.Draw(picture, "RGBA")
    for _ in range(26):
        tint = colour(hue + chance.uniform(-0.12, 0.2), chance.uniform(0.3, 0.7), chance.uniform(0.6, 1.0))
        centre = (chance.uniform(0, width), chance.uniform(0, height))
        radius = min(width, height) * chance.uniform(0.03, 0.17)
        draw.circle(centre, radius, fill=(*tint, chance.randint(90, 170)))


def _skyline(picture: Image.Image, hue: float, chance: random.Random) -> None:
    """Paint two rows of houses, the nearer ones with lit windows."""
    width, height = picture.size
    draw = ImageDraw.Draw(picture)
    for near in (False, True):
        wall = colour(hue + 0.05, 0.4, 0.32) if near else colour(hue, 0.4, 0.6)
        x = 0.0
        while x < width:
            house = width * chance.uniform(0.05, 0.1)
            top = height * (chance.uniform(0.51, 0.77) if near else chance.uniform(0.35, 0.65))
            draw.rectangle((x, top, x + house, height), fill=wall)
            cell = max(4.0, house / 5)
            windows = int((height - top) // (cell * 1.8)) * 3 if near else 0
            for number in range(windows):
                if chance.random() < 0.4:
                    left, upper = x + (1 + number % 3) * cell, top + cell * (0.8 + 1.8 * (number // 3))
                    draw.rectangle((left, upper, left + cell * 0.5, upper + cell * 0.9), fill=colour(0.13, 0.45, 0.98))
            x += house * chance.uniform(1.0, 1.15)


def _write_caption(picture: Image.Image, prompt: str, footer: str) -> None:
    """Write the prompt on a panel in the lower part, and the footer under it."""
    width, height = picture.size
    short = min(width, height)
    margin, inset = max(2, short // 24), round(width * 0.08)
    top = round(height * 0.7)
    font, lines, spacing = _wrap(prompt, width - 2 * inset - 2 * margin, round(height * 0.86) - top, short)
    bottom = min(height - margin // 2, top + spacing * len(lines) + round(2.6 * margin))
    draw = ImageDraw.Draw(picture, "RGBA")
    draw.rounded_rectangle((inset, top, width - inset, bottom), radius=margin, fill=(18, 20, 28, 205))
    y = top + margin * 0.8
    for line in lines:
        draw.text((width / 2, y), line, font=font, fill=(255, 255, 255), anchor="ma")
        y += spacing
    small = letters(max(8, round(short / 52)))
    while small.getlength(footer) > width - 2 * inset - margin and len(footer) > 12:
        footer = footer[:-2].rstrip("… ") + "…"
    draw.text((width / 2, y + margin * 0.5), footer, font=small, fill=(196, 204, 220), anchor="ma")


def _wrap(text: str, width: int, height: int, short: int) -> tuple[ImageFont.FreeTypeFont, list[str], int]:
    """Return the largest letters that fit, the lines, and their distance; what does not fit is cut off."""
    text = " ".join(text[:_LONGEST_TEXT].split())
    for divisor in (18, 22, 27, 33, 40, 50):
        font = letters(max(8, round(short / divisor)))
        spacing = round(font.size * 1.25)
        columns = int(width * len(text) / max(1, font.getlength(text)))  # by the mean width of these characters
        lines = textwrap.wrap(text, max(1, columns))
        if len(lines) * spacing <= height:
            return font, lines, spacing
    room = max(1, height // spacing)
    return font, [*lines[: room - 1], lines[room - 1][:-2] + "…"] if len(lines) > room else lines, spacing
