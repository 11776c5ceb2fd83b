"""Globs on paths, part by part: ``**`` is any number of folders. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from unicodedata import normalize

ANY = "**"

Parts = tuple[str, ...]


def parts_of(pattern: str) -> Parts:
    """Return the parts of a glob."""
    return tuple(part for part in pattern.split("/") if part not in ("", "."))


def split(name: str, first: int) -> tuple[str, Parts]:
    """Split a glob into its leading folder and the rest, part by part; *first* is the first part with wildcards."""
    parts = name.split("/")
    base = "/".join(parts[:first])
    return base or "/" * name.startswith("/"), tuple(part for part in parts[first:] if part not in ("", "."))


def matches(parts: Parts, pattern: Parts) -> bool:
    """Return whether a path matches a glob; ``**`` matches any number of folders, even none."""
    # Each ** is tried only at the nearest place that fits: whatever follows the last one decides.
    at = place = 0
    star, star_place = -1, 0
    while place < len(parts):
        if at < len(pattern) and pattern[at] == ANY:
            star, star_place, at = at, place, at + 1
        elif at < len(pattern) and _fits(parts[place], pattern[at]):
            at, place = at + 1, place + 1
        elif star >= 0:
            star_place += 1
            at, place = star + 1, star_place
        else:
            return False
    return all(part == ANY for part in pattern[at:])


def may_contain(folder: Parts, pattern: Parts) -> bool:
    """Return whether files below *folder* can match, so that other folders need not be read."""
    fixed = pattern[: pattern.index(ANY)] if ANY in pattern else pattern[:-1]
    deep_enough = ANY in pattern or len(folder) <= len(fixed)
    return deep_enough and all(map(_fits, folder, fixed))


def _fits(name: str, pattern: str) -> bool:
    """Return whether a name is *pattern* as it is written, or matches it as a glob; both may be composed otherwise."""
    if not (name.isascii() and pattern.isascii()):
        name, pattern = normalize("NFC", name), normalize("NFC", pattern)
    return name == pattern or fnmatchcase(name, pattern)


class Exclusion:
    """Globs of files and folders to leave out: of a name at any depth, or of a path if they contain a slash.

    Several folders may share one: a glob has to match in one of them.
    """

    def __init__(self, globs: Iterable[str] = ()) -> None:
        self._globs = {pattern: parts_of(pattern) if "/" in pattern.rstrip("/") else () for pattern in globs}
        self.idle = set(self._globs)  #: those that have matched nothing

    def __bool__(self) -> bool:
        return bool(self._globs)

    def matches(self, base: Parts, parts: Parts) -> bool:
        """Return whether a file or folder is left out; paths count from *base* or, with it, from the manifest."""
        found = [
            pattern
            for pattern, split_pattern in self._globs.items()
            if (
                matches(parts, split_pattern) or matches((*base, *parts), split_pattern)
                if split_pattern
                else _fits(parts[-1], pattern.rstrip("/"))
            )
        ]
        self.idle.difference_update(found)
        return bool(found)
