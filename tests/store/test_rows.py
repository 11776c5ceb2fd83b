"""Rows: a task survives its way into the job database and back."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from batchgen.manifest.batch import PlannedJob
from batchgen.store.rows import PlanRow, decode_task, encode_task
from batchgen.task import Kind, Source, Task

SOURCES = st.builds(Source, path=st.none() | st.text(max_size=9), sha256=st.none() | st.just("0" * 64))


TASKS = st.builds(
    Task,
    kind=st.sampled_from(Kind),
    prompt=st.text(),
    provider=st.text(max_size=9),
    model=st.text(max_size=9),
    images=st.lists(SOURCES, max_size=3).map(tuple),
    mask=st.none() | SOURCES,
    n=st.integers(1, 9),
    size=st.none() | st.text(max_size=9),
    seed=st.none() | st.integers(),
    extra=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none()),
)


@given(TASKS)
def test_a_task_survives_the_table(task: Task) -> None:
    assert decode_task(encode_task(task)) == task
    assert '":null' not in encode_task(replace(task, extra={}, prompt="x"))


@given(TASKS)
@example(replace(Task(kind=Kind.EDIT, prompt='"prompt":""', provider='"prompt":""', model="m"), size='"prompt":""'))
def test_a_planned_row_holds_the_whole_task(task: Task) -> None:
    assert PlanRow.of(PlannedJob.of("key", task, "name"), 3).task == encode_task(task)
