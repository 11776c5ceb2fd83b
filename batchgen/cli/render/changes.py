"""Changes of a plan as text: what the jobs of a batch request, and did not request before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...files.output import SUPERSEDED
from .format import count, display_path, under
from .width import short

if TYPE_CHECKING:
    from ...app.run_options import RunOptions
    from ...manifest import Batch
    from ...planning.diff import Change, Difference
    from ...planning.plan import Plan


def change_lines(plan: Plan, all_changes: str) -> list[str]:
    """Return what changed, job by job, and how many more there are; *all_changes* is the command that shows them."""
    if plan.again:
        return []  # see ``requeue_lines``
    lines = [f"{change.id}: {_change(change)}" for change in plan.changes]
    more = plan.changed + plan.held - len(plan.changes)
    if more > 0:
        lines.append(f"and {count(more, 'job')} more; {all_changes} shows them all")
    return under("changed", lines)


def requeue_lines(batch: Batch, plan: Plan, options: RunOptions) -> list[str]:
    """Return what a retry or a redo sets in place of the manifest and does to files, and which jobs it leaves."""
    from ...planning.override_marks import describe

    lines = [*under("note", plan.notices), *under("warning", plan.ending)]
    if not plan.again:
        return lines
    if options.redo and not options.missing_files:
        folder = f"{display_path(str(batch.folder))}/{SUPERSEDED}/"
        lines += under("replaced", [f"the present files move to {folder} when the new ones are there"])
    texts = []
    if options.overrides:
        texts.append(describe(options.overrides))
    if options.prompts and options.requeue and options.requeue.listed:
        texts.append(f"the prompts in {options.requeue.listed.file}")
    if not texts:
        return lines
    jobs = count(len(plan.again), "job")
    head = f"{' and '.join(texts)}, for {jobs}; the manifest stays, and this applies until its entries change"
    changes = [f"{change.id}: {_change(change)}" for change in plan.changes if change.fields]
    return lines + under("with", [head, *changes])


def _change(change: Change) -> str:
    if not change.fields:
        return "its request has changed"
    return "; ".join(field.note or f"{field.field} {_values(field)}" for field in change.fields)


def _values(field: Difference) -> str:
    """Return the values before and after; of long texts, the part around the first difference."""
    before, after = _shown(field.before), _shown(field.after)
    if max(len(before), len(after)) > 60:
        same = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
        start = max(0, same - 15)
        before, after = (("…" if start else "") + short(text[start:], 60) for text in (before, after))
    if isinstance(field.before, str) and isinstance(field.after, str) and " " in before + after:
        return f'"{before}" -> "{after}"'
    return f"{before} -> {after}"


def _shown(value: object) -> str:
    if value is None or value == []:
        return "(none)"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
