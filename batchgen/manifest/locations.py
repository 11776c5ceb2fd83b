"""Places of the keys and values of a document. Pure values.

A *spot* is an int (a scalar) or a pair of an int and the spots inside (a mapping or a list); the int is
``line << 20 | column``, both counted from 0. Plain ints keep 100,000 jobs small.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import Problem

Path = tuple[str | int, ...]
Spot = int | tuple[int, Any]

_COLUMN_BITS = 20
_COLUMN_MASK = (1 << _COLUMN_BITS) - 1


def spot(line: int, column: int) -> int:
    """Return a line and a column, both counted from 0, as one int."""
    return line << _COLUMN_BITS | min(column, _COLUMN_MASK)


def line_of(place: int) -> int:
    """Return the line of a spot, counted from 1."""
    return (place >> _COLUMN_BITS) + 1


@dataclass(frozen=True, kw_only=True)
class Places:
    """The places of one document."""

    file: str  #: as the user named it
    root: Spot  #: the spot of the whole document
    commented: frozenset[int] = field(default_factory=frozenset)  #: plain texts that a comment follows

    def find(self, path: Path, *, key: bool = False) -> int:
        """Return the spot of the value at *path*, or of its key; where it does not exist, of its nearest parent."""
        node = self.root
        for number, step in enumerate(path):
            inside = node[1] if isinstance(node, tuple) else None
            if isinstance(inside, dict) and step in inside:
                at: int = inside[step][0]
                if key and number == len(path) - 1:
                    return at
                node = inside[step][1]
            elif isinstance(inside, list) and isinstance(step, int) and step < len(inside):
                node = inside[step]
            else:
                break
        return node[0] if isinstance(node, tuple) else node

    def holds(self, path: Path) -> bool:
        """Return whether the document has a value at *path*."""
        node = self.root
        for step in path:
            inside = node[1] if isinstance(node, tuple) else None
            if isinstance(inside, dict) and step in inside:
                node = inside[step][1]
            elif isinstance(inside, list) and isinstance(step, int) and step < len(inside):
                node = inside[step]
            else:
                return False
        return True

    def problem(self, path: Path, code: str, message: str, hint: str = "", *, key: bool = False) -> Problem:
        """Return a Problem at *path* (at its key where *key* is set)."""
        return self.at(self.find(path, key=key), code, message, hint, path=path)

    def at(self, place: int, code: str, message: str, hint: str = "", *, path: Path = ()) -> Problem:
        """Return a Problem at the spot *place*."""
        line, column = line_of(place), (place & _COLUMN_MASK) + 1
        return Problem(file=self.file, line=line, column=column, path=show(path), code=code, message=message, hint=hint)

    def line(self, path: Path, *, key: bool = False) -> int:
        """Return the line of *path*, counted from 1."""
        return line_of(self.find(path, key=key))


def show(path: Path) -> str:
    """Return a path as users write it: ``jobs[3].size``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of a value: a document, and the path in it."""

    places: Places
    path: Path

    def inside(self, *steps: str | int) -> Origin:
        """Return the place of a value inside it."""
        return Origin(self.places, (*self.path, *steps))

    def problem(self, code: str, message: str, hint: str = "") -> Problem:
        """Return a Problem at this place."""
        return self.places.problem(self.path, code, message, hint)

    def __str__(self) -> str:
        return f"{self.places.file}:{self.places.line(self.path)}"
