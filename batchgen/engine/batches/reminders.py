"""Reminders of results that are not collected yet, before they vanish at the provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from ...store.submissions import Submission
from .decisions import reminder


@dataclass(slots=True)
class Reminders:
    """The reminders of one run."""

    alarm: Callable[[str], None]  #: called if results may be lost unless the user acts
    _given: dict[str, int] = field(default_factory=dict)  #: number by submission

    def look(self, submission: Submission, now: datetime) -> None:
        """Remind the user of a submission if it is time."""
        given = self._given.get(submission.id, 0)
        due = reminder(submission, now, given)
        if due == given or submission.collect_by is None:
            return
        self._given[submission.id] = due
        self.alarm(
            f"the results of batch {submission.remote_id} at {submission.provider} are not collected yet and vanish at "
            f"{submission.collect_by.astimezone():%Y-%m-%d %H:%M}: {submission.message or 'the batch has not ended'}"
        )
