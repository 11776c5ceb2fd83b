"""What outcomes, one after another, say of a provider: pauses, single calls to find out, and giving it up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchgen.engine.breaker import (
    ALIKE_JOBS,
    DOUBT_ROUNDS,
    ERROR_JOBS,
    ERRORS,
    FIREWALL,
    PROBE_ROUNDS,
    UNREACHED_ROUNDS,
    Breaker,
    Closure,
    Verdict,
)
from batchgen.engine.retry import Policy
from batchgen.engine.streaks import BLOCKED_JOBS, FRUITLESS_JOBS
from batchgen.fault import Cause, Fault, Scope
from batchgen.job import Delivered, Job, Missed, Outcome
from batchgen.task import Kind, Task, Usage

POLICY = Policy(attempts=4, first_wait=2, max_wait=300, buy_again=True, patience=3600)
TASK = Task(kind=Kind.GENERATE, prompt="a cat", provider="aigate", model="gpt-image-2")
JOB = Job(id=1, batch="b", key="k", task=TASK, fingerprint="1:x", output="k", tries=1, claim=1)
CAME = Delivered(artifacts=(), usage=Usage())
NOTHING = Verdict()


def missed(cause: Cause, message: str = "m", **facts: object) -> Missed:
    return Missed(fault=Fault(cause=cause, message=message, **facts))  # type: ignore[arg-type]


class Weather:
    """A breaker, and a clock that its pauses move on."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.breaker = Breaker(policy=policy)
        self.now = 1000.0
        self.until = 0.0

    def meets(
        self, outcome: Outcome, job: int = 1, tries: int = 1, spread: float = 0.999, sent_at: float | None = None
    ) -> Verdict:
        """Hear how a call ended, whether the lane pauses or not."""
        made, paused = replace(JOB, id=job, tries=tries), self.now < self.until
        verdict = self.breaker.record(made, outcome, self.now, spread, paused=paused, sent_at=sent_at)
        self.until = max(self.until, self.now + (verdict.pause or 0.0))
        return verdict

    def waits(self) -> None:
        """Let the pause pass."""
        self.now = max(self.now, self.until) + 0.001


def errors(weather: Weather, count: int, *, jobs: int, tries: int = 1) -> list[Verdict]:
    """Meet *count* errors, of so many jobs in turn, and wait out every pause."""
    heard = []
    for number in range(count):
        heard.append(weather.meets(missed(Cause.ERROR), job=number % jobs, tries=tries))
        weather.waits()
    return heard


# --- out of reach --------------------------------------------------------------


@pytest.mark.parametrize("cause", [Cause.THROTTLED, Cause.UNREACHED])
def test_each_pause_is_longer_than_the_last(cause):
    weather, pauses = Weather(), []
    for _ in range(5):
        pauses.append(weather.meets(missed(cause)).pause)
        weather.waits()
    assert pauses == pytest.approx([2, 4, 8, 16, 32], rel=0.01)


@pytest.mark.parametrize("cause", [Cause.THROTTLED, Cause.UNREACHED, Cause.UNKNOWN])
def test_a_wait_that_the_provider_names_is_kept(cause):
    weather = Weather()
    assert [weather.meets(missed(cause, retry_after=7.5)).pause for _ in range(2)] == [7.5, 7.5]


def test_calls_in_flight_that_meet_the_same_weather_are_one_round():
    weather = Weather()
    heard = [weather.meets(missed(Cause.UNREACHED)) for _ in range(30)]
    assert weather.breaker.unreachable_rounds == 1
    assert {verdict.close for verdict in heard} == {None}


def test_unreached_provider_is_given_up_after_exactly_n_rounds():
    weather = Weather()
    for number in range(1, UNREACHED_ROUNDS + 1):
        verdict = weather.meets(missed(Cause.UNREACHED))
        assert (verdict.close is Closure.DOWN) is (number == UNREACHED_ROUNDS), number
        weather.waits()


def test_provider_that_answered_is_given_up_when_patience_ends():
    weather = Weather()
    weather.meets(CAME)
    began = weather.now
    for _ in range(1000):
        verdict = weather.meets(missed(Cause.UNREACHED, retry_after=30))
        if verdict.close is not None:
            break
        weather.waits()
    assert verdict.close is Closure.DOWN
    assert POLICY.patience <= weather.now - began <= POLICY.patience + 31


def test_patience_begins_anew_with_every_answer():
    weather = Weather()
    for _ in range(5):
        weather.meets(CAME)
        for _ in range(100):
            assert weather.meets(missed(Cause.UNREACHED, retry_after=30)).close is None
            weather.waits()


def test_without_patience_the_first_miss_after_an_answer_closes():
    weather = Weather(replace(POLICY, patience=0))
    weather.meets(CAME)
    assert weather.meets(missed(Cause.UNREACHED)).close is Closure.DOWN


def test_after_a_few_rounds_out_of_reach_one_call_at_a_time_goes_out():
    weather, probing = Weather(), []
    for _ in range(PROBE_ROUNDS + 1):
        probing.append(weather.breaker.probing)
        weather.meets(missed(Cause.UNREACHED))
        weather.waits()
    assert probing == [False] * PROBE_ROUNDS + [True]
    weather.meets(CAME)
    assert not weather.breaker.probing


@pytest.mark.parametrize(
    "outcome",
    [CAME, *map(missed, (Cause.ERROR, Cause.REFUSED, Cause.INVALID, Cause.EMPTY, Cause.SPOILED, Cause.THROTTLED))],
    ids=["came", "error", "refused", "invalid", "empty", "spoiled", "throttled"],
)
def test_any_answer_ends_the_count_of_misses(outcome):
    weather = Weather()
    for _ in range(UNREACHED_ROUNDS - 1):
        weather.meets(missed(Cause.UNREACHED))
        weather.waits()
    weather.meets(outcome)
    weather.waits()
    assert weather.breaker.unreachable_rounds == 0
    assert weather.meets(missed(Cause.UNREACHED)).close is None


def test_it_is_known_since_when_a_provider_takes_no_calls():
    weather = Weather()
    assert weather.breaker.since is None
    began = weather.now
    for cause in (Cause.UNREACHED, Cause.THROTTLED, Cause.UNKNOWN):
        weather.meets(missed(cause))
        weather.waits()
        assert weather.breaker.since == began
    weather.meets(CAME)
    assert weather.breaker.since is None


def test_who_can_never_be_reached_is_given_up_at_once():
    assert Weather().meets(missed(Cause.UNREACHED, final=True)).close is Closure.DOWN


# --- throttled -----------------------------------------------------------------


def busy(weather: Weather, most: int = 1000, **facts: object) -> Verdict:
    """Hear nothing but that the provider is busy, until the lane closes."""
    verdict = NOTHING
    for _ in range(most):
        verdict = weather.meets(missed(Cause.THROTTLED, **facts))
        if verdict.close is not None:
            break
        weather.waits()
    return verdict


def test_stated_waits_are_waited_for_however_long_that_takes():
    weather = Weather()
    assert busy(weather, most=100, retry_after=300).close is None
    assert weather.now - 1000 > 8 * POLICY.patience
    assert not weather.breaker.probing
    assert weather.meets(missed(Cause.UNREACHED)).close is None


def test_busy_provider_is_given_up_when_patience_ends():
    weather = Weather()
    assert busy(weather).close is Closure.DOWN
    assert POLICY.patience <= weather.now - 1000 <= POLICY.patience + 301


@pytest.mark.parametrize(
    "outcome",
    [CAME, missed(Cause.THROTTLED, retry_after=1),
     *map(missed, (Cause.ERROR, Cause.REFUSED, Cause.INVALID, Cause.EMPTY, Cause.SPOILED))],
    ids=["came", "stated", "error", "refused", "invalid", "empty", "spoiled"],
)  # fmt: skip
def test_anything_else_heard_between_lets_patience_begin_anew(outcome):
    weather = Weather()
    for _ in range(3):
        began = weather.now
        while weather.now - began < POLICY.patience * 0.9:
            assert weather.meets(missed(Cause.THROTTLED)).close is None
            weather.waits()
        assert weather.meets(outcome).close is None
        weather.waits()


def test_silence_between_is_nothing_else_heard():
    weather = Weather()
    while (verdict := weather.meets(missed(Cause.THROTTLED))).close is None:
        weather.waits()
        assert weather.meets(missed(Cause.UNREACHED)).close is None
        weather.waits()
    assert weather.now - 1000 <= POLICY.patience + 700
    assert verdict.close is Closure.DOWN


# --- in doubt ------------------------------------------------------------------


def test_silent_provider_is_given_up_after_few_calls():
    weather = Weather()
    for number in range(1, DOUBT_ROUNDS + 1):
        verdict = weather.meets(missed(Cause.UNKNOWN))
        assert (verdict.close is Closure.DOUBT) is (number == DOUBT_ROUNDS), number
        weather.waits()


def test_unknown_calls_at_once_are_one_round():
    weather = Weather()
    for _ in range(20):
        assert weather.meets(missed(Cause.UNKNOWN)).close is None
    assert weather.breaker.unanswered_rounds == 1


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause is not Cause.UNKNOWN])
def test_anything_else_ends_the_doubt(cause):
    weather = Weather()
    weather.meets(missed(Cause.UNKNOWN))
    assert weather.breaker.probing
    weather.waits()
    weather.meets(missed(cause))
    assert not weather.breaker.probing


# --- errors --------------------------------------------------------------------


def test_errors_of_many_new_jobs_in_a_row_are_trouble_and_pause():
    weather = Weather()
    before = errors(weather, ERRORS - 1, jobs=ERROR_JOBS)
    assert before == [NOTHING] * (ERRORS - 1)
    assert not weather.breaker.troubled
    verdict = weather.meets(missed(Cause.ERROR), job=99)
    assert weather.breaker.troubled
    assert weather.breaker.probing
    assert weather.breaker.since == weather.now
    assert verdict == Verdict(pause=pytest.approx(2, rel=0.01))


def test_each_round_of_trouble_pauses_for_longer():
    weather = Weather()
    errors(weather, ERRORS - 1, jobs=ERROR_JOBS)
    pauses = [verdict.pause for verdict in errors(weather, 4, jobs=ERROR_JOBS)]
    assert pauses == pytest.approx([2, 4, 8, 16], rel=0.01)


def test_errors_of_a_few_jobs_are_no_trouble_however_many():
    weather = Weather()
    assert errors(weather, 10 * ERRORS, jobs=ERROR_JOBS - 1) == [NOTHING] * (10 * ERRORS)
    assert not weather.breaker.troubled


def test_a_poisoned_tail_of_jobs_that_failed_before_is_no_trouble():
    weather = Weather()
    for tries in (2, 3, 4):
        assert errors(weather, 5 * ERRORS, jobs=50, tries=tries) == [NOTHING] * (5 * ERRORS)
    assert not weather.breaker.troubled


def test_one_image_ends_trouble_and_the_count_begins_anew():
    weather = Weather()
    errors(weather, ERRORS + 3, jobs=ERROR_JOBS)
    assert weather.meets(CAME) == NOTHING
    assert (weather.breaker.troubled, weather.breaker.probing, weather.breaker.since) == (False, False, None)
    assert errors(weather, ERRORS - 1, jobs=ERROR_JOBS) == [NOTHING] * (ERRORS - 1)
    assert weather.meets(missed(Cause.ERROR)).pause == pytest.approx(2, rel=0.01)


def test_errors_between_images_are_no_trouble():
    weather = Weather()
    for number in range(20 * ERRORS):
        assert weather.meets(missed(Cause.ERROR), job=number) == NOTHING
        if number % (ERRORS - 1) == ERRORS - 2:
            weather.meets(CAME)


def test_trouble_without_an_end_closes_when_patience_ends():
    weather = Weather()
    errors(weather, ERRORS - 1, jobs=ERROR_JOBS)
    began = weather.now
    for _ in range(1000):
        verdict = weather.meets(missed(Cause.ERROR))
        if verdict.close is not None:
            break
        weather.waits()
    assert verdict.close is Closure.DOWN
    assert POLICY.patience <= weather.now - began <= POLICY.patience + 301


# --- refused -------------------------------------------------------------------


@pytest.mark.parametrize(("cause", "why"), [(Cause.MONEY, Closure.MONEY), (Cause.DENIED, Closure.DENIED)])
def test_no_money_and_no_right_close_at_once(cause, why):
    assert Weather().meets(missed(cause)) == Verdict(close=why)


def test_without_an_image_before_the_first_denial_closes():
    assert Weather().meets(missed(Cause.DENIED)) == Verdict(close=Closure.DENIED)


def test_after_an_image_a_denial_is_made_sure_of_by_one_more_call():
    weather = Weather()
    weather.meets(CAME)
    assert weather.meets(missed(Cause.DENIED), job=2) == Verdict(pause=pytest.approx(2, rel=0.01))
    assert weather.breaker.probing
    weather.waits()
    assert weather.meets(missed(Cause.DENIED), job=2) == Verdict(close=Closure.DENIED)


@pytest.mark.parametrize("answer", [CAME, *map(missed, (Cause.EMPTY, Cause.SPOILED, Cause.REFUSED))])
def test_a_denial_before_an_answer_was_a_mistake(answer):
    weather = Weather()
    weather.meets(CAME)
    for number in range(5):
        assert weather.meets(missed(Cause.DENIED), job=number).close is None
        weather.waits()
        assert weather.meets(answer, job=99).close is None
        assert not weather.breaker._denials.suspected_at
        weather.meets(CAME)


def test_calls_in_flight_at_the_first_denial_prove_nothing():
    weather = Weather()
    weather.meets(CAME)
    sent_at = weather.now - 1
    denied = [weather.meets(missed(Cause.DENIED), job=number, sent_at=sent_at) for number in range(2, 9)]
    assert {verdict.close for verdict in denied} == {None}
    weather.meets(CAME, job=9, sent_at=sent_at)
    weather.waits()
    assert weather.breaker.probing
    assert weather.meets(missed(Cause.DENIED), job=10, sent_at=weather.now).close is Closure.DENIED


def test_job_denied_while_others_pass_is_denied_alone():
    weather = Weather()
    weather.meets(CAME)
    weather.meets(missed(Cause.DENIED), job=2)
    assert not weather.breaker.alone(2)
    weather.waits()
    weather.meets(CAME, job=3)
    assert weather.meets(missed(Cause.DENIED), job=2).close is None
    assert weather.breaker.alone(2)
    assert not weather.breaker.alone(3)
    weather.waits()
    assert weather.meets(missed(Cause.DENIED), job=4).close is Closure.DENIED  # it may be the key after all


def test_a_denial_of_a_model_concerns_that_model():
    weather = Weather()
    for number in range(9):
        assert weather.meets(missed(Cause.DENIED, scope=Scope.MODEL), job=number) == Verdict(model="gpt-image-2")
    assert not weather.breaker.probing


# --- blocked by a firewall -------------------------------------------------------

BLOCKED = [missed(Cause.REFUSED, code=FIREWALL), missed(Cause.DENIED, scope=Scope.JOB)]


@pytest.mark.parametrize("outcome", BLOCKED, ids=["refused", "denied"])
def test_several_jobs_in_a_row_behind_a_firewall_close(outcome):
    weather = Weather()
    heard = [weather.meets(outcome, job=number) for number in range(BLOCKED_JOBS)]
    assert [verdict.close for verdict in heard] == [None] * (BLOCKED_JOBS - 1) + [Closure.DENIED]
    assert heard[-1].why.message == f"{BLOCKED_JOBS} jobs in a row were blocked; the last: m"
    assert BLOCKED_JOBS == 3


@pytest.mark.parametrize("outcome", BLOCKED, ids=["refused", "denied"])
def test_one_job_behind_a_firewall_closes_nothing_however_often(outcome):
    weather = Weather()
    assert {weather.meets(outcome) for _ in range(4 * BLOCKED_JOBS)} == {NOTHING}


@pytest.mark.parametrize(
    "between", [CAME, *map(missed, (Cause.REFUSED, Cause.INVALID, Cause.EMPTY, Cause.SPOILED))], ids=str
)
def test_success_between_blocked_jobs_is_no_firewall(between):
    weather = Weather()
    for number in range(4 * BLOCKED_JOBS):
        assert weather.meets(BLOCKED[0], job=number) == NOTHING
        if number % (BLOCKED_JOBS - 1) == BLOCKED_JOBS - 2:
            weather.meets(between, job=99)
            weather.meets(CAME)


def test_policy_refuses_as_many_jobs_as_there_are():
    weather = Weather()
    assert {weather.meets(missed(Cause.REFUSED, code="moderation"), job=number) for number in range(50)} == {NOTHING}


# --- paid for, and no image ------------------------------------------------------

VAIN = [missed(Cause.EMPTY), missed(Cause.SPOILED)]


def unreadable(weather: Weather, job: int) -> Verdict:
    return weather.breaker.unreadable(replace(JOB, id=job), VAIN[1].fault, weather.now, weather.now)


def test_three_failed_jobs_close_after_one_more_call():
    weather = Weather()
    heard = [weather.meets(VAIN[0], job=1), weather.meets(VAIN[1], job=2)]
    assert not weather.breaker.probing
    heard.append(unreadable(weather, 3))
    assert weather.breaker.probing
    assert weather.breaker.fruitless == {1, 2, 3}
    assert heard == [NOTHING] * 3
    verdict = weather.meets(missed(Cause.EMPTY, "only text"), job=4)
    assert verdict.close is Closure.NO_IMAGE
    assert verdict.why.message == "4 answers in a row, to 4 jobs, brought no image; the last: only text"
    assert verdict.why.cause is Cause.EMPTY
    assert FRUITLESS_JOBS == 3


def test_an_answer_that_cannot_be_read_may_be_the_one_that_closes():
    weather = Weather()
    heard = [unreadable(weather, number) for number in range(4)]
    assert [verdict.close for verdict in heard] == [None, None, None, Closure.NO_IMAGE]


def test_calls_in_flight_at_the_third_are_counted_and_do_not_decide():
    weather = Weather()
    heard = [weather.meets(VAIN[0], job=number, sent_at=weather.now - 5) for number in range(20)]
    assert heard == [NOTHING] * 20
    assert weather.breaker.fruitless == set(range(20))
    assert weather.breaker.probing
    verdict = weather.meets(VAIN[0], job=20)
    assert verdict.close is Closure.NO_IMAGE
    assert verdict.why.message.startswith("21 answers in a row, to 21 jobs, ")


def test_one_or_two_jobs_in_vain_close_nothing_however_often():
    weather = Weather()
    assert {weather.meets(VAIN[number % 2], job=number % 2) for number in range(30)} == {NOTHING}
    assert not weather.breaker.probing


@pytest.mark.parametrize("in_vain", [1, 2, 3])
def test_an_image_ends_the_suspicion_and_the_count_begins_anew(in_vain):
    weather = Weather()
    for number in range(10 * in_vain):
        assert weather.meets(VAIN[0], job=number) == NOTHING
        if number % in_vain == in_vain - 1:
            weather.meets(CAME, job=99)
            assert not weather.breaker.probing
            assert not weather.breaker.fruitless


def test_odd_jobs_retried_at_the_end_close_nothing():
    weather = Weather()
    for number in range(20):
        weather.meets(VAIN[0] if number % 2 else CAME, job=number)
    weather.meets(CAME, job=99)
    again = {weather.meets(VAIN[0], job=number, tries=tries) for tries in (2, 3) for number in range(1, 20, 2)}
    assert again == {NOTHING}
    assert not weather.breaker.probing


def test_new_failed_jobs_count_between_odd_ones():
    weather = Weather()
    weather.meets(VAIN[0], job=1)
    weather.meets(CAME, job=99)
    assert not weather.breaker.fruitless
    for number in (2, 3, 4):
        assert weather.meets(VAIN[0], job=1, tries=2) == NOTHING
        assert weather.meets(VAIN[0], job=number) == NOTHING
    assert weather.breaker.fruitless == {1, 2, 3, 4}
    assert weather.meets(VAIN[0], job=1, tries=3).close is Closure.NO_IMAGE


@pytest.mark.parametrize("between", [missed(Cause.REFUSED), missed(Cause.INVALID), missed(Cause.ERROR)], ids=str)
def test_what_a_provider_refuses_between_neither_counts_nor_excuses(between):
    weather = Weather()
    for number in range(3):
        weather.meets(between, job=100 + number)
        assert weather.meets(VAIN[0], job=number) == NOTHING
    assert weather.meets(between, job=200).close is None
    assert weather.breaker.probing
    assert weather.meets(VAIN[0], job=4).close is Closure.NO_IMAGE


def test_the_same_refusal_of_the_first_jobs_closes():
    weather = Weather()
    heard = [weather.meets(missed(Cause.INVALID, status=400), job=number) for number in range(ALIKE_JOBS)]
    assert heard == [NOTHING] * (ALIKE_JOBS - 1) + [Verdict(close=Closure.DENIED)]


def test_the_same_refusal_of_one_job_again_and_again_closes_nothing():
    weather = Weather()
    assert {weather.meets(missed(Cause.INVALID, status=400)) for _ in range(4 * ALIKE_JOBS)} == {NOTHING}


def test_refusals_in_different_words_close_nothing():
    weather = Weather()
    heard = {
        weather.meets(missed(Cause.INVALID, f"no {number}", status=400), job=number) for number in range(4 * ALIKE_JOBS)
    }
    assert heard == {NOTHING}


@pytest.mark.parametrize("first", [CAME, missed(Cause.REFUSED), missed(Cause.EMPTY)], ids=["came", "refused", "empty"])
def test_once_something_else_came_the_same_refusal_closes_nothing(first):
    weather = Weather()
    weather.meets(first)
    heard = {weather.meets(missed(Cause.INVALID, status=400), job=number) for number in range(4 * ALIKE_JOBS)}
    assert heard == {NOTHING}


def test_what_this_machine_finds_wrong_with_a_photo_closes_nothing():
    weather = Weather()
    fault = "source image a.jpg: the JPEG is cut off"
    assert {weather.meets(missed(Cause.INVALID, fault), job=number) for number in range(4 * ALIKE_JOBS)} == {NOTHING}


@pytest.mark.parametrize("cause", [Cause.REFUSED, Cause.INVALID, Cause.EMPTY, Cause.SPOILED, Cause.ERROR])
def test_the_trouble_of_one_job_neither_pauses_nor_closes(cause):
    assert Weather().meets(missed(cause)) == NOTHING


def test_every_cause_is_heeded():
    for cause in Cause:
        assert isinstance(Weather().meets(missed(cause)), Verdict)
