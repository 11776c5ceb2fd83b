"""Problems of a batch: what is wrong in its files. The same mistake in many rows is shown once, with a count. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from ..errors import Problem

#: So many different mistakes of one kind are listed; the others are counted.
PER_KIND = 50
#: So many more of one kind end the search.
MOST = 5_000
#: Places of one mistake: shown as lines of their own, and remembered.
_SHOWN, _KEPT = 3, 12

_INDEX = re.compile(r"\[\d+\]")
#: Parts of a message that differ from row to row: quoted values and numbers.
_VALUE = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\w.,:]*")


class EnoughError(Exception):
    """So many problems of one kind that the search ends."""


@dataclass(slots=True)
class _Mistake:
    """One mistake, and the places where it was made."""

    kept: dict[Problem, None] = field(default_factory=dict)
    more: int = 0

    def lines(self) -> Iterator[Problem]:
        """Yield the problems to show: all of a few, or the first ones and a count."""
        problems = list(self.kept)
        if len({(problem.file, problem.line) for problem in problems}) <= _SHOWN + 1 and not self.more:
            yield from problems
            return
        yield from problems[:_SHOWN]
        others, number = problems[_SHOWN:], len(problems) - _SHOWN + self.more
        word = "or more" if self.more >= MOST else "more"
        message = f"the same mistake in {number:,} {word} place{'s' if number > 1 else ''}: {_places(others, number)}"
        yield replace(others[0], message=message, hint="")


class Problems:
    """The problems of a batch: a few places of each mistake are kept, the others are counted."""

    def __init__(self) -> None:
        self._mistakes: list[_Mistake] = []
        self._by_key: dict[tuple[str, str, str], _Mistake] = {}
        self._kinds: Counter[str] = Counter()  #: different mistakes by code
        self._counted: Counter[str] = Counter()  #: problems that are not kept, by code
        self._rest: dict[str, tuple[Problem, int]] = {}  #: the last mistake listed, and how many followed, by code

    def __bool__(self) -> bool:
        return bool(self._mistakes)

    def add(self, problem: Problem, mistake: str = "") -> None:
        """Add a problem; the same one twice counts once. Messages of the same *mistake* may differ in any words."""
        # Rows of a list share the path and differ in their values; jobs of a manifest differ in the path only.
        keys = (
            (problem.code, problem.path, mistake or _VALUE.sub("", problem.message)),
            (problem.code, _INDEX.sub("[]", problem.path), problem.message),
        )
        same = self._by_key.get(keys[0]) or self._by_key.get(keys[1]) or self._new(problem)
        if same is None or problem in same.kept:
            return
        self._by_key.update(dict.fromkeys(keys, same))
        if len(same.kept) < _KEPT:
            same.kept[problem] = None
        else:
            same.more += 1
            self.count(problem.code)

    def _new(self, problem: Problem) -> _Mistake | None:
        """Return a mistake that is listed; None, and count it, if there are too many of its kind."""
        code = problem.code
        if self._kinds[code] >= PER_KIND:
            last, number = self._rest.get(code, (problem, 0))
            self._rest[code] = last, number + 1
            self.count(code)
            return None
        self._kinds[code] += 1
        mistake = _Mistake()
        self._mistakes.append(mistake)
        return mistake

    def extend(self, problems: Iterable[Problem]) -> None:
        """Add several problems."""
        for problem in problems:
            self.add(problem)

    def count(self, code: str) -> None:
        """Count a problem that is not kept; raise EnoughError after MOST of them."""
        self._counted[code] += 1
        if self._counted[code] >= MOST:
            raise EnoughError(code)

    def listed(self) -> tuple[Problem, ...]:
        """Return the problems by file and line, then a line for each kind that has more."""
        kept = [problem for mistake in self._mistakes for problem in mistake.lines()]
        files = {file: number for number, file in enumerate(dict.fromkeys(problem.file for problem in kept))}
        kept.sort(key=lambda problem: (files[problem.file], problem.line, problem.column))
        return (*kept, *(_remainder(*rest) for rest in self._rest.values()))


def _places(problems: list[Problem], number: int) -> str:
    """Return where *problems* are, the first of *number*: lines, or files where there are none."""
    has_lines = problems[0].line > 0
    shown = list(dict.fromkeys(str(problem.line) if has_lines else problem.file for problem in problems))
    more = f" and {number - len(problems):,} more" if number > len(problems) else ""
    word = "" if not has_lines else "line " if len(shown) == 1 and not more else "lines "
    return f"{word}{', '.join(shown)}{more}"


def _remainder(last: Problem, number: int) -> Problem:
    return Problem(
        file=last.file, line=last.line, column=last.column, path="", code=last.code,
        message=f"and {number}{' or' if number >= MOST else ''} more of the same kind ({last.code}) from here on",
    )  # fmt: skip
