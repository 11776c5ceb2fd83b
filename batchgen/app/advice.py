"""Advice at the end of a run: the next commands, by the state of the batch."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..fault import Cause

if TYPE_CHECKING:
    from .project import CommandFlags
    from .queries import BatchStatus

#: Causes that a retry does not help against.
_NEEDS_A_CHANGE = frozenset({Cause.REFUSED, Cause.INVALID})


@dataclass(frozen=True, kw_only=True, slots=True)
class NextStep:
    """A suggestion: a command and what it does, or a cause of failure and its cure."""

    command: str | None
    what: str
    cause: str | None = None  #: of the failures that it addresses


def next_steps(status: BatchStatus, flags: CommandFlags, imageless: str | None = None) -> Iterator[NextStep]:
    """Yield the next commands, if there is anything to do.

    *imageless*: a job whose answer held no image, to be looked at before more of them are paid for.
    """
    counts = status.counts
    if imageless is not None:
        what = "shows an answer without an image; look at it before you run again"
        yield NextStep(command=f"batchgen show{flags.of_batch} {shlex.quote(imageless)}", what=what)
    manifest = flags.manifest(status.batch.manifest)
    if (waiting := counts.pending + counts.running) and status.holder is None:
        what = f"resumes the {_jobs(waiting, 'remaining' if counts.running else 'pending')}"
        yield NextStep(command=f"batchgen run {manifest}{flags.flags}{flags.again}", what=what)
    if counts.unknown:
        what = f"lists the {_jobs(counts.unknown, 'unknown')} and your options"
        yield NextStep(command=f"batchgen unknown list{flags.of_batch}", what=what)
    for failure in status.failures:
        if failure.cause in _NEEDS_A_CHANGE:
            yield NextStep(command=None, what=Cause(failure.cause).cure, cause=failure.cause)
        else:
            command = f"batchgen retry {manifest}{flags.flags}{flags.again} --cause {failure.cause}"
            yield NextStep(command=command, what="retries these jobs", cause=failure.cause)
    if status.failures:
        example = shlex.quote(status.failures[0].key)
        yield NextStep(command=f"batchgen show{flags.of_batch} {example}", what="shows every attempt of a job")


def _jobs(count: int, state: str) -> str:
    return f"{count} {state} job{'' if count == 1 else 's'}"
