"""Advice at the end of a run: the next commands, by the state of the batch."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..engine.closure import Closure
from ..fault import Cause
from ..money import show_usd
from .earlier_stops import HELD, SHARD

if TYPE_CHECKING:
    from ..store.runners import RunnerRecord
    from .lane_result import LaneResult
    from .project import CommandFlags
    from .queries import BatchStatus, ShardStatus

#: The option that limits one run.
OWN_BUDGET = "--budget"

#: Causes that a retry does not help against.
_NEEDS_A_CHANGE = frozenset({Cause.REFUSED, Cause.INVALID})


@dataclass(frozen=True, kw_only=True, slots=True)
class NextStep:
    """A suggestion: a command and what it does, or a cause of failure and its cure."""

    command: str | None
    what: str
    cause: str | None = None  #: of the failures that it addresses


def next_steps(
    status: BatchStatus, flags: CommandFlags, imageless: str | None = None, lanes: Sequence[LaneResult] = ()
) -> Iterator[NextStep]:
    """Yield the next commands, if there is anything to do.

    *imageless*: a job whose answer held no image, to be looked at before more of them are paid for. *lanes*: of the run
    that has ended; what stopped them comes before a command that would only stop there again.
    """
    counts = status.counts
    if imageless is not None:
        what = "shows an answer without an image; look at it before you run again"
        yield NextStep(command=flags.on_batch("show", shlex.quote(imageless)), what=what)
    if counts.pending + counts.running - status.stuck and status.holder is None:
        yield from _resuming(status, flags, lanes)
    yield from _looks(status, flags)
    for failure in status.failures:
        yield cause_step(failure.cause, status.batch.manifest, flags)
    if status.failures:
        example = shlex.quote(status.failures[0].key)
        yield NextStep(command=flags.on_batch("show", example), what="shows every attempt of a job")


def resuming(status: BatchStatus, flags: CommandFlags) -> list[NextStep]:
    """Return how the waiting jobs of a batch are sent, what stopped the last run first; nothing during a run."""
    done = status.counts.pending + status.counts.running == status.stuck
    return [] if status.holder is not None or done else list(_resuming(status, flags, ()))


def cause_step(cause: str, manifest: str, flags: CommandFlags) -> NextStep:
    """Return what helps against a cause of failure."""
    if cause in _NEEDS_A_CHANGE:
        return NextStep(command=None, what=Cause(cause).cure, cause=cause)
    command = flags.on_manifest("retry", manifest, f"--cause {cause}")
    return NextStep(command=command, what="retries these jobs", cause=cause)


def _resuming(status: BatchStatus, flags: CommandFlags, lanes: Sequence[LaneResult]) -> Iterator[NextStep]:
    """Yield how the waiting jobs are sent; what stopped the run comes first, as the same run would only repeat it."""
    counts, run = status.counts, flags.on_manifest("run", status.batch.manifest)
    waiting = counts.pending + counts.running - status.stuck
    stops = {lane.provider: lane for lane in lanes if lane.left and _needs_the_user(lane)}
    for text in dict.fromkeys(_remedy(lane, flags) for lane in stops.values()):
        yield NextStep(command=None, what=f"{text}; then: {_larger_budget(run, stops.values())}")
    for why in status.held:
        yield NextStep(command=None, what=f"{HELD} {why}; then: {run}")
    earlier = [] if lanes or status.ending is None else status.ending.advice
    yield from (NextStep(command=None, what=text) for text in earlier)
    for control in () if lanes else status.controls:
        if control.paused_at is not None:
            command = flags.plain("unpause", shlex.quote(control.provider))
            yield NextStep(command=command, what="sends to it again; it is paused")
    own, of_shard = (waiting, "") if status.shard is None else (status.shard.left, f" of shard {status.shard.part}")
    is_held = bool(status.held) and waiting == status.at_provider
    if own and sum(lane.left for lane in stops.values()) < waiting and not earlier and not is_held:
        what = f"resumes the {_jobs(own, 'remaining' if counts.running else 'pending')}{of_shard}"
        if waiting == status.at_provider:
            what = f"collects the {_jobs(own, 'remaining')}{of_shard} from the provider"
        if waiting == status.at_provider and any(each.submission.cancellation for each in status.submissions):
            # The next run would buy at once what a cancelled batch did not carry out.
            run, what = flags.on_manifest("collect", status.batch.manifest), "collects what is done, and buys nothing"
        yield NextStep(command=run, what=what)
    if status.shard is not None and own < waiting:
        yield NextStep(command=None, what=_other_shards(status.shard, waiting - own, status.runners))


def _other_shards(shard: ShardStatus, rest: int, runners: Sequence[RunnerRecord]) -> str:
    """Return what becomes of the jobs that are not in the shard of a run that has ended."""
    living = [each for each in runners if not each.silent]
    begin = f"{SHARD}{shard.part} " + ("is done; " if not shard.left else "is not done yet; ")
    if not living:
        return f"{begin}the {_jobs(rest, 'remaining')} belong{'s' if rest == 1 else ''} to other shards"
    places = ", ".join(f"shard {each.shard} on {each.host}" for each in living)
    return f"{begin}other runs are making the {_jobs(rest, 'remaining')} ({places})"


def _needs_the_user(lane: LaneResult) -> bool:
    """Return whether the next run would stop where this one did, unless the user changes something first."""
    if lane.closed is Closure.BUDGET:
        # Each run has its own --budget, so that the same one buys more, unless it is too small for a single call.
        return lane.limit is None or lane.limit.setting != OWN_BUDGET or not lane.sent
    return lane.paused or lane.closed in (Closure.MONEY, Closure.DENIED)


def _remedy(lane: LaneResult, flags: CommandFlags) -> str:
    """Return what the user can do about what stopped a lane."""
    if lane.closed is Closure.BUDGET:
        return _budget_remedy(lane, flags)
    if lane.paused:
        return flags.plain("unpause", shlex.quote(lane.provider))
    if lane.closed is Closure.MONEY:
        return f"add credit at {lane.provider}, or raise its spending limit there"
    key = "" if lane.variable is None or lane.cause is not Cause.DENIED else f" the key in {lane.variable},"
    return f"check{key} the model and base_url of {lane.provider} ({flags.plain('doctor --online')})"


def _budget_remedy(lane: LaneResult, flags: CommandFlags) -> str:
    limit = lane.limit
    if limit is None:
        return "raise the budget"
    if lane.unpriced:
        return f"set the price of {lane.provider} (providers: {{{lane.provider}: {{tariff: {{usd_per_image: 0.05}}}}}})"
    amount = "" if limit.usd is None else f" above {show_usd(limit.usd)}"
    file, _, line = limit.place.rpartition(":")
    place = f" at {flags.manifest(file)}:{line}" if file else ""
    text = f"raise {limit.setting}{place}{amount}"
    return text if limit.period is None else f"{text}, or wait for the next {limit.period}"


def _larger_budget(run: str, lanes: Iterable[LaneResult]) -> str:
    """Return the command of the next run; without a budget that is too small for a single call."""
    if any(lane.limit is not None and lane.limit.setting == OWN_BUDGET for lane in lanes):
        return re.sub(rf" {OWN_BUDGET} \S+", f" {OWN_BUDGET} USD", run)
    return run


def _looks(status: BatchStatus, flags: CommandFlags) -> Iterator[NextStep]:
    """Yield the commands that list what is unknown, at risk or gone."""
    counts, at_risk = status.counts, sum(line.at_risk for line in status.usage)
    unknown = flags.on_batch("unknown list")
    if counts.unknown:
        yield NextStep(command=unknown, what=f"lists the {_jobs(counts.unknown, 'unknown')} and your options")
    elif at_risk and not counts.running:
        them = "it" if at_risk == 1 else "them"
        what = f"lists the {_requests(at_risk)} that may have been charged, and how to settle {them}"
        yield NextStep(command=unknown, what=what)
    if status.presence.gone:
        yield NextStep(command=flags.on_batch("verify"), what="lists the files that are gone")


def _requests(count: int) -> str:
    return f"{count:,} request{'' if count == 1 else 's'}"


def _jobs(count: int, state: str) -> str:
    return f"{count:,} {state} job{'' if count == 1 else 's'}"
