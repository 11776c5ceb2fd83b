"""Batches of a provider: created once, whatever happens to the run. The witness is the sandbox's log."""

from __future__ import annotations

import json

import pytest

from batchgen.errors import StoreError
from batchgen.mode import Mode
from tests.torture import batch_points
from tests.torture.batch_points import POINTS
from tests.torture.remote_check import Count, count
from tests.torture.remote_suites import KEY, SUITES
from tests.torture.trial import World

from . import local_kit as kit

pytestmark = pytest.mark.timeout(400)
sandbox, place = kit.sandbox_fixture, kit.place_fixture


SUITE = SUITES["batches"]


class Killed:
    """A run of two jobs that was killed at *point* of its batch."""

    def __init__(self, place: kit.Place, sandbox, name: str, point: str) -> None:
        self.place, self.world = place, World(url=sandbox.url, log=sandbox.log)
        self.since = sandbox.log.stat().st_size if sandbox.log.exists() else 0
        self.jobs = dict(SUITE.jobs(name, 2))
        self.manifest = SUITE.manifest(place, self.jobs)
        assert self.do("run", "--yes", hook=SUITE.die_at, arguments=(point,)).code == -9

    def do(self, command: str, *options: str, **more):
        return self.place.do(command, self.manifest, *options, **more, **{SUITE.key: KEY})

    def finish(self) -> None:
        done = self.do("run", "--yes", hook=SUITE.finish)
        assert done.code == 0, done.err

    def count(self) -> Count:
        return count(self.place, SUITE, self.jobs, self.world, self.since, set())


@pytest.mark.parametrize("point", POINTS)
def test_batch_of_a_killed_run_is_collected_and_never_created_again(place, sandbox, point, request):
    run = Killed(place, sandbox, request.node.name, point)
    run.finish()
    assert run.count() == Count(jobs=2, charges=2)


@pytest.mark.parametrize("point", ["created", "submitted", "downloaded", "in slot", "published"])
def test_images_of_jobs_that_are_cancelled_after_a_kill_are_kept_and_not_bought_again(place, sandbox, point, request):
    run = Killed(place, sandbox, request.node.name, point)
    assert place.do("cancel", "--all").code == 0
    assert {row["state"] for row in place.rows("select state from jobs")} == {"cancelled"}
    run.finish()
    run.do("retry", "--status", "cancelled", "--yes", hook=SUITE.finish)
    assert run.count() == Count(jobs=2, charges=2)


def deleted(world: World, since: int) -> list[str]:
    """Return the files that were deleted at the provider."""
    with world.log.open("rb") as stream:
        stream.seek(since)
        lines = [json.loads(line) for line in stream if b'"delete"' in line]
    return [line["file"] for line in lines if line["event"] == "delete"]


def settle_once_in_vain() -> None:
    """Hook: the first settlement of the run fails, as on a full disk that has room again a moment later."""
    from batchgen.store.writer import Writer

    batch_points.hasten()
    settle, left = Writer.settle, [1]

    async def settle_or_fail(self, settlement, now):
        if left:
            left.pop()
            raise StoreError("cannot write the job database: disk full")
        return await settle(self, settlement, now)

    Writer.settle = settle_or_fail  # type: ignore[method-assign]


def end_patience() -> None:
    """Hook: a run does not wait for results that are missing."""
    from datetime import timedelta

    from batchgen.engine.batches import decisions

    batch_points.hasten()
    decisions.RESULTS_PATIENCE = timedelta(0)


def end_lifetime() -> None:
    """Hook: the results of a batch would have vanished by now."""
    from batchgen.engine.batches import steps

    batch_points.hasten()
    steps.collect_by = lambda _batch, _limits, since: since


def test_results_that_are_missing_are_left_to_later_runs_and_unknown_once_they_would_have_vanished(place, sandbox):
    """Nothing is bought again, and the money is at risk: the provider may have carried the call out."""
    suite = SUITES["batches"]
    since = sandbox.log.stat().st_size if sandbox.log.exists() else 0
    manifest = suite.manifest(place, {"lost": "A cup that gets lost [sandbox: row-lost]"})
    keys = {suite.key: KEY}
    for _ in range(2):
        left = place.do("run", manifest, "--yes", hook=end_patience, **keys)
        assert left.code == 9, left.err
        assert "its results are not there yet" in left.err
        assert "; the next run looks again" in left.err
    assert [row["state"] for row in place.rows("select state from attempts")] == ["open"]
    ended = place.do("run", manifest, "--yes", hook=end_lifetime, **keys)
    assert ended.code == 3, ended.err
    [booked] = place.rows("select at_risk_usd from ledger")
    assert booked["at_risk_usd"] is not None
    assert place.do("run", manifest, "--yes", hook=batch_points.hasten, **keys).code == 3
    with sandbox.log.open("rb") as stream:
        stream.seek(since)
        events = [json.loads(line)["event"] for line in stream]
    assert events.count("batch") == 1


@pytest.mark.parametrize("point", ["claimed", "downloaded"])
def test_call_that_could_not_be_settled_keeps_its_submission_open(place, sandbox, point, request):
    suite, world = SUITES["batches"], World(url=sandbox.url, log=sandbox.log)
    since = world.log.stat().st_size if world.log.exists() else 0
    jobs = dict(suite.jobs(request.node.name, 2))
    manifest = suite.manifest(place, jobs)
    keys = {suite.key: KEY}
    assert place.do("run", manifest, "--yes", hook=suite.die_at, arguments=(point,), **keys).code == -9
    assert place.do("run", manifest, "--yes", hook=settle_once_in_vain, **keys).code == 1
    assert deleted(world, since) == []
    done = place.do("run", manifest, "--yes", hook=suite.finish, **keys)
    assert done.code == 0, done.err
    assert count(place, suite, jobs, world, since, set()) == Count(jobs=2, charges=2)
    collected = place.rows("select input_file from submissions where state = 'collected'")
    assert deleted(world, since) == [row["input_file"] for row in collected]


def end_batches_while_claiming() -> None:
    """Hook: the time of batches ends when the first file is begun, before its calls are claimed."""
    from batchgen.engine.batches import steps

    batch_points.hasten()
    claim_all = steps.claim_all

    async def claim_late(attempts, *claims):
        attempts.mode_of = lambda _task: Mode.STANDARD
        return await claim_all(attempts, *claims)

    steps.claim_all = claim_late


def test_calls_are_sent_one_by_one_if_the_time_of_batches_ends_while_they_are_claimed(place, sandbox, request):
    suite, world = SUITES["batches"], World(url=sandbox.url, log=sandbox.log)
    since = world.log.stat().st_size if world.log.exists() else 0
    jobs = dict(suite.jobs(request.node.name, 2))
    done = place.do("run", suite.manifest(place, jobs), "--yes", hook=end_batches_while_claiming, **{suite.key: KEY})
    assert done.code == 0, done.err
    assert count(place, suite, jobs, world, since, set()) == Count(jobs=2, charges=2)
