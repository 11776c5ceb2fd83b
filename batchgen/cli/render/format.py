"""Formats of single values: counts, amounts, durations, sizes, paths, labelled lines, CSV cells."""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import BatchgenError, ManifestError, Problem
from ...money import format_usd, show_credits
from ...object_url import is_object_url
from ..output import encodes
from .width import cells, wrapped

if TYPE_CHECKING:
    from ...object_url import Folder
    from ...planning.range import Range

_DAY = 86_400
#: Characters of the bar of an action.
_GAUGE = 20
#: The width of the labels before the lines of a screen, and those whose lines are copied to a shell.
_LABEL, _WHOLE = 10, ("files", "now try")
#: Labels of lines that begin with a path, up to two blanks, which stays whole.
_PATHS = ("file", "copy", "source", "report", "zip", "sheet")
#: Control characters that stay in a cell: CSV quotes them.
_QUOTED = "\t\n\r"
#: Characters that change the direction of the text around them.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


#: An amount in USD as text.
usd = format_usd


def count(number: int, noun: str) -> str:
    """Return "1 job" or "1,254 jobs"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def credits_(milli: int | None) -> str:
    """Return an amount of credits."""
    return "unknown" if milli is None else (show_credits(milli) or "0")


def money(nano: int | None, milli: int | None) -> str:
    """Return an amount in USD and, if there are any, credits."""
    return usd(nano) + (f", {show_credits(milli)} credits" if milli else "")


def span(amounts: Range, show: Callable[[int | None], str]) -> str:
    """Return "low to high", or one figure where both are the same."""
    low, high = show(amounts.low), show(amounts.high)
    return low if low == high else f"{low} to {high}"


def duration(seconds: float) -> str:
    """Return "45 s", "12 min", "3 h 20 min" or "5 days"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    if seconds < 2 * _DAY:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{seconds / _DAY:.0f} days"


def size(size_bytes: int) -> str:
    """Return a size in kB, MB, GB or TB."""
    for unit, amount in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if size_bytes >= amount:
            number = size_bytes / amount
            return f"{number:,.1f} {unit}" if number < 100 else f"{number:,.0f} {unit}"
    return f"{max(1, size_bytes // 1000)} kB" if size_bytes else "nothing"


def gauge(action: str, done: int, total: int, unit: str, seconds: float) -> str:
    """Return one line on an action: a bar, how far it is, and how long the rest takes at this pace."""
    if not total:
        return action
    full, empty = ("━", "─") if encodes("━─") else ("#", ".")
    filled = _GAUGE * done // total
    left = f", about {duration(seconds * (total - done) / done)} left" if done and seconds > 1 else ""
    return f"{action}  {full * filled}{empty * (_GAUGE - filled)}  {done:,} of {total:,} {unit}{left}"


def under(head: str, lines: Iterable[str]) -> list[str]:
    """Return *lines* in a column to the right of *head*, which is on the first of them."""
    return [f"{head if number == 0 else '':<10}{line}" for number, line in enumerate(lines)]


def hanging(lines: Iterable[str], width: int | None, margin: int = _LABEL) -> Iterator[str]:
    """Yield *lines* broken between words to *width* cells, below their text; commands and paths stay whole.

    *margin* is the width of the labels.
    """
    label = ""
    for line in lines:
        label = line[:margin].strip() or label
        whole = label in _WHOLE or (label == "next" and "batchgen " in line)
        if width is None or cells(line) <= width or width < 2 * margin or whole:
            yield line
            continue
        labelled = line[:margin].isascii() and line[margin - 1 : margin] == " "
        indent = " " * (margin if labelled else 2)
        text = line[margin:] if labelled else line
        path, _, facts = text.partition("  ") if label in _PATHS else ("", "", text)
        first, *others = [*filter(None, [path]), *(wrapped(facts, width - len(indent)) if facts else [])]
        yield line[:margin] + first if labelled else first
        yield from (f"{indent}{other}" for other in others)


def command_lines(steps: Iterable[tuple[str, str]]) -> list[str]:
    """Return lines with commands to type next and what each does."""
    steps = list(steps)
    width = max((len(command) for command, _ in steps), default=0)
    return under("next", (f"{command:<{width}}    {what}".rstrip() for command, what in steps))


def display_path(path: str | Folder) -> str:
    """Return *path* relative to the working folder if it is inside; an address in an object store stays as it is."""
    if is_object_url(str(path)):
        return str(path)
    path, here = Path(str(path)), Path.cwd()
    inside = here != Path(here.anchor) and path.is_relative_to(here)  # cron works in the root folder
    return str(path.relative_to(here) if inside else path)


def csv_line(cells: Iterable[object]) -> str:
    """Return a row of CSV; cells that a spreadsheet would run are quoted, and control characters are escaped."""
    buffer = io.StringIO()
    csv.writer(buffer).writerow([_harmless(cell) for cell in cells])
    return buffer.getvalue().rstrip("\r\n")


def _harmless(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    text = cell
    if not text.isprintable():
        text = "".join(c.encode("unicode_escape").decode() if c not in _QUOTED and _hides(c) else c for c in text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _hides(character: str) -> bool:
    return character in _BIDI or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def warning_line(problem: Problem) -> str:
    """Return a warning with its file as seen from the working folder."""
    return f"warning: {_from_here(problem)}"


def error_lines(error: BatchgenError) -> list[str]:
    """Return the lines that report an error."""
    if not isinstance(error, ManifestError):
        return str(error).splitlines()
    return [
        *map(warning_line, error.warnings),
        *(str(_from_here(problem)) for problem in error.problems),
        f"{count(len(error.problems), 'problem')}; nothing was sent, nothing was written.",
    ]


def error_document(error: BatchgenError) -> Mapping[str, Any]:
    """Return the JSON that reports an error."""
    document = {"type": "exit_error", "code": error.exit_code, "message": str(error)}
    if isinstance(error, ManifestError) and error.problems:
        document["problems"] = [asdict(problem) for problem in error.problems]
    return document


def _from_here(problem: Problem) -> Problem:
    here = f"{Path.cwd()}{os.sep}"
    return replace(problem, file=problem.file.removeprefix(here), message=problem.message.replace(here, ""))
