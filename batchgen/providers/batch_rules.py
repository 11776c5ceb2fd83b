"""Terminal rules of batches: what becomes of each request once its batch has ended. Decisions; no clock, no I/O.

A row that can be read outranks the state of its batch. Only what a provider states as not carried out is free; a
request in none of the result files may have been paid for, whatever the counts of the batch show.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from ..fault import Cause, Charged, Fault
from .batch_base import BatchLimits, BatchState, LineProblem, RemoteBatch, Row


class Fate(StrEnum):
    """What becomes of a request."""

    ANSWERED = "answered"  #: its row holds an answer, good or bad, which is read as that of a single call
    FREE = "free"  #: it was not carried out: pending again, and no try is used up
    AT_FAULT = "at fault"  #: the provider refused the batch because of it
    UNKNOWN = "unknown"  #: it may have been carried out and charged


def fate_of(batch: RemoteBatch, line: int, row: Row | None) -> Fate:
    """Return what becomes of the request in *line* (the first is 1) of an ended batch whose result files are read."""
    if row is not None:
        return Fate.FREE if row.reply is None else Fate.ANSWERED
    if not batch.nothing_ran:
        return Fate.UNKNOWN
    return Fate.AT_FAULT if any(problem.line == line for problem in batch.problems) else Fate.FREE


def lacks_results(batch: RemoteBatch) -> bool:
    """Return whether a batch is done and names no result file: it is polled further, for its results may appear.

    Gemini has reported batches as done whose results came later, or never (discuss.ai.google topic 174261).
    """
    return batch.state is BatchState.DONE and batch.output_file is None and batch.error_file is None


def fault_of_line(batch: RemoteBatch, line: int) -> Fault:
    """Return the fault of the request because of which the provider refused its batch."""
    own = next((problem for problem in batch.problems if problem.line == line), LineProblem(code="", message=""))
    message = own.message or own.code or "the provider refused the request"
    known = batch.fault if batch.problems[:1] == (own,) else None
    fault = known or Fault(cause=Cause.INVALID, message=message, code=own.code or None)
    return replace(fault, charged=Charged.NO)


def lost_row(batch: RemoteBatch) -> Fault:
    """Return the fault of a request that is in none of the result files."""
    return Fault(
        cause=Cause.UNKNOWN,
        message=f"batch {batch.id} ended ({batch.word or batch.state}), and its result files do not have this request",
        charged=Charged.MAYBE,
        hint="it may have been carried out and charged; check the provider's own log",
        final=True,
    )


def lost_results(batch: RemoteBatch) -> Fault:
    """Return the fault of a request whose results could not be downloaded before the provider deleted them."""
    return replace(
        lost_row(batch), message=f"the results of batch {batch.id} could not be downloaded while the provider had them"
    )


def collect_by(batch: RemoteBatch, limits: BatchLimits, submitted_at: datetime) -> datetime:
    """Return until when the results can be downloaded, at least: counted from the end, or from the submission."""
    return (batch.ended_at or batch.created_at or submitted_at) + timedelta(seconds=limits.lifetime)
