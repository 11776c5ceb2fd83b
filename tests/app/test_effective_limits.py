"""What holds for a provider, of what a preset, batchgen.yaml, a manifest and a person say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from batchgen.app.control import parse_limits
from batchgen.app.live_limits import edited, limits_in_force, limits_text
from batchgen.errors import SettingsError, UsageError
from batchgen.manifest.batch import Stated
from batchgen.providers.presets import preset_limits, profile
from batchgen.store.controls import Control

KNOWN = profile("openai", {"limits": {"requests_per_minute": 60, "concurrency": 8}})
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_nothing_said_leaves_the_profile_as_it_is():
    assert limits_in_force(KNOWN, None) == (KNOWN.limits, False)
    assert limits_in_force(KNOWN, Control(provider="openai")) == (KNOWN.limits, False)


def test_what_a_person_said_goes_before_the_profile_key_by_key():
    said = {"requests_per_minute": None, "spacing": 0.5, "of_a_later_version": 3}
    limits, paused = limits_in_force(KNOWN, Control(provider="openai", paused_at=NOW, limits=said))
    assert paused
    assert (limits.requests_per_minute, limits.spacing, limits.concurrency) == (None, 0.5, 8)
    assert limits == type(limits).model_validate(limits.model_dump())


@pytest.mark.parametrize(
    ("manifest", "then", "now", "key", "expected"),
    [
        ((), {"concurrency": 8}, {"concurrency": 3}, "concurrency", 3),
        ((), {}, {"requests_per_day": 50}, "requests_per_day", 50),
        ((), {}, {"requests_per_minute": None}, "requests_per_minute", None),
        (("concurrency",), {}, {"concurrency": 3}, "concurrency", 8),
        # not edited: another file of the manifest may say otherwise
        ((), {"concurrency": 3}, {"concurrency": 3}, "concurrency", 8),
        ((), {"concurrency": 8}, None, "concurrency", preset_limits("openai").concurrency),
        (("concurrency",), {"concurrency": 5}, {}, "concurrency", 8),
    ],
    ids=["edited", "added", "lifted", "manifest-wins", "as-it-was", "taken-out", "taken-out-beneath-a-manifest"],
)
def test_only_what_was_edited_in_the_settings_counts(manifest, then, now, key, expected):
    stated = Stated(manifest=frozenset(manifest), project=then)
    limits = edited(KNOWN, stated, now).limits
    assert getattr(limits, key) == expected
    assert limits.model_dump(exclude={key}) == KNOWN.limits.model_dump(exclude={key})


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"concurrency": 0}, "limits.concurrency"),
        ({"concurency": 3}, "limits.concurency"),
        ({"requests_per_minute": "many"}, "limits.requests_per_minute"),
        ([3], "must be a mapping"),
    ],
    ids=["range", "key", "type", "list"],
)
def test_broken_settings_are_refused_with_their_place(now, words):
    with pytest.raises(SettingsError, match=words) as caught:
        edited(KNOWN, Stated(), now)
    assert "batchgen.yaml: provider openai" in str(caught.value)


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
