"""Everything batchgen raises on purpose; each class answers "who must act" and names its exit code.

* BatchgenError          1   unexpected to the user; the text says what to do
  - UsageError           2   the command line is wrong
  - ManifestError        4   the manifest is wrong: fix the file (every problem at once)
  - SettingsError        4   a setting outside the manifest is wrong
  - KeyMissing           5   an API key is not there
  - SpendNotConfirmed    6   nobody agreed to spend
  - NotFound            10   no such batch, run or job
  - LockHeld            11   another run works on this job table, or in this output folder
  - SchemaMismatch      12   the job table is newer than this program, or its upgrade failed
  - StoreError           1   disk or database
    - Unread             1   a paid answer that a bug keeps from being read; it waits in the spool
  - StaleJob                 the job moved on without us: drop this result (internal)
  - IllegalEvent             a bug: the state machine does not allow it (internal)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar


class BatchgenError(Exception):
    """Base class of every deliberate error; its text is written for the user."""

    exit_code: ClassVar[int] = 1


class UsageError(BatchgenError):
    """The command line asks for something that makes no sense."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One mistake in a file, placed so that an editor can jump to it."""

    file: str
    line: int  #: counted from 1; 0 where no line applies
    column: int  #: counted from 1; 0 where no column applies
    path: str  #: where in the document, such as ``jobs[3].size``
    code: str  #: stable word for scripts, such as ``unknown_key``
    message: str  #: what is wrong
    hint: str = ""  #: what to do about it

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        subject = f"{self.path}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}: {subject}{self.message}{hint}"


class ManifestError(BatchgenError):
    """The manifest is wrong; ``problems`` holds every mistake found, in file order, ``warnings`` what else was seen."""

    exit_code = 4

    def __init__(self, problems: tuple[Problem, ...], warnings: tuple[Problem, ...] = ()) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
        self.warnings = warnings


class SettingsError(BatchgenError):
    """A setting outside the manifest is wrong."""

    exit_code = 4


class KeyMissing(BatchgenError):
    """An API key is needed and is not there, or cannot be a key."""

    exit_code = 5


class SpendNotConfirmed(BatchgenError):
    """Nobody agreed to spend: no terminal to ask, no budget, no --yes; or the answer was no."""

    exit_code = 6


class NotFound(BatchgenError):
    """There is no such batch, run or job."""

    exit_code = 10


class AlreadyRunning(BatchgenError):
    """Another run works on this job table, or in this output folder."""

    exit_code = 11


class SchemaMismatch(BatchgenError):
    """The job table is newer than this program, or its upgrade failed (a backup was kept)."""

    exit_code = 12


class StoreError(BatchgenError):
    """The disk or the database refused."""


class UnreadableAnswer(StoreError):
    """A paid answer is in the spool, and this version of batchgen fails to read it: a bug of its own."""


class StaleClaim(BatchgenError):
    """The job moved on without us: drop this result."""


class IllegalEvent(BatchgenError):
    """A bug: the state machine does not allow this event in this state."""


def nearest(word: str, words: Iterable[object], cutoff: float = 0.6) -> str | None:
    """Return which of *words* a misspelt *word* was probably meant to be, whatever its case, or None."""
    # Imported here: a command that is spelled right never needs it.
    from difflib import get_close_matches

    by_lower = {str(candidate).lower(): str(candidate) for candidate in words}
    close = get_close_matches(word.lower(), by_lower, 1, cutoff)
    return by_lower[close[0]] if close else None


def suggest(word: str, words: Iterable[object], otherwise: str | None = None) -> str:
    """Return a hint at a misspelt word: the nearest of *words*; failing that, *otherwise* or all of them."""
    candidates = [str(candidate) for candidate in words]
    if match := nearest(word, candidates):
        return f"did you mean {match!r}?"
    return f"there are: {', '.join(candidates)}" if otherwise is None else otherwise
