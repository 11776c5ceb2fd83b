"""What the end of a run says: in words, and what to type next.  Pure but for the working folder."""

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

#: Causes that another attempt does not help against.
_NEEDS_A_CHANGE = frozenset({Cause.REFUSED, Cause.INVALID})

#: Why a lane closed.
CLOSURES = {
    "money": "out of money",
    "denied": "key, model or path refused",
    "down": "out of reach",
    "doubt": "it takes calls and does not answer; each may have cost money",
    "budget": "the budget is used up",
    "no-image": "calls were charged and brought no image",
}

#: Of these a person hears also where others did the work.
NEWS = ("money", "denied", "no-image")
#: The same, where the cause says more.
_WHY_MORE = {
    ("denied", "invalid"): "the first jobs were all refused alike, which looks like a mistake in its settings",
    ("denied", "refused"): "refused several different jobs in a row before looking at them",
    ("down", "error"): "answered nothing but errors",
    ("down", "throttled"): "answered every call with 429 for as long as retry.patience allows",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class NextStep:
    """Something to do next: a command and what it does, or a cause of failure and its cure."""

    command: str | None
    what: str
    cause: str | None = None  #: of the failures that it is about


def why_closed(lane: LaneResult) -> str:
    """Return why a lane closed."""
    return _WHY_MORE.get((str(lane.closed), str(lane.cause)), CLOSURES[str(lane.closed)])


def exit_meaning(ended: RunResult) -> str:
    """Return what the exit code of a run means."""
    if ended.exit_code == ExitCode.OK:
        return _success(ended)
    return ExitCode(ended.exit_code).meaning


def _success(ended: RunResult) -> str:
    wish, counts, left = ended.plan, ended.status.counts, ended.loaded.left
    pending = counts.pending + counts.running
    rest = [f"{pending} pending"] if pending else []
    rest += [f"{left} changed and not made again yet"] if left else []
    if ended.has_failures:
        done = f"some jobs failed or are unknown, which --fail-on {ended.fail_on} lets pass"
    elif wish.selected and not wish.matched:
        done = f"nothing matched {ended.selected_by}"
    elif not rest:
        done = f"all done but the {counts.cancelled} cancelled" if counts.cancelled else "all done"
    else:
        done = f"done with the {wish.requests} selected" if wish.requests else "nothing to send of what is selected"
    return "; ".join([done, ", ".join(rest)] if rest else [done])


def needs_attention(ended: RunResult) -> bool:
    """Tell whether the end of a run is news that somebody has to act on.

    What goes on by itself with the next run is not: an interruption, a bound in time, a provider that was out of reach
    for one run.  Nor is what the run before ended with as well, where this one added nothing to it.
    """
    if ended.failed or ended.doubtful:
        return True
    if ended.exit_code in (0, 130, 143):
        return False
    again = ended.previous_exit_code == ended.exit_code and not ended.images
    if ended.exit_code == 8:
        if any(lane.paused and lane.left for lane in ended.lanes):
            return not again
        stuck = {str(lane.closed) for lane in ended.lanes if lane.closed is not None and lane.left}
        lasting = any(lane.final and lane.left for lane in ended.lanes)
        return lasting or bool(stuck & {"doubt", "no-image"}) or ("down" in stuck and ended.previous_exit_code == 8)
    return not again


def next_steps(found: BatchStatus, way: CommandFlags, imageless: str | None = None) -> Iterator[NextStep]:
    """Yield what to do next, as far as there is anything to do; commands go by *way*.

    *imageless*: a job whose answer held no image, which is worth a look before more of them are paid for.
    """
    counts = found.counts
    if imageless is not None:
        what = "shows an answer without an image; look at it before you run again"
        yield NextStep(command=f"batchgen show{way.of_batch} {shlex.quote(imageless)}", what=what)
    manifest = way.manifest(found.batch.manifest)
    if (waiting := counts.pending + counts.running) and found.holder is None:
        what = f"goes on with the {waiting} {'left' if counts.running else 'pending'}"
        yield NextStep(command=f"batchgen run {manifest}{way.flags}{way.again}", what=what)
    if counts.unknown:
        what = f"lists the {counts.unknown} in doubt, and what can be done"
        yield NextStep(command=f"batchgen unknown list{way.of_batch}", what=what)
    for failure in found.failures:
        if failure.cause in _NEEDS_A_CHANGE:
            yield NextStep(command=None, what=Cause(failure.cause).cure, cause=failure.cause)
        else:
            again = f"batchgen retry {manifest}{way.flags}{way.again} --cause {failure.cause}"
            yield NextStep(command=again, what="tries those again", cause=failure.cause)
    if found.failures:
        example = shlex.quote(found.failures[0].key)
        yield NextStep(command=f"batchgen show{way.of_batch} {example}", what="tells every attempt of a job")
