"""What closes a lane, for all its jobs or for those of one model, and what becomes of them: whole runs, simulated."""

from __future__ import annotations

from contextlib import suppress

import pytest

from batchgen.engine.lane import Closure
from batchgen.errors import UnreadableAnswer
from batchgen.fault import Cause, Charged, Fault, Scope
from batchgen.job import Attempt, Outcome
from batchgen.ready import Ready

from .backend import Simulated
from .night import Night, Wish, wishes
from .server import Nature, Outage, Said, Tells

QUICK = Nature(median=5.0, sigma=0.1)
EMPTY = Fault(cause=Cause.EMPTY, message="the answer contains no image", charged=Charged.MAYBE)
SPOILED = Fault(cause=Cause.SPOILED, message="half a picture", charged=Charged.YES)
NOT_YOURS = Fault(cause=Cause.DENIED, message="no access to this model", scope=Scope.MODEL)
FIREWALL = Fault(cause=Cause.REFUSED, message="Sorry, you have been blocked", code="firewall")


def night(folder, jobs, natures, **settings) -> Night:
    limits = {name: {"limits": {"concurrency": 4}} | settings for name in natures}
    return Night(folder=folder, wishes=jobs, natures=natures, settings=limits)


# --- paid for, and no image ------------------------------------------------------


@pytest.mark.parametrize("fault", [EMPTY, SPOILED], ids=["empty", "spoiled"])
@pytest.mark.parametrize("width", [1, 4, 32])
def test_batch_without_images_costs_a_few_calls(tmp_path, fault, width):
    sad = night(tmp_path, wishes(40, "openai"), {"openai": Nature(median=5.0, faults={"": fault})})
    sad.settings["openai"]["limits"]["concurrency"] = width
    sad.__post_init__()
    (row,) = sad.play().lanes
    assert row.closed is Closure.NO_IMAGE
    calls = sad.log()
    third, probe = sorted(call.ended for call in calls)[2], calls[-1]
    in_flight = sum(call.sent <= third for call in calls)
    assert len(calls) == in_flight + 1 <= 2 + width + 1
    assert probe.sent >= max(call.ended for call in calls[:-1])
    assert probe.job not in {call.job for call in calls[:-1]}
    assert row.fault is not None
    assert row.fault.message.startswith(f"{len(calls)} answers in a row, to {len(calls)} jobs, brought no image")


def test_where_every_job_is_in_flight_one_of_them_is_asked_again(tmp_path):
    sad = night(tmp_path, wishes(4, "openai"), {"openai": Nature(median=5.0, sigma=0.01, faults={"": EMPTY})})
    (row,) = sad.play().lanes
    assert (row.closed, len(sad.log())) == (Closure.NO_IMAGE, 5)
    assert sad.counts().pending == 4


def test_one_image_for_the_last_call_and_the_lane_goes_on(tmp_path):
    faults = {f"job-{number:06}": EMPTY for number in range(3)}
    some = night(tmp_path, wishes(40, "openai"), {"openai": Nature(median=5.0, faults=faults)})
    (row,) = some.play().lanes
    assert (row.closed, some.counts().done, some.counts().failed) == (None, 37, 3)
    assert len(some.log()) == 37 + 3 * 3


def test_what_a_closed_lane_leaves_goes_to_the_next_of_its_route(tmp_path):
    jobs = [Wish(key=f"job-{number:03}", provider="openai", others=("aigate",)) for number in range(40)]
    both = night(tmp_path, jobs, {"openai": Nature(median=5.0, faults={"": EMPTY}), "aigate": QUICK})
    first, second = both.play().lanes
    assert (first.closed, second.closed, second.done) == (Closure.NO_IMAGE, None, 40)
    assert len(both.log("openai")) <= 7


def test_unreadable_answers_close_the_lane_across_runs(tmp_path, monkeypatch):
    sad = night(tmp_path, wishes(40, "openai"), {"openai": QUICK})
    real = Simulated.run

    async def unreadable(self: Simulated, attempt: Attempt, ready: Ready) -> Outcome:
        if not attempt.resumed:
            await real(self, attempt, ready)
        raise UnreadableAnswer(f"job {attempt.key}: a paid answer could not be read")

    monkeypatch.setattr(Simulated, "run", unreadable)
    with suppress(UnreadableAnswer):
        sad.play()
    bought = len(sad.log())
    assert sad.lives[-1].lanes[0].closed is Closure.NO_IMAGE
    assert bought <= 2 + 4 + 1
    with suppress(UnreadableAnswer):
        sad.play()
    assert sad.lives[-1].lanes[0].closed is Closure.NO_IMAGE
    assert len(sad.log()) == bought + 1
    assert sad.counts().running == bought + 1  # all are in the spool, for a version that can read them


# --- one model, one job ----------------------------------------------------------


def test_denied_model_delays_no_other_model(tmp_path):
    models = {"big": "gpt-image-1.5", "small": "gpt-image-2"}
    jobs = [
        Wish(key=f"{kind}-{number:04}", provider="openai", model=model)
        for kind, model in models.items()
        for number in range(200)
    ]
    faults = {job.key: NOT_YOURS for job in jobs if job.key.startswith("big")}
    mixed = night(tmp_path, jobs, {"openai": Nature(median=5.0, faults=faults)})
    (row,) = mixed.play().lanes
    assert (row.closed, row.done, mixed.counts().pending) == (None, 200, 200)
    assert row.denied == {"gpt-image-1.5": NOT_YOURS}
    assert sum(call.said is Said.FAULT for call in mixed.log()) <= 4


def test_jobs_of_a_denied_model_fail_over_at_once(tmp_path):
    jobs = [Wish(key=f"job-{number:03}", provider="openai", others=("aigate",)) for number in range(100)]
    jobs += [Wish(key=f"own-{number:03}", provider="openai", model="gpt-image-1.5") for number in range(20)]
    faults = {job.key: NOT_YOURS for job in jobs if job.others}
    both = night(tmp_path, jobs, {"openai": Nature(median=5.0, faults=faults), "aigate": QUICK})
    first, second = both.play().lanes
    assert (first.closed, first.done, second.done, both.counts().done) == (None, 20, 100, 120)
    assert second.failed_over == {"openai": 100}
    assert min(call.sent for call in both.log("aigate")) < 15


def test_a_model_denied_in_one_group_leaves_the_others_alone(tmp_path):
    jobs = [Wish(key=f"new-{number}", provider="openai", model="gpt-image-2") for number in range(9)]
    jobs += [Wish(key=f"old-{number}", provider="openai", model="gpt-image-1.5") for number in range(9)]
    faults = {job.key: NOT_YOURS for job in jobs if job.key.startswith("new")}
    groups = {"new": {"models": ["gpt-image-2"]}}
    grouped = night(tmp_path, jobs, {"openai": Nature(median=5.0, faults=faults)}, groups=groups)
    rest, new = grouped.play().lanes
    assert (rest.done, rest.denied, new.done, list(new.denied)) == (9, {}, 0, ["gpt-image-2"])


def test_blocked_job_fails_alone_and_three_in_a_row_close(tmp_path):
    one = night(tmp_path / "one", wishes(30, "openai"), {"openai": Nature(faults={"job-000005": FIREWALL})})
    (row,) = one.play().lanes
    assert (row.closed, one.counts().done, one.counts().failed, len(one.log())) == (None, 29, 1, 30)
    many = night(tmp_path / "all", wishes(30, "openai"), {"openai": Nature(faults={"": FIREWALL})})
    (row,) = many.play().lanes
    assert row.closed is Closure.DENIED
    assert 3 <= many.counts().failed == len(many.log()) <= 2 + 4
    assert row.fault is not None
    assert "you have been blocked" in row.fault.message


# --- out of reach for good, and busy for ever ------------------------------------


def test_who_can_never_be_reached_is_left_alone_and_the_others_go_on(tmp_path):
    never = Fault(cause=Cause.UNREACHED, message="certificate verify failed", final=True)
    jobs = [*wishes(20, "openai"), *(Wish(key=f"other-{number}", provider="aigate") for number in range(20))]
    groups = {"new": {"models": ["gpt-image-2"]}}
    both = night(tmp_path, jobs, {"openai": Nature(faults={"": never}, transit=0.01), "aigate": QUICK}, groups=groups)
    lanes = both.play().lanes
    assert {lane.closed for lane in lanes if lane.provider == "openai"} == {Closure.DOWN}
    assert {lane.closed for lane in lanes if lane.provider == "aigate"} == {None}
    assert len(both.log("openai")) <= 4
    assert (both.counts().done, both.counts().pending) == (20, 20)


@pytest.mark.parametrize("wait", [None, 60.0], ids=["never says for how long", "says so"])
def test_busy_provider_without_a_wait_is_given_up(tmp_path, wait):
    for_ever = Outage(start=30, seconds=10_000, said=Said.BUSY, retry_after=wait)
    nature = Nature(median=5.0, outages=[for_ever], tells=Tells.HEADER)
    busy = night(tmp_path, wishes(60, "openai"), {"openai": nature}, retry={"patience": 3600})
    (row,) = busy.play().lanes
    if wait is None:
        assert (row.closed, row.fault.cause if row.fault else None) == (Closure.DOWN, Cause.THROTTLED)
        assert 3600 <= busy.clock.seconds - 30 <= 3600 + 700
        assert busy.counts().pending > 0
    else:
        assert (row.closed, busy.counts().done) == (None, 60)
        assert busy.clock.seconds > 10_000


# --- short answers ---------------------------------------------------------------


@pytest.mark.parametrize(("fills", "state"), [(1, "failed"), (2, "failed"), (3, "done"), (10, "done")])
def test_short_answers_are_bought_as_often_as_attempts_allow(tmp_path, fills, state):
    few = night(tmp_path, wishes(1, "openai", images=10), {"openai": Nature(fills=fills)}, retry={"attempts": 4})
    (row,) = few.play().lanes
    counts = few.counts()
    came = min(10, 4 * fills)
    assert (counts.done, counts.failed, counts.images) == (int(state == "done"), int(state == "failed"), came)
    assert len(few.log()) == min(4, -(-10 // fills))
    assert row.failed == counts.failed
