"""A plan in words: what would be made, what it costs, how long it takes.  Values in, lines of text out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import output
from .controls import control_documents, control_lines, in_force

if TYPE_CHECKING:
    from ...app.project import Project
    from ...budget import Budget
    from ...manifest import Batch, PlannedJob
    from ...planning.compare import StoredJob
    from ...planning.diff import Change, Difference
    from ...planning.estimate import ProviderEstimate
    from ...planning.plan import Plan
    from ...providers.key_destinations import Destination

_DAY = 86_400

#: What a person calls the limits of a provider.
_LIMITS = {
    "concurrency": "requests in flight",
    "requests_per_second": "requests per second",
    "requests_per_minute": "requests per minute",
    "requests_per_day": "requests per day",
    "images_per_minute": "images per minute",
    "spacing": "spacing between requests",
}
#: What is not sent, and why.
_LEFT = {
    "failed": "not sent again by themselves; batchgen retry does that",
    "unknown": "may have been bought; batchgen unknown list says more",
    "held": "changed, but done: kept as they are (--keep-changed)",
    "orphaned": "no longer in the manifest; files stay; after a run: batchgen list --status orphaned",
}


def plan_lines(name: str, wish: Plan, folder: Path | None) -> list[str]:
    """Return a plan in words; source images are named as seen from *folder*.

    Without a folder no prompts are shown: what a run says often ends in a mailbox.
    """
    lines = [f"{name}: {many(wish.total, 'job')}: {_standings(wish)}"]
    lines += output.under(
        "left", [f"{number:,} {what}: {_LEFT[what]}" for what in _LEFT if (number := getattr(wish, what))]
    )
    lines += [f"again     {many(len(wish.again), 'job')} of them had ended, and are put back"] if wish.again else []
    lines += change_lines(wish) if folder is not None else []
    if wish.lanes:
        return [*lines, "", *_lanes(wish), "", *_sums(wish), *(_examples(wish, folder) if folder is not None else [])]
    if wish.selected and not wish.matched:
        return [*lines, "nothing to send: no job matches what is selected"]
    return [*lines, "nothing to send" + (" of what is selected" if wish.selected else "")]


def question(wish: Plan) -> str:
    """Return what a person is asked before money is spent."""
    parts = [f"about {output.span(wish.usd, output.usd)}"] if wish.usd.expected is not None else []
    parts += [f"{output.span(span, output.credits_)} credits at {name}" for name, span in _unconverted(wish)]
    if unknown := sum(lane.unpriced for lane in wish.lanes if lane.credits.expected is None):
        parts.append(f"what nobody can price ({many(unknown, 'request')})")
    most = f" (at most {output.usd(wish.dearest)} where others take over)" if wish.dearest else ""
    return f"Spend {' and '.join(parts)}{most} on {many(wish.images, 'image')}? [y/N, or a number of jobs to try first]"


def many(number: int, noun: str) -> str:
    """Return "1 job" or "1,254 jobs"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def change_lines(wish: Plan) -> list[str]:
    """Return what changed, job by job, and how many more there are."""
    said = [f"{change.id}: {_told(change)}" for change in wish.changes]
    more = wish.changed + wish.held - len(wish.changes)
    if more > 0:
        said.append(f"and {many(more, 'job')} more; `batchgen plan MANIFEST --diff` shows them all")
    return output.under("changed", said)


def amend_lines(wish: Plan, said: Mapping[str, Any]) -> list[str]:
    """Return what a retry asks for beside the manifest, and what that changes, job by job."""
    if not said or not wish.again:
        return []
    from ...planning.overrides import describe

    head = f"{describe(said)}, for {many(len(wish.again), 'job')}; holds until the manifest asks for something else"
    return output.under("with", [head, *(f"{change.id}: {_told(change)}" for change in wish.changes if change.fields)])


def key_lines(keys: Sequence[Destination]) -> list[str]:
    """Return which keys go to other hosts, or from other variables, than those of the presets: a line each."""
    return output.under("keys", [str(one) for one in keys])


def key_documents(keys: Sequence[Destination]) -> list[dict[str, Any]]:
    """Return the same for ``--json``."""
    return [asdict(one) for one in keys]


def keys_of_plan(batch: Batch, wish: Plan) -> list[Destination]:
    """Return the unusual destinations of the keys of all providers that a run may use."""
    from ...providers.key_destinations import destinations_of

    return destinations_of(batch.profiles, [*(lane.provider for lane in wish.lanes), *wish.alternates])


def notices(project: Project, batch: Batch, wish: Plan) -> tuple[dict[str, Any], list[str]]:
    """Return which keys go where and what is in force, below a plan: for ``--json``, and as lines."""
    keys = [] if project.sandbox else keys_of_plan(batch, wish)
    controls = in_force(project, batch)
    document = {"keys": key_documents(keys), "controls": control_documents(controls)}
    return document, [*key_lines(keys), *control_lines(project, controls)]


def job_line(job: PlannedJob, standing: str, row: StoredJob | None) -> str:
    """Return one job for ``plan --full``."""
    task = job.recipe.task
    why = f" ({row.cause})" if row is not None and row.cause and standing == "failed" else ""
    size = task.size or task.resolution or "-"
    cells = f"{standing + why:<10}  {job.key:<24}  {task.provider:<11}  {task.model:<14}  {size:<9}"
    return f"{cells}  {output.short(job.prompt, 80)}"


def job_document(job: PlannedJob, standing: str, row: StoredJob | None) -> dict[str, Any]:
    """Return one job for ``plan --full --json``."""
    task = job.recipe.task
    return {
        "id": job.key,
        "standing": standing,
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


def _standings(wish: Plan) -> str:
    names = ("new", "changed", "pending", "failed", "unknown", "done", "cancelled", "held", "orphaned")
    return ", ".join(f"{number:,} {name}" for name in names if (number := getattr(wish, name))) or "none"


def _lanes(wish: Plan) -> list[str]:
    rows = [
        [
            lane.provider,
            lane.model,
            f"{lane.requests:,}",
            f"{lane.images:,}",
            output.span(lane.usd, output.usd) if lane.usd.expected is not None else "no price in USD",
            output.usd(lane.usd.expected) if lane.usd.expected is not None else "",
            output.span(lane.credits, output.credits_) if lane.credits.expected is not None else "",
            _prices(lane),
        ]
        for lane in wish.lanes
    ]
    heads = ("provider", "model", "requests", "images", "USD", "most likely", "credits", "prices of")
    kept = [number for number in range(len(heads)) if number != 6 or any(row[6] for row in rows)]
    cells = [[row[number] for number in kept] for row in rows]
    return output.table(cells, [heads[number] for number in kept], right=(2, 3))


def _prices(lane: ProviderEstimate) -> str:
    if lane.usd.expected is None and lane.credits.expected is None:
        return "nobody knows"
    if lane.measured:
        return "earlier calls"
    return f"{lane.tariff_date or 'your tariff'}{' (old)' if lane.stale else ''}"


def _sums(wish: Plan) -> Iterator[str]:
    part = " of what is selected" if wish.selected else ""
    yield f"to send   {many(wish.requests, 'request')} for {many(wish.images, 'image')}{part}"
    said = []
    if wish.usd.expected is not None:
        said.append(f"{output.span(wish.usd, output.usd)}, most likely {output.usd(wish.usd.expected)}")
    said += [f"{output.span(span, output.credits_)} credits at {name}" for name, span in _unconverted(wish)]
    if wish.unpriced:
        said.append(f"{many(wish.unpriced, 'request')} without a price in USD: state one with tariff:")
    yield from output.under("cost", said)
    yield from output.under("budget", [_enough(purse, wish) for purse in wish.budgets])
    yield f"time      {_time(wish)}"
    if wish.alternates:
        most = f"; {output.usd(wish.dearest)} at most" if wish.dearest else ""
        yield f"or else   {', '.join(wish.alternates)}, where the first of a job's providers is out of order{most}"
    yield from output.under(
        "left out", [f"{name}, for {many(number, 'job')}: {why}" for name, why, number in wish.without]
    )
    yield from output.under("disk", _disk(wish))


def _enough(purse: Budget, wish: Plan) -> str:
    """Return a budget, what of it is used, and how far the rest goes."""
    caps = purse.limit
    used = f"{output.usd(purse.usd)} of it used" if purse.usd else "none of it used"
    said = [f"{output.usd(caps.usd)} for {caps.scope}, {used}"] if caps.usd is not None else []
    said += [
        f"{output.credits_(limit)} credits at {name} for {caps.scope}, "
        f"{output.credits_(purse.credits.get(name, 0))} used"
        for name, limit in caps.credits.items()
    ]
    lanes = [lane for lane in wish.lanes if caps.only in (None, lane.provider) and lane.usd.expected]
    likely, most = (sum(getattr(lane.usd, name) or 0 for lane in lanes) for name in ("expected", "high"))
    if caps.usd is not None and lanes:
        left, priced = max(0, caps.usd - purse.usd), sum(lane.requests - lane.unpriced for lane in lanes)
        if left >= most:
            said.append("enough for all")
        elif left >= likely:
            said.append("enough, if it costs what is most likely")
        else:
            said.append(f"enough for about {left * priced // likely:,} of {many(priced, 'request')}, then it stops")
    return "; ".join(said)


def _time(wish: Plan) -> str:
    time, slowest = wish.time, wish.slowest
    low, expected, high = (_duration(seconds) for seconds in (time.low, time.expected, time.high))
    said = f"about {expected}" if low == high else f"about {expected} ({low} to {high})"
    why = _LIMITS[time.limit] if time.limit else "the time of a single answer"
    return f"{said}, limited by {slowest.provider}: {why}" if slowest else said


def _duration(seconds: float) -> str:
    return output.duration(seconds) if seconds < 2 * _DAY else f"{seconds / _DAY:.0f} days"


def _disk(wish: Plan) -> list[str]:
    need, free = wish.disk.bytes, wish.disk.free_bytes
    said = [f"about {_size(need)}" + ("" if free is None else f"; {_size(free)} free")]
    if not wish.disk.fits:
        said.append("warning: that does not fit; free some space, or choose another output folder")
    return said


def _examples(wish: Plan, folder: Path) -> Iterator[str]:
    names = {1: ["example"], 2: ["first", "last"], 3: ["first", "middle", "last"]}[len(wish.examples)]
    for name, job in zip(names, wish.examples, strict=True):
        task = job.recipe.task
        asked = " ".join(filter(None, [task.kind.value, task.size, task.quality, task.resolution]))
        sources = [source.url or _seen(source.path or "", folder) for source in task.images]
        of = f" of {output.short(', '.join(sources), 60)}" if sources else ""
        yield f"{name:<10}{job.key}: {asked}{of} by {task.provider} {task.model}, to {job.output}"
        yield f"{'':<10}{output.short(job.prompt, 100)}"


def _unconverted(wish: Plan) -> Iterator[tuple[str, Any]]:
    """Yield the credits of those providers whose credits have no price in USD."""
    for name, span in wish.credits.items():
        if any(lane.unpriced for lane in wish.lanes if lane.provider == name):
            yield name, span


def _told(change: Change) -> str:
    if not change.fields:
        return "asks for something else"
    return "; ".join(field.note or f"{field.field} {_values(field)}" for field in change.fields)


def _values(field: Difference) -> str:
    """Return before and after, long texts from shortly before the place where they part."""
    before, after = _shown(field.before), _shown(field.after)
    if max(len(before), len(after)) > 60:
        same = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
        start = max(0, same - 15)
        before, after = (("…" if start else "") + output.short(text[start:], 60) for text in (before, after))
    if isinstance(field.before, str) and isinstance(field.after, str) and " " in before + after:
        return f'"{before}" -> "{after}"'
    return f"{before} -> {after}"


def _shown(value: object) -> str:
    if value is None or value == []:
        return "(none)"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _seen(path: str, folder: Path) -> str:
    return str(Path(path).relative_to(folder)) if Path(path).is_relative_to(folder) else path


def _size(size: int) -> str:
    for unit, amount in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if size >= amount:
            return f"{size / amount:,.1f} {unit}" if size < 100 * amount else f"{size / amount:,.0f} {unit}"
    return f"{max(1, size // 1000)} kB" if size else "nothing"
