"""The last lines of a run, and what to type next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...app.advice import next_steps
from ...money import show_credits, show_usd
from ...object_url import is_object_url
from .figures import budget_line
from .format import count, credits_, display_path, duration, under, usd
from .status import at_provider_lines, failure_lines, money_lines, waiting_lines
from .width import short

if TYPE_CHECKING:
    from ...app.deliver import CopyReport
    from ...app.presence import Presence
    from ...app.project import CommandFlags
    from ...app.queries import BatchStatus
    from ...app.recovery.rebuild import RecoveryReport
    from ...app.report.folder import ReportPage
    from ...app.run import LaneResult, RunResult
    from ...learned_prices import Underpriced

#: Reasons for missing copies that are shown.
_REASONS = 3


def closing(result: RunResult, *, resumed_shown: bool = False) -> list[str]:
    """Return the last lines of a run: failures, counts, money, files, the next command, the exit code.

    *resumed_shown*: the run has already shown how the requests ended that the run before was cut off with.
    """
    status, counts = result.status, result.status.counts
    # Problems come first: the top of a mail is what is read.
    lines = [
        *recovery_lines(result.recovery),
        *([] if resumed_shown else _resumed(result)),
        *_problems(result),
        *at_provider_lines(status.at_provider, is_held=status.is_held),
        *gone_lines(status.presence),
        _headline(result),
        *_unmade(result),
        *_failovers(result.lanes),
    ]
    if counts.cancelled:
        lines.append(f"cancelled {count(counts.cancelled, 'job')}")
    lines += money_lines(status.usage, run_usd=result.usd)
    lines += under("budget", [budget_line(budget) for budget in result.budgets if budget.limit])
    lines += under("prices", _price_lines(result.underpriced))
    lines += under("copies", _copy_lines(result.copies))
    lines.append(files_line(status, result.command_flags))
    lines += _page_lines(result)
    lines += advice(status, result.command_flags, result.imageless_job, result.lanes)
    lines.append(f"exit code {result.exit_code:d}: {result.exit_meaning}")
    return lines


def files_line(status: BatchStatus, flags: CommandFlags) -> str:
    """Return the folder of the last run; a run with another --out may have had nothing to write there."""
    folder = status.batch.folder
    is_elsewhere = status.counts.done and not is_object_url(folder) and not Path(folder).exists()
    note = f"    nothing was written there; {flags.on_batch('export')} names every file" if is_elsewhere else ""
    return f"files     {display_path(folder)}{note}"


def _page_lines(result: RunResult) -> list[str]:
    """Return where the report is that the run wrote, or an earlier one that the run made old."""
    if result.report is not None:
        return [f"report    {display_path(result.report)}"]
    page = result.status.report if result.sent else None
    return [] if page is None else [_old_report(page, result.command_flags)]


def _old_report(page: ReportPage, flags: CommandFlags) -> str:
    return (
        f"report    {display_path(page.place)}    older than the last run: {flags.on_batch('report')} writes it again"
    )


def report_lines(status: BatchStatus, flags: CommandFlags) -> list[str]:
    """Return where the report of a batch is, if one was written, and whether a run came after it."""
    if status.report is None:
        return []
    page, run = status.report, status.run
    is_older = run is not None and (run.ended_at is None or run.ended_at > page.written_at)
    return [_old_report(page, flags) if is_older else f"report    {display_path(page.place)}"]


def _headline(result: RunResult) -> str:
    name, counts = result.status.batch.name, result.status.counts
    done = f"{counts.done:,} of {count(counts.total, 'job')} done"
    if result.plan.selected and not result.plan.matched:
        return f"{name}: {result.unmatched}; {done}"
    if not result.sent and result.signal is None and result.drained is None:
        remote = result.status.at_provider
        return f"{name}: {done}, {remote:,} at the provider" if remote else f"{name}: nothing to send; {done}"
    rate = f", {result.images / result.seconds * 60:,.0f} per minute" if result.images and result.seconds > 0 else ""
    return f"{name}: {done}; this run made {count(result.images, 'image')} in {duration(result.seconds)}{rate}"


def _problems(result: RunResult) -> list[str]:
    from ...app.lane_result import NEWS

    counts = result.status.counts
    lines = failure_lines(result.status.failures)
    if counts.unknown:
        lines.append(f"unknown   {count(counts.unknown, 'job')} may have been bought")
    lines += [_not_rebought_line(lane) for lane in result.lanes if lane.rebuys_refused]
    lines += [_lane_line(lane) for lane in result.lanes if lane.closed in NEWS or (lane.closed and counts.pending)]
    lines += [line for lane in result.lanes for line in _denied_lines(lane)]
    return lines + ([f"stopped   {result.drained}"] if result.drained else [])


def _not_rebought_line(lane: LaneResult) -> str:
    limit = "a run buys no more unknown jobs again than the provider's concurrency"
    return f"{'':<10}{lane.rebuys_refused:,} of {lane.name} not bought again: {limit}"


def _resumed(result: RunResult) -> list[str]:
    from ...app.recovery.resumed import resumed_text

    return [] if result.resumed is None else [f"resumed   {resumed_text(result.resumed)}"]


def _price_lines(underpriced: Sequence[Underpriced]) -> Iterator[str]:
    """Yield a sentence for each model whose list price is too low, by its worst kind of call, and what to write."""
    models: dict[tuple[str, str], list[Underpriced]] = {}
    for price in underpriced:
        models.setdefault((price.kind.provider, price.kind.model), []).append(price)
    for (provider, model), kinds in models.items():
        worst = max(kinds, key=lambda price: price.ratio)
        terms = f" ({worst.kind.terms})" if worst.kind.terms else ""
        others = f", and for {count(len(kinds) - 1, 'other kind')} of call" if len(kinds) > 1 else ""
        listed, found, tariff = _listed_and_found(worst)
        if listed:
            yield (
                f"The price list of {provider} is too low for {model}{terms}{others}: "
                f"it has at most {listed} per image, and calls cost up to {found}."
            )
        else:
            yield f"The price of {model}{terms} at {provider} is unknown{others}; calls cost up to {found} per image."
        yield f"To set it: providers: {{{provider}: {{models: {{{model}: {{tariff: {{{tariff}}}}}}}}}}}"


def _listed_and_found(price: Underpriced) -> tuple[str, str, str]:
    """Return for one image the list price ("": none), the price that was found, and how a manifest sets that."""
    found, listed = price.found, price.listed
    if found.usd is not None and found.usd != listed.usd:
        before = "" if listed.usd is None else usd(listed.usd)
        return before, usd(found.usd), f"usd_per_image: {show_usd(found.usd)}"
    before = "" if listed.credits is None else f"{credits_(listed.credits)} credits"
    return before, f"{credits_(found.credits)} credits", f"credits_per_image: {show_credits(found.credits)}"


def _copy_lines(report: CopyReport | None) -> Iterator[str]:
    """Yield what became of the derived copies: how many were written, and why others were not."""
    if report is None:
        return
    if report.written:
        yield f"{report.written:,} written"
    reasons = Counter(failure.message for failure in report.failures)
    for message, number in reasons.most_common(_REASONS):
        example = next(failure.path for failure in report.failures if failure.message == message)
        yield f"{number:,} not written{f', such as {example}' if example else ''}: {short(message, 160)}"
    if report.failures or report.unfinished:
        yield "the next run writes what is missing; it costs nothing"


def gone_lines(presence: Presence) -> list[str]:
    """Return that delivered files are gone."""
    return [f"gone      {presence}: deleted, moved or renamed since delivery"] if presence.gone else []


def _unmade(result: RunResult) -> Iterator[str]:
    if skipped := result.skipped:
        yield f"skipped   {count(skipped.count, 'job')}: {short('; '.join(skipped.reasons), 200)}"
    yield from waiting_lines(result.status, result.command_flags)
    if kept := result.loaded.held:
        plan = result.command_flags.on_manifest("plan", result.status.batch.manifest)
        yield f"kept      {count(kept, 'job')} changed, but done: {plan} shows them"
    if left := result.loaded.left:
        yield f"left      {count(left, 'job')} changed, but not selected: unchanged until a run selects them"


def advice(
    status: BatchStatus, way: CommandFlags, imageless: str | None = None, lanes: Sequence[LaneResult] = ()
) -> list[str]:
    """Return what to type next, if there is anything to do."""
    lines = [
        " ".join(filter(None, [step.cause and f"{step.cause}:", step.what]))
        if step.command is None
        else f"{step.command}    {step.what}"
        for step in next_steps(status, way, imageless, lanes)
    ]
    return under("next", lines)


def recovery_lines(report: RecoveryReport | None) -> list[str]:
    """Return what a lost or outdated job database recovered from the files around it."""
    if report is None:
        return []
    intake, parts = report.intake, []
    if intake.files:
        parts.append(f"{count(intake.files, 'file')} ({count(intake.done, 'job')} done)")
    if intake.revived:
        parts.append(f"{count(intake.revived, 'response')} in the spool")
    if intake.submissions:
        number = "1 batch" if intake.submissions == 1 else f"{intake.submissions:,} batches"
        parts.append(f"{number} at the provider ({count(intake.submitted, 'call')})")
    if report.failed:
        parts.append(f"{count(report.failed, 'failed job')} by the log (retry sends them again)")
    if intake.unknown:
        parts.append(f"{count(intake.unknown, 'unknown request')}")
    if report.settled:
        parts.append(f"{count(report.settled, 'request')} that it had as open")
    if intake.usd:
        parts.append(f"{usd(intake.usd)} of cost")
    return [f"recovered {', '.join(parts) or 'its last run, which had left nothing new'}"]


def _failovers(lanes: Sequence[LaneResult]) -> list[str]:
    why = {lane.provider: f" ({lane.why_closed})" for lane in lanes if lane.closed is not None}
    done = Counter[tuple[str, str]]()
    for lane in lanes:
        for home, jobs in lane.failed_over.items():
            done[lane.provider, home] += jobs
    return [
        f"failover  {provider}: {count(jobs, 'job')} of {home}{why.get(home, '')}"
        for (provider, home), jobs in done.items()
    ]


def _lane_line(lane: LaneResult) -> str:
    from ...app.lane_result import WHOLE_SENTENCE

    why, message = lane.why_closed, short(lane.message or "", 160)
    text = f"{why}: {message}" if message else why
    if message and lane.closed in WHOLE_SENTENCE:
        text = message
    left = f" ({lane.left:,} pending)" if lane.left else ""
    return f"stopped   {lane.name}: {text}{left}"


def _denied_lines(lane: LaneResult) -> Iterator[str]:
    for number, (model, message) in enumerate(lane.denied.items(), 1):
        last = number == len(lane.denied) and lane.denied_left
        left = f" ({lane.denied_left:,} pending{' in all' if number > 1 else ''})" if last else ""
        yield f"stopped   {lane.name}: model {model} is denied to this account: {short(message, 160)}{left}"
