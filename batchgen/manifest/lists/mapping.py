"""Mappings of columns: which column of a list sets which parameter or variable. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import suggest
from .header import column_name
from .rows import BadList, column_of

_MOST_NAMES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnMap:
    """The columns that set parameters and variables of another name."""

    sources: Mapping[str, str] = field(default_factory=dict)  #: columns by the parameter or variable that they set
    unset: frozenset[str] = frozenset()  #: parameters that no column sets, not even one of the same name
    guessed: frozenset[str] = frozenset()  #: parameters whose column the manifest does not state

    @classmethod
    def of(cls, stated: Mapping[str, str | None], columns: tuple[str, ...] | None, file: str) -> ColumnMap:
        """Return the mapping that a manifest states; raise BadList where a column does not exist."""
        sources = {}
        for name, column in stated.items():
            if column is not None:
                wanted = column_name(column)
                sources[name] = wanted if columns is None else _existing(name, wanted, columns, file)
        return cls(sources=sources, unset=frozenset(name for name, column in stated.items() if column is None))

    @property
    def names(self) -> frozenset[str]:
        """Return the parameters and variables that are mapped, and those that no column sets."""
        return self.unset | self.sources.keys()

    @property
    def stated(self) -> frozenset[str]:
        """Return the parameters that the manifest itself maps."""
        return self.names - self.guessed

    def with_guesses(self, guesses: Mapping[str, str]) -> ColumnMap:
        """Return the mapping with columns that are guessed by their names."""
        return replace(self, sources={**guesses, **self.sources}, guessed=frozenset(guesses))

    def applied(
        self, rows: Iterable[tuple[int, dict[str, Any]]], columns: tuple[str, ...] | None, file: str
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Add the values of mapped columns to each row; raise BadList where no row had one of the columns."""
        pairs = tuple(self.sources.items())
        missing = set() if columns is not None else {*self.sources.values()}
        keys: dict[str, None] = {}
        for line, values in rows:
            if missing:
                keys.update(dict.fromkeys(values))
                missing.difference_update(values)
            values.update([(name, values[column]) for name, column in pairs if column in values])
            yield line, values
        if missing and keys:
            column = min(missing)
            name = next(name for name, source in pairs if source == column)
            raise _unknown(name, column, tuple(keys), file)


def _existing(name: str, wanted: str, columns: tuple[str, ...], file: str) -> str:
    column = column_of(wanted, columns)
    if column not in columns:
        raise _unknown(name, wanted, columns, file)
    return column


def _unknown(name: str, wanted: str, columns: tuple[str, ...], file: str) -> BadList:
    likely = suggest(wanted, columns, "")
    if name in columns and not likely:
        hint = f"the other way round: columns: {{{wanted}: {name}}}"
    else:
        names = f"{', '.join(columns[:_MOST_NAMES])}{', ...' if len(columns) > _MOST_NAMES else ''}"
        hint = f"{likely} there are: {names}".strip()
    return BadList(f"{file}: columns names the column {wanted!r}, which does not exist ({hint})")
