"""Headers: the names of a table's columns, cleaned and checked. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from ...wording import INVISIBLE, is_blank
from ..filenames import control
from .rows import BadList


def column_name(text: str) -> str:
    """Return the name of a column without blanks and invisible characters around it, its accents composed."""
    return key_name(text.strip()).strip()


def key_name(text: str) -> str:
    """Return the name of a column without invisible characters around it, its accents composed."""
    return text if text.isascii() else unicodedata.normalize("NFC", text.strip(INVISIBLE))


def clean(cell: str) -> str:
    """Return *cell* without invisible characters at its ends; empty where it has nothing visible but is not blank."""
    if cell.isprintable():
        return cell
    text = cell.strip(INVISIBLE)
    return "" if is_blank(text) and not text.isspace() else text


def column_names(cells: Sequence[str], file: str) -> tuple[str, ...]:
    """Return the names in a header; raise BadList where they cannot be used. Empty cells at its end do not count."""
    names = [column_name(cell) for cell in cells]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise BadList(f"{file} has no header: its first line must name the columns")
    for number, name in enumerate(names, 1):
        char = control(name, allow="\r\n")
        if char == "U+0009":
            raise BadList(f"{file}: its columns are separated by tabs: set `format: tsv`")
        if char:
            raise BadList(f"{file}: the name of column {number} contains the control character {char}")
        if not name:
            raise BadList(f"{file}: column {number} of the header has no name")
        if name in names[: number - 1]:
            raise BadList(f"{file}: the header names the column {name!r} twice")
    return tuple(names)
