"""Grouping of jobs into files: one endpoint and model each, within every bound, in order."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchgen.engine.batches.grouping import Bounds, Group, Weight, drafts
from batchgen.job import Job
from batchgen.task import Kind, Task

GROUPS = [Group(Kind.GENERATE, "a"), Group(Kind.EDIT, "a"), Group(Kind.GENERATE, "b")]
BOUNDS = Bounds(lines=3, request_bytes=100, images=5)


def job(number: int) -> Job:
    task = Task(kind=Kind.GENERATE, prompt=str(number), provider="openai", model="a")
    return Job(id=number, batch="b", key=str(number), task=task, fingerprint="2:0", output=str(number))


def weighed(*entries: tuple[int, int, int]) -> list[tuple[Job, Group, Weight]]:
    return [(job(i), GROUPS[group], Weight(size, images)) for i, (group, size, images) in enumerate(entries)]


def keys(**changes: Any) -> list[list[int]]:
    bounds = Bounds(**({"lines": 99, "request_bytes": 9_999, "images": 99} | changes))
    return [[each.id for each in draft.jobs] for draft in drafts(weighed(*[(0, 40, 2)] * 5), bounds)]


def test_files_are_cut_by_lines_bytes_and_images():
    assert keys() == [[0, 1, 2, 3, 4]]
    assert keys(lines=2) == [[0, 1], [2, 3], [4]]
    assert keys(request_bytes=100) == [[0, 1], [2, 3], [4]]
    assert keys(images=6) == [[0, 1, 2], [3, 4]]


def test_request_that_exceeds_a_bound_alone_has_a_file_of_its_own():
    assert keys(request_bytes=10) == [[0], [1], [2], [3], [4]]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 100), st.integers(1, 5)), max_size=40))
def test_every_job_is_in_one_file_of_its_group_within_the_bounds(entries):
    made = list(drafts(weighed(*entries), BOUNDS))
    assert sorted(each.id for draft in made for each in draft.jobs) == list(range(len(entries)))
    for draft in made:
        ids = [each.id for each in draft.jobs]
        assert ids == sorted(ids)
        assert {GROUPS[entries[number][0]] for number in ids} == {draft.group}
        assert len(ids) <= BOUNDS.lines
        assert sum(entries[number][1] for number in ids) <= BOUNDS.request_bytes
        assert sum(entries[number][2] for number in ids) <= BOUNDS.images
