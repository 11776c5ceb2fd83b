"""The error hierarchy; each class says who must act and which exit code the command ends with.

* BatchgenError          1   unexpected; the text says what to do
  - UsageError           2   the command line is wrong
  - ManifestError        4   the manifest is wrong: every problem at once
  - SettingsError        4   a setting outside the manifest is wrong
  - KeyMissing           5   an API key is missing
  - SpendNotConfirmed    6   spending was not confirmed
  - NotFound            10   no such batch, run or job
    - NoSuchBatch       10   the job database has no such batch, or none at all
  - AlreadyRunning      11   another run uses this job database or output folder
  - SchemaMismatch      12   the job database is newer than this program, or its upgrade failed
  - StoreError           1   the disk or the database failed
    - UnreadableAnswer   1   a paid answer that a bug keeps from being read; it stays in the spool
  - UnfinishedTask           internal: a remote task has not ended, so that its attempt stays open
  - StaleClaim               internal: the job has changed since it was claimed, so its result is dropped
  - IllegalEvent             internal: the state machine does not allow the event
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self


class ExitCode(IntEnum):
    """How a command ended. Scripts rely on the numbers; help and README print ``meaning``."""

    meaning: str  #: one sentence for users

    def __new__(cls, code: int, meaning: str = "") -> Self:
        """Return the code as a plain integer that knows its meaning."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    OK = 0, "all jobs are done, or all selected ones, or there was nothing to do"
    UNEXPECTED = 1, "unexpected error, such as a full disk; nothing that arrived is lost"
    USAGE = 2, "the command line is wrong"
    JOBS_FAILED = 3, "ran to the end; some jobs failed or are unknown"
    INVALID = 4, "the manifest or a setting is invalid; nothing was sent"
    DENIED = 5, "an API key is missing or refused, or the first jobs were all refused alike; the rest is pending"
    NOT_CONFIRMED = 6, "spending was not confirmed; nothing was sent"
    OUT_OF_MONEY = 7, "budget reached, or the provider's account is out of money; the rest is pending"
    STOPPED = 8, "stopped early: a time or failure limit, an unreachable provider or a pause; the rest is pending"
    AT_PROVIDER = 9, "some jobs are at the provider; the same command collects them"
    NOT_FOUND = 10, "no such batch, run or job"
    LOCKED = 11, "another run holds the lock"
    SCHEMA = 12, "the job database is newer than this program, or its upgrade failed"
    INTERRUPTED = 130, "interrupted; nothing is lost"
    TERMINATED = 143, "terminated; nothing is lost"


class BatchgenError(Exception):
    """Base class of every deliberate error; its text is written for the user."""

    exit_code: ClassVar[ExitCode] = ExitCode.UNEXPECTED
    already_reported = False  #: the run before ended with the same error, so that -q prints nothing


class UsageError(BatchgenError):
    """The command line asks for something impossible."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One mistake in a file, with the position that an editor can jump to."""

    file: str
    line: int  #: counted from 1; 0 if no line applies
    column: int  #: counted from 1; 0 if no column applies
    path: str  #: path in the document, such as ``jobs[3].size``
    code: str  #: stable identifier for scripts, such as ``unknown_key``
    message: str  #: what is wrong
    hint: str = ""  #: how to fix it

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        subject = f"{self.path}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}: {subject}{self.message}{hint}"


class ManifestError(BatchgenError):
    """The manifest is invalid; ``problems`` lists every mistake in file order."""

    exit_code = ExitCode.INVALID

    def __init__(self, problems: tuple[Problem, ...], warnings: tuple[Problem, ...] = ()) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
        self.warnings = warnings


class SettingsError(BatchgenError):
    """A setting outside the manifest is invalid."""

    exit_code = ExitCode.INVALID


class KeyMissing(BatchgenError):
    """An API key is missing or cannot be valid."""

    exit_code = ExitCode.DENIED


class SpendNotConfirmed(BatchgenError):
    """Spending was not confirmed: no terminal to ask on, no budget, no --yes; or the answer was no."""

    exit_code = ExitCode.NOT_CONFIRMED


class NotFound(BatchgenError):
    """The batch, run or job does not exist."""

    exit_code = ExitCode.NOT_FOUND


class NoSuchBatch(NotFound):
    """The job database has no batch of this name, or none at all."""


class AlreadyRunning(BatchgenError):
    """Another run uses this job database or this output folder."""

    exit_code = ExitCode.LOCKED


class SchemaMismatch(BatchgenError):
    """The job database is newer than this program, or its upgrade failed (a backup exists)."""

    exit_code = ExitCode.SCHEMA


class StoreError(BatchgenError):
    """The disk or the database failed."""


class UnreadableAnswer(StoreError):
    """A paid answer is in the spool, but a bug keeps this version of batchgen from reading it."""


class UnfinishedTask(BatchgenError):
    """A remote task has not ended: its attempt stays open, and the next run polls. The text is the reason, or empty."""


class StaleClaim(BatchgenError):
    """The job has changed since it was claimed, so this result is dropped."""


class IllegalEvent(BatchgenError):
    """A bug: the state machine does not allow this event in this state."""


def nearest(word: str, words: Iterable[object], cutoff: float = 0.6) -> str | None:
    """Return which of *words* a misspelt *word* was probably meant to be, whatever its case, or None.

    A number is not misspelt: 1009 is as near to 1001 as to 1008. Only one that is nearer than all others is meant.
    """
    # Imported here: a command that is spelled right never needs it.
    from difflib import SequenceMatcher, get_close_matches

    by_lower = {str(candidate).lower(): str(candidate) for candidate in words}
    close = get_close_matches(word.lower(), by_lower, 2, cutoff)
    if word.isdecimal() and len(close) > 1:
        first, second = (SequenceMatcher(None, candidate, word).ratio() for candidate in close)
        close = close if first > second else []
    return by_lower[close[0]] if close else None


def suggest(word: str, words: Iterable[object], otherwise: str | None = None) -> str:
    """Return a hint at a misspelt word: the nearest of *words*; failing that, *otherwise* or all of them."""
    candidates = [str(candidate) for candidate in words]
    if match := nearest(word, candidates):
        return f"did you mean {match!r}?"
    return f"there are: {', '.join(candidates)}" if otherwise is None else otherwise
