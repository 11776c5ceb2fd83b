"""What decides whether a job is redone, by numbered rules that are kept for ever."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen import fingerprint as rules
from batchgen.fingerprint import Stamp, fingerprint, unchanged
from batchgen.manifest.batch import PlannedJob, Recipe
from batchgen.task import Kind, Source, Task

TASK = Task(kind=Kind.GENERATE, prompt="a cat", provider="aigate", model="gpt-image-2")


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a dog"}, {"model": "gpt-image-1"}, {"size": "1:1"}, {"quality": "low"}, {"resolution": "1k"},
        {"background": "opaque"}, {"output_format": "png"}, {"output_compression": 3}, {"moderation": "low"},
        {"seed": 0},
        {"extra": {"a": 1}}, {"n": 2}, {"images": (Source(path="/a", sha256="00"),)},
        {"mask": Source(path="/a", sha256="00")}, {"kind": Kind.EDIT},
    ],
)  # fmt: skip
def test_what_is_asked_changes_the_fingerprint(change):
    assert fingerprint(replace(TASK, **change)) != fingerprint(TASK)


def test_what_is_not_asked_does_not():
    assert fingerprint(replace(TASK, provider="openai")) == fingerprint(TASK)
    one = replace(TASK, images=(Source(path="/a", sha256="00", size_bytes=1),))
    assert fingerprint(one) == fingerprint(replace(one, images=(Source(path="/b", sha256="00", mime="image/png"),)))


def test_the_rule_of_version_1_is_kept_for_ever():
    full = replace(
        TASK, kind=Kind.EDIT, images=(Source(path="/a", sha256="ab"), Source(url="https://x.example/a")), size="1:1",
        extra={"b": 1.5, "a": "ü"}, n=2, mask=Source(path="/m", sha256="cd"),
    )  # fmt: skip
    assert fingerprint(TASK) == "1:" + FIRST
    assert fingerprint(full) == "1:" + SECOND


FIRST = "c32f49c80d0b75885bc05daa8caa55f206a82e0e7def362604decdcd767d0aa3"
SECOND = "c414090cae2549228fce325b9f8bcee4be3d8ecafd6402a2f0b3677dc2f80359"


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=6))
def test_the_order_of_keys_changes_nothing(extra):
    backwards = dict(reversed(extra.items()))
    assert fingerprint(replace(TASK, extra=extra)) == fingerprint(replace(TASK, extra=backwards))


EXTRAS = st.dictionaries(
    st.text(max_size=5), st.integers() | st.text(max_size=5) | st.just({"prompt": "\0"}), max_size=4
)


@given(st.text(), EXTRAS, st.sampled_from([None, "low", '"prompt":"\0"']))
def test_a_stamp_is_the_fingerprint_for_any_prompt(prompt, extra, quality):
    task = replace(TASK, prompt=prompt, extra=extra, quality=quality)
    assert f"1:{Stamp.of(replace(task, prompt='another')).hexdigest(prompt)}" == fingerprint(task)
    assert Recipe(task=replace(task, prompt="")).fingerprint(prompt) == fingerprint(task)


def test_a_job_marked_by_an_older_rule_does_not_look_changed(monkeypatch):
    monkeypatch.setattr(rules, "RULES", {**rules.RULES, "0": lambda task: {"only": task.prompt}})
    old = fingerprint(TASK, "0")
    assert old.startswith("0:")
    assert unchanged(old, TASK, fingerprint(TASK))
    assert unchanged(old, replace(TASK, size="1:1"), fingerprint(replace(TASK, size="1:1")))
    assert not unchanged(old, replace(TASK, prompt="a dog"), fingerprint(replace(TASK, prompt="a dog")))
    assert not unchanged("9:abc", TASK, fingerprint(TASK))


def test_a_planned_job_knows_its_task():
    job = PlannedJob.of("a", TASK, tags=("x",))
    assert (job.task, job.output, job.recipe.tags, job.fingerprint) == (TASK, "a", ("x",), fingerprint(TASK))
