"""What decides whether a job is redone, by numbered rules that are kept for ever."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen import fingerprint as rules
from batchgen.fingerprint import Stamp, fingerprint, unchanged
from batchgen.manifest.batch import PlannedJob, Recipe
from batchgen.task import Kind, Source, Task
from batchgen.wording import canonical

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


def test_rules_are_kept_for_ever():
    full = replace(
        TASK, kind=Kind.EDIT, images=(Source(path="/a", sha256="ab"), Source(url="https://x.example/a")), size="1:1",
        extra={"b": 1.5, "a": "ü"}, n=2, mask=Source(path="/m", sha256="cd"),
    )  # fmt: skip
    assert fingerprint(TASK, "1") == "1:" + FIRST
    assert fingerprint(full, "1") == "1:" + SECOND
    assert fingerprint(TASK) == "2:" + FIRST_BY_RULE_2
    assert fingerprint(full) == "2:" + SECOND_BY_RULE_2


FIRST = "c32f49c80d0b75885bc05daa8caa55f206a82e0e7def362604decdcd767d0aa3"
SECOND = "c414090cae2549228fce325b9f8bcee4be3d8ecafd6402a2f0b3677dc2f80359"
FIRST_BY_RULE_2 = "4906d3fb2f12d4dbcb77ad49cb8991819f3f59e50bd9fdc9641c1b81339d0401"
SECOND_BY_RULE_2 = "56086fbee74a0ad000e8072156014d6c2a911a1f98ce7d7b1b607e0b20397df0"


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
    assert f"2:{Stamp.of(replace(task, prompt='another')).hexdigest(canonical(prompt))}" == fingerprint(task)
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


SAME = [
    ("a cat\n", "a cat"), ("a cat  \n\n", "a cat"), ("a cat ", "a cat"), (" a cat", "a cat"), ("\ufeffa cat", "a cat"),
    ("a\r\ncat", "a\ncat"), ("a\rcat", "a\ncat"), ("a \t\ncat", "a\ncat"), ("a\u00a0cat", "a cat"),
    ("a cafe\u0301", "a caf\u00e9"), ("a\u200b cat", "a cat"), ("a\u00ad cat\u2060", "a cat"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_white_space_and_composition_do_not_change_the_fingerprint(one, other):
    first, second = (replace(TASK, prompt=text, extra={"style": [{"x": text}]}) for text in (one, other))
    assert fingerprint(first) == fingerprint(second)
    assert fingerprint(first, "1") != fingerprint(second, "1")


@pytest.mark.parametrize(
    ("one", "other"),
    [("a cat", "a  cat"), ("a\ncat", "a cat"), ("a\n\ncat", "a\ncat"), ("A cat", "a cat"), ("a cat", "acat"),
     ("\U0001f468\u200d\U0001f373", "\U0001f468\U0001f373"), ("\u2764\ufe0f", "\u2764"), ("\ufb01", "fi")],
)  # fmt: skip
def test_other_differences_of_a_prompt_change_the_fingerprint(one, other):
    assert fingerprint(replace(TASK, prompt=one)) != fingerprint(replace(TASK, prompt=other))


@pytest.mark.parametrize(("one", "other"), [*SAME, *((other, one) for one, other in SAME)])
def test_an_older_fingerprint_of_the_same_words_is_unchanged(one, other):
    before, after = (replace(TASK, prompt=text, extra={"style": text}) for text in (one, other))
    stored = fingerprint(before, "1")
    assert unchanged(stored, after, fingerprint(after), before)
    assert unchanged(f'{stored}+{{"quality":"low"}}', after, fingerprint(after), before)
    assert not unchanged(stored, replace(after, size="1:1"), fingerprint(replace(after, size="1:1")), before)
    other_words = replace(after, prompt="a dog")
    assert not unchanged(stored, other_words, fingerprint(other_words), before)


def test_an_older_fingerprint_is_compared_without_the_stored_task():
    stored = fingerprint(replace(TASK, prompt="a\r\ncat"), "1")
    after = replace(TASK, prompt="a\ncat")
    assert unchanged(stored, after, fingerprint(after))
    assert unchanged(fingerprint(replace(TASK, prompt="a cat\n"), "1"), TASK, fingerprint(TASK))
