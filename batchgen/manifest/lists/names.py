"""Names of columns in templates: how a column is written between braces, and which one identifies a row. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .header import column_name
from .rows import aliases, flow_text

_BRACES = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
#: Columns that usually differ from row to row, the most usual first.
_TELLING = ("sku", "id", "ean", "gtin", "isbn", "article", "artikel", "code", "number", "key", "slug", "name", "title")


def written(column: str, columns: tuple[str, ...]) -> str | None:
    """Return the name of a column in templates; None where it shares that name with another column."""
    if column.isidentifier():
        return column
    return next((alias for alias, source in aliases(columns) if source == column), None)


def misnamed(template: str, columns: tuple[str, ...]) -> str | None:
    """Return what to write for a column that *template* names as the header does; None where it names none so."""
    by_name = {column.casefold(): column for column in columns}
    for match in _BRACES.finditer(template):
        text = match[1].partition("|")[0].strip()
        quoted = len(text) > 2 and text[0] == text[-1] and text[0] in "'\""
        column = by_name.get(column_name(text[1:-1] if quoted else text).casefold())
        if column is None or (column.isidentifier() and not quoted):
            continue
        name = written(column, columns)
        if name is None:
            return (
                f"the column {column!r} needs a name for templates: columns: {{name: {flow_text(column)}}} under from"
            )
        return f"the column {column!r} is written {{{{ {name} }}}} in a template"
    return None


def telling(rows: Sequence[Mapping[str, Any]], columns: tuple[str, ...], used: Collection[str]) -> str | None:
    """Return the name of a column, not among *used*, whose values differ in all *rows*; None if there is none."""
    found = [column for column in columns if column not in used and _differs([row.get(column) for row in rows])]
    names = [name for column in found if (name := written(column, columns)) is not None and name not in used]
    return min(names, key=_rank, default=None)


def _rank(name: str) -> int:
    words = name.casefold().replace("-", "_").split("_")
    return next((number for number, word in enumerate(_TELLING) if word in words), len(_TELLING))


def _differs(values: list[Any]) -> bool:
    texts = [str(value) for value in values if value not in {None, ""}] if all(map(_is_simple, values)) else []
    return len(texts) > 1 and len(set(texts)) == len(values)


def _is_simple(value: object) -> bool:
    return value is None or isinstance(value, (str, int, float))
