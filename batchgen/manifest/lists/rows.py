"""The names under which templates know columns that are no identifiers.  Decisions: pure."""

from __future__ import annotations

import functools
from collections import Counter


@functools.lru_cache(maxsize=1024)
def aliases(columns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return second names with their columns: ``Product_Title`` for ``Product Title``.

    A name that another column has, or that two columns would get, is given to none.
    """
    second = [(_identifier(column), column) for column in columns if not column.isidentifier()]
    wanted = Counter(alias for alias, _ in second)
    return tuple((alias, column) for alias, column in second if wanted[alias] == 1 and alias not in columns)


def column_of(name: str, columns: tuple[str, ...]) -> str:
    """Return the column that *name* stands for: itself, unless it is a second name."""
    return name if name in columns else dict(aliases(columns)).get(name, name)


def _identifier(column: str) -> str:
    name = "".join(char if f"_{char}".isidentifier() else "_" for char in column)
    return name if name.isidentifier() else f"_{name}"
