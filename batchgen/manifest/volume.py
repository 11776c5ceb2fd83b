"""Volume of a manifest: how many jobs and how much text a few lines may multiply to. Pure.

A list brings one job a row, whatever its length. ``matrix``, ``zip``, ``repeat`` and ``n`` make jobs from nothing, so
that 10 KB could keep a computer busy for hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from .expand import Entry
from .problems import Problems

#: Jobs that ``matrix``, ``zip``, ``repeat`` and ``n`` make in one manifest.
MAX_JOBS = 500_000
#: Characters of their texts, all jobs together.
MAX_CHARACTERS = 300_000_000
_CONDITION = re.compile(r"\{%|\bif\b")
#: What a job costs in addition to its texts, in characters.
_EACH = 100


def within(entries: Iterable[Entry], problems: Problems) -> Iterator[Entry]:
    """Yield *entries*; from the one that multiplies to more than is accepted, which is reported, without their rows."""
    jobs = characters = 0
    for entry in entries:
        if jobs > MAX_JOBS or characters > MAX_CHARACTERS:
            yield entry.without_rows
            continue
        made = len(entry.combinations) * entry.repeat * _whole(entry, "n")
        if made > 1:
            jobs += made
            characters += made * (_EACH + _size(entry))
        if jobs > MAX_JOBS or characters > MAX_CHARACTERS:
            what = f"{jobs:,} jobs" if jobs > MAX_JOBS else f"{jobs:,} jobs with {characters:,} characters of text"
            message = f"matrix, zip, repeat and n multiply to {what}"
            hint = f"at most {MAX_JOBS:,} jobs and {MAX_CHARACTERS:,} characters are made from one manifest; use `from`"
            problems.add(entry.origin().problem("too_many", message, hint))
            entry = entry.without_rows  # noqa: PLW2901
        yield entry


def _value(entry: Entry, name: str) -> Any:  # noqa: ANN401 - a parameter's value
    default = entry.part.defaults.get(name)
    return entry.own.get(name, None if default is None else default.value)


def _whole(entry: Entry, name: str) -> int:
    value = _value(entry, name)
    return value if isinstance(value, int) else 1


def _size(entry: Entry) -> int:
    """Return how many characters of text the manifest states for each job, and its conditions look at."""
    defaults = (given.value for name, given in entry.part.defaults.items() if name not in entry.own)
    values = (*entry.own.values(), *defaults)
    conditions = [text for text in values if isinstance(text, str) and _CONDITION.search(text)]
    return sum(map(_length, values)) + (_tested(entry, conditions) if conditions else 0)


def _tested(entry: Entry, conditions: list[str]) -> int:
    """Return the length of the variables in templates with conditions, each as often as it is named."""
    lengths = {name: _length(given.value) for name, given in entry.part.vars.items()}
    lengths |= {name: _length(value) for name, value in entry.vars.items()}
    lengths |= {name: max(map(_length, values)) for name, values in entry.axes.items()}
    return sum(text.count(name) * length for name, length in lengths.items() for text in conditions)


def _length(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(str(key)) + _length(item) for key, item in value.items())
    return sum(map(_length, value)) if isinstance(value, list) else 1
