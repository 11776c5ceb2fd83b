"""What a retry asks for beside the manifest: how it is said, kept in a job's mark, and when it stops to count."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest

from batchgen.app.retry import ending_models
from batchgen.errors import UsageError
from batchgen.fingerprint import fingerprint, unchanged
from batchgen.manifest.batch import PlannedJob
from batchgen.planning.override_marks import describe, overrides_of
from batchgen.planning.overrides import OverriddenJobs, override, parse
from batchgen.providers.presets import profile
from batchgen.task import Kind, Task

PROFILES = {name: profile(name) for name in ("openai", "aimlapi", "gptimageapi")}


def job(key="cat", **facts):
    return PlannedJob.of(key, Task(kind=Kind.GENERATE, prompt="A cat", provider="openai", model="gpt-image-2", **facts))


def test_words_are_read():
    assert parse(["quality=low", "seed=-3", "prompt=a = b"]) == {"quality": "low", "seed": -3, "prompt": "a = b"}


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("quality", "KEY=VALUE"),
        ("qualty=low", "mean 'quality'?"),
        ("n=3", "there are: "),
        ("seed=x", "whole number"),
    ],
)
def test_words_that_cannot_be(word, told):
    with pytest.raises(UsageError, match=told):
        parse([word])


def test_what_is_stated_is_in_the_mark_behind_that_of_the_manifest():
    plain = job(quality="high", size="1024x1024")
    low = override(plain, {"quality": "low"}, PROFILES)
    assert (low.task.quality, low.task.size) == ("low", "1024x1024")
    assert low.fingerprint.startswith(f"{plain.fingerprint}+")
    assert describe(overrides_of(low.fingerprint)) == "quality=low"
    assert overrides_of(plain.fingerprint) == {}
    both = override(low, {"prompt": "Two cats"}, PROFILES)
    assert overrides_of(both.fingerprint) == {"quality": "low", "prompt": "Two cats"}
    assert (both.prompt, both.task.quality) == ("Two cats", "low")


def test_override_uses_the_other_providers_names():
    moved = override(job(), {"provider": "aimlapi"}, PROFILES)
    assert (moved.task.provider, moved.recipe.route) == ("aimlapi", None)
    with pytest.raises(UsageError, match="job cat: "):
        override(job(), {"size": "1x1"}, PROFILES)
    with pytest.raises(UsageError, match="job cat: "):
        override(job(), {"model": "no-such"}, PROFILES)


def test_it_holds_until_the_manifest_asks_for_something_else():
    plain, other = job(quality="high"), job(quality="medium")
    low = override(plain, {"quality": "low"}, PROFILES)

    def after(asked):
        return next(
            iter(OverriddenJobs(jobs=[asked], overrides={}, fingerprints={"cat": low.fingerprint}, profiles=PROFILES))
        )

    assert after(plain).fingerprint == low.fingerprint
    assert after(plain).task.quality == "low"
    assert after(other) == other
    # an earlier mark is not what a retry asks for, but what it asked for is no change of the manifest's
    assert not unchanged(plain.fingerprint, low.task, low.fingerprint)
    assert unchanged(low.fingerprint, plain.task, plain.fingerprint)
    assert not unchanged(low.fingerprint, other.task, other.fingerprint)


def test_what_nobody_offers_any_more_leaves_the_job_as_it_was_marked():
    low = override(job(), {"provider": "aimlapi"}, PROFILES)
    only = {"openai": PROFILES["openai"]}
    [same] = OverriddenJobs(jobs=[job()], overrides={}, fingerprints={"cat": low.fingerprint}, profiles=only)
    assert (same.fingerprint, same.task.provider) == (low.fingerprint, "openai")


@pytest.mark.parametrize("overrides", [{"quality": "low"}, {"prompt": "Two cats"}])
def test_overrides_of_an_older_version_apply_whatever_the_white_space(overrides):
    before = job().task
    written = replace(before, prompt="A cat\n")
    stored = f"{fingerprint(written, '1')}+{json.dumps(overrides)}"
    stored_task = replace(written, **overrides)
    [same] = OverriddenJobs(
        jobs=[job()], overrides={}, fingerprints={"cat": stored}, profiles=PROFILES, before={"cat": stored_task}
    )
    assert same.fingerprint == stored
    assert {key: getattr(same.task, key) for key in overrides} == overrides
    [other] = OverriddenJobs(
        jobs=[job(size="1024x1024")], overrides={}, fingerprints={"cat": stored}, profiles=PROFILES,
        before={"cat": stored_task},
    )  # fmt: skip
    assert other.fingerprint.startswith("2:")


def test_a_model_that_has_ended_is_refused_as_in_a_manifest():
    before, after = date(2026, 11, 30), date(2026, 12, 1)
    assert override(job(), {"model": "gpt-image-1.5"}, PROFILES, before).task.model == "gpt-image-1.5"
    with pytest.raises(
        UsageError, match=r"has not offered gpt-image-1\.5 since 2026-12-01 \(write model: gpt-image-2\)"
    ):
        override(job(), {"model": "gpt-image-1.5"}, PROFILES, after)
    jobs = OverriddenJobs(
        jobs=[job()], overrides={"cat": {"model": "gpt-image-1.5"}}, fingerprints={}, profiles=PROFILES, today=after
    )
    with pytest.raises(UsageError, match="has not offered"):
        list(jobs)


def test_a_model_that_will_end_is_a_warning():
    [warning] = ending_models(PROFILES, {"model": "gpt-image-1.5", "provider": "openai"})
    assert warning == "openai switches gpt-image-1.5 off on 2026-12-01 (use  --with model=gpt-image-2)"
    assert not ending_models(PROFILES, {"model": "gpt-image-2"})
    assert not ending_models(PROFILES, {"quality": "low"})
