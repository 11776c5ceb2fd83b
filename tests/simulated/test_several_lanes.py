"""Several lanes over one job table: groups of models, several keys, stand-ins, and runs that are cut off or fail."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from functools import partial

import anyio
import pytest

from batchgen.app import run
from batchgen.app.config.keys import ApiKeys
from batchgen.engine.backlog import Backlog
from batchgen.engine.lane import Closure
from batchgen.engine.runner import Runner
from batchgen.errors import StoreError
from batchgen.store.reader import Reader
from batchgen.store.writer import Writer

from . import witness
from .clock import live
from .night import Night, Wish, wishes
from .server import Nature, Outage, Said

QUICK = Nature(median=5.0, sigma=0.1)
TWO_KEYS = {"openai": {"FIRST": "k-1", "SECOND": "k-2"}}


def at_rest(runner: Runner) -> bool:
    """Return whether nothing counts as under way any more."""
    flights = [lane.in_flight for lane in runner.lanes]
    flights += [gate.in_flight for lane in runner.lanes for gate in lane.gates]
    return not any(flights) and not runner._in_flight and not any(runner._in_flight_of.values())


def attempts(night: Night) -> list[tuple[str | None, str, float]]:
    """Return account, job and time of every attempt of the job table."""
    asked = "SELECT account, key, started_at / 1e6 FROM attempts JOIN jobs ON jobs.id = job_id ORDER BY started_at"
    with closing(sqlite3.connect(night.place.db)) as dbapi:
        return dbapi.execute(asked).fetchall()


# --- groups of models ----------------------------------------------------------


def test_groups_keep_their_limits_and_the_accounts(tmp_path):
    models = {"new": "gpt-image-2", "mini": "gpt-image-1-mini", "rest": "gpt-image-1.5"}
    groups = {
        "new": {"models": ["gpt-image-2"], "requests_per_minute": 30},
        "mini": {"models": ["*-mini"], "requests_per_minute": 6},
    }
    night = Night(
        folder=tmp_path,
        wishes=[
            Wish(key=f"{kind}-{number:03}", provider="openai", model=model)
            for number in range(60)
            for kind, model in models.items()
            if kind != "mini" or number < 30
        ],
        natures={"openai": Nature(median=5.0, sigma=0.1, transit=0.0)},
        settings={"openai": {"limits": {"requests_per_minute": 40, "concurrency": 16}, "groups": groups}},
    )
    runner = night.play()
    assert [lane.name for lane in runner.lanes] == ["openai", "openai/new", "openai/mini"]
    assert [lane.done for lane in runner.lanes] == [60, 60, 30]
    log = night.log()
    calls = {kind: [call for call in log if call.job.startswith(kind)] for kind in models}
    assert witness.fullest(log, 60) in (39, 40)  # the account's limit holds, and is used
    assert witness.fullest(calls["new"], 60) <= 30
    assert witness.fullest(calls["mini"], 60) in (5, 6)
    assert witness.fullest(calls["rest"], 60) > 6
    assert set(witness.charges([log]).values()) == {1}
    assert at_rest(runner)


def test_a_group_in_trouble_does_not_stop_the_others(tmp_path):
    night = Night(
        folder=tmp_path,
        wishes=[
            Wish(key=f"{kind}-{number}", provider="openai", model=model)
            for number in range(30)
            for kind, model in (("new", "gpt-image-2"), ("rest", "gpt-image-1.5"))
        ],
        natures={"openai": Nature(median=5.0, poisoned=frozenset(f"new-{number}" for number in range(30)))},
        settings={
            "openai": {
                "limits": {"concurrency": 8},
                "groups": {"new": {"models": ["gpt-image-2"]}},
                "retry": {"patience": 600},
            }
        },
    )
    rest, new = night.play().lanes
    assert (rest.closed, rest.done) == (None, 30)
    assert (new.closed, new.done) == (Closure.DOWN, 0)
    assert night.counts().pending + night.counts().failed == 30


# --- several keys --------------------------------------------------------------


def test_two_keys_share_the_jobs_and_each_keeps_to_its_own_limit(tmp_path):
    night = Night(
        folder=tmp_path,
        wishes=wishes(120, "openai"),
        natures={"openai": QUICK},
        settings={"openai": {"limits": {"requests_per_minute": 20, "concurrency": 16}}},
        keys=ApiKeys(keys=TWO_KEYS),
    )
    runner = night.play()
    assert night.counts().done == 120
    made = attempts(night)
    assert len(made) == 120
    by = Counter(account for account, _, _ in made)
    assert set(by) == {"FIRST", "SECOND"}
    assert min(by.values()) >= 55
    for account in by:
        times = [at for one, _, at in made if one == account]
        assert max(sum(start <= at < start + 60 for at in times) for start in times) <= 20
    assert at_rest(runner)


@pytest.mark.parametrize("others", [(), ("aigate",)], ids=["alone", "with a stand-in"])
def test_many_keys_are_all_busy_from_the_first_second(tmp_path, others):
    keys = {f"KEY_{number}": f"k-{number}" for number in range(6)}
    night = Night(
        folder=tmp_path,
        wishes=[Wish(key=f"job-{number:04}", provider="openai", others=others) for number in range(400)],
        natures={"openai": Nature(median=60.0, sigma=0.01)} | dict.fromkeys(others, QUICK),
        settings={name: {"limits": {"concurrency": 30}} for name in ("openai", *others)},
        keys=ApiKeys(keys={"openai": keys}),
    )
    night.play()
    # they begin at a rate of 60 a second each
    assert sum(call.sent < 10 for call in night.log("openai")) == 180
    assert night.counts().done == 400


def test_second_key_takes_over_when_the_first_runs_dry(tmp_path):
    night = Night(
        folder=tmp_path,
        wishes=wishes(40, "openai"),
        natures={"openai": QUICK},
        settings={"openai": {"limits": {"concurrency": 4}}},
        keys=ApiKeys(keys=TWO_KEYS),
    )

    def first_closes(runner: Runner) -> None:
        runner.lanes[0].close(Closure.MONEY)

    runner = live_with(night, 8.0, first_closes)
    assert night.counts().done == 40
    assert runner.lanes[1].done > runner.lanes[0].done > 0
    assert at_rest(runner)


# --- stand-ins -----------------------------------------------------------------


def test_fallback_without_eligible_jobs_does_not_spin(tmp_path, monkeypatch):
    looks = Counter()
    first = Backlog.first

    async def counted(self, *args, **kwargs):
        looks[self.wanted.by] += 1
        return await first(self, *args, **kwargs)

    monkeypatch.setattr(Backlog, "first", counted)
    night = Night(
        folder=tmp_path,
        wishes=[Wish(key=f"job-{number}", provider="openai", others=("aigate",)) for number in range(12)],
        natures={
            "openai": Nature(median=1.0, poisoned=frozenset(f"job-{number}" for number in range(6))),
            "aigate": QUICK,
        },
        settings={"openai": {"limits": {"requests_per_minute": 6, "concurrency": 2}}, "aigate": {}},
    )
    night.play()
    assert night.counts().done == 6
    assert night.clock.seconds > 200
    assert looks["aigate"] <= 3 * night.clock.seconds


def test_provider_without_a_key_only_finishes_old_calls(tmp_path):
    night = Night(
        folder=tmp_path,
        wishes=[Wish(key=f"job-{number}", provider="openai", others=("aigate",)) for number in range(20)],
        natures={"openai": Nature(funds=0), "aigate": Nature(median=30.0)},
        settings={name: {"limits": {"concurrency": 4}} for name in ("openai", "aigate")},
    )
    night.play(killed_at=45.0)
    before = len(night.log("aigate"))
    assert before > 4
    night.keys = ApiKeys(without_key=("aigate",))
    runner = night.play()
    assert len(night.log("aigate")) == before
    assert {lane.provider for lane in runner.lanes} == {"openai", "aigate"}
    with Reader(night.place.db) as reader:
        jobs = list(reader.jobs(reader.batch("night").id))
    assert not [job.message for job in jobs if "no longer in the manifest" in (job.message or "")]
    assert night.counts().running == 0


def test_jobs_of_a_down_provider_are_done_once_by_fallbacks(tmp_path):
    names = ("openai", "aigate", "aimlapi")
    night = Night(
        folder=tmp_path,
        wishes=[Wish(key=f"job-{number:03}", provider="openai", others=names[1:]) for number in range(60)],
        natures={
            "openai": Nature(outages=[Outage(start=0, seconds=1e6, said=Said.UNREACHED)]),
            "aigate": Nature(median=5.0, outages=[Outage(start=100, seconds=1e6, said=Said.UNREACHED)]),
            "aimlapi": QUICK,
        },
        settings={name: {"limits": {"requests_per_minute": 20, "concurrency": 4}} for name in names},
    )
    runner = night.play()
    assert night.counts().done == 60
    assert set(witness.charges(night.log(name) for name in names).values()) == {1}
    assert min(call.sent for call in night.log("aigate")) >= 60
    assert all(lane.failed_over["openai"] for lane in runner.lanes if lane.provider != "openai")
    assert at_rest(runner)


# --- money ---------------------------------------------------------------------


def test_a_budget_holds_over_all_lanes_at_once(tmp_path):
    names = ("openai", "aigate")
    night = Night(
        folder=tmp_path,
        wishes=[Wish(key=f"job-{number:03}", provider=names[number % 2]) for number in range(100)],
        natures=dict.fromkeys(names, QUICK),
        settings={name: {"limits": {"concurrency": 16}, "tariff": {"usd_per_image": 0.04}} for name in names},
        keys=ApiKeys(keys=TWO_KEYS),
        terms=run.RunOptions(budget=1_000_000_000),
    )
    runner = night.play()
    charged = sum(call.charged for name in names for call in night.log(name))
    assert charged == 25
    assert night.counts().done == 25
    assert {lane.closed for lane in runner.lanes} == {Closure.BUDGET}
    assert at_rest(runner)


# --- cut off, and failed -------------------------------------------------------


def live_with(night: Night, moment: float, happens: object) -> Runner:
    """Play one life in which something happens to the runner at a virtual second; return the runner."""

    async def life(reader: Reader, writer: Writer) -> Runner:
        batch = night._batch()
        now = night.clock.now()
        batch_id = await writer.open_batch(batch.name, str(batch.manifest), str(batch.folder), now)
        await writer.load(batch_id, batch.jobs, now)
        await writer.begin_run("life", batch_id, command="simulated", pid=1, host="simulated", now=now)
        runner = night._runner(batch, batch_id, "life", reader, writer)
        night.lives.append(runner)
        async with anyio.create_task_group() as tasks:

            async def meddle() -> None:
                await anyio.sleep(moment)
                happens(runner)

            tasks.start_soon(meddle)
            await runner.run()
            tasks.cancel_scope.cancel()
        return runner

    with Reader(night.place.db) as reader, Writer(night.place.db) as writer:
        return live(night.clock, partial(life, reader, writer))


@pytest.mark.parametrize("moment", [2.0, 7.3, 12.1])
def test_a_run_that_is_cut_off_counts_nothing_as_under_way(tmp_path, moment):
    night = Night(
        folder=tmp_path,
        wishes=[Wish(key=f"job-{number}", provider="openai", others=("aigate",)) for number in range(60)],
        natures={"openai": QUICK, "aigate": QUICK},
        settings={name: {"limits": {"concurrency": 8}} for name in ("openai", "aigate")},
        keys=ApiKeys(keys=TWO_KEYS),
    )
    assert at_rest(night.play(killed_at=moment))
    runner = night.play()
    assert at_rest(runner)
    assert night.counts().running == 0
    assert night.counts().done + night.counts().unknown == 60


def test_a_job_table_that_fails_ends_the_run_after_what_is_in_flight(tmp_path):
    night = Night(
        folder=tmp_path,
        wishes=wishes(60, "openai"),
        natures={"openai": QUICK},
        settings={"openai": {"limits": {"concurrency": 8}}},
    )

    def fails(runner: Runner) -> None:
        runner.attempts.writer.close()

    with pytest.raises(ExceptionGroup) as caught:
        live_with(night, 12.0, fails)
    assert caught.group_contains(StoreError)
    assert at_rest(night.lives[-1])
    assert max(call.sent for call in night.log()) <= 12.5 + 5
    night.play()
    assert night.counts().running == 0


def test_a_drained_run_sends_nothing_more_and_ends(tmp_path):
    night = Night(
        folder=tmp_path,
        wishes=wishes(60, "openai"),
        natures={"openai": QUICK},
        settings={"openai": {"limits": {"concurrency": 8, "requests_per_minute": 30}}},
    )
    runner = live_with(night, 31.0, lambda runner: runner.drain("enough"))
    assert max(call.sent for call in night.log()) <= 31.0
    assert night.counts().done == len(night.log()) >= 14
    assert runner.drained == "enough"
    assert at_rest(runner)
