"""Backdrops: flat landscapes and shapes, different for every seed, that compress well."""

from __future__ import annotations

import colorsys
import math
import random

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]


def paint_scene(width: int, height: int, seed: str) -> Image.Image:
    """Paint one of several kinds of scene in a palette of its own."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    hue = chance.random()
    picture = _sky(width, height, hue, chance)
    painter = chance.choice((_hills, _peaks, _bubbles, _dunes, _skyline))
    painter(picture, hue, chance)
    return picture


def paint_edit_backdrop(width: int, height: int, seed: str) -> Image.Image:
    """Paint a calm dark backdrop that lets source images stand out."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    hue = chance.random()
    return _gradient(width, height, colour(hue, 0.35, 0.34), colour(hue + 0.06, 0.45, 0.18))


def colour(hue: float, saturation: float, value: float) -> Colour:
    """Return an RGB colour; the hue wraps around."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _gradient(width: int, height: int, top: Colour, bottom: Colour) -> Image.Image:
    # A column stretched sideways: every row is one colour, which PNG stores in a few bytes.
    column = Image.new("RGB", (1, height))
    last = max(1, height - 1)
    mixed = [_mix(top, bottom, row / last) for row in range(height)]
    column.putdata(mixed)
    return column.resize((width, height), Image.Resampling.NEAREST)


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _sky(width: int, height: int, hue: float, chance: random.Random) -> Image.Image:
    night = chance.random() < 0.3
    top = colour(hue, 0.6, 0.28) if night else colour(hue, 0.42, 0.86)
    bottom = colour(hue + 0.12, 0.5, 0.55) if night else colour(hue + 0.1, 0.2, 0.99)
    picture = _gradient(width, height, top, bottom)
    draw = ImageDraw.Draw(picture)
    radius = min(width, height) * chance.uniform(0.07, 0.13)
    x, y = width * chance.uniform(0.2, 0.8), height * chance.uniform(0.14, 0.3)
    glow = colour(hue + 0.1, 0.12 if night else 0.25, 0.97)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=glow)
    if night:
        for _ in range(60):
            sx, sy, size = chance.uniform(0, width), chance.uniform(0, height * 0.5), max(1.0, min(width, height) / 500)
            draw.ellipse((sx - size, sy - size, sx + size, sy + size), fill=(255, 255, 245))
    return picture


def _ridge(width: int, base: float, swing: float, chance: random.Random, step: int) -> list[tuple[float, float]]:
    waves = [
        (chance.uniform(1, 2.6), chance.uniform(0, 6.3), 0.62),
        (chance.uniform(3, 6), chance.uniform(0, 6.3), 0.3),
    ]
    points = []
    for x in range(0, width + step, step):
        height = sum(share * math.sin(turns * 6.283 * x / width + phase) for turns, phase, share in waves)
        points.append((float(x), base + swing * height))
    return points


def _layers(picture: Image.Image, hue: float, chance: random.Random, swing: float) -> None:
    width, height = picture.size
    draw = ImageDraw.Draw(picture)
    count = chance.randint(3, 5)
    for layer in range(count):
        share = layer / max(1, count - 1)
        base = height * (0.45 + 0.4 * share)
        fill = colour(hue + 0.02 * layer, 0.3 + 0.35 * share, 0.82 - 0.5 * share)
        points = _ridge(width, base, height * swing * (1 - 0.5 * share), chance, max(2, width // 160))
        draw.polygon([(0.0, float(height)), *points, (float(width), float(height))], fill=fill)


def _hills(picture: Image.Image, hue: float, chance: random.Random) -> None:
    _layers(picture, hue, chance, 0.1)


def _dunes(picture: Image.Image, hue: float, chance: random.Random) -> None:
    _layers(picture, hue + 0.45, chance, 0.05)


def _peaks(picture: Image.Image, hue: float, chance: random.Random) -> None:
    width, height = picture.size
    draw = ImageDraw.Draw(picture)
    for layer in range(3):
        fill = colour(hue + 0.03 * layer, 0.35 + 0.1 * layer, 0.72 - 0.18 * layer)
        for _ in range(4 - layer):
            x, spread = chance.uniform(0, width), width * chance.uniform(0.2, 0.4)
            top, foot = height * chance.uniform(0.25 + 0.14 * layer, 0.5 + 0.14 * layer), float(height)
            draw.polygon([(x - spread, foot), (x, top), (x + spread, foot)], fill=fill)
            snow = (foot - top) * 0.12
            edge = spread * 0.12
            draw.polygon([(x - edge, top + snow), (x, top), (x + edge, top + snow)], fill=(250, 250, 255))


def _bubbles(picture: Image.Image, hue: float, chance: random.Random) -> None:
    width, height = picture.size
    draw = ImageDraw.Draw(picture, "RGBA")
    for _ in range(26):
        radius = min(width, height) * chance.uniform(0.03, 0.17)
        x, y = chance.uniform(0, width), chance.uniform(0, height)
        tint = colour(hue + chance.uniform(-0.12, 0.2), chance.uniform(0.3, 0.7), chance.uniform(0.6, 1.0))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*tint, chance.randint(90, 170)))


def _skyline(picture: Image.Image, hue: float, chance: random.Random) -> None:
    width, height = picture.size
    draw = ImageDraw.Draw(picture)
    for layer in range(2):
        wall = colour(hue + 0.05 * layer, 0.4, 0.6 - 0.28 * layer)
        light = colour(0.13, 0.45, 0.98)
        x = 0.0
        while x < width:
            wide = width * chance.uniform(0.05, 0.1)
            top = height * chance.uniform(0.35 + 0.16 * layer, 0.65 + 0.12 * layer)
            draw.rectangle((x, top, x + wide, height), fill=wall)
            cell = max(4.0, wide / 5)
            rows = range(int((height - top) // (cell * 1.8)))
            for row in rows if layer else ():
                for column in range(1, 4):
                    if chance.random() < 0.4:
                        left, upper = x + column * cell, top + cell * (0.8 + 1.8 * row)
                        draw.rectangle((left, upper, left + cell * 0.5, upper + cell * 0.9), fill=light)
            x += wide * chance.uniform(1.0, 1.15)
