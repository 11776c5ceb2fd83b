"""How a list says what is wrong with it.  Values; no I/O."""

from __future__ import annotations

from collections.abc import Callable

#: Takes one bad row: line and column (both from 1), code, message, hint.
Report = Callable[[int, int, str, str, str], None]

#: What may not be meant: code, message, hint.
Remark = tuple[str, str, str]


class BadList(ValueError):
    """The list as a whole cannot be used; the text says which and why."""


def ignore(line: int, column: int, code: str, message: str, hint: str) -> None:
    """Take a bad row that was reported before."""
