"""File names as people type them: the same letters may be composed otherwise on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unicodedata import normalize
from urllib.parse import unquote

from ..errors import nearest

#: In a larger folder no similar name is looked for.
_MOST_ENTRIES = 10_000


def find(folder: Path, name: str) -> str | None:
    """Return the file or folder that *name* refers to, relative to *folder*; None if there is none.

    The name is taken literally. Failing that, one with the same letters in another Unicode form is found: macOS
    composes "é" otherwise than most keyboards do.
    """
    if os.path.lexists(folder / name):
        return name
    if name.isascii():
        return None
    for form in ("NFC", "NFD"):
        if os.path.lexists(folder / normalize(form, name)):
            return normalize(form, name)
    return _by_parts(folder, name)


def _by_parts(folder: Path, name: str) -> str | None:
    """Find *name* part by part, because each may have a form of its own."""
    found = "/" if name.startswith("/") else ""
    for part in name.split("/"):
        if not part:
            continue
        forms = dict.fromkeys((part, normalize("NFC", part), normalize("NFD", part)))
        match = next((form for form in forms if os.path.lexists(folder / found / form)), None)
        if match is None:
            wanted = normalize("NFC", part)
            match = next((entry for entry in _entries(folder / found) if normalize("NFC", entry) == wanted), None)
        if match is None:
            return None
        found = f"{found}{match}" if found in ("", "/") else f"{found}/{match}"
    return found or None


def similar(folder: Path, name: str) -> str | None:
    """Return an existing name that was probably meant by *name*: quoted, escaped, in another case, misspelt."""
    for form in _plain_forms(name):
        if form != name and os.path.lexists(folder / form):
            return form
        name = form
    parent, slash, last = name.rpartition("/")
    entries = _entries(folder / (parent or slash or "."))
    stem = os.path.splitext(last)[0].casefold()  # noqa: PTH122
    match = next((entry for entry in entries if entry.casefold() == last.casefold()), None)
    match = match or next((entry for entry in entries if entry.strip().casefold() == last.strip().casefold()), None)
    match = match or next((entry for entry in entries if os.path.splitext(entry)[0].casefold() == stem), None)  # noqa: PTH122
    match = match or nearest(last, entries, 0.8)
    return f"{parent}{slash}{match}" if match else None


def _plain_forms(name: str) -> Iterator[str]:
    """Yield *name* without what other programs add to names, one after the other: blanks, quotes, escapes, slashes."""
    yield name
    yield (name := name.strip())
    yield (name := name.strip("'\"").strip())
    yield (name := name.replace("\\", "/"))
    yield (name := unquote(name))
    yield os.path.expanduser(name)  # noqa: PTH111


def _entries(folder: Path) -> list[str]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are all that is needed
    except (OSError, ValueError):
        return []
    return sorted(names) if len(names) <= _MOST_ENTRIES else []
