"""A plan as text: what would be made, what it costs, how long it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...object_url import ObjectUrl
from .changes import change_lines
from .controls import control_documents, control_lines, in_force
from .format import count, credits_, display_path, duration, size, span, under, usd
from .modes import mode_lines
from .table import Fit, table
from .width import short

if TYPE_CHECKING:
    from ...app.project import CommandFlags, Project
    from ...budget import Budget
    from ...manifest import Batch, PlannedJob
    from ...planning.compare import StoredJob
    from ...planning.estimate import ProviderEstimate
    from ...planning.plan import Plan
    from ...providers.key_destinations import Destination

#: The limits of a provider as a plan names them.
_LIMITS = {
    "concurrency": "requests in flight",
    "requests_per_second": "requests per second",
    "requests_per_minute": "requests per minute",
    "requests_per_day": "requests per day",
    "images_per_minute": "images per minute",
    "spacing": "spacing between requests",
}


def plan_lines(name: str, plan: Plan, folder: Path | None, flags: CommandFlags, manifest: str | Path) -> list[str]:
    """Return a plan as text; source images are named as seen from *folder*, and commands are made by *flags*.

    Without a folder no prompts are shown: the output of a run often ends up in a mailbox.
    """
    lines = [f"{name}: {count(plan.total, 'job')}: {_states(plan)}"]
    not_sent = list(_not_sent(plan, flags, manifest))
    if plan.skipped:
        not_sent.append(f"{plan.skipped.count:,} skipped: {short('; '.join(plan.skipped.reasons), 200)}")
    lines += under("not sent", not_sent)
    if plan.again:
        lines.append(f"requeued  {count(len(plan.again), 'job')} that had ended")
    if plan.copies:
        lines.append(f"copies    {plan.copies:,} to write, of images that exist already; they cost nothing")
    lines += _changed_remote(plan)
    if folder is not None:
        lines += change_lines(plan, flags.on_manifest("plan", manifest, "--diff"))
    if plan.lanes:
        lines += ["", *_lanes(plan), "", *_sums(plan)]
        return [*lines, *_examples(plan, folder)] if folder is not None else lines
    if plan.selected and not plan.matched and not plan.notices:
        return [*lines, "nothing to send: no job matches the selection"]
    return [*lines, "nothing to send" + (" of the selected jobs" if plan.selected else "")]


def question(plan: Plan) -> str:
    """Return the question that is asked before money is spent."""
    parts = [f"about {span(plan.usd, usd)}"] if plan.usd.expected is not None else []
    parts += [f"{span(amounts, credits_)} credits at {name}" for name, amounts in _unconverted(plan)]
    if unpriced := sum(lane.unpriced for lane in plan.lanes if lane.credits.expected is None):
        parts.append(f"an unknown amount ({count(unpriced, 'request')} without a price)")
    most = f" (at most {usd(plan.dearest)} with fallback providers)" if plan.dearest else ""
    return (
        f"Spend {' and '.join(parts)}{most} on {count(plan.images, 'image')}? [y/N, or a number of jobs to try first]"
    )


def _changed_remote(plan: Plan) -> Iterator[str]:
    """Yield what becomes of the jobs that changed while they were at the provider."""
    if jobs := plan.remote_changes.requests:
        usd_ = plan.remote_changes.usd
        price = f" for {span(usd_, usd)}" if usd_.expected is not None else ""
        its, is_ = ("its old image is", "it is") if jobs == 1 else ("their old images are", "they are")
        jobs_ = f"{count(jobs, 'job')} changed while at the provider"
        yield f"waiting   {jobs_}: {its} collected first, then {is_} bought again{price}"


def _not_sent(plan: Plan, flags: CommandFlags, manifest: str | Path) -> Iterator[str]:
    """Yield how many jobs of each kind are not sent, and why."""
    if plan.failed:
        yield f"{plan.failed:,} failed: not sent again; {flags.on_manifest('retry', manifest)} does that"
    if plan.unknown:
        yield f"{plan.unknown:,} unknown: may have been bought; {flags.on_batch('unknown list')} shows them"
    if plan.waiting:
        first, more = plan.waits_for[0], len(plan.waits_for) - 1
        others = f" and {more:,} more" if more else ""
        retry = flags.on_manifest("retry", manifest)
        yield f"{plan.waiting:,} waiting for {short(first, 40)}{others}, which ended without an image; {retry}"
    if plan.held:
        why = "--keep-changed, a list that an earlier version read otherwise, or an object that was written again"
        redo = flags.on_manifest("redo", manifest, "--id ID")
        yield (
            f"{plan.held:,} held: changed, but done: kept as they are ({why} and whose bytes before are not known; "
            f"{redo} makes them again)"
        )
    if plan.orphaned:
        command = flags.on_batch("list", "--status orphaned")
        yield f"{plan.orphaned:,} orphaned: no longer in the manifest; files stay; after a run: {command}"


def key_lines(keys: Sequence[Destination]) -> list[str]:
    """Return a line for each key that goes to another host, or comes from another variable, than in the preset."""
    return under("keys", map(str, keys))


def key_documents(keys: Sequence[Destination]) -> list[dict[str, Any]]:
    """Return the same for ``--json``."""
    return [asdict(key) for key in keys]


def keys_of_plan(batch: Batch, plan: Plan) -> list[Destination]:
    """Return the unusual destinations of the keys of all providers that a run may use."""
    from ...providers.key_destinations import destinations_of

    return destinations_of(batch.profiles, [*(lane.provider for lane in plan.lanes), *plan.alternates])


def notices(project: Project, batch: Batch, plan: Plan) -> tuple[dict[str, Any], list[str]]:
    """Return what a plan ends with: what a run recovers first, an object store, unusual keys, pauses and limits.

    The document is for ``--json``, with the batch's name and output folder.
    """
    keys = [] if project.sandbox else keys_of_plan(batch, plan)
    from ...app.recovery.missing_submissions import batches_to_recover

    controls, missing = in_force(project, batch), batches_to_recover(project, batch)
    document = {
        "batch": batch.name,
        "folder": str(batch.folder),
        "keys": key_documents(keys),
        "controls": control_documents(controls),
        "batches_to_recover": missing,
    }
    are, them = ("1 batch of calls is", "it") if missing == 1 else (f"{missing:,} batches of calls are", "them")
    lost = f"recover   {are} at the provider and not in this job database: a run takes {them} in first"
    first = [f"{lost}, and buys nothing of {them} again"] if missing else []
    store = [f"files     {batch.folder}"] if isinstance(batch.folder, ObjectUrl) else []
    return document, [*first, *store, *key_lines(keys), *control_lines(project, controls)]


def job_line(job: PlannedJob, state: str, row: StoredJob | None) -> str:
    """Return one job for ``plan --full``."""
    task = job.recipe.task
    why = f" ({row.cause})" if row is not None and row.cause and state == "failed" else ""
    dimensions = task.size or task.resolution or "-"
    cells = f"{state + why:<10}  {job.key:<24}  {task.provider:<11}  {task.model:<14}  {dimensions:<9}"
    return f"{cells}  {short(job.prompt, 80)}"


def job_document(job: PlannedJob, state: str, row: StoredJob | None) -> dict[str, Any]:
    """Return one job for ``plan --full --json``."""
    task = job.recipe.task
    return {
        "id": job.key,
        "standing": state,
        "cause": row.cause if row is not None else None,
        "kind": task.kind.value,
        "provider": task.provider,
        "model": task.model,
        "size": task.size,
        "n": task.n,
        "tags": list(job.recipe.tags),
        "output": job.output,
        "prompt": job.prompt,
    }


def _states(plan: Plan) -> str:
    names = ("new", "changed", "pending", "at_provider", "failed", "unknown", "done", "cancelled", "held", "orphaned")
    parts = [f"{number:,} {name.replace('_', ' the ')}" for name in names if (number := getattr(plan, name))]
    return ", ".join(parts) or "none"


def _lanes(plan: Plan) -> list[str]:
    rows = [
        [
            lane.provider,
            lane.model,
            f"{lane.requests:,}",
            f"{lane.images:,}",
            span(lane.usd, usd) if lane.usd.expected is not None else "no price in USD",
            usd(lane.usd.expected) if lane.usd.expected is not None else "",
            span(lane.credits, credits_) if lane.credits.expected is not None else "",
            _prices(lane),
        ]
        for lane in plan.lanes
    ]
    heads = ("provider", "model", "requests", "images", "USD", "most likely", "credits", "prices of")
    kept = [number for number in range(len(heads)) if number != 6 or any(row[6] for row in rows)]
    cells = [[row[number] for number in kept] for row in rows]
    fit = Fit(least={0: 8, 1: 10}, names=(0, 1), drop=(len(kept) - 1, 2, 5))
    return table(cells, [heads[number] for number in kept], right=(2, 3), fit=fit)


def _prices(lane: ProviderEstimate) -> str:
    if lane.usd.expected is None and lane.credits.expected is None:
        return "unknown"
    if lane.measured:
        return "earlier calls"
    return f"{lane.tariff_date or 'your tariff'}{' (old)' if lane.stale else ''}"


def _sums(plan: Plan) -> Iterator[str]:
    part = " (selected jobs)" if plan.selected else ""
    yield f"to send   {count(plan.requests, 'request')} for {count(plan.images, 'image')}{part}"
    cost = []
    if plan.usd.expected is not None:
        cost.append(f"{span(plan.usd, usd)}, most likely {usd(plan.usd.expected)}")
    cost += [f"{span(amounts, credits_)} credits at {name}" for name, amounts in _unconverted(plan)]
    if plan.unpriced:
        cost.append(f"{count(plan.unpriced, 'request')} without a price in USD: set one with tariff:")
    yield from under("cost", cost)
    yield from under("budget", [_budget(budget, plan) for budget in plan.budgets])
    yield f"time      {_time(plan)}"
    yield from under("modes", mode_lines(plan))
    if plan.alternates:
        most = [f"{usd(plan.dearest)} at most"] if plan.dearest else []
        most += [f"no price in USD: {', '.join(plan.priceless)}"] if plan.priceless else []
        yield "; ".join([f"fallback  {', '.join(plan.alternates)}, where the first provider of a job fails", *most])
    yield from under("excluded", [f"{name}, for {count(jobs, 'job')}: {why}" for name, why, jobs in plan.without])
    yield from under("dropped", [_dropped(*default) for default in plan.dropped])
    yield from under("disk", _disk(plan))


def _dropped(name: str, value: str, provider: str, jobs: int) -> str:
    return f"{name}: {value} of defaults is not sent to {provider} ({count(jobs, 'job')})"


def _budget(budget: Budget, plan: Plan) -> str:
    """Return a budget, how much of it is used, and how far the rest goes."""
    limit = budget.limit
    parts = []
    if limit.usd is not None:
        parts.append(f"{usd(limit.usd)} for {limit.scope}, {usd(budget.usd) if budget.usd else 'none'} of it used")
    for name, most in limit.credits.items():
        parts.append(
            f"{credits_(most)} credits at {name} for {limit.scope}, {credits_(budget.credits.get(name, 0))} used"
        )
    lanes = [lane for lane in plan.lanes if limit.only in (None, lane.provider) and lane.usd.expected]
    if limit.usd is not None and lanes:
        parts.append(_reach(max(0, limit.usd - budget.usd), lanes))
    return "; ".join(parts)


def _reach(left: int, lanes: Sequence[ProviderEstimate]) -> str:
    """Return how far *left* goes: a call needs its highest price, and then most likely costs less."""
    expected, high = sum(lane.usd.expected or 0 for lane in lanes), sum(lane.usd.high or 0 for lane in lanes)
    if left >= high:
        return "enough for all"
    priced = sum(lane.requests - lane.unpriced for lane in lanes)
    possible = max(0, 1 + (left * priced - high) // expected)
    if possible >= priced:
        return "enough at the most likely cost"
    if not possible:
        return "not enough for one more request"
    return f"enough for about {possible:,} of {count(priced, 'request')}, then the run stops"


def _time(plan: Plan) -> str:
    time, slowest = plan.time, plan.slowest
    if batched := sum(lane.batched for lane in plan.lanes):
        whose = "the" if batched == plan.requests else f"{batched:,} of {plan.requests:,}"
        return f"within a day: {whose} requests go in batches"
    low, expected, high = (duration(seconds) for seconds in (time.low, time.expected, time.high))
    text = f"about {expected}" if low == high else f"about {expected} ({low} to {high})"
    if slowest is None:
        return text
    return f"{text}, limited by {slowest.provider}: {_LIMITS[time.limit] if time.limit else 'time per response'}"


def _disk(plan: Plan) -> list[str]:
    need, free = plan.disk.bytes, plan.disk.free_bytes
    lines = [f"about {size(need)}" + ("" if free is None else f"; {size(free)} free")]
    if not plan.disk.fits:
        lines.append("warning: not enough space; free some, or choose another output folder")
    return lines


def _examples(plan: Plan, folder: Path) -> Iterator[str]:
    names = {1: ["example"], 2: ["first", "last"], 3: ["first", "middle", "last"]}[len(plan.examples)]
    for name, job in zip(names, plan.examples, strict=True):
        task = job.recipe.task
        dropped = dict(job.recipe.dropped)
        sent = [getattr(task, field) for field in ("size", "quality", "resolution") if field not in dropped]
        request = " ".join(filter(None, [task.kind.value, *sent]))
        sources = [source.shown(partial(_from_folder, folder=folder)) for source in task.images]
        of = f" of {short(', '.join(sources), 60)}" if sources else ""
        yield f"{name:<10}{job.key}: {request}{of} by {task.provider} {task.model}, to {job.output}"
        yield f"{'':<10}{short(job.prompt, 100)}"


def _unconverted(plan: Plan) -> Iterator[tuple[str, Any]]:
    for name, amounts in plan.credits.items():
        if any(lane.unpriced for lane in plan.lanes if lane.provider == name):
            yield name, amounts


def _from_folder(path: str, folder: Path) -> str:
    return str(Path(path).relative_to(folder)) if Path(path).is_relative_to(folder) else display_path(path)
