"""What counts against a provider's limits: every call that any run of the job table began lately."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from batchgen.app.lanes import LaneHistory, lanes
from batchgen.manifest import PlannedJob
from batchgen.providers.presets import profile
from batchgen.store import history, migrate
from batchgen.store.reader import Reader
from batchgen.store.writer import Writer
from batchgen.task import Source

from .kit import NOW, attempt_for, loaded, plan


@pytest.fixture
def path(tmp_path: Path) -> Path:
    table = tmp_path / "batchgen.db"
    migrate.ensure(table)
    return table


async def test_calls_of_all_batches_count_and_others_do_not(path, monkeypatch):
    monkeypatch.setattr(history, "_PAGE", 3)
    sources = (Source(path="/a", sha256="0"),)
    wide = PlannedJob.of("wide", replace(plan("wide").task, n=3, images=sources))
    with Writer(path) as writer, Reader(path) as reader:
        begun = 0
        for batch, plans in (
            ("one", [plan("a"), wide, plan("b", provider="openai")]),
            ("two", [plan(f"c{number}") for number in range(5)]),
        ):
            for job in list(reader.jobs(await loaded(writer, plans, batch))):
                begun += 1
                await writer.claim(job, attempt_for(job), "run", None, None, NOW + timedelta(seconds=begun))
    found = history.sent_since(path, "aigate", NOW)
    assert sorted(one.images for one in found) == [1, 1, 1, 1, 1, 1, 4]
    assert [one.images for one in history.sent_since(path, "openai", NOW)] == [1]
    late = history.sent_since(path, "aigate", NOW + timedelta(seconds=5))
    assert sorted((one.at - NOW).total_seconds() for one in late) == [6, 7, 8]


@pytest.mark.parametrize(
    ("account", "waits"),
    [("A", True), ("B", False), (None, True)],
    ids=["the one that was asked", "another", "the only one that is left"],
)
async def test_a_quota_counts_what_its_account_sent(path, account, waits):
    with Writer(path) as writer, Reader(path) as reader:
        [job] = reader.jobs(await loaded(writer, [plan("a")]))
        await writer.claim(job, replace(attempt_for(job), account="A"), "run", None, None, NOW)
    memory = LaneHistory(table=path, lessons={}, now=NOW + timedelta(seconds=1))
    known = profile("aigate", {"limits": {"requests_per_day": 1}})
    [lane] = lanes(known, account, 4, memory)
    assert (lane.wait(1) > 0) is waits


@pytest.mark.parametrize(
    ("ahead", "waits"),
    [(timedelta(hours=2), True), (timedelta(days=400), False)],
    ids=["a clock set back a little", "a clock that was a year ahead"],
)
async def test_quota_is_not_filled_for_ever_by_a_clock_that_was_wrong(path, ahead, waits):
    with Writer(path) as writer, Reader(path) as reader:
        [job] = reader.jobs(await loaded(writer, [plan("a")]))
        await writer.claim(job, attempt_for(job), "run", None, None, NOW + ahead)
    known = profile("aigate", {"limits": {"requests_per_day": 1}})
    [lane] = lanes(known, None, 4, LaneHistory(table=path, lessons={}, now=NOW))
    assert (lane.wait(1) > 0) is waits
