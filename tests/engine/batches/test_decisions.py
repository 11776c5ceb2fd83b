"""Decisions about submissions: adoption, looks, reminders, and what becomes of each request."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from batchgen.engine.batches import decisions
from batchgen.engine.batches.decisions import Verdict, judge_listing
from batchgen.engine.batches.remote import is_refusal
from batchgen.engine.closure import Closure
from batchgen.fault import Cause, Charged, Fault
from batchgen.job import Missed
from batchgen.providers.base import Reply
from batchgen.providers.batch_base import BatchState, LineProblem, Listing, RemoteBatch, Row
from batchgen.providers.batch_rules import Fate, fate_of
from batchgen.store.submissions import Submission, SubmissionState

NOW = datetime(2026, 11, 30, 22, 0, tzinfo=UTC)
ENDED = RemoteBatch(id="batch_1", state=BatchState.EXPIRED, word="expired")
SUBMITTED = Submission(
    id="5" * 32, batch_id=1, run_id="r", provider="openai", endpoint="generate", model="m",
    state=SubmissionState.SUBMITTED, created_at=NOW, submitted_at=NOW,
)  # fmt: skip


@pytest.mark.parametrize(
    ("complete", "missing_for", "verdict"),
    [
        (True, None, Verdict.WAIT),  # a list may lag behind
        (True, 119, Verdict.WAIT),
        (True, 120, Verdict.CREATE),
        (False, 10_000, Verdict.WAIT),  # it may be on a page that was not read
    ],
)
def test_batch_that_is_not_listed_is_created_only_after_the_grace(complete, missing_for, verdict):
    since = None if missing_for is None else NOW - timedelta(seconds=missing_for)
    assert judge_listing(Listing(batches=(), complete=complete), since, NOW, 120) is verdict


def test_batch_that_is_listed_is_adopted_whatever_else_is_missing():
    assert judge_listing(Listing(batches=(ENDED,), complete=False), None, NOW, 120) is Verdict.ADOPT


@pytest.mark.parametrize(
    ("message", "seconds", "listing", "lost"),
    [
        (f"{decisions.NOT_KNOWN}: 404", 600, Listing(batches=(), complete=True), True),
        (f"{decisions.NOT_KNOWN}: 404", 599, Listing(batches=(), complete=True), False),
        (f"{decisions.NOT_KNOWN}: 404", 600, Listing(batches=(), complete=False), False),
        (f"{decisions.NOT_KNOWN}: 404", 600, Listing(batches=(ENDED,), complete=True), False),
        (None, 600, Listing(batches=(), complete=True), False),
    ],
)
def test_batch_is_lost_only_if_looks_and_a_complete_list_minutes_apart_agree(message, seconds, listing, lost):
    seen = replace(SUBMITTED, message=message, polled_at=NOW)
    assert decisions.is_lost(seen, listing, NOW + timedelta(seconds=seconds), 120) is lost


LACKING = RemoteBatch(id="batch_1", state=BatchState.DONE, word="completed")
END = NOW + timedelta(days=30)


@pytest.mark.parametrize(
    ("batch", "now", "missing"),
    [
        (LACKING, NOW, True),
        (LACKING, END - timedelta(seconds=1), True),
        (LACKING, END, False),
        (replace(LACKING, output_file="file-1"), NOW, False),
        (replace(LACKING, error_file="file-2"), NOW, False),
        (replace(LACKING, state=BatchState.RUNNING), NOW, False),
    ],
)
def test_results_of_a_batch_that_is_done_are_missing_until_they_would_vanish(batch, now, missing):
    assert (decisions.missing_results(batch, now, END) is not None) is missing


@pytest.mark.parametrize(("age", "seconds"), [(0, 2), (60, 3), (1200, 60), (86400, 300)])
def test_looks_become_rarer_with_the_age_of_a_batch(age, seconds):
    assert decisions.look_again(SUBMITTED, NOW + timedelta(seconds=age)) == seconds


def test_pauses_between_refused_files_grow_to_a_bound():
    assert [decisions.pause_after(number) for number in (1, 2, 3, 60)] == [30, 60, 120, 900]


@pytest.mark.parametrize(("day", "reminders"), [(1, 0), (15, 1), (26, 1), (27, 2), (31, 2)])
def test_reminders_come_at_half_and_nine_tenths_of_the_lifetime(day, reminders):
    kept = replace(SUBMITTED, collect_by=NOW + timedelta(days=30))
    assert decisions.reminder(kept, NOW + timedelta(days=day), 0) == reminders
    assert decisions.reminder(SUBMITTED, NOW + timedelta(days=day), 0) == 0


@pytest.mark.parametrize(
    ("cause", "closure"),
    [
        (Cause.MONEY, Closure.MONEY),
        (Cause.DENIED, Closure.DENIED),
        (Cause.INVALID, Closure.DENIED),
        (Cause.THROTTLED, None),
        (Cause.ERROR, None),
    ],
)
def test_refused_file_closes_the_lane_unless_it_may_be_taken_later(cause, closure):
    assert decisions.closure_of(Fault(cause=cause, message="no")) is closure


def row(reply: Reply | None) -> Row:
    return Row(key="a", reply=reply, code="" if reply else "batch_expired")


def outcome(batch: RemoteBatch, found: Row | None, line: int = 1) -> Missed | None:
    return decisions.outcome_of(fate_of(batch, line, found), batch, line)


def test_readable_row_outranks_the_state_of_its_batch():
    for status in (200, 400, 500):
        assert outcome(ENDED, row(Reply(status=status, body=b"{}"))) is None


def test_row_that_was_not_carried_out_is_free_and_uses_no_try():
    missed = outcome(ENDED, row(None))
    assert missed is not None
    assert (missed.fault.cause, missed.fault.charged, missed.charge.usd) == (Cause.UNREACHED, Charged.NO, 0)


@pytest.mark.parametrize("state", [state for state in BatchState if state.is_final])
def test_row_in_no_file_may_have_been_paid_whatever_the_state_and_the_counts(state):
    missed = outcome(RemoteBatch(id="b", state=state, counts={"total": 3, "completed": 0}), None)
    assert missed is not None
    assert (missed.fault.cause, missed.fault.charged, missed.charge.usd) == (Cause.UNKNOWN, Charged.MAYBE, None)


def test_validation_failure_names_one_request_and_frees_the_others():
    problem = LineProblem(code="invalid_request", message="size is wrong", line=2)
    failed = RemoteBatch(id="b", state=BatchState.FAILED, problems=(problem,), nothing_ran=True)
    first, second = outcome(failed, None, 1), outcome(failed, None, 2)
    assert first is not None
    assert second is not None
    assert (first.fault.cause, second.fault.cause, second.charge.usd) == (Cause.UNREACHED, Cause.INVALID, 0)
    assert "size is wrong" in second.fault.message


def test_request_at_fault_is_not_sent_again_whatever_its_cause():
    problem = LineProblem(code="model_not_found", message="no such model", line=1)
    denied = Fault(cause=Cause.DENIED, message="no such model")
    failed = RemoteBatch(id="b", state=BatchState.FAILED, problems=(problem,), fault=denied, nothing_ran=True)
    missed = decisions.outcome_of(Fate.AT_FAULT, failed, 1)
    assert missed is not None
    assert missed.fault.cause is Cause.INVALID


@pytest.mark.parametrize(
    ("nothing_ran", "lines", "all_of_it"),
    [(True, [None], True), (True, [], True), (True, [3], True), (True, [2], False), (False, [None], False)],
)
def test_refusal_that_lies_in_no_line_concerns_all_files(nothing_ran, lines, all_of_it):
    problems = tuple(LineProblem(code="token_limit_exceeded", message="", line=line) for line in lines)
    batch = RemoteBatch(id="b", state=BatchState.FAILED, nothing_ran=nothing_ran, problems=problems)
    assert decisions.concerns_all(batch, [1, 2]) is all_of_it


@pytest.mark.parametrize(
    ("status", "cause", "refused"),
    [
        (400, Cause.INVALID, True),
        (429, Cause.THROTTLED, True),
        (408, Cause.THROTTLED, False),
        (503, Cause.THROTTLED, False),
    ],
)
def test_full_queue_refuses_a_batch_and_an_overload_leaves_its_creation_open(status, cause, refused):
    assert is_refusal(Fault(cause=cause, message="no", charged=Charged.NO, status=status)) is refused
