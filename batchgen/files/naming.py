"""File names as people type them: the same letters may be composed otherwise on the disk."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path
from unicodedata import normalize
from urllib.parse import unquote

from ..errors import nearest

#: In a larger folder no similar name is looked for.
_MOST_ENTRIES = 10_000
#: A name is looked for in so many folders next to the one where it is missing.
_MOST_FOLDERS = 200
_REPEATED = re.compile(r"\*\*(?:/+\*\*)+(?=/|\Z)")
#: What the top folder of a project contains.
_OF_A_PROJECT = (".batchgen", "batchgen.yaml")


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


def without_scheme(name: str) -> str:
    """Return the path of a ``file:///`` address, and any other name as it is."""
    scheme, mark, rest = name.partition("://")
    return unquote(rest.removeprefix("localhost")) if mark and scheme.lower() == "file" else name


def matching(folder: Path, pattern: str) -> Iterator[str]:
    """Yield the files and folders that a glob matches, relative to *folder*."""
    # Each further ** of a row of them would search all folders once more. Path.glob refuses absolute patterns.
    return glob.iglob(_REPEATED.sub("**", pattern), root_dir=folder, recursive=True)  # noqa: PTH207


def joined(folder: Path, name: str) -> str:
    """Return the path of *name* in *folder* as it is shown: without ``..``, unless a link gives that its meaning."""
    path = str(folder / name)
    if ".." not in name.split("/") or "\0" in name:
        return path
    plain = os.path.normpath(path)
    return plain if os.path.realpath(plain) == os.path.realpath(path) else path


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
    """Return an existing name that was probably meant by *name*.

    That is one without quotes and escapes, in another case, with another suffix, in a folder nearby, in a folder whose
    name was misspelt, or a misspelt one.
    """
    for form in _plain_forms(name):
        if form != name and os.path.lexists(folder / form):
            return form
        name = form
    parent, slash, last = name.rpartition("/")
    entries = [entry for entry in _entries(folder / (parent or slash or ".")) if entry != last]
    stem = os.path.splitext(last)[0].casefold()  # noqa: PTH122
    match = next((entry for entry in entries if entry.casefold() == last.casefold()), None)
    match = match or next((entry for entry in entries if entry.strip().casefold() == last.strip().casefold()), None)
    match = match or next((entry for entry in entries if os.path.splitext(entry)[0].casefold() == stem), None)  # noqa: PTH122
    if match is None and (found := _nearby(folder, name) or _in_similar_folders(folder, name)) is not None:
        return found
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


def fixed_parts(folder: Path, pattern: str) -> int:
    """Return how many parts of a glob come before the first that has wildcards and does not exist as it is written."""
    parts = pattern.split("/")
    for number, part in enumerate(parts):
        if glob.has_magic(part) and not os.path.lexists(folder / "/".join(parts[: number + 1])):
            return number
    return len(parts)


def _nearby(folder: Path, name: str) -> str | None:
    """Return *name* with the folder before it that was left out, such as ``../photos/``; None if there is none."""
    if os.path.isabs(name) or name.startswith(("~", "..")):  # noqa: PTH117
        return None
    for base in ("", "../") if _is_project(folder.resolve().parent) else ("",):
        inside = [f"{base}{entry}/" for entry in _entries(folder / base) if not entry.startswith(".")]
        for prefix in (base, *inside[:_MOST_FOLDERS]):
            if (found := find(folder / prefix, name)) is not None:
                return f"{prefix}{found}"
    return None


def _in_similar_folders(folder: Path, name: str) -> str | None:
    """Return *name* with similar folders in place of those that do not exist; None if that is no file either."""
    *folders, last = name.split("/")
    path = ""
    for part in folders:
        match = part
        if part and not os.path.isdir(folder / path / part):  # noqa: PTH112 - False for a NUL
            match = nearest(part, _entries(folder / path), 0.7) or ""
            if not match:
                return None
        path += f"{match}/"
    return f"{path}{last}" if path + last != name and os.path.lexists(folder / path / last) else None


def _is_project(folder: Path) -> bool:
    """Return whether *folder* is that of a project, so that its folders belong together; others are strangers."""
    return folder == Path.cwd() or any(os.path.lexists(folder / name) for name in _OF_A_PROJECT)


def _entries(folder: Path) -> list[str]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are all that is needed
    except (OSError, ValueError):
        return []
    return sorted(names) if len(names) <= _MOST_ENTRIES else []
