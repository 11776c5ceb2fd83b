"""The last lines of a run, and what to type next.  Values in, lines of text out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ...app.advice import NEWS, display_path, exit_meaning, next_steps, why_closed
from ...money import show_credits, show_usd
from .. import output

if TYPE_CHECKING:
    from ...app.project import CommandFlags
    from ...app.queries import BatchStatus
    from ...app.recovery.rebuild import RecoveryReport
    from ...app.run import LaneResult, RunResult
    from ...budget import Budget
    from ...learned_prices import Underpriced

#: Reasons for closing a lane whose message is a whole sentence, and is shown alone.
_OWN_WORDS = ("budget", "no-image")

__all__ = ["advice", "closing", "display_path", "taken_lines"]


def closing(ended: RunResult, *, resumed_shown: bool = False) -> list[str]:
    """Return the last lines of a run: what failed, counts, money, files, the next command, the exit code.

    *resumed_shown*: the run has already shown what became of the calls that the one before was cut off with.
    """
    found, counts = ended.status, ended.status.counts
    if ended.plan.selected and not ended.plan.matched:
        done = f"{counts.done} of {output.count(counts.total, 'job')} done"
        head = f"{found.batch.name}: nothing matched {ended.selected_by}; {done}"
    elif not ended.sent and ended.signal is None and ended.drained is None:
        head = f"{found.batch.name}: nothing to send; {output.count(counts.done, 'job')} of {counts.total} done"
    else:
        pace = f", {ended.images / ended.seconds * 60:.0f} a minute" if ended.images and ended.seconds > 0 else ""
        made = f"{output.count(ended.images, 'image')} in {output.duration(ended.seconds)}{pace}"
        head = f"{found.batch.name}: {counts.done} of {output.count(counts.total, 'job')} done; this run made {made}"
    # what needs a person comes first: the top of a mail is what is read
    lines = [
        *taken_lines(ended.recovery),
        *([] if resumed_shown else _resumed(ended)),
        *_troubles(ended),
        head,
        *_unmade(ended),
        *_stand_ins(ended.lanes),
    ]
    lines += [f"cancelled {output.count(counts.cancelled, 'job')}"] if counts.cancelled else []
    lines += output.money_lines(found.usage)
    lines += output.under("budget", [_purse_line(purse) for purse in ended.budgets if purse.limit])
    lines += output.under("prices", _price_lines(ended.underpriced))
    lines.append(f"files     {display_path(found.batch.folder)}")
    lines += advice(found, ended.command_flags, ended.imageless_job)
    lines.append(f"exit code {ended.exit_code}: {exit_meaning(ended)}")
    return lines


def _troubles(ended: RunResult) -> list[str]:
    """Return what failed, what is in doubt, and who stopped."""
    counts = ended.status.counts
    lines = output.failure_lines(ended.status.failures)
    if counts.unknown:
        lines.append(f"unknown   {output.count(counts.unknown, 'job')} may have been bought, and nobody knows")
    lines += [_beyond_line(lane) for lane in ended.lanes if lane.rebuys_refused]
    lines += [_lane_line(lane) for lane in ended.lanes if lane.closed in NEWS or (lane.closed and counts.pending)]
    lines += [line for lane in ended.lanes for line in _denied_lines(lane)]
    return lines + ([f"stopped   {ended.drained}"] if ended.drained else [])


def _beyond_line(lane: LaneResult) -> str:
    limit = "a run buys no more in doubt again than a provider's concurrency"
    return f"{'':<10}{lane.rebuys_refused} of {lane.name} not bought again: {limit}"


def _resumed(ended: RunResult) -> list[str]:
    from ...app.recovery.resumed import resumed_text

    return [] if ended.resumed is None else [f"resumed   {resumed_text(ended.resumed)}"]


def _purse_line(purse: Budget) -> str:
    """Return a cap and what of it is used up: spent, at risk, reserved."""
    caps = purse.limit
    parts = [] if caps.usd is None else [f"{output.usd(purse.usd)} of {output.usd(caps.usd)}"]
    parts += [
        f"{output.credits_(purse.credits.get(name, 0))} of {output.credits_(limit)} credits at {name}"
        for name, limit in caps.credits.items()
    ]
    return f"{', '.join(parts)} for {caps.scope}"


def _price_lines(found: Sequence[Underpriced]) -> Iterator[str]:
    """Yield a sentence for each model whose price list is too low, by its worst kind of call, and what to write."""
    models: dict[tuple[str, str], list[Underpriced]] = {}
    for one in found:
        models.setdefault((one.kind.provider, one.kind.model), []).append(one)
    for (provider, model), kinds in models.items():
        worst = max(kinds, key=lambda one: one.ratio)
        terms = f" ({worst.kind.terms})" if worst.kind.terms else ""
        others = f", and {output.count(len(kinds) - 1, 'other kind')} of call too" if len(kinds) > 1 else ""
        listed, price, tariff = _priced(worst)
        if listed:
            yield (
                f"The price list of {provider} is too low for {model}{terms}{others}: "
                f"it says at most {listed} an image, and calls cost up to {price}."
            )
        else:
            yield f"No price is known for {model}{terms} of {provider}{others}, and calls cost up to {price} an image."
        yield f"State it: providers: {{{provider}: {{models: {{{model}: {{tariff: {{{tariff}}}}}}}}}}}"


def _priced(one: Underpriced) -> tuple[str, str, str]:
    """Return for one image what is listed ("": nothing), what was found, and how a manifest states that."""
    found, listed = one.found, one.listed
    if found.usd is not None and found.usd != listed.usd:
        before = "" if listed.usd is None else output.usd(listed.usd)
        return before, output.usd(found.usd), f"usd_per_image: {show_usd(found.usd)}"
    before = "" if listed.credits is None else f"{output.credits_(listed.credits)} credits"
    tariff = f"credits_per_image: {show_credits(found.credits)}"
    return before, f"{output.credits_(found.credits)} credits", tariff


def _unmade(ended: RunResult) -> Iterator[str]:
    """Yield what became of jobs that changed and were not made again."""
    if held := ended.loaded.held:
        yield f"held      {output.count(held, 'job')} changed, but done: kept as made before (--keep-changed)"
    if left := ended.loaded.left:
        yield f"left      {output.count(left, 'job')} changed, but not selected: as before, until a run selects them"


def advice(found: BatchStatus, way: CommandFlags, imageless: str | None = None) -> list[str]:
    """Return what to type next, as far as there is anything to do."""
    said = [
        f"{step.cause}: {step.what}" if step.command is None else f"{step.command}    {step.what}"
        for step in next_steps(found, way, imageless)
    ]
    return output.under("next", said)


def taken_lines(learnt: RecoveryReport | None) -> list[str]:
    """Return what a job table that was lost or put back learnt from the files around it."""
    if learnt is None:
        return []
    got, said = learnt.intake, []
    said += [f"{output.count(got.files, 'file')} ({output.count(got.done, 'job')} done)"] if got.files else []
    said += [f"{output.count(got.revived, 'answer')} in the spool"] if got.revived else []
    said += [f"{output.count(got.doubtful, 'call')} in doubt"] if got.doubtful else []
    said += [f"{output.count(learnt.settled, 'call')} that it held open"] if learnt.settled else []
    said += [f"{output.usd(got.usd)} of cost"] if got.usd else []
    return [f"taken in  the job table did not know: {', '.join(said) or 'its last run, which left nothing new'}"]


def _stand_ins(lanes: Sequence[LaneResult]) -> list[str]:
    """Return who did the jobs of others, and why those did not."""
    why = {lane.provider: f" ({why_closed(lane)})" for lane in lanes if lane.closed is not None}
    done = Counter[tuple[str, str]]()
    for lane in lanes:
        for home, number in lane.failed_over.items():
            done[lane.provider, home] += number
    return [
        f"took over {provider}: {output.count(number, 'job')} of {home}{why.get(home, '')}"
        for (provider, home), number in done.items()
    ]


def _lane_line(lane: LaneResult) -> str:
    why, message = why_closed(lane), output.short(lane.message or "", 160)
    said = message if lane.closed in _OWN_WORDS and message else f"{why}: {message}" if message else why
    left = f" ({lane.left} pending)" if lane.left else ""
    return f"stopped   {lane.name}: {said}{left}"


def _denied_lines(lane: LaneResult) -> Iterator[str]:
    """Yield which models a provider denied, in its words."""
    for number, (model, message) in enumerate(lane.denied.items(), 1):
        last = number == len(lane.denied) and lane.denied_left
        left = f" ({lane.denied_left} pending{' in all' if number > 1 else ''})" if last else ""
        yield f"stopped   {lane.name}: model {model} is denied to this account: {output.short(message, 160)}{left}"
