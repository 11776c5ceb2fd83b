"""Submissions at a provider, as lines of ``status``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .format import count, under
from .status import local
from .width import short

if TYPE_CHECKING:
    from ...app.submissions import OpenSubmission


def submission_lines(submissions: Sequence[OpenSubmission]) -> list[str]:
    """Return a line for each submission: where it is, how far, and until when."""
    return under("batches", [_line(each) for each in submissions])


def _line(open_submission: OpenSubmission) -> str:
    facts, jobs = open_submission.submission, count(open_submission.calls, "job")
    name = f"{facts.provider} {facts.remote_id or facts.id[:8]}: {jobs}, {facts.state}"
    parts = [name if facts.submitted_at is None else f"{name} {local(facts.submitted_at)}"]
    total, completed = facts.counts.get("total"), facts.counts.get("completed")
    if total and completed is not None:
        parts.append(f"{completed:,} of {total:,} carried out")
    if facts.deadline_at is not None:
        parts.append(f"ends by {local(facts.deadline_at)}")
    if facts.collect_by is not None:
        parts.append(f"results until {local(facts.collect_by)}")
    if facts.message:
        parts.append(short(facts.message, 160))
    return "; ".join(parts)
