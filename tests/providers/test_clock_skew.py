"""How far a clock is off, from nothing but a date cut to seconds and the time an answer took."""

from __future__ import annotations

import itertools
from email.utils import formatdate

import pytest

from batchgen.app.doctor import clock_findings
from batchgen.app.provider_check import CheckCandidate, ProviderCheck
from batchgen.providers.clock_skew import ClockSkew, read_skew, smallest_skew
from batchgen.providers.presets import profile

NOW = 1_795_000_000.0


def dated(moment: float, **more: str) -> dict[str, str]:
    return {"date": formatdate(moment, usegmt=True), **more}


@pytest.mark.parametrize("ahead", [-400.0, -6.0, 0.0, 6.0, 400.0])
def test_clock_skew_is_never_overstated(ahead):
    # the far side looks at its clock somewhere on the way
    for fraction, trip, when in itertools.product((0.0, 0.3, 0.999), (0.0, 0.2, 8.0), (0.0, 0.5, 1.0)):
        sent = NOW + fraction
        skew = read_skew(dated(sent + trip * when - ahead), sent, sent + trip)
        assert skew.low <= ahead <= skew.high
        assert abs(skew.certain) <= abs(ahead)
        assert abs(ahead) - abs(skew.certain) <= trip + 1


@pytest.mark.parametrize(
    "headers",
    [{}, {"date": ""}, {"date": "yesterday"}, {"date": "0" * 5000}, dated(NOW, age="61"), dated(NOW, age="soon")],
)
def test_what_says_nothing_is_left_out(headers):
    assert read_skew(headers, NOW, NOW + 0.1) is None


def test_a_clock_that_was_set_back_while_waiting_says_nothing():
    assert read_skew(dated(NOW), NOW, NOW - 3) is None


def test_one_provider_with_a_wrong_clock_proves_nothing():
    right, wrong = ClockSkew(low=-0.9, high=0.2), ClockSkew(low=3599, high=3600)
    assert smallest_skew([wrong, right]) is right
    assert smallest_skew([wrong]) is wrong
    assert smallest_skew([]) is None


@pytest.mark.parametrize(
    ("low", "high", "verdict", "words"),
    [
        (-1.0, 0.2, "ok", "agrees with that of openai within 5 s"),
        (4.9, 5.9, "ok", "agrees with that of openai within 5 s"),
        (37.1, 38.2, "note", "37 s ahead of that of openai"),
        (-299.5, -299.0, "note", "5 min behind that of openai"),
        (-9000.0, -8999.0, "bad", "2 h behind that of openai"),
    ],
)
def test_what_is_reported(low, high, verdict, words):
    candidate = CheckCandidate(profile=profile("openai", {}))
    [finding] = clock_findings(
        [ProviderCheck(candidate=candidate, account=None, skews=[ClockSkew(low=low, high=high)])]
    )
    assert (finding.verdict, finding.code) == (verdict, 1 if verdict == "bad" else 0)
    assert finding.says.startswith(words)
    assert list(clock_findings([ProviderCheck(candidate=candidate, account=None)])) == []
