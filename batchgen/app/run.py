"""A run: one batch, from its plan to its end."""

from __future__ import annotations

import os
import random
import shlex
import socket
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import anyio
from anyio import CapacityLimiter

from .. import lock, settings
from ..backends.local import LocalBackend
from ..budget import Caps, Purse, Wallet
from ..errors import KeyMissing
from ..files import make_private, require_writable, sweep
from ..inputs import Fetch, Inputs
from ..job import Job
from ..lane import Closure
from ..manifest import Batch
from ..manifest.budgets import DAY
from ..perform import Workshop
from ..plan import Plan
from ..pricing import estimate
from ..providers.profile import Profile
from ..runner import Runner
from ..sandbox import launch
from ..selection import Selection
from ..spool import Scratch, Spool
from ..store import migrate
from ..store.reader import Reader
from ..store.scope import Scope
from ..store.values import Loaded
from ..store.writer import Writer
from ..task import Charge, Task
from ..transport import Transport
from . import notes
from .ground import require_files, require_local, widths
from .lanes import lane
from .look import Standing, standing
from .place import Place
from .prepare import plan
from .putback import put_back, to_put_back
from .rebuild import TakenIn, before_run
from .stop import Bounds, Stop

#: Threads that read, check and publish answers: they wait for the disk as much as they work.
READERS = max(2, os.cpu_count() or 2) + 2
#: What stands for every provider's key in a rehearsal; the sandbox takes any.
SANDBOX_KEY = "sandbox-rehearsal"


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """How a run is to go, beside what the manifest says."""

    budget: int | None = None  #: nano-USD for this run
    allow_unpriced: bool = False  #: send requests without a known price even under a budget
    concurrency: int | None = None  #: requests in flight per provider
    wait_lock: float = 0.0  #: seconds to wait for another run to end
    requeue: Selection | None = None  #: failed jobs to put back first
    selection: Selection = field(default_factory=Selection)  #: of what is pending, what is sent
    keep_changed: bool = False  #: leave done jobs as they are, also where the manifest asks for something else
    bounds: Bounds = field(default_factory=Bounds)  #: when the run ends by itself
    latency: str = "realistic"  #: of the sandbox


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneEnd:
    """How a lane ended: why it closed, if it did, and what was left in it."""

    provider: str
    closed: Closure | None
    message: str | None
    left: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What a run came to."""

    standing: Standing
    lanes: Sequence[LaneEnd]
    images: int  #: delivered by this run
    seconds: float
    stopped: int | None  #: the signal that stopped it
    drained: str | None  #: the bound that ended it early, in words
    sent: bool  #: False: there was nothing to do
    taken_in: TakenIn | None = None  #: what the job table had lost and learnt again from the files around it
    wish: Plan = field(default_factory=Plan)  #: what it set out to do
    loaded: Loaded = field(default_factory=Loaded)  #: what it did to the job table before

    @property
    def exit_code(self) -> int:
        """Return the exit code of the table in the README: the gravest of what holds."""
        if self.stopped is not None:
            return 128 + self.stopped
        why = {lane.closed for lane in self.lanes if lane.closed is not None and lane.left}
        if why & {Closure.MONEY, Closure.BUDGET}:
            return 7
        if Closure.DENIED in why:
            return 5
        if why or (self.drained is not None and self.standing.counts.pending):
            return 8
        return 3 if self.standing.counts.failed or self.standing.counts.unknown else 0


#: Shows a run while it goes on.
Follow = Callable[[Runner, Reader], AbstractAsyncContextManager[None]]
#: Agrees to a plan, to all of it (None) or to its first so many jobs, or raises SpendNotConfirmed.
Agree = Callable[[Batch, Plan], int | None]


def run(place: Place, batch: Batch, terms: Terms, agree: Agree, follow: Follow) -> Ended:
    """Do what *batch* asks for and is not done yet; running it again goes on where it stopped.

    Raises LockHeld, SchemaMismatch, KeyMissing and whatever *agree* raises before anything is sent.
    """
    make_private(place.state)
    require_local(place.state.resolve())
    command = shlex.join(["batchgen", *sys.argv[1:]])
    with lock.hold(place.db, command=command, wait=terms.wait_lock), ExitStack() as parts:
        migrate.ensure(place.db)
        reader = parts.enter_context(Reader(place.db))
        taken_in = before_run(place, reader, batch)
        ended = None if terms.requeue is None else to_put_back(reader, batch, terms.requeue)
        wish = _wish(place, batch, terms, ended)
        keys = {} if place.sandbox else _keys(batch, wish, _interrupted(reader, batch))
        if wish.lanes and (first := agree(batch, wish)) is not None:
            terms = replace(terms, selection=replace(terms.selection, limit=first))
            wish = _wish(place, batch, terms, ended)
        if place.sandbox and (wish.lanes or wish.pending):
            rehearsal = parts.enter_context(launch.start(place.state, latency=terms.latency))
            batch = _rehearsed(batch, rehearsal)
            keys = dict.fromkeys(batch.profiles, SANDBOX_KEY)
        require_files()
        back = None if ended is None else put_back(place, ended, wish.again)
        writer = parts.enter_context(Writer(place.db))
        engagement = _Engagement(
            place=place, batch=batch, terms=terms, keys=keys, reader=reader, writer=writer, wish=wish, back=back
        )
        return replace(anyio.run(engagement.carry_out, command, follow), taken_in=taken_in)


def _wish(place: Place, batch: Batch, terms: Terms, ended: Mapping[str, Job] | None) -> Plan:
    """Return what a run would do, or a retry of those of *ended* that are selected."""
    return plan(
        place, batch, terms.selection, keep_changed=terms.keep_changed, concurrency=terms.concurrency, again=ended
    )


def _keys(batch: Batch, wish: Plan, interrupted: set[str]) -> dict[str, str]:
    """Return the keys of the providers that have something to do; raise KeyMissing naming each variable to set.

    Those of *interrupted* calls that nobody selected are taken along where they are there.
    """
    keys, lacking = {}, []
    needed = dict.fromkeys(lane.provider for lane in wish.lanes)
    for name in [*needed, *sorted(interrupted - set(needed))]:
        names = batch.profiles[name].api_key_env
        key = settings.find_key(names, settings.environment())
        if key is not None:
            keys[name] = key.value
        elif names and name in needed:
            lacking.append(settings.missing(name, names))
    if lacking:
        raise KeyMissing("\n".join([*lacking, "Nothing was sent.  A rehearsal needs no key: add --sandbox"]))
    return keys


def _interrupted(reader: Reader, batch: Batch) -> set[str]:
    """Return the providers at which an earlier run was cut off."""
    ids = [known.id for known in reader.batches() if known.name == batch.name]
    return {record.provider for number in ids for _, record in reader.open_attempts(number)} & set(batch.profiles)


def _rehearsed(batch: Batch, sandbox: launch.Sandbox) -> Batch:
    moved = {
        name: known.model_copy(update={"base_url": sandbox.base_url(known.preset)})
        for name, known in batch.profiles.items()
    }
    return replace(batch, profiles=moved)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Engagement:
    """One run of one batch, from its plan to its end."""

    place: Place
    batch: Batch
    terms: Terms
    keys: Mapping[str, str]
    reader: Reader
    writer: Writer
    wish: Plan
    back: Sequence[int] | None = None  #: jobs that a retry put back: it sends nothing else

    async def carry_out(self, command: str, follow: Follow) -> Ended:
        started = _now()
        batch_id = await self.writer.open_batch(
            self.batch.name, str(self.batch.manifest), str(self.batch.folder), started
        )
        loaded = await self._load(batch_id, started)
        run_id = f"{started:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
        await self.writer.begin_run(
            run_id, batch_id, command=command, pid=os.getpid(), host=socket.gethostname(), now=started
        )
        notes.begun(self.place, self.batch.name, run_id)
        profiles = {name: known for name, known in self.batch.profiles.items() if name in self._needed(batch_id)}
        spool = Spool(self.place.state / "spool")
        for attempt_id, spoiled in self.reader.ended(list(spool.left())).items():
            spool.release(attempt_id, keep=spoiled)  # killed after the outcome was committed
        transport = Transport(profiles, self.keys)

        def alarm(error: OSError) -> None:
            runner.halt(error)

        workshop = Workshop(
            transport=transport,
            spool=spool,
            inputs=Inputs(self.place.state / "inputs", spool, self._source_fetcher(transport)),
            root=self.place.root,
            readers=CapacityLimiter(READERS),
            alarm=alarm,
        )

        async def revise() -> None:
            # a job that was cut off and asks for something else now could not be changed before it was settled
            if loaded.busy:
                await self._load(batch_id, started)

        runner = self._runner(batch_id, run_id, profiles, workshop)
        runner.recovered = revise
        sweep(self.batch.folder)
        if profiles:
            require_writable(self.batch.folder)
        stop = Stop(runner, self.terms.bounds, _now)
        async with transport:
            await stop.guard(follow(runner, self.reader))
        ended = replace(self._ended(batch_id, runner, started, stop.signal), wish=self.wish, loaded=loaded)
        await self.writer.end_run(run_id, ended.exit_code, _now())
        notes.ended(self.place, self.batch.name, run_id)
        return ended

    async def _load(self, batch_id: int, now: datetime) -> Loaded:
        return await self.writer.load(
            batch_id, self.batch.jobs, now, keep_changed=self.terms.keep_changed, revise=self.wish.revise
        )

    def _source_fetcher(self, transport: Transport) -> Fetch:
        """Return what fetches source images; in a rehearsal the sandbox draws them, so nothing leaves this machine."""

        async def drawn(url: str, sink: Scratch) -> None:
            line = transport.line(next(iter(self.batch.profiles)))
            await line.fetch(f"{line.profile.origin}/_sandbox/picture?{urlencode({'url': url})}", sink)

        return drawn if self.place.sandbox else transport.fetch_source

    def _needed(self, batch_id: int) -> set[str]:
        """Return the providers with jobs waiting, or attempts that an earlier run left open."""
        waiting = {name for name, counts in self.reader.lanes(batch_id).items() if counts.pending or counts.running}
        return waiting | {record.provider for _, record in self.reader.open_attempts(batch_id)}

    def _runner(self, batch_id: int, run_id: str, profiles: Mapping[str, Profile], workshop: Workshop) -> Runner:
        def dearest(task: Task) -> Charge:
            return estimate(task, self.batch.profiles[task.provider].models[task.model]).high

        return Runner(
            batch_id=batch_id,
            batch=self.batch.name,
            folder=str(self.batch.folder),
            run_id=run_id,
            scope=self._scope(batch_id),
            lanes=tuple(
                lane(profiles[name], width, self.place.db, _now()) for name, width in self._widths(profiles).items()
            ),
            reader=self.reader,
            writer=self.writer,
            backend=LocalBackend(workshop),
            wallet=self._wallet(batch_id),
            estimate=dearest,
            release=lambda attempt_id, keep: workshop.spool.release(attempt_id, keep=keep),
            now=_steady(),
            new_id=lambda: uuid.uuid4().hex,
            spread=random.random,
        )

    def _scope(self, batch_id: int) -> Scope | None:
        """Return what this run may send; None is everything."""
        return self.reader.scope(batch_id, self.terms.selection, only=self.back)

    def _widths(self, profiles: Mapping[str, Profile]) -> Mapping[str, int]:
        return widths({name: self.terms.concurrency or known.limits.concurrency for name, known in profiles.items()})

    def _wallet(self, batch_id: int) -> Wallet:
        """Return a purse for each cap, less what has been spent, is at risk or is reserved under it so far."""
        purses = [Purse(caps=limit, **self._gone(limit, batch_id)) for limit in self.batch.budget]
        if self.terms.budget is not None:
            purses.append(Purse(caps=Caps(usd=self.terms.budget, scope="this run", unpriced=self.terms.allow_unpriced)))
        return Wallet(tuple(purses))

    def _gone(self, limit: Caps, batch_id: int) -> dict[str, Any]:
        since = _now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0) if limit.scope == DAY else None
        spent = self.reader.spent(batch_id=batch_id, provider=limit.only, since=since)
        credits_ = {}
        for name in limit.credits:
            found = self.reader.spent(batch_id=batch_id, provider=name, since=since)
            credits_[name] = found.credits + found.at_risk_credits + found.open_credits
        return {"usd": spent.usd + spent.at_risk_usd + spent.open_usd, "credits": credits_}

    def _ended(self, batch_id: int, runner: Runner, started: datetime, stopped: int | None) -> Ended:
        lanes = self.reader.lanes(batch_id)
        return Ended(
            standing=standing(self.reader, self.reader.batch(self.batch.name)),
            lanes=[
                LaneEnd(
                    provider=lane.provider,
                    closed=lane.closed,
                    message=lane.fault.message if lane.fault else None,
                    left=lanes[lane.provider].pending if lane.provider in lanes else 0,
                )
                for lane in runner.lanes
            ],
            images=sum(lane.images for lane in runner.lanes),
            seconds=(_now() - started).total_seconds(),
            stopped=stopped,
            drained=runner.drained,
            sent=any(lane.images or lane.failed or lane.doubtful or lane.closed for lane in runner.lanes),
        )


def _now() -> datetime:
    return datetime.now(UTC)


def _steady() -> Callable[[], datetime]:
    """Return a clock that begins with the wall's and does not follow when somebody sets that one."""
    moment, began = _now(), time.monotonic()
    return lambda: moment + timedelta(seconds=time.monotonic() - began)
