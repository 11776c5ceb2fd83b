r"""Surrogate pairs: JSON writes an emoji as two escapes, ``\ud83d\ude00``, and YAML as one, ``\U0001F600``. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left

_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
#: Characters that a pair is longer than the one escape.
_SHORTER = 2


class JoinedPairs:
    """A text whose pairs are single escapes, and the columns that its places have in the original."""

    def __init__(self, text: str) -> None:
        self.count = 0
        self._ends: dict[int, list[int]] = {}  #: columns behind the pairs, by line; both from 0, in the new text
        self._original = text
        self._line = self._searched = 0
        self.text = _PAIR.sub(self._join, text)

    def column(self, line: int, column: int) -> int:
        """Return the column in the original text of a place in the new one."""
        return column + _SHORTER * bisect_left(self._ends.get(line, ()), column + 1)

    def _join(self, match: re.Match[str]) -> str:
        start = self._original.rfind("\n", 0, match.end()) + 1
        self._line += self._original.count("\n", self._searched, match.end())
        self._searched = match.end()
        ends = self._ends.setdefault(self._line, [])
        ends.append(match.end() - start - _SHORTER * (len(ends) + 1))
        self.count += 1
        char = 0x10000 + ((int(match[2], 16) - 0xD800) << 10) + int(match[3], 16) - 0xDC00
        return f"{match[1]}\\U{char:08X}"
