"""Words of a report: every text that many tiles share is stored once, and columns hold its number. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value", bound=Hashable)


class Words(Generic[Value]):
    """A list of distinct values in the order in which they were first met."""

    def __init__(self) -> None:
        self._numbers: dict[Value, int] = {}

    def number(self, value: Value) -> int:
        """Return the number of *value*, which is added if it is new."""
        return self._numbers.setdefault(value, len(self._numbers))

    def values(self) -> list[Value]:
        """Return the values by number."""
        return list(self._numbers)
