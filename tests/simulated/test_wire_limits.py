"""Limits at the wire, in whole runs: connections are slow and stall, and still no window sees more than its limit."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial

import pytest

from batchgen.engine.limits.gate import windows
from batchgen.engine.runner import Runner

from . import witness
from .night import Night, wishes
from .server import Nature, Server
from .test_several_lanes import at_rest


def night(folder, count: int, limits: dict[str, float], **nature: object) -> Night:
    return Night(
        folder=folder,
        wishes=wishes(count, "openai"),
        natures={"openai": Nature(**{"median": 3.0, "transit": 0.0, **nature})},  # type: ignore[arg-type]
        settings={"openai": {"limits": {"concurrency": 400, **limits}}},
    )


def used(made: Night, seconds: float) -> float:
    """Return the requests per second after the first *seconds*."""
    times = [call.at for call in made.log() if call.at > seconds]
    return (len(times) - 1) / (times[-1] - times[0])


@pytest.mark.parametrize(
    ("limits", "window", "most", "count", "least"),
    [
        ({"requests_per_second": 60}, 1.0, 60, 1200, 0.96),
        ({"requests_per_minute": 600}, 60.0, 600, 1500, 0.98),
        ({"spacing": 0.25}, 0.25, 1, 100, 0.96),
    ],
    ids=["second", "minute", "spacing"],
)
def test_limits_hold_at_the_wire_and_are_used(tmp_path, limits, window, most, count, least):
    made = night(tmp_path, count, limits, connect=0.2)
    runner = made.play()
    assert witness.fullest(made.log(), window) <= most
    assert used(made, window) >= least * most / window
    assert made.counts().done == count
    assert at_rest(runner)


def test_stalled_connections_are_no_heap_and_cost_no_more_than_their_time(tmp_path):
    made = night(tmp_path, 600, {"requests_per_second": 60}, connect=0.05, stalls=[(3.0, 2.5), (8.0, 1.0)])
    made.play()
    assert witness.fullest(made.log(), 1.0) <= 60
    assert made.counts().done == 600
    assert made.log()[-1].at < 600 / 59 + 3.5 + 1.5
    # During a stall as many are let go as the limit allows in its time, and then no more until these are written.
    assert set(witness.calls_per_attempt([made.log()]).values()) == {1}


class Stopping(Server):
    """A provider during whose connections the user changes something: called with how many have been made."""

    act: Callable[[int], None]
    made = 0

    async def connect(self) -> None:
        await super().connect()
        self.made += 1
        self.act(self.made)


def stopping(made: Night, act: Callable[[Runner], None]) -> Stopping:
    """Let *act* change a run when its sixtieth connection is made: right after the stall, with others waiting."""
    before = made.servers["openai"]
    server = Stopping(before.name, before.nature, before.clock, before.chance)
    server.act = lambda count: act(made.lives[-1]) if count == 60 else None
    made.servers["openai"] = server
    return server


def test_drained_run_gives_back_unsent_what_waits_at_the_wire(tmp_path):
    made = night(tmp_path, 200, {"requests_per_second": 20}, stalls=[(1.0, 4.0)])
    server = stopping(made, lambda runner: runner.drain("the user stopped it"))
    runner = made.play()
    sent = len(server.log)
    assert server.made > sent > 20, "some were connected and not sent"
    counts = made.counts()
    assert (counts.done, counts.pending, counts.running, counts.unknown) == (sent, 200 - sent, 0, 0)
    assert runner.lanes[0].calls == sent
    assert at_rest(runner)
    assert runner.attempts.reservations._reservations == {}
    with closing(sqlite3.connect(made.place.db)) as dbapi:
        unsent = dbapi.execute(
            "SELECT count(*), sum(usd), min(cause) FROM ledger JOIN attempts ON attempts.id = attempt_id"
            " WHERE state != 'delivered'"
        )
        assert unsent.fetchone() == (server.made - sent, 0, "unreached")
        assert dbapi.execute("SELECT sum(tries) FROM jobs").fetchone() == (sent,), "no try was used up"


def test_paused_provider_gets_nothing_that_waits_at_the_wire(tmp_path):
    made = night(tmp_path, 100, {"requests_per_second": 20}, stalls=[(1.0, 4.0)])

    def pause(runner: Runner) -> None:
        change = partial(runner.configure, "openai", windows(requests_per_second=20), 400)
        change(paused=True)
        asyncio.get_running_loop().call_later(10, partial(change, paused=False))

    server = stopping(made, pause)
    runner = made.play()
    assert not [call for call in server.log if 5.1 < call.at < 15.0]
    assert server.made > 100, "those that were given back are connected again"
    assert set(witness.charges([server.log]).values()) == {1}
    assert (made.counts().done, runner.lanes[0].calls) == (100, 100)
    assert witness.fullest(server.log, 1.0) <= 20
    assert at_rest(runner)
