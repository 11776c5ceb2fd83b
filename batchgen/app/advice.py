"""Advice at the end of a run: what its exit code means, whether it needs attention, and the next commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ExitCode
from ..fault import Cause

if TYPE_CHECKING:
    from .project import CommandFlags
    from .queries import BatchStatus
    from .run_result import LaneResult, RunResult

#: Causes that a retry does not help against.
_NEEDS_A_CHANGE = frozenset({Cause.REFUSED, Cause.INVALID})

#: Why a lane closed.
CLOSURES = {
    "money": "out of money",
    "denied": "key, model or path refused",
    "down": "unreachable",
    "doubt": "it accepts calls but does not answer; each may have cost money",
    "budget": "the budget is used up",
    "no-image": "calls were charged but returned no image",
}

#: Closures that are reported even if other providers did the work.
NEWS = ("money", "denied", "no-image")
#: More precise reasons, by closure and cause.
_REASONS = {
    ("denied", "invalid"): "the first jobs were all refused alike, which looks like a mistake in its settings",
    ("denied", "refused"): "refused several different jobs in a row without processing them",
    ("down", "error"): "answered only with errors",
    ("down", "throttled"): "answered every call with 429 for as long as retry.patience allows",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class NextStep:
    """A suggestion: a command and what it does, or a cause of failure and its cure."""

    command: str | None
    what: str
    cause: str | None = None  #: of the failures that it addresses


def why_closed(lane: LaneResult) -> str:
    """Return why a lane closed."""
    return _REASONS.get((str(lane.closed), str(lane.cause)), CLOSURES[str(lane.closed)])


def exit_meaning(result: RunResult) -> str:
    """Return what the exit code of a run means."""
    return _success(result) if result.exit_code == ExitCode.OK else ExitCode(result.exit_code).meaning


def _success(result: RunResult) -> str:
    plan, counts, changed = result.plan, result.status.counts, result.loaded.left
    pending = counts.pending + counts.running
    rest = [f"{pending} pending"] if pending else []
    rest += [f"{changed} changed but not redone yet"] if changed else []
    if result.has_failures:
        summary = f"some jobs failed or are unknown, ignored by --fail-on {result.fail_on}"
    elif plan.selected and not plan.matched:
        summary = f"nothing matched {result.selected_by}"
    elif not rest:
        summary = f"all done except {counts.cancelled} cancelled" if counts.cancelled else "all done"
    else:
        summary = f"done with the {plan.requests} selected" if plan.requests else "no selected job needs to be sent"
    return "; ".join([summary, ", ".join(rest)] if rest else [summary])


def needs_attention(result: RunResult) -> bool:
    """Return whether the end of a run requires action by the user.

    What the next run continues anyway does not: an interruption, a time limit, a provider that was unreachable for one
    run. Nor does an exit code that the previous run had as well, if this one delivered nothing.
    """
    if result.failed or result.unknown:
        return True
    if result.exit_code in (ExitCode.OK, ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        return False
    repeated = result.previous_exit_code == result.exit_code and not result.images
    if result.exit_code != ExitCode.STOPPED or any(lane.paused and lane.left for lane in result.lanes):
        return not repeated
    closures = {str(lane.closed) for lane in result.lanes if lane.closed is not None and lane.left}
    if any(lane.final and lane.left for lane in result.lanes) or closures & {"doubt", "no-image"}:
        return True
    return "down" in closures and result.previous_exit_code == ExitCode.STOPPED


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
