"""What goes on beside a run: what lanes learned is kept, and a job table that fails cuts nothing off."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from batchgen.app import control, supervisor
from batchgen.app.supervisor import Supervisor
from batchgen.engine.runner import Runner
from batchgen.errors import StoreError
from batchgen.store.history import LearnedRate
from batchgen.store.reader import Reader
from batchgen.store.writer import Writer
from tests.simulated import witness
from tests.simulated.allowance import Sliding
from tests.simulated.clock import live
from tests.simulated.night import Night, wishes
from tests.simulated.server import Nature, Said


@asynccontextmanager
async def unseen():
    """Show nothing."""
    yield


def night(folder: Path, **nature: object) -> Night:
    return Night(
        folder=folder,
        wishes=wishes(60, "openai"),
        natures={"openai": Nature(median=20.0, sigma=0.1, **nature)},  # type: ignore[arg-type]
        settings={"openai": {"limits": {"concurrency": 4}}},
    )


def attended(night: Night, *, spoiled: bool = False) -> tuple[Runner, dict[str, LearnedRate]]:
    """Play one life with somebody attending; *spoiled*: what is learned cannot be written."""

    async def life(reader: Reader, writer: Writer) -> Runner:
        batch = night._batch()
        batch_id = await writer.open_batch(batch.name, str(batch.manifest), str(batch.folder), night.clock.now())
        await writer.load(batch_id, batch.jobs, night.clock.now())
        await writer.begin_run("life", batch_id, command="simulated", pid=1, host="simulated", now=night.clock.now())
        runner = night._runner(batch, batch_id, "life", reader, writer)
        night.lives.append(runner)
        scribe = Writer(night.place.db, guest=True) if spoiled else writer
        if spoiled:
            scribe.close()
        attendance = Supervisor(
            project=night.place, batch=batch, runner=runner, writer=scribe, show_message=lambda _text: None
        )
        async with attendance.around(unseen()):
            await runner.run()
        return runner

    with Reader(night.place.db) as reader, Writer(night.place.db) as writer:
        return live(night.clock, partial(life, reader, writer)), reader.learned_rates()


def test_what_lanes_learned_is_kept_when_a_run_ends(tmp_path):
    runner, lessons = attended(night(tmp_path, allows=[Sliding(6, 60.0)]))
    assert set(lessons) == {"openai"}
    controller = runner.lanes[0].inner_gate.controller
    assert controller is not None
    assert lessons["openai"].state == controller.state()


def test_where_it_cannot_be_kept_calls_in_flight_end_as_they_would(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "STORE_EVERY", 30.0)
    short = night(tmp_path, allows=[Sliding(6, 60.0)])
    with pytest.raises(ExceptionGroup) as caught:
        attended(short, spoiled=True)
    assert caught.group_contains(StoreError)
    log = short.log()
    assert max(call.sent for call in log) <= 31
    assert short.counts().done == sum(call.said is Said.IMAGE for call in log) > 0
    assert short.counts().running == short.counts().unknown == 0


def test_a_limit_that_is_stated_late_knows_what_was_sent_before(tmp_path):
    known = {"openai": {"limits": {"requests_per_second": 2, "concurrency": 4}}}
    late = Night(folder=tmp_path, wishes=wishes(60, "openai"), natures={"openai": Nature(median=1.0)}, settings=known)
    late.play(killed_at=late.clock.seconds + 10)
    assert 15 < len(late.log()) < 25
    late.clock.seconds += 5
    control.limit(late.place, "openai", ["requests_per_second=none", "requests_per_minute=30"])
    late.play(say=lambda _text: None)
    assert late.counts().done == 60 - late.counts().unknown
    assert 25 <= witness.fullest(late.log(), 60) <= 30
