"""A contact sheet: the thumbnails of a report on pages of A4 with their ids and marks, as PDF or PNG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from ...files.thumbnails import thumbnail_path

#: A page of A4 at 150 dots an inch, its margin, and the gap between cells, in pixels.
_PAGE, _MARGIN, _GAP = (1240, 1754), 70, 18
_DOTS = 150
#: Cells across and down a page, and the height of the lines below a picture.
ACROSS, DOWN, _LABEL = 5, 6, 40
#: Pages that are in memory at a time.
_TOGETHER = 8
_PAPER, _INK, _FAINT, _WELL = "#ffffff", "#1b1a18", "#77726a", "#f1efeb"
_COLOURS = {"pick": "#1f7a4d", "reject": "#b3362c"}
#: Fonts of the usual systems that have more than Latin letters; Pillow's own is the last resort.
_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "Arial Unicode.ttf")


class Cell(NamedTuple):
    """One picture on a sheet."""

    thumbnail: Path
    name: str
    mark: str | None
    stars: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A contact sheet that was written."""

    files: Sequence[Path]
    pages: int


def write_sheet(target: Path, document: Mapping[str, Any], folder: Path) -> Sheet:
    """Write the pictures of *document*, whose thumbnails are in *folder*, to *target*; raise OSError.

    A PDF has all pages; as PNG, each page is a file, numbered from the second.
    """
    cells = list(_cells(document, folder))
    pages = (_page(cells[start : start + ACROSS * DOWN], start, len(cells), document) for start in _starts(cells))
    if target.suffix.lower() == ".pdf":
        return Sheet(files=[target], pages=_write_pdf(target, pages, document))
    files = []
    for number, page in enumerate(pages, 1):
        file = target if number == 1 else target.with_name(f"{target.stem}-{number}{target.suffix}")
        page.save(file, "PNG", dpi=(_DOTS, _DOTS))
        files.append(file)
    return Sheet(files=files, pages=len(files))


def _starts(cells: Sequence[Cell]) -> range:
    return range(0, max(1, len(cells)), ACROSS * DOWN)


def _cells(document: Mapping[str, Any], folder: Path) -> Iterator[Cell]:
    tiles = document["tiles"]
    for row, sha in enumerate(tiles["sha"]):
        if sha:
            mark = tiles["marks"].get(row)
            mark = mark if mark is not None and mark["sha"] == sha else {"mark": None, "stars": 0}
            number = f" ({tiles['ordinal'][row] + 1})" if tiles["ordinal"][row] else ""
            yield Cell(thumbnail_path(folder, sha), tiles["key"][row] + number, mark["mark"], mark["stars"])


def _write_pdf(target: Path, pages: Iterator[Image.Image], document: Mapping[str, Any]) -> int:
    part, number = target.with_name(f".{target.name}.part"), 0
    about = {"title": f"{document['batch']}: contact sheet", "creator": "batchgen", "resolution": _DOTS, "quality": 88}
    try:
        while group := list(islice(pages, _TOGETHER)):
            group[0].save(part, "PDF", save_all=True, append_images=group[1:], append=number > 0, **about)
            number += len(group)
        part.replace(target)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    return number


def _page(cells: Sequence[Cell], start: int, count: int, document: Mapping[str, Any]) -> Image.Image:
    page = Image.new("RGB", _PAGE, _PAPER)
    draw, small = ImageDraw.Draw(page), _font(16)
    draw.text((_MARGIN, 34), _fitting(document["batch"], _font(20), _PAGE[0] // 2), _INK, _font(20))
    last = start + len(cells)
    text = f"{start + 1:,} to {last:,} of {count:,}" if cells else "no picture"
    draw.text((_PAGE[0] - _MARGIN - small.getlength(text), 37), text, _FAINT, small)
    side = (_PAGE[0] - 2 * _MARGIN - (ACROSS - 1) * _GAP) // ACROSS
    for place, cell in enumerate(cells):
        left = _MARGIN + place % ACROSS * (side + _GAP)
        top = _MARGIN + 10 + place // ACROSS * (side + _LABEL + _GAP)
        _draw(page, draw, cell, (left, top, side))
    return page


def _draw(page: Image.Image, draw: ImageDraw.ImageDraw, cell: Cell, square: tuple[int, int, int]) -> None:
    left, top, side = square
    draw.rectangle((left, top, left + side - 1, top + side - 1), fill=_WELL)
    try:
        with Image.open(cell.thumbnail) as thumbnail:
            thumbnail.thumbnail((side, side))
            picture = thumbnail.convert("RGBA")
        place = (left + (side - picture.width) // 2, top + (side - picture.height) // 2)
        page.paste(picture, place, picture)
    except OSError:
        draw.text((left + 10, top + side // 2 - 8), "no thumbnail", _FAINT, _font(14))
    colour = _COLOURS.get(cell.mark or "", _INK)
    if cell.mark is not None:
        draw.rectangle((left, top + side - 5, left + side - 1, top + side - 1), fill=colour)
    notes = ", ".join(filter(None, [cell.mark, f"{cell.stars} of 5" if cell.stars else None]))
    draw.text((left, top + side + 4), _fitting(cell.name, _font(14), side), _INK, _font(14))
    draw.text((left, top + side + 21), notes, colour, _font(12))


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Return *text*, cut off where it is longer than *width* pixels."""
    text = "".join(char if char.isprintable() else " " for char in text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    for name in _FONTS:
        with suppress(OSError):
            return ImageFont.truetype(name, size)
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # noqa: S101 - with a size
    return font
