"""Paths of delivered files as the job database stores them, and the places that they mean. Pure.

Such a path is relative to the working folder, absolute, or an address in an object store.
"""

from __future__ import annotations

from pathlib import Path

from .object_url import Folder, ObjectUrl, parse_folder


def place_of(path: str, root: Path) -> Folder:
    """Return the place that a stored *path* means; *root* is the working folder."""
    place = parse_folder(path)
    return place if isinstance(place, ObjectUrl) else root / place


def stored_path(place: Folder, root: Path) -> str:
    """Return *place* as the job database stores it: relative to the working folder *root* if it is inside."""
    if isinstance(place, Path) and place.is_relative_to(root):
        return str(place.relative_to(root))
    return str(place)


def name_in(folder: Folder, place: Folder) -> str | None:
    """Return the name of *place* below an output folder; None if it is elsewhere."""
    if isinstance(folder, ObjectUrl):
        return str(place.relative_to(folder)) if isinstance(place, ObjectUrl) and place.is_relative_to(folder) else None
    return str(place.relative_to(folder)) if isinstance(place, Path) and place.is_relative_to(folder) else None
