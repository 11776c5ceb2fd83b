"""The far side keeps its own limits, and what is read from its log is right."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from batchgen.providers.base import Reply
from batchgen.providers.error_mapping import fault_of
from batchgen.providers.presets import profile
from batchgen.providers.ratelimit_headers import read_rate_limit

from . import witness
from .allowance import Bucket, Fixed, Sliding
from .clock import Clock, live
from .server import Answer, Call, Nature, Said, Server, Tells, answer


def call(at: float, said: Said = Said.IMAGE, *, took: float = 10.0, job: str = "", **facts: object) -> Call:
    known = {
        "attempt": f"{job}@{at}",
        "job": job or f"job-{at}",
        "images": 1,
        "sent": at,
        "charged": said is Said.IMAGE,
    }
    return Call(at=at, said=said, ended=at + took, **(known | facts))


def test_the_fullest_window_holds_its_start_and_not_its_end():
    log = [call(at) for at in (0, 30, 59.9, 60, 61, 200)]
    assert witness.fullest(log, 60) == 4
    assert witness.fullest(log, 1000) == 6
    assert witness.fullest(log, 0.05) == 1
    assert witness.fullest([], 60) == 0


def test_windows_count_images_where_asked():
    log = [call(0, images=4), call(30, images=3), call(60, images=2)]
    assert witness.fullest(log, 60, images=True) == 7


@pytest.mark.parametrize("allowance", [Sliding(10), Fixed(10), Bucket(10, burst=4)], ids=["sliding", "fixed", "bucket"])
def test_allowance_names_the_moment_of_the_next_call(allowance):
    chance, now, passed = random.Random(7), 0.0, []
    for _ in range(400):
        now += chance.expovariate(1.0)
        wait = allowance.wait(now, 1)
        if wait:
            assert allowance.wait(now + wait - 0.01, 1) > 0
            now += wait
            assert allowance.wait(now, 1) == 0
        allowance.take(now, 1)
        passed.append(call(now))
    most = {Sliding: 10, Fixed: 20, Bucket: 14}[type(allowance)]
    assert witness.fullest(passed, 60) <= most
    assert len(passed) / now > 0.95 * 10 / 60


def test_ideal_is_an_even_pace_and_then_the_slowest_answer():
    log = [call(at, took=5) for at in (0, 100, 200)] + [call(300, took=60)]
    assert witness.ideal(log, 60) == 3 + 60
    assert witness.makespan(log) == 360


@pytest.mark.parametrize(
    ("log", "vain"),
    [
        ([call(0), call(1, Said.BUSY), call(2)], []),
        ([call(0), call(1, Said.LIMIT, took=1)], [1]),
        ([call(0, Said.BUSY, took=1, retry_after=30), call(20, Said.BUSY), call(32, Said.BUSY)], [20]),
        ([call(0, Said.BUSY, took=1, retry_after=30), call(0.5, Said.BUSY), call(20)], []),
        ([call(0, Said.MONEY, took=1), call(0.5, Said.MONEY), call(2, Said.MONEY)], [2]),
    ],
    ids=["by chance", "over the limit", "told to wait", "on its way, and let through", "no credit"],
)
def test_in_vain_is_what_the_sender_could_have_known(log, vain):
    assert [one.at for one in witness.in_vain(log)] == vain


def test_calls_after_the_first_answer_are_counted():
    log = [call(0), call(5, Said.MONEY, took=1), call(5.5), call(6.5), call(7, Said.MONEY)]
    assert [one.at for one in witness.after_the_first(log, Said.MONEY)] == [6.5, 7]
    assert witness.after_the_first(log, Said.ERROR) == []


def test_charges_and_calls_are_counted_over_all_providers():
    here, there = [call(0, job="a"), call(1, Said.LOST, job="b", charged=True)], [call(2, job="b")]
    assert witness.charges([here, there]) == {"a": 1, "b": 2}
    assert set(witness.calls_per_attempt([here, there]).values()) == {1}


def test_places_waits_and_shares():
    log = [call(0, Said.ERROR, job="a"), call(1, job="b"), call(25, job="a"), call(26, took=0.5, job="c")]
    assert witness.displacement(log, ["a", "b", "c"]) == [-1, -1, 2]
    assert witness.waits_for_retry(log) == [15]
    assert witness.share(log, {Said.ERROR}) == 0.25
    assert [one.job for one in witness.between(log, 1, 26)] == ["b", "a"]


@pytest.mark.parametrize("tells", list(Tells))
def test_a_refusal_says_how_long_to_wait_as_its_provider_does(tells):
    refused = call(0, Said.LIMIT, retry_after=None if tells is Tells.NOTHING else 12.3)
    told = answer(refused, tells)
    assert told.status == 429
    assert told.headers.get("retry-after") == ("13" if tells in (Tells.HEADER, Tells.LIMITS) else None)
    assert (b"12.300s" in told.body) == (tells in (Tells.WORDS, Tells.NUMBERS))


@pytest.mark.parametrize("counting", [Sliding, Fixed, Bucket])
@pytest.mark.parametrize("unit", ["requests", "images"])
@pytest.mark.parametrize("tells", [Tells.LIMITS, Tells.NUMBERS])
def test_a_limit_is_reported_so_that_it_can_be_read(counting, unit, tells):
    limits = [counting(3)]
    nature = Nature(allows=limits) if unit == "requests" else Nature(allows_images=limits)
    clock = Clock()
    server = Server(name="a", nature=replace(nature, tells=tells, median=1.0), clock=clock, chance=random.Random(1))
    told: list[Answer] = []

    async def ask() -> None:
        told.extend([await server.serve(f"{number}", "job", 1) for number in range(4)])

    live(clock, ask)
    *passed, refused = told
    hint = fault_of(Reply(status=refused.status, headers=refused.headers, body=refused.body), profile("openai")).limit
    assert [one.status for one in told] == [200, 200, 200, 429]
    assert hint is not None
    assert (hint.limit, hint.window_seconds, hint.unit) == (3, 60, unit)
    assert [(read_rate_limit(one.headers) is not None) for one in passed] == [tells is Tells.LIMITS] * 3
