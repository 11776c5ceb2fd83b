"""What all list formats share: reports of bad rows, and the names of columns in templates. Pure."""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

#: Receives one bad row: line and column (both from 1), code, message, hint.
Report = Callable[[int, int, str, str, str], None]

#: A warning about a list: code, message, hint.
Remark = tuple[str, str, str]


class Content(NamedTuple):
    """The content of a list, by its digest."""

    sha256: str
    size_bytes: int


class BadList(ValueError):
    """The list as a whole cannot be used; the text says which list and why."""


def ignore(line: int, column: int, code: str, message: str, hint: str) -> None:
    """Ignore a bad row that has been reported before."""


@functools.lru_cache(maxsize=1024)
def aliases(columns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the identifiers of columns that are not identifiers: ``Product_Title`` for ``Product Title``.

    An identifier that is another column's name, or that two columns would share, is left out.
    """
    pairs = [(_identifier(column), column) for column in columns if not column.isidentifier()]
    counts = Counter(alias for alias, _ in pairs)
    return tuple((alias, column) for alias, column in pairs if counts[alias] == 1 and alias not in columns)


def column_of(name: str, columns: tuple[str, ...]) -> str:
    """Return the column that *name* refers to: itself, unless it is an alias, or has other blanks between its words."""
    if name in columns:
        return name
    alias = dict(aliases(columns)).get(name)
    return _spaced(columns).get(" ".join(name.split()), name) if alias is None else alias


@functools.lru_cache(maxsize=1024)
def _spaced(columns: tuple[str, ...]) -> dict[str, str]:
    """Return the columns by their names with plain blanks: line breaks and no-break spaces come from spreadsheets."""
    names = [" ".join(column.split()) for column in columns]
    return {name: column for name, column in zip(names, columns, strict=True) if names.count(name) == 1}


def _identifier(column: str) -> str:
    name = "".join(char if f"_{char}".isidentifier() else "_" for char in column)
    return name if name.isidentifier() else f"_{name}"


def flow_text(text: str) -> str:
    """Return *text* as YAML takes it between braces."""
    plain = re.fullmatch(r"[^\W\d][\w ./-]*", text) and not text.endswith(" ")
    return text if plain else json.dumps(text, ensure_ascii=False)
