"""Decisions about submissions: what the next step is, when to look again, and what a refusal means. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from ...fault import Cause, Charged, Fault
from ...job import Missed
from ...providers.batch_base import Listing, RemoteBatch
from ...providers.batch_rules import Fate, fault_of_line, lacks_results, lost_row
from ...store.submissions import Submission
from ...task import NOTHING
from ..closure import Closure

#: Seconds between two looks at a batch: a twentieth of its age, within these bounds.
SOONEST, LATEST = 2.0, 300.0
#: Parts of the lifetime of results after which the user is reminded of them.
REMINDERS = (0.5, 0.9)
#: Seconds until a file is sent again that the provider did not take: doubled each time, at most.
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 900.0


class Verdict(Enum):
    """What a list of the provider's batches shows about a submission whose creation has no answer."""

    ADOPT = auto()  #: it was created
    CREATE = auto()  #: it was not, which is certain by now
    WAIT = auto()  #: it is not in the list yet, or the list is not complete: to create it might buy it twice


def judge_listing(listing: Listing, since: datetime | None, now: datetime, grace: float) -> Verdict:
    """Return what *listing* shows; it has been missing in complete lists since *since*, None: for the first time.

    A list may lag behind: only what is still missing *grace* seconds after a first complete list was not created.
    """
    if listing.batches:
        return Verdict.ADOPT
    if not listing.complete or since is None or now - since < timedelta(seconds=grace):
        return Verdict.WAIT
    return Verdict.CREATE


#: How the message of a submission begins whose batch its provider did not know at the last look.
NOT_KNOWN = "the provider does not know the batch"
#: So many times the grace of lists must have passed since a batch was seen last.
LOST_AFTER = 5


def is_lost(submission: Submission, listing: Listing, now: datetime, grace: float) -> bool:
    """Return whether a batch that its provider does not know now is gone for good.

    The look before must have had the same answer, minutes must have passed since the batch was seen last, and a
    complete list must lack it: a provider that fails for a moment may answer 404 as well.
    """
    was_missing = (submission.message or "").startswith(NOT_KNOWN)
    seen = submission.polled_at or submission.submitted_at or submission.created_at
    is_old = now - seen >= timedelta(seconds=LOST_AFTER * grace)
    return was_missing and is_old and listing.complete and not listing.batches


#: How long a run waits for results that are missing although their batch is done.
RESULTS_PATIENCE = timedelta(hours=1)


def missing_results(batch: RemoteBatch, now: datetime, end: datetime) -> str | None:
    """Return why the results of a batch cannot be collected yet, *end* being when they vanish; None if they can be."""
    is_missing = lacks_results(batch) and now < end
    return f"the batch is done, and its results are not there yet ({batch.id})" if is_missing else None


def facts_of(batch: RemoteBatch, now: datetime) -> dict[str, Any]:
    """Return what a submission keeps of the provider's report."""
    return {
        "counts": batch.counts,
        "output_file": batch.output_file,
        "error_file": batch.error_file,
        "deadline_at": batch.deadline_at,
        "polled_at": now,
    }


def look_again(submission: Submission, now: datetime) -> float:
    """Return the seconds until the next look at a submission."""
    since = submission.submitted_at or submission.created_at
    return min(max((now - since).total_seconds() / 20, SOONEST), LATEST)


def pause_after(failures: int) -> float:
    """Return the seconds until a file is sent again after *failures* in a row."""
    return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE)


def reminder(submission: Submission, now: datetime, reminded: int) -> int:
    """Return how many reminders of uncollected results are due by now, of which *reminded* were given."""
    start, end = submission.submitted_at, submission.collect_by
    if start is None or end is None or end <= start:
        return reminded
    return max(reminded, sum(now >= start + (end - start) * part for part in REMINDERS))


def closure_of(fault: Fault) -> Closure | None:
    """Return why a lane closes after the provider refused a file; None: it may be sent again after a pause."""
    if fault.cause is Cause.MONEY:
        return Closure.MONEY
    # What is wrong with a file as a whole is wrong with the next one as well.
    return Closure.DENIED if fault.cause in (Cause.DENIED, Cause.INVALID, Cause.REFUSED) else None


def concerns_all(batch: RemoteBatch, lines: Collection[int]) -> bool:
    """Return whether a provider refused a batch for a reason that lies in none of its *lines*.

    The next file would be refused in the same way, at least for a while.
    """
    return batch.nothing_ran and all(problem.line not in lines for problem in batch.problems)


def unsent(why: str) -> Missed:
    """Return the outcome of a call that was not carried out: it is free, and uses up no try."""
    return Missed(fault=Fault(cause=Cause.UNREACHED, message=why), charge=NOTHING)


def outcome_of(fate: Fate, batch: RemoteBatch, line: int) -> Missed | None:
    """Return the outcome of a request without an answer; None if its answer has to be read."""
    match fate:
        case Fate.ANSWERED:
            return None
        case Fate.FREE:
            return unsent(f"batch {batch.id} ended ({batch.word or batch.state}) before this request was carried out")
        case Fate.AT_FAULT:
            fault = fault_of_line(batch, line)
            cause = fault.cause if fault.cause is Cause.REFUSED else Cause.INVALID
            return Missed(fault=replace(fault, cause=cause, charged=Charged.NO), charge=NOTHING)
        case Fate.UNKNOWN:
            return Missed(fault=lost_row(batch))
