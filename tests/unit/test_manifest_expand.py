"""Rows to jobs: defaults, n and per_request, ids, and what a fingerprint depends on."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.manifest.expand import drafts, fingerprint, invented, key_of, portions
from batchgen.manifest.model import Manifest
from batchgen.task import Kind, Source, Task

TASK = Task(kind=Kind.GENERATE, prompt="a cat", provider="aigate", model="gpt-image-2")


def rows(**manifest):
    return list(drafts(Manifest.model_validate(manifest)))


def test_a_row_lies_over_the_defaults():
    [row] = rows(
        defaults={"quality": "low", "size": "1:1", "tags": ["a", "b"], "extra": {"x": 1, "y": 1}},
        jobs=[{"prompt": "p", "quality": "high", "size": None, "tags": "b", "extra": {"y": 2}}],
    )
    assert row.values == {"prompt": "p", "quality": "high", "tags": ["a", "b"], "extra": {"x": 1, "y": 2}}
    assert row.where("quality") == ("jobs", 0, "quality")


def test_a_value_from_the_defaults_is_blamed_on_them():
    [row] = rows(defaults={"quality": "low"}, jobs=[{"prompt": "p"}])
    assert row.where("quality") == ("defaults", "quality")
    assert row.where("seed") == ("jobs", 0)


def test_prompts_are_jobs():
    assert [row.values for row in rows(prompts=["a", "b"])] == [{"prompt": "a"}, {"prompt": "b"}]


@given(st.integers(1, 200), st.one_of(st.none(), st.integers(1, 20)))
def test_portions_add_up_and_raising_n_keeps_what_is_full(n, per_request):
    counts = portions(n, per_request)
    assert sum(counts) == n
    assert max(counts) <= (per_request or 1)
    full = [count for count in counts if count == (per_request or 1)]
    assert portions(n + 1, per_request)[: len(full)] == tuple(full)


@given(st.integers(1, 60), st.integers(1, 9))
def test_no_two_requests_of_a_row_write_one_file(n, per_request):
    from batchgen.manifest.names import stems

    first, files = 0, []
    for count in portions(n, per_request):
        files += stems(key_of("x", first), count)
        first += count
    assert len(set(files)) == len(files) == n


def test_ids_are_slug_and_hash():
    name = invented(replace(TASK, prompt="A Cat, on a tree!"), ())
    assert name.startswith("a-cat-on-a-tree-")
    assert len(name.rpartition("-")[2]) == 10
    assert invented(replace(TASK, prompt="日本"), ()).startswith("image-")
    assert invented(TASK, ("a.png",)) != invented(TASK, ("b.png",))


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
