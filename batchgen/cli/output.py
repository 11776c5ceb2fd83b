"""How batchgen speaks: values in, lines of text out.  Only ``say``, ``data`` and ``tell_error`` print."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import BatchgenError, ManifestError, Problem
from ..money import format_usd, show_credits

if TYPE_CHECKING:
    from ..planning.estimate import Range
    from ..store.ledger import Calls, Counts, Failure, UsageLine


def say(text: str = "") -> None:
    """Print a line for people, on stderr; where nobody reads it any more, a run goes on all the same."""
    with suppress(OSError, ValueError):
        print(printable(text), file=sys.stderr, flush=True)


def data(text: str) -> None:
    """Print what was asked for, on stdout."""
    print(printable(text))


def document(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON document on stdout."""
    try:
        print(packed(value, indent=2), flush=True)
    except BrokenPipeError:
        # nobody reads it any more; the exit code still tells how it went
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell_error(error: BatchgenError, *, as_json: bool) -> None:
    """Print why nothing more happens: on stderr, as text or as one JSON document."""
    problems = error.problems if isinstance(error, ManifestError) else ()
    if as_json:
        found = [asdict(problem) for problem in problems]
        body = {"type": "exit_error", "code": error.exit_code, "message": str(error)}
        print(packed(body | ({"problems": found} if found else {}), sys.stderr), file=sys.stderr)
        return
    if isinstance(error, ManifestError):
        for warning in error.warnings:
            say(f"warning: {nearer(warning)}")
        for problem in problems:
            say(str(nearer(problem)))
        say(f"{count(len(problems), 'problem')}; nothing was sent, nothing was written.")
        return
    for line in str(error).splitlines():
        say(line)


def packed(value: Any, stream: TextIO | None = None, indent: int | None = None) -> str:  # noqa: ANN401 - any JSON value
    """Return JSON text for *stream* (default: stdout): in ASCII where that does not speak UTF-8."""
    narrow = "utf" not in ((stream or sys.stdout).encoding or "").lower()
    return tame(json.dumps(value, ensure_ascii=narrow, indent=indent))


def replaced(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that a stream cannot carry: the nearest in ASCII, else an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    near = (_NEAREST.get(character) or ascii(character)[1:-1] for character in text)
    return "".join(near), error.end


#: Characters that batchgen itself writes, and what is nearest to them where only ASCII gets through.
_NEAREST = {"…": "...", "–": "-", "—": "-", "’": "'", "“": '"', "”": '"', "×": "x", "·": "-"}  # noqa: RUF001


def nearer(problem: Problem) -> Problem:
    """Return *problem* with its file as a person in the working folder would write it."""
    here = f"{Path.cwd()}{os.sep}"
    return replace(problem, file=problem.file.removeprefix(here), message=problem.message.replace(here, ""))


def printable(text: str) -> str:
    """Return *text* with every control, format and bidi character escaped: a prompt must not steer the terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c == "\n" or not _steers(c) else c.encode("unicode_escape").decode() for c in text)


def _steers(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character != "\u200d"


def tame(document: str) -> str:
    """Return JSON text with every character that would steer a terminal escaped; it means what it meant."""
    if document.isprintable():
        return document
    return "".join(
        c if c == "\n" or not _steers(c) else json.dumps(c)[1:-1].replace("\x7f", r"\u007f") for c in document
    )


def short(text: str, width: int) -> str:
    """Return *text* on one line of at most *width* characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def table(rows: Sequence[Sequence[object]], heads: Sequence[str], right: Iterable[int] = ()) -> list[str]:
    """Return the lines of a table, columns two blanks apart; columns in *right* are right-aligned."""
    cells = [list(heads), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    flush = set(right)

    def line(row: Sequence[str]) -> str:
        padded = (c.rjust(w) if i in flush else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        return "  ".join(padded).rstrip()

    return [line(row) for row in cells]


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
        text = "".join(c.encode("unicode_escape").decode() if c not in _KEPT and _hides(c) else c for c in text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


#: Control characters that stay, since CSV quotes them.
_KEPT = "\t\n\r"
#: Characters that change the direction of the text around them.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _hides(character: str) -> bool:
    return character in _TURNING or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def call_lines(calls: Sequence[Calls]) -> list[str]:
    """Return how the calls to each provider ended, and for whom it stood in."""
    said: dict[str, list[str]] = {}
    for one in calls:
        stood_in = f" for {one.home}" if one.home != one.provider else ""
        said.setdefault(one.provider, []).append(f"{one.count} {one.outcome}{stood_in}")
    return [
        f"{'' if number else 'calls':<10}{who}: {', '.join(ends)}" for number, (who, ends) in enumerate(said.items())
    ]


def usd(nano: int | None) -> str:
    """Return an amount for people: cents, and below a dollar up to four digits."""
    return format_usd(nano)


def duration(seconds: float) -> str:
    """Return "45 s", "12 min" or "3 h 20 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def money_lines(lines: Sequence[UsageLine]) -> list[str]:
    """Return what was spent, in words."""
    from ..store.ledger import add

    said = []
    known = [line.usd for line in lines if line.usd is not None]
    parts = {
        basis: sum(line.usd_by_basis.get(basis, 0) for line in lines) for basis in ("reported", "priced", "estimated")
    }
    detail = ", ".join(f"{usd(nano)} {basis}" for basis, nano in parts.items() if nano)
    unpriced = sum(line.unpriced for line in lines if not line.at_risk)
    spent = usd(sum(known)) if known or not unpriced else "unknown"
    said.append(f"spent     {spent}" + (f" ({detail})" if detail else ""))
    for provider in sorted({line.provider for line in lines if line.credits}):
        total = add([line.credits for line in lines if line.provider == provider])
        said.append(f"          {show_credits(total)} credits at {provider}")
    if unpriced:
        said.append(f"          {count(unpriced, 'attempt')} without a price in USD (credits only, or no tariff)")
    if doubtful := sum(line.at_risk for line in lines):
        risk = add([line.at_risk_usd for line in lines if line.at_risk])
        said.append(f"at risk   {usd(risk)} for {count(doubtful, 'attempt')} that may have been charged")
    return said


def status_lines(
    batch: str, counts: Counts, usage: Sequence[UsageLine], failures: Sequence[Failure], *, cut_off: int = 0
) -> list[str]:
    """Return the screen of ``status``."""
    standing = [
        f"{number} {'under way when a run was cut off' if name == 'running' and cut_off else name}"
        for name in ("done", "running", "pending", "failed", "unknown", "cancelled")
        if (number := getattr(counts, name))
    ]
    lines = [
        f"{batch}: {count(counts.total, 'job')}: {', '.join(standing) or 'none'}",
        f"images    {counts.images}",
        *money_lines(usage),
    ]
    if counts.orphaned:
        gone = "no longer in the manifest; their files stay (batchgen list --status orphaned)"
        lines.append(f"orphaned  {count(counts.orphaned, 'job')} {gone}")
    return lines + failure_lines(failures)


def failure_lines(failures: Sequence[Failure]) -> list[str]:
    """Return the failures by cause, each with an example."""
    lines = []
    for number, failure in enumerate(failures):
        head = "failed    " if number == 0 else "          "
        example = f"{'such as ' if failure.count > 1 else 'job '}{short(failure.key, 40)}"
        lines.append(f"{head}{failure.count} {failure.cause}, {example}: {short(failure.message, 100)}")
    return lines


def under(head: str, lines: Iterable[str]) -> list[str]:
    """Return *lines* in the column beside *head*, which is put before the first."""
    return [f"{head if number == 0 else '':<10}{line}" for number, line in enumerate(lines)]


def count(number: int, noun: str) -> str:
    """Return "1 job" or "3 jobs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def credits_(milli: int | None) -> str:
    """Return credits for people."""
    return "unknown" if milli is None else (show_credits(milli) or "0")


def span(amounts: Range, show: Callable[[int | None], str]) -> str:
    """Return "low to high", or one figure where both are the same."""
    low, high = show(amounts.low), show(amounts.high)
    return low if low == high else f"{low} to {high}"


def raw(text: str) -> None:
    """Print a line of data for machines on stdout as it is: its format escapes what needs escaping."""
    print(text)


def raw_past_buffers(text: str) -> None:
    """Do as ``raw`` from a thread: one that nobody reads must not hold what the interpreter flushes at its end."""
    left = f"{text}\n".encode(sys.stdout.encoding, "batchgen")
    while left:
        left = left[os.write(sys.stdout.fileno(), left) :]
