"""Where each key and value of a document stands.  Values; no I/O.

A *spot* is an int (a scalar) or a pair of an int and the spots inside (a mapping or a list); the int is
``line << 20 | column``, both counted from 0.  Plain ints keep 100,000 jobs small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import Problem

Path = tuple[str | int, ...]
Spot = int | tuple[int, Any]

#: Problems of one kind that are listed; the rest is counted.
PER_KIND = 50

_COLUMN_BITS = 20
_COLUMN_MASK = (1 << _COLUMN_BITS) - 1


def spot(line: int, column: int) -> int:
    """Return a line and a column, both counted from 0, as one int."""
    return line << _COLUMN_BITS | min(column, _COLUMN_MASK)


@dataclass(frozen=True, kw_only=True)
class Places:
    """The places of one document."""

    file: str  #: as the user named it
    root: Spot  #: the spot of the whole document
    commented: frozenset[int] = field(default_factory=frozenset)  #: plain texts that a comment follows

    def find(self, path: Path, *, key: bool = False) -> int:
        """Return the spot of the value at *path*, or of its key; where there is none, of what it would stand in."""
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

    def problem(self, path: Path, code: str, message: str, hint: str = "", *, key: bool = False) -> Problem:
        """Return a Problem with the place of *path* (of its key where *key* is set)."""
        return self.at(self.find(path, key=key), code, message, hint, path=path)

    def at(self, place: int, code: str, message: str, hint: str = "", *, path: Path = ()) -> Problem:
        """Return a Problem that stands at the spot *place*."""
        line, column = (place >> _COLUMN_BITS) + 1, (place & _COLUMN_MASK) + 1
        return Problem(file=self.file, line=line, column=column, path=show(path), code=code, message=message, hint=hint)

    def line(self, path: Path, *, key: bool = False) -> int:
        """Return the line of *path*, counted from 1."""
        return (self.find(path, key=key) >> _COLUMN_BITS) + 1


def show(path: Path) -> str:
    """Return a path as users write it: ``jobs[3].size``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def orderly(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return *problems* in file order, each once, at most PER_KIND of a kind and then a line that counts the rest."""
    shown: list[Problem] = []
    rest: dict[str, list[Problem]] = {}
    seen: dict[str, int] = {}
    for problem in sorted(dict.fromkeys(problems), key=lambda item: (item.line, item.column)):
        seen[problem.code] = seen.get(problem.code, 0) + 1
        if seen[problem.code] <= PER_KIND:
            shown.append(problem)
        else:
            rest.setdefault(problem.code, []).append(problem)
    return (*shown, *(_summary(code, more) for code, more in rest.items()))


def _summary(code: str, more: list[Problem]) -> Problem:
    first = more[0]
    return Problem(
        file=first.file, line=first.line, column=first.column, path="", code=code,
        message=f"and {len(more)} more of the same kind ({code}) from here on",
    )  # fmt: skip
