"""Cells of tables: names of several images, and the quote before what a spreadsheet would run."""

from __future__ import annotations

import json
from pathlib import Path

from ..files.naming import find


def image_names(cell: str, folder: Path) -> list[str]:
    """Return the images that a cell names: a JSON list, or names with ``;`` between them.

    A file whose name is the whole cell comes first, whatever characters it contains.
    """
    if ";" not in cell and not cell.startswith("[") and cell == cell.strip():
        return [cell]
    if _exists(cell, folder):
        return [cell]
    listed = _json_list(cell)
    if listed is not None:
        return listed
    return [_name(part, folder) for part in cell.split(";") if part.strip()]


def _name(part: str, folder: Path) -> str:
    stripped = part.strip()
    return part if part != stripped and _exists(part, folder) else stripped


def _json_list(cell: str) -> list[str] | None:
    if not cell.lstrip().startswith("["):
        return None
    try:
        names = json.loads(cell)
    except (ValueError, RecursionError):
        return None
    return names if names and all(isinstance(name, str) for name in names) else None


def _exists(name: str, folder: Path) -> bool:
    try:
        return find(folder, name) is not None
    except ValueError:  # a NUL
        return False


#: Characters with which a cell begins that a spreadsheet would run, or cut off.
_RUN = ("=", "+", "-", "@", "\t", "\r")


def without_guard(cell: str) -> str:
    """Return a cell without the quote that batchgen puts before what a spreadsheet would run."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_RUN) else cell
