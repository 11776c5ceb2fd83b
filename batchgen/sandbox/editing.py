"""Edits: the first source image in place, changed in light or colour or with something added, so that both line up.

A mask limits the change to its open area. Further source images are put into the picture as they are.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image, ImageChops, ImageDraw, ImageFont

from .canvas import Box, colour, fit, letters
from .values import Order

#: Rows of a colour matrix: red, green and blue of the result, each from red, green, blue and a constant.
Matrix = tuple[float, float, float, float, float, float, float, float, float, float, float, float]

EVENING: Matrix = (1.08, 0.12, 0.0, 18, 0.02, 0.92, 0.0, 6, 0.0, 0.06, 0.7, -4)
MORNING: Matrix = (0.78, 0.04, 0.0, 10, 0.0, 0.95, 0.06, 12, 0.0, 0.12, 1.02, 26)
NIGHT: Matrix = (0.34, 0.1, 0.0, 4, 0.04, 0.38, 0.06, 8, 0.06, 0.14, 0.52, 26)
TURNED: Matrix = (0.1, 0.8, 0.1, 0, 0.1, 0.1, 0.8, 0, 0.8, 0.1, 0.1, 0)
SEPIA: Matrix = (0.42, 0.7, 0.17, 8, 0.36, 0.6, 0.14, 4, 0.28, 0.48, 0.12, 0)
_CHANGES = (EVENING, MORNING, NIGHT, TURNED, SEPIA)

#: The strength of a glow by the distance from its middle; none at the edges of its square.
_FADE = [max(0, round((178 - value) * 1.2)) for value in range(256)]
#: Letters of the prompt that fit on one line at the edge.
_SHOWN = 160


def draw_edit(order: Order, key: str, footer: str) -> Image.Image:
    """Return an edit of the first source image; *key* decides what changes."""
    chance = random.Random(key)  # noqa: S311 - repeatable on purpose
    box = place(order)
    before = _in_place(order.sources[0], (order.width, order.height), box)
    after = before.copy()
    area = None if order.mask is None else _open_area(order.mask, before.size, box)
    changed = (area and area.getbbox()) or box
    _change(after, chance, changed)
    room = changed if area is None else inner(changed)
    for source, inset in zip(order.sources[1:], insets(room, len(order.sources) - 1), strict=True):
        _put(after, source, inset)
    if area is not None:
        after = Image.composite(after, before, area)
    _write_edge(after, order.prompt, footer)
    return after


def place(order: Order) -> Box:
    """Return the box of the first source image in its edit: whole, in the middle."""
    return fit(order.sources[0].size, (0, 0, order.width, order.height))


def inner(box: Box) -> Box:
    """Return the middle of the box of an open area: all of it is open, even if the area is round."""
    left, top, right, bottom = box
    beside, above = round((right - left) * 0.15), round((bottom - top) * 0.15)
    return left + beside, top + above, right - beside, bottom - above


def insets(box: Box, count: int) -> list[Box]:
    """Return a box for each of *count* further source images within *box*: columns of three from its right edge."""
    width, height = box[2] - box[0], box[3] - box[1]
    columns = max(1, -(-count // 3))
    cell = max(4, round(min(min(width, height) * 0.26, width * 0.6 / columns)))
    margin = max(1, cell // 8)
    boxes = []
    for number in range(count):
        column, row = divmod(number, 3)
        right, top = box[2] - margin - column * (cell + margin), box[1] + margin + row * (cell + margin)
        boxes.append((right - cell, top, right, top + cell))
    return boxes


def _in_place(source: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """Return a source image in a picture of *size*, on its own mean colour."""
    # reducing_gap: a 50 MP photo is reduced by whole steps before the costly resampling.
    shown = source.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.BILINEAR, reducing_gap=1.5)
    mean = shown.convert("RGB").resize((1, 1), Image.Resampling.BOX)
    picture = mean.point([round(value * 0.6) for value in range(256)] * 3).resize(size)
    picture.paste(shown.convert("RGB"), box[:2], shown if shown.mode == "RGBA" else None)
    return picture


def _change(picture: Image.Image, chance: random.Random, box: Box) -> None:
    """Change light or colour, add something, or both, in place and only inside *box*."""
    ways = chance.choice(("light", "added", "both"))
    if ways != "added":
        inside = picture.crop(box).convert("RGB", chance.choice(_CHANGES))
        picture.paste(inside, box[:2])
    if ways != "light":
        chance.choice(_ADDITIONS)(picture, chance, box)


def _add_balloons(picture: Image.Image, chance: random.Random, box: Box) -> None:
    draw = ImageDraw.Draw(picture, "RGBA")
    left, top, right, bottom = box
    short = min(right - left, bottom - top)
    for _ in range(chance.randint(3, 6)):
        x, y = chance.uniform(left, right), chance.uniform(top, top + (bottom - top) * 0.55)
        radius = short * chance.uniform(0.05, 0.1)
        tint = colour(chance.random(), 0.75, 0.95)
        draw.line(
            (x, y + radius, x + radius * 0.3, y + radius * 3.2), fill=(40, 40, 46, 200), width=max(1, short // 300)
        )
        draw.ellipse((x - radius, y - radius * 1.2, x + radius, y + radius * 1.2), fill=(*tint, 235))
        shine = radius * 0.25
        draw.circle((x - radius * 0.35, y - radius * 0.5), shine, fill=(255, 255, 255, 150))


def _add_sun(picture: Image.Image, chance: random.Random, box: Box) -> None:
    """Add a glow like that of a lamp or a low sun."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    reach = max(8, round(max(width, height) * chance.uniform(0.7, 1.1)))
    glow = Image.radial_gradient("L").point(_FADE).resize((reach, reach))
    light = Image.new("L", (width, height), 0)
    light.paste(glow, (round(width * chance.uniform(0.1, 0.9)) - reach // 2, round(height * 0.25) - reach // 2))
    tint = Image.new("RGB", (width, height), colour(chance.uniform(0.06, 0.15), 0.5, 1.0))
    picture.paste(tint, box[:2], light)


def _add_frame(picture: Image.Image, chance: random.Random, box: Box) -> None:
    """Add a coloured border and a ribbon across one corner, as shops do."""
    draw = ImageDraw.Draw(picture, "RGBA")
    left, top, right, bottom = box
    short = min(right - left, bottom - top)
    tint = colour(chance.random(), 0.7, 0.85)
    draw.rectangle((left, top, right - 1, bottom - 1), outline=(*tint, 255), width=max(1, short // 40))
    reach, wide = short * 0.42, short * 0.09
    draw.polygon([(left, top + reach), (left + reach, top), (left + reach + wide, top), (left, top + reach + wide)],
                 fill=(*tint, 240))  # fmt: skip


_ADDITIONS: tuple[Callable[[Image.Image, random.Random, Box], None], ...] = (_add_balloons, _add_sun, _add_frame)


def _put(picture: Image.Image, source: Image.Image, inset: Box) -> None:
    """Put a further source image into its box, with a light edge."""
    left, top, right, bottom = fit(source.size, inset)
    edge = max(1, (inset[2] - inset[0]) // 50)
    if source.mode != "RGBA":
        ImageDraw.Draw(picture).rectangle(
            (left - edge, top - edge, right + edge - 1, bottom + edge - 1), (246, 244, 238)
        )
    small = source.resize((right - left, bottom - top), Image.Resampling.BILINEAR, reducing_gap=1.5)
    picture.paste(small.convert("RGB"), (left, top), small if small.mode == "RGBA" else None)


def _open_area(mask: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """Return where a mask is open, which is where it is transparent."""
    alpha = mask.getchannel("A").resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.BILINEAR)
    area = Image.new("L", size, 0)
    area.paste(ImageChops.invert(alpha), box[:2])
    return area


def _write_edge(picture: Image.Image, prompt: str, footer: str) -> None:
    """Write the prompt small along the lower edge."""
    width, height = picture.size
    font = letters(max(7, round(min(width, height) / 56)))
    strip, margin = round(font.size * 1.7), round(font.size * 0.7)
    text = _cut(" ".join(prompt[:_SHOWN].split()), font, width * 0.62)
    tail = _cut(footer, font, width - 3 * margin - font.getlength(text))
    draw = ImageDraw.Draw(picture, "RGBA")
    draw.rectangle((0, height - strip, width, height), fill=(18, 20, 28, 190))
    draw.text((margin, height - strip / 2), text, font=font, fill=(255, 255, 255), anchor="lm")
    draw.text((width - margin, height - strip / 2), tail, font=font, fill=(196, 204, 220), anchor="rm")


def _cut(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """Return as much of *text* as *width* has room for."""
    if font.getlength(text) <= width:
        return text
    count = len(text)
    while count and font.getlength(f"{text[:count]}…") > width:
        count -= max(1, count // 10)
    return f"{text[:count].rstrip()}…" if count > 0 else ""
