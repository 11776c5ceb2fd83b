"""Limits in force: the settings of a provider under the limits of `batchgen limit`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from batchgen.app.control import parse_limits
from batchgen.app.live_limits import limits_in_force, limits_text
from batchgen.errors import UsageError
from batchgen.providers.presets import profile
from batchgen.store.controls import Control

KNOWN = profile("openai", {"limits": {"requests_per_minute": 60, "concurrency": 8}})
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_nothing_said_leaves_the_profile_as_it_is():
    assert limits_in_force(KNOWN, None) == (KNOWN.limits, False)
    assert limits_in_force(KNOWN, Control(provider="openai")) == (KNOWN.limits, False)


def test_user_settings_override_the_profile_key_by_key():
    said = {"requests_per_minute": None, "spacing": 0.5, "of_a_later_version": 3}
    limits, paused = limits_in_force(KNOWN, Control(provider="openai", paused_at=NOW, limits=said))
    assert paused
    assert (limits.requests_per_minute, limits.spacing, limits.concurrency) == (None, 0.5, 8)
    assert limits == type(limits).model_validate(limits.model_dump())


def test_words_become_limits():
    said = parse_limits(
        ["requests_per_minute=30", "requests_per_second=0.5", "spacing=0", "burst=none", "concurrency=2000"]
    )
    assert said == {
        "requests_per_minute": 30, "requests_per_second": 0.5, "spacing": 0, "burst": None, "concurrency": 2000,
    }  # fmt: skip
    assert (
        limits_text(parse_limits(["requests_per_day=1000000", "spacing=0.25"]))
        == "requests_per_day 1000000, spacing 0.25"
    )


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("burst", "KEY=VALUE, such as"),
        ("bursts=3", "no limit 'bursts'; did you mean 'burst'?"),
        ("rpm=3", "there are: requests_per_second"),
        ("concurrency=0", "concurrency takes a whole number from 1 to 5000, not '0'"),
        ("concurrency=5001", "from 1 to 5000"),
        ("concurrency=none", "from 1 to 5000, not 'none'"),
        ("requests_per_minute=0", "requests_per_minute takes a number above 0, or none"),
        ("requests_per_day=1.5", "a whole number above 0"),
        ("burst=0", "a whole number from 1 on, or none"),
        ("spacing=-1", "a number from 0 on, or none"),
        ("spacing=nan", "a number from 0 on, or none"),
        ("requests_per_second=1e9", "above 0"),
        ("requests_per_second=", "above 0"),
    ],
)
def test_words_that_are_no_limit_are_refused_with_key_and_range(word, words):
    with pytest.raises(UsageError) as caught:
        parse_limits(["spacing=1", word])
    assert words in str(caught.value)
