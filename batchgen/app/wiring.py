"""One run of one batch, put together: job table, lanes, wire, spool, budgets."""

from __future__ import annotations

import os
import random
import socket
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from anyio import CapacityLimiter

from ..budget import Budgets
from ..engine.attempts import AttemptRunner
from ..engine.executor import Executor
from ..engine.lane import Lane
from ..engine.local_backend import LocalBackend
from ..engine.retry import Policy
from ..engine.runner import Runner
from ..files import log
from ..files.output import require_writable, sweep
from ..files.source_cache import Fetch, SourceCache
from ..files.spool import Scratch, Spool
from ..manifest import Batch
from ..planning.plan import Plan
from ..providers.key_destinations import destinations_of
from ..providers.pricing import estimate
from ..providers.profile import Profile, Retry
from ..providers.validation import translate
from ..route import ModelFilter
from ..store.queries import Scope
from ..store.reader import Reader
from ..store.records import Loaded
from ..store.writer import Writer
from ..task import Charge, Task
from ..transport import Transport
from .clock import steady_clock, utc_now
from .config.keys import ApiKeys
from .lanes import LaneHistory, lanes, policy_of
from .live_limits import ShowMessage
from .plan import batch_budgets, learned_prices, run_budget
from .preflight import widths
from .project import Project
from .queries import batch_status
from .recovery import last_run
from .recovery.resumed import Resumed, SentCalls, resumed_text
from .run_options import RunOptions
from .run_result import LaneResult, RunResult
from .shutdown import Stop
from .supervisor import Supervisor

#: Threads that read, check and publish answers: they wait for the disk as much as they work.
READERS = max(2, os.cpu_count() or 2) + 2

#: Shows a run while it goes on.
Follow = Callable[[Runner, Reader], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSession:
    """One run of one batch, from its plan to its end."""

    project: Project
    batch: Batch
    terms: RunOptions
    keys: ApiKeys
    reader: Reader
    writer: Writer
    plan: Plan = field(default_factory=Plan)  #: what it is to do
    back: Sequence[int] | None = None  #: jobs that a retry put back: it sends nothing else
    say: ShowMessage = lambda _text: None  #: tells a person something at once
    on_silence: ShowMessage | None = None  #: tells of a silence; None: as *say* does

    async def carry_out(self, command: str, follow: Follow) -> RunResult:
        """Load the jobs, send what is due, and return what it came to."""
        started = utc_now()
        batch_id = await self.writer.open_batch(
            self.batch.name, str(self.batch.manifest), str(self.batch.folder), started
        )
        loaded = await self._load(batch_id, started)
        run_id = f"{started:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
        await self.writer.begin_run(
            run_id, batch_id, command=command, pid=os.getpid(), host=socket.gethostname(), now=started
        )
        last_run.record_start(self.project, self.batch.name, run_id)
        interrupted = bool(self.reader.open_attempts(batch_id))
        profiles = {name: known for name, known in self.batch.profiles.items() if name in self.needed(batch_id)}
        spool = Spool(self.project.state / "spool")
        for attempt_id, delivered in self.reader.ended(list(spool.leftover_ids())).items():
            spool.release(attempt_id, delivered=delivered)  # killed after the outcome was committed
        transport = Transport(profiles, self.keys.first, self.keys.keys)

        def alarm(error: OSError) -> None:
            runner.halt(error)

        resumed = Resumed()

        async def recovered() -> None:
            if not self.project.sandbox:
                for one in destinations_of(self.batch.profiles, profiles):
                    log.event("key_sent", variable=one.variable, host=one.host, provider=one.provider)
            runner.purchases.listeners.remove(resumed.note)
            if resumed.calls:
                self.say(f"resumed   {resumed_text(resumed)}")
            # a job that was cut off could not be changed, or given to another provider, before it was settled
            if interrupted:
                await self._load(batch_id, started)

        runner = self.runner(batch_id, run_id, profiles, self._workshop(transport, spool, alarm))
        runner.purchases.listeners.append(resumed.note)
        runner.recovered = recovered
        sweep(self.batch.folder)
        if profiles:
            require_writable(self.batch.folder, (job.output for job in self.batch.jobs))
        stop = Stop(runner, self.terms.stop_conditions, utc_now)
        sent = SentCalls()
        runner.purchases.listeners.append(sent.note)
        async with transport:
            with sent.corrected():
                await stop.guard(self._attendance(runner).around(follow(runner, self.reader)))
        ended = replace(
            self._ended(batch_id, runner, started, stop.signal),
            command=command, loaded=loaded, resumed=resumed if resumed.calls else None,
            imageless_job=sent.imageless_job(runner.lanes),
        )  # fmt: skip
        await self.writer.end_run(run_id, ended.exit_code, utc_now())
        last_run.record_end(self.project, self.batch.name, run_id)
        return ended

    def _workshop(self, transport: Transport, spool: Spool, alarm: Callable[[OSError], None]) -> Executor:
        return Executor(
            transport=transport,
            spool=spool,
            inputs=SourceCache(self.project.state / "inputs", spool, self._source_fetcher(transport)),
            root=self.project.root,
            readers=CapacityLimiter(READERS),
            alarm=alarm,
            rehearsal=self.project.sandbox,
        )

    def _attendance(self, runner: Runner) -> Supervisor:
        return Supervisor(
            project=self.project,
            batch=self.batch,
            runner=runner,
            writer=self.writer,
            say=self.say,
            on_silence=self.on_silence,
            interactive=self.terms.interactive,
        )

    def needed(self, batch_id: int) -> set[str]:
        """Return the providers with jobs waiting, their alternates, and those of attempts that were left open."""
        waiting = {name for name, counts in self.reader.lanes(batch_id).items() if counts.pending or counts.running}
        interrupted = {record.provider for _, record in self.reader.open_attempts(batch_id)}
        return waiting | interrupted | (set(self.plan.alternates) - set(self.keys.without_key) if waiting else set())

    def runner(
        self,
        batch_id: int,
        run_id: str,
        profiles: Mapping[str, Profile],
        workshop: Executor | None,
        **parts: Any,  # noqa: ANN401 - of Purchases
    ) -> Runner:
        """Put the runner together; *parts* stand in for those of its purchases."""

        def dearest(task: Task) -> Charge:
            return estimate(task, self.batch.profiles[task.provider].find(task.model)[1]).high

        def release(attempt_id: str, delivered: bool) -> None:
            if workshop is not None:
                workshop.spool.release(attempt_id, delivered=delivered)

        own: dict[str, Any] = {
            "backend": None,
            "wallet": self._wallet(batch_id),
            "prices": learned_prices(self.reader, self.batch.profiles),
            "estimate": dearest,
            "translate": lambda task, provider: translate(task, self.batch.profiles[provider]),
            "release": release,
            "policy": self._policy(),
            "now": steady_clock(),
            "new_id": lambda: uuid.uuid4().hex,
            "spread": random.random,
            "say": self.say,
        }
        purchases = AttemptRunner(
            batch=self.batch.name,
            folder=str(self.batch.folder),
            run_id=run_id,
            reader=self.reader,
            writer=self.writer,
            **(own | parts),
        )
        if workshop is not None:
            purchases.backend = LocalBackend(replace(workshop, arrived=purchases.reservations.answer_arrived))
        return Runner(
            batch_id=batch_id,
            scope=self._scope(batch_id),
            lanes=self._lanes(profiles, purchases.now()),
            reader=self.reader,
            purchases=purchases,
        )

    def _policy(self) -> Policy:
        """Return the policy for calls to a provider that has left the manifest: as patient as for the others."""
        retry = self.batch.retry or Retry()
        careful = any(profile.on_unknown == "hold" for profile in self.batch.profiles.values())
        hold = careful if self.batch.on_unknown is None else self.batch.on_unknown == "hold"
        return policy_of(retry, "hold" if hold else "retry")

    async def _load(self, batch_id: int, now: datetime) -> Loaded:
        return await self.writer.load(
            batch_id, self.batch.jobs, now, keep_changed=self.terms.keep_changed, revise=self.plan.revise
        )

    def _source_fetcher(self, transport: Transport) -> Fetch:
        """Return what fetches source images; in a rehearsal the sandbox draws them, so nothing leaves this machine."""

        async def drawn(url: str, sink: Scratch) -> None:
            line = transport.client(next(iter(self.batch.profiles)))
            await line.fetch(f"{line.profile.origin}/_sandbox/picture?{urlencode({'url': url})}", sink)

        return drawn if self.project.sandbox else transport.fetch_source

    def _scope(self, batch_id: int) -> Scope | None:
        """Return what this run may send; None is everything."""
        return self.reader.scope(batch_id, self.terms.selection, only=self.back)

    def _lanes(self, profiles: Mapping[str, Profile], now: datetime) -> list[Lane]:
        wanted = {
            (name, account): known.limits.concurrency
            for name, known in profiles.items()
            for account in self.keys.accounts(known)
        }
        memory = LaneHistory(table=self.project.db, lessons=self.reader.learned_rates(), now=now)
        found: list[Lane] = []
        for (name, account), width in widths(wanted).items():
            made = lanes(profiles[name], account, width, memory)
            if name in self.keys.without_key:  # it can finish what arrived, no more
                made = map(_idle, made)
            found += made
        return found

    def _wallet(self, batch_id: int) -> Budgets:
        """Return a purse for each cap, less what has been spent, is at risk or is reserved under it so far."""
        own = run_budget(self.terms.budget, unpriced=self.terms.allow_unpriced)
        return Budgets((*batch_budgets(self.batch, self.reader, batch_id, utc_now()), *own))

    def _ended(self, batch_id: int, runner: Runner, started: datetime, stopped: int | None) -> RunResult:
        counts, lanes_ = self.reader.lanes(batch_id), runner.lanes
        run_id = runner.purchases.run_id
        return RunResult(
            run_id=run_id,
            command="",
            began=started,
            status=batch_status(self.reader, self.reader.batch(self.batch.name)),
            lanes=[
                LaneResult(
                    name=lane.name,
                    provider=lane.provider,
                    closed=lane.closed,
                    message=lane.fault.message if lane.fault else None,
                    cause=lane.fault.cause if lane.fault else None,
                    final=lane.fault is not None and lane.fault.final,
                    denied={model: fault.message for model, fault in lane.denied.items()},
                    denied_left=self.reader.pending_of(batch_id, lane.provider, lane.denied),
                    stood_in=dict(lane.stood_in),
                    beyond=lane.beyond,
                    held=lane.held,
                    left=counts[lane.provider].pending if lane.provider in counts else 0,
                )
                for lane in lanes_
            ],
            images=sum(lane.images for lane in lanes_),
            seconds=(utc_now() - started).total_seconds(),
            signal=stopped,
            drained=runner.drained,
            sent=any(lane.calls or lane.images or lane.failed or lane.doubtful or lane.closed for lane in lanes_),
            failed=sum(lane.failed for lane in lanes_),
            doubtful=sum(lane.doubtful for lane in lanes_),
            usd=sum(lane.usd for lane in lanes_),
            purses=runner.purchases.wallet.budgets,
            underpriced=tuple(runner.purchases.prices.underpriced.values()),
            sandbox=self.project.sandbox,
            selected_by=self.terms.selected_by,
            fail_on=self.terms.fail_on,
            command_flags=self.project.command_flags(again=self.terms.again),
            plan=self.plan,
            previous_exit_code=next((run.exit_code for run in self.reader.runs(batch_id) if run.id != run_id), None),
        )


def _idle(lane: Lane) -> Lane:
    lane.models = ModelFilter(only=True)
    return lane
