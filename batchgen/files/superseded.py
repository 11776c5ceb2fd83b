"""Superseded files: where an earlier form of a delivered image is now."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from .output import SUPERSEDED, digest, names_aside


def superseded_file(folder: Path, name: str, sha256: str) -> Path | None:
    """Return the file *name* of an output folder in the form that had this hash; None if it is gone.

    It is in ``.superseded/``, or still in its place where nothing else was delivered under its name.
    """
    place = PurePosixPath(name)
    aside = folder / SUPERSEDED / place.parent
    paths = [aside / each for each in names_aside(place, sha256)]
    for path in (*paths, folder / name):
        try:
            if digest(path) == sha256:
                return path
        except OSError:
            continue
    return None
