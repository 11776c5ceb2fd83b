"""Jobs of a report that are at a provider: in which batch or as tasks, since when, and what is reserved. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...money import show_credits, show_usd
from ...store.report_rows import Call
from ...store.submissions import Submission
from .details import iso
from .jobs import ReportJob
from .tiles import visible


@dataclass(kw_only=True, slots=True)
class Place:
    """The calls of one submission, or the remote tasks at one account."""

    provider: str
    account: str | None
    submission_id: str | None  #: None: remote tasks
    since: int
    jobs: int = 0
    usd: int = 0  #: nano-USD reserved
    unpriced: int = 0  #: calls whose price in USD is not known
    credits: int = 0  #: milli-credits reserved

    def add(self, call: Call) -> None:
        """Add a call."""
        self.jobs += 1
        self.since = min(self.since, call.started_at)
        self.usd += call.estimate_usd or 0
        self.unpriced += call.estimate_usd is None
        self.credits += call.estimate_credits or 0

    def document(self, submission: Submission | None) -> dict[str, Any]:
        """Return the place; *submission* is as the job database has it, if the calls are in one."""
        facts: dict[str, Any] = dict.fromkeys(("id", "state", "deadline_at", "collect_by", "message"))
        counts: Mapping[str, int] = {}
        since = iso(self.since)
        if submission is not None:
            moments = {name: getattr(submission, name) for name in ("deadline_at", "collect_by")}
            facts = {name: None if at is None else at.isoformat() for name, at in moments.items()} | {
                "id": submission.remote_id,
                "state": submission.state.value,
                "message": None if submission.message is None else visible(submission.message),
            }
            counts = submission.counts
            since = since if submission.submitted_at is None else submission.submitted_at.isoformat()
        return {
            "submission": self.submission_id,
            "provider": self.provider,
            "account": self.account,
            "jobs": self.jobs,
            "since": since,
            **facts,
            "total": counts.get("total"),
            "completed": counts.get("completed"),
            "reserved_usd": None if self.unpriced == self.jobs else show_usd(self.usd),
            "reserved_credits": show_credits(self.credits or None),
        }


@dataclass(kw_only=True, slots=True)
class AtProvider:
    """Collects the jobs that are at a provider."""

    _places: dict[tuple[str | None, str, str | None], Place] = field(default_factory=dict)

    def add(self, job: ReportJob) -> None:
        """Add *job* if it is at a provider."""
        call = job.call_at_provider
        if call is None or not job.is_at_provider:
            return
        account = call.provider, call.account
        key = (call.submission_id, *account)
        if key not in self._places:
            self._places[key] = Place(
                provider=call.provider, account=call.account, submission_id=call.submission_id, since=call.started_at
            )
        self._places[key].add(call)

    def document(self, submissions: Mapping[str, Submission]) -> list[dict[str, Any]]:
        """Return the places, the oldest first; *submissions* by id."""
        places = sorted(self._places.values(), key=lambda place: (place.since, place.provider))
        return [place.document(submissions.get(place.submission_id or "")) for place in places]
