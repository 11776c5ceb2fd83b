"""The wiring of a run: puts together the job database, the lanes, the HTTP client, the spool and the budgets."""

from __future__ import annotations

import os
import random
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

from ..budget import Budget, Budgets
from ..database_url import DatabaseUrl
from ..engine.attempts import AttemptRunner, Backend
from ..engine.parents import parent_images, without_parents
from ..engine.readers import Readers
from ..engine.retry import Policy
from ..engine.runner import Runner
from ..errors import BatchgenError, StoreError
from ..files import log
from ..files.source_cache import SourceCache
from ..files.spool import Spool, spool_id
from ..job import Attempt
from ..mode import Mode
from ..providers.key_destinations import destinations_of
from ..providers.pricing import highest
from ..providers.profile import Profile, Retry
from ..providers.retry_after import MAX_WAIT
from ..providers.validation import translate
from ..store.claims import is_cancelled
from ..store.reader import Reader
from ..store.records import Loaded
from ..store.runners import Registration
from ..store.shared_budgets import SharedBudgets
from ..task import Charge, Task
from . import loads
from .batch_lanes import add_batch_lanes, providers_with_submissions
from .budgets import budgets_of
from .clock import steady_clock, utc_now
from .collect_result import collect_result
from .copy_task import CopyTask
from .deliver import Copies
from .heartbeat import Heartbeat, leave, register
from .idle_thumbnails import IdleThumbnails
from .lanes import policy_of
from .modes import mode_clock
from .output_lock import prepare_output
from .plan import learned_prices
from .recovery import last_run
from .recovery.resumed import Resumed, SentCalls, resumed_text
from .run_inputs import RunInputs
from .run_lanes import lanes_of_run
from .run_result import RunResult
from .shutdown import Stop
from .source_fetch import source_fetcher
from .supervisor import Supervisor

if TYPE_CHECKING:
    from ..engine.executor import Executor
    from ..files.object_tree import Upload
    from ..transport import Transport

#: Threads that read, check and publish answers. They wait for the disk as much as they compute.
READERS = max(2, os.cpu_count() or 2) + 2

#: Observes a run from its first to its last call: a display, the log, the metrics.
Follow = Callable[[Runner, Reader], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSession(RunInputs):
    """One run of one batch, from its plan to its result."""

    async def execute(self, follow: Follow) -> RunResult:
        """Load the jobs, send those that are due and return the result."""
        started = utc_now()
        place_of_files = str(self.batch.manifest), str(self.batch.folder)
        batch_id = await self.writer.open_batch(self.batch.name, *place_of_files, started)
        loaded = await self._load(batch_id, started)
        await self.writer.clamp_waits(batch_id, started, timedelta(seconds=MAX_WAIT))
        run_id = await self._begin_run(batch_id, started)
        async with self._unsent(run_id):
            place = await register(self.project.db, run_id, batch_id, self.options.selection)
        interrupted = bool(self.reader.open_attempts(batch_id))
        needed = self.needed(batch_id)
        profiles = {name: profile for name, profile in self.batch.profiles.items() if name in needed}
        spool = self._open_spool()
        runner = self.build_runner(batch_id, run_id, profiles, place)
        resumed, sent = Resumed(), SentCalls()
        runner.on_recovered = partial(self._after_recovery, batch_id, profiles, resumed, started, reload=interrupted)
        copies = CopyTask(Copies(self.project, self.batch), self.reader, batch_id, self.show_message)
        stored = self.reader.batch(self.batch.name)
        thumbnails = IdleThumbnails(self.project, stored, is_wanted=bool(self.batch.report))
        for listener in (resumed.record, sent.record, copies.record, thumbnails.record):
            runner.subscribe(listener)
        async with self._unsent(run_id):
            self._prepare_folder(batch_id, profiles, is_alone=not (place and place.others))
        stop = Stop(runner, self.options.stop_conditions, utc_now, self.stop, self.project.db)
        async with self._backend(profiles, spool, runner, thumbnails.keep) if needed else nullcontext():
            with sent.corrected(), thumbnails:
                display = self._supervisor(runner).around(follow(runner, self.reader))
                if place is not None:
                    display = Heartbeat.of(self.project.db, runner, place, self.show_message).around(display)
                await stop.guard(
                    copies.around(display, lambda: stop.signal is not None) if self.batch.copies else display
                )
        result = replace(
            collect_result(self, batch_id, runner, started, stop.signal),
            loaded=loaded,
            resumed=resumed if resumed.calls else None,
            imageless_job=sent.imageless_job(runner.lanes),
            copies=copies.report if self.batch.copies else None,
            cut_off=stop.is_cut_off,
        )
        await self.writer.end_run(run_id, result.exit_code, utc_now())
        last_run.record_end(self.project, self.batch.name, run_id)
        return result

    def needed(self, batch_id: int) -> set[str]:
        """Return the providers with waiting jobs, their fallback providers, and those with interrupted work."""
        waiting = {name for name, counts in self.reader.lanes(batch_id).items() if counts.pending or counts.running}
        interrupted = {record.provider for _, record in self.reader.open_attempts(batch_id)}
        fallbacks = set(self.plan.alternates) - set(self.keys.without_key) if waiting else set()
        return waiting | interrupted | fallbacks | providers_with_submissions(self.reader, batch_id)

    def build_runner(
        self,
        batch_id: int,
        run_id: str,
        profiles: Mapping[str, Profile],
        place: Registration | None = None,
        *,
        now: Callable[[], datetime] | None = None,
        spread: Callable[[], float] = random.random,
    ) -> Runner:
        """Build the runner; its backend is still to be set. *place*: its place among those of the job database."""
        clock = now or steady_clock(place.now if place else None)
        budgets = self._budgets(batch_id, clock())
        shared = self._share(batch_id, budgets) if place else []
        parents = parent_images(self.reader, batch_id, self.batch.name, self.project.root, self.project.state)
        attempts = AttemptRunner(
            batch=self.batch.name,
            folder=str(self.batch.folder),
            run_id=run_id,
            reader=self.reader,
            writer=self.writer,
            wallet=Budgets(budgets),
            shared=shared,
            spool=spool_id(self._spool_folder) if place else None,
            shard=self.options.selection.shard if place else None,
            prices=learned_prices(self.reader, self.batch.profiles),
            estimate=self._highest_estimate,
            translate=lambda task, provider: translate(task, self.batch.profiles[provider]),
            policy=self._default_policy(),
            now=clock,
            mode_of=mode_clock(self.batch.profiles, clock(), clock),
            new_id=lambda: uuid.uuid4().hex,
            spread=spread,
            show_message=self.show_message,
            with_images=parents.place if parents else without_parents,
        )
        return Runner(
            batch_id=batch_id,
            scope=self.reader.scope(batch_id, self.options.selection, only=self.requeued),
            lanes=lanes_of_run(self, profiles, attempts.now(), place.others if place else ()),
            reader=self.reader,
            attempts=attempts,
            chained=parents is not None,
        )

    def _budgets(self, batch_id: int, now: datetime) -> tuple[Budget, ...]:
        options = self.options
        return budgets_of(self.batch, self.reader, batch_id, now, own=options.budget, unpriced=options.allow_unpriced)

    def _share(self, batch_id: int, budgets: Iterable[Budget]) -> list[Budget]:
        """Let claims respect what other runners spend; return the budgets that this run shares with them."""
        shared = [budget for budget in budgets if budget.earlier]
        self.writer.shared = SharedBudgets(batch_id, [budget.limit for budget in shared])
        return shared

    async def _begin_run(self, batch_id: int, started: datetime) -> str:
        run_id = f"{started:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
        await self.writer.begin_run(
            run_id,
            batch_id,
            command=self.command,
            pid=os.getpid(),
            host=socket.gethostname(),
            now=started,
            spool=spool_id(self._spool_folder) if isinstance(self.project.db, DatabaseUrl) else None,
        )
        last_run.record_start(self.project, self.batch.name, run_id)
        return run_id

    async def _load(self, batch_id: int, now: datetime) -> Loaded:
        keep_changed = self.options.keep_changed
        if self.options.collects_only:
            return Loaded()
        return await loads.load(
            self.writer, batch_id, self.batch, now,
            keep_changed=keep_changed, plan=self.plan, is_loaded=self.is_loaded,
        )  # fmt: skip

    async def _after_recovery(
        self, batch_id: int, needed: Mapping[str, Profile], resumed: Resumed, started: datetime, *, reload: bool
    ) -> None:
        """Report the resumed calls and load the jobs again, once interrupted attempts are settled."""
        if not self.project.sandbox:
            for key in destinations_of(self.batch.profiles, needed):
                log.event("key_sent", variable=key.variable, host=key.host, provider=key.provider)
        resumed.complete()
        if resumed.calls:
            self.show_message(f"resumed   {resumed_text(resumed)}")
        # An interrupted job could neither be changed nor moved to another provider before its attempt was settled.
        if reload:
            await self._load(batch_id, started)

    @property
    def _spool_folder(self) -> Path:
        return self.project.state / "spool"

    def _open_spool(self) -> Spool:
        spool = Spool.take_over(self._spool_folder)
        # A run that was killed between the commit of an outcome and the release of its slot left these.
        for attempt_id, delivered in self.reader.ended(list(spool.leftover_ids())).items():
            spool.release(attempt_id, delivered=delivered)
        return spool

    def _prepare_folder(self, batch_id: int, profiles: Mapping[str, Profile], *, is_alone: bool) -> None:
        names = loads.file_names(self.reader, batch_id, self.batch, is_loaded=self.is_loaded) if profiles else None
        prepare_output(self.batch.folder, names, self.show_message, is_alone=is_alone)

    def _transport(self, profiles: Mapping[str, Profile]) -> Transport:
        """Return the HTTP client, whose import takes longer than a run that has nothing to send."""
        from ..transport import Transport

        return Transport(profiles, self.keys.first, self.keys.keys)

    @asynccontextmanager
    async def _backend(
        self, profiles: Mapping[str, Profile], spool: Spool, runner: Runner, on_upload: Callable[[Upload], None]
    ) -> AsyncIterator[None]:
        """Give *runner* its backend, whose threads end with the run; *on_upload* gets images of an object store."""
        async with self._transport(profiles) as transport:
            readers = Readers(READERS)
            executor = self._executor(transport, spool, readers, runner, on_upload)
            add_batch_lanes(self, runner, executor, profiles)
            try:
                executor.names.start()  # before anything is sent
                async with self._carrier(executor, spool, runner) as runner.attempts.backend:
                    yield
            finally:
                readers.close()
                executor.names.close()
                spool.close()

    @asynccontextmanager
    async def _carrier(self, executor: Executor, spool: Spool, runner: Runner) -> AsyncIterator[Backend]:
        """Return what carries attempts out: *executor*, or the workers of a cluster."""
        if self.options.cluster is None:
            yield executor
            return
        from .cluster import cluster_backend

        workers = cluster_backend(self, self.options.cluster, runner, executor, spool)
        async with AsyncExitStack() as resources:
            async with self._unsent(runner.attempts.run_id):
                backend = await resources.enter_async_context(workers)
            yield backend

    @asynccontextmanager
    async def _unsent(self, run_id: str) -> AsyncIterator[None]:
        """Record the end of a run that fails before it sends anything: it was not cut off."""
        try:
            yield
        except BatchgenError as error:
            with suppress(BatchgenError):  # Without its end, the run only seems to be cut off.
                await self.writer.end_run(run_id, error.exit_code, utc_now())
                last_run.record_end(self.project, self.batch.name, run_id)
                await leave(self.project.db, run_id)
            raise

    def _executor(
        self,
        transport: Transport,
        spool: Spool,
        readers: Readers,
        runner: Runner,
        on_upload: Callable[[Upload], None],
    ) -> Executor:
        from ..engine.executor import Executor
        from ..engine.remote_tasks import RemoteTasks
        from ..engine.uploads import Uploads

        attempts = runner.attempts
        tasks = RemoteTasks(
            commit=self.writer.remember,
            remembered=attempts.reservations.answer_read,
            is_given_up=partial(_is_cancelled, self.reader),
        )
        attempts.end_waits = tasks.end
        fetch = source_fetcher(transport, next(iter(self.batch.profiles)), sandbox=self.project.sandbox)
        return Executor(
            transport=transport,
            spool=spool,
            inputs=SourceCache(self.project.state / "inputs", spool, fetch, is_ending=lambda: runner.draining),
            root=self.project.root,
            readers=readers,
            alarm=runner.halt,
            tasks=tasks,
            arrived=attempts.reservations.answer_arrived,
            is_superseded=attempts.is_superseded,
            sandbox=self.project.sandbox,
            uploads=Uploads(self.show_message, on_upload=on_upload),
        )

    def _supervisor(self, runner: Runner) -> Supervisor:
        return Supervisor(
            project=self.project,
            batch=self.batch,
            runner=runner,
            writer=self.writer,
            show_message=self.show_message,
            on_silence=self.on_silence,
            interactive=self.options.interactive,
        )

    def _highest_estimate(self, task: Task, mode: Mode) -> Charge:
        return highest(task, self.batch.profiles[task.provider].find(task.model)[1], mode)

    def _default_policy(self) -> Policy:
        """Return the policy for calls to a provider that is no longer in the manifest: as patient as for the others."""
        retry = self.batch.retry or Retry()
        any_holds = any(profile.on_unknown == "hold" for profile in self.batch.profiles.values())
        hold = any_holds if self.batch.on_unknown is None else self.batch.on_unknown == "hold"
        return policy_of(retry, "hold" if hold else "retry")


async def _is_cancelled(reader: Reader, attempt: Attempt) -> bool:
    """Return whether the user has cancelled the job of an attempt meanwhile; False where that cannot be read."""
    with suppress(StoreError):
        return await to_thread.run_sync(reader.ask, partial(is_cancelled, job_id=attempt.job_id))
    return False
