"""Writer: all changes of the job database.

Every INSERT and UPDATE of the record of jobs and money is in this module, ``at_risk``, ``booking``, ``claims``,
``compare_and_set``, ``history``, ``late``, ``load_record``, ``loading``, ``lost_jobs``, ``repair``, ``settling``,
``shared_budgets`` and ``totals``. Guests write the rest: ``batch_owner``, ``controls``, ``marks``, ``picture_facts``,
``runners``, ``submissions``. Every update of a job is a compare-and-set: if no row changes, the job has changed
meanwhile. (A load reads and writes in one transaction.)  Methods return when what they wrote is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from anyio import to_thread
from sqlalchemy import Connection, insert, select, update

from ..database_url import Database
from ..errors import StaleClaim
from ..fault import Cause
from ..job import Attempt, Cancelled, Claimed, Job, Requeued, Revised, Settlement, advance
from ..mode import Mode
from ..task import Artifact, Charge
from . import at_risk, load_record, lost_jobs, repair
from .at_risk import RiskyAttempt
from .claims import open_attempt, remember
from .committer import Committer
from .compare_and_set import require_current, supersede, swap
from .dialects import upsert
from .guest import write_as_guest
from .history import learn
from .load_record import LoadRecord
from .loading import Loading
from .records import Loaded, RecoveredAttempt, RecoveryCounts
from .settling import settle
from .shared_budgets import MissingSum, SharedBudgets, Spending
from .tables import batches, runs
from .totals import close_full_blocks

if TYPE_CHECKING:
    from ..manifest.batch import PlannedJob

CHUNK = 5_000  #: jobs loaded in one transaction: bounds the log, and what an interruption repeats

#: Calls in flight up to which no write waits.
FEW = 8
#: Seconds that a transaction waits for more writes, and at most.
PAUSE_PER_CALL, LONGEST_PAUSE = 1e-4, 0.01


class Writer:
    """Changes the job database. The caller holds its lock (``run_lock``) and has called ``migrate.ensure``.

    A *guest* needs no lock and may only ``cancel``, which is safe whatever a run holds in memory.
    """

    def __init__(self, path: Database, *, patience: float = 120.0, guest: bool = False) -> None:
        self._in_flight: set[str] = set()  #: attempts that were claimed and are not settled
        self._path = path
        self._loading: Loading | None = None  #: the last load, if jobs in flight differ from what it planned
        self.shared: SharedBudgets | None = None  #: set where other runners spend from the same budgets
        self._committer = Committer(path, patience=patience, guest=guest, pause=self._pause)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def commits(self) -> int:
        """Return the number of committed transactions."""
        return self._committer.commits

    def close(self) -> None:
        """Write what still waits and stop; later calls raise StoreError."""
        self._committer.close()

    def _pause(self) -> float:
        """Return the seconds that a transaction waits for more writes: none while few calls are in flight."""
        calls = len(self._in_flight)
        return 0.0 if calls <= FEW else min(PAUSE_PER_CALL * calls, LONGEST_PAUSE)

    async def open_batch(self, name: str, manifest: str, folder: str, now: datetime) -> int:
        """Create or update the batch *name*, and return its id."""
        return await self._committer.submit(partial(_open_batch, name=name, manifest=manifest, folder=folder, now=now))

    async def load(
        self,
        batch_id: int,
        planned: Iterable[PlannedJob],
        now: datetime,
        *,
        keep_changed: bool = False,
        revise: Container[str] | None = None,
        record: Callable[[], LoadRecord | None] = lambda: None,
    ) -> Loaded:
        """Bring the batch's jobs up to *planned*, in that order; return how many changed.

        New jobs are added, changed ones revised (their files are superseded), and absent ones orphaned. With
        *keep_changed*, changed jobs that are done are left as they are. *revise*: of the changed jobs that are not
        pending, only these keys are revised. *planned* is iterated in a thread, one chunk ahead. If this is
        interrupted between chunks, loading again completes it; nothing is orphaned before the end. *record* is called
        in a thread at the end, if every row is as planned then, and returns the record of the load.
        """
        submit, rest, total = self._committer.submit, enumerate(planned), Loaded()
        loading = await submit(partial(Loading, batch_id=batch_id, now=now, keep_changed=keep_changed, revise=revise))
        plan = partial(to_thread.run_sync, lambda: list(islice(rest, CHUNK)))
        chunk = await plan()
        while chunk:
            writing = self._committer.post(partial(loading.merge, chunk=chunk))
            chunk = await plan()
            total += await writing
        self._loading = loading if loading.busy else None
        absent = await submit(loading.absent)
        for start in range(0, len(absent), CHUNK):
            total += await submit(partial(loading.orphan, ids=absent[start : start + CHUNK]))
        if loading.is_exact and (load := await to_thread.run_sync(record)) is not None:
            await submit(partial(load_record.remember, batch_id=batch_id, record=load, now=now))
        return total

    async def clamp_waits(self, batch_id: int, now: datetime, longest: timedelta) -> int:
        """Shorten the waits of jobs that a wrong clock made too long; return how many there were."""
        return await self._committer.submit(partial(repair.clamp_waits, batch_id=batch_id, now=now, longest=longest))

    async def begin_run(
        self, run_id: str, batch_id: int, *, command: str, pid: int, host: str, now: datetime, spool: str | None = None
    ) -> None:
        """Record that a run started; *spool* is where it keeps its answers, if that is one place of several."""
        row = {"spool": spool} | {
            "id": run_id,
            "batch_id": batch_id,
            "started_at": now,
            "pid": pid,
            "host": host,
            "command": command,
        }
        await self._committer.submit(partial(_add_run, row=row))

    async def end_run(self, run_id: str, exit_code: int, now: datetime) -> None:
        """Record how a run ended."""
        await self._committer.submit(partial(_end_run, run_id=run_id, exit_code=exit_code, now=now))

    async def learn(self, states: Mapping[str, Mapping[str, float | bool]], now: datetime) -> None:
        """Store the rates that lanes have learned."""
        await self._committer.submit(partial(learn, states=states, now=now))

    async def claim(  # noqa: PLR0917 - a job, its attempt and its price belong together
        self,
        job: Job,
        attempt: Attempt,
        run_id: str,
        estimate_usd: int | None,
        estimate_credits: int | None,
        now: datetime,
    ) -> Job:
        """Open *attempt* for *job* and reserve its price; raise StaleClaim if the job has changed, or OverBudget.

        Shield this from cancellation: a claim whose caller is gone is an open attempt that is never sent.
        """
        after = advance(job, Claimed(at=now))
        if (attempt.job_id, attempt.claim) != (after.id, after.claim):
            raise StaleClaim(f"attempt {attempt.id} is for claim {attempt.claim}, not for {after.claim} of {job.key}")
        row = {
            "id": attempt.id,
            "job_id": job.id,
            "claim": after.claim,
            "run_id": run_id,
            "provider": attempt.task.provider,
            "model": attempt.task.model,
            "account": attempt.account,
            "state": "open",
            "estimate_usd": estimate_usd,
            "estimate_credits": estimate_credits,
            "started_at": now,
        }
        if attempt.mode is not Mode.STANDARD:
            row |= {"mode": attempt.mode.value, "submission_id": attempt.submission}
        claim = partial(open_attempt, before=job, after=after, row=row, shared=self.shared, now=now)
        while True:
            try:
                claimed = await self._committer.post(claim)
                break
            except MissingSum:  # Again, too: other runners may correct the ledger meanwhile.
                await self._sum_up(now)
        if attempt.submission is None:  # those of a submission end hours later, one after the other
            self._in_flight.add(attempt.id)
        return claimed

    async def remember(self, attempt_id: str, handle: Mapping[str, Any]) -> None:
        """Record which remote task an open attempt has started; it is durable when this returns."""
        await self._committer.submit(partial(remember, attempt_id=attempt_id, handle=handle))

    async def spending(self, now: datetime) -> Sequence[Spending]:
        """Return what counts against the budgets that other runners share, in their order."""
        if self.shared is None:
            return ()
        query = partial(self.shared.spending, now=now)
        while (sums := await self._committer.submit(query)) is None:
            await self._sum_up(now)
        return sums

    async def _sum_up(self, now: datetime) -> None:
        """Add up shared budgets, in a transaction of its own: it waits until no other one books."""
        if self.shared is not None:
            await to_thread.run_sync(write_as_guest, self._path, partial(self.shared.sum_up, now=now))

    async def settle(self, settlement: Settlement, now: datetime) -> Job:
        """Write the results of an ended attempt in one transaction, and return the job after it.

        Settling again changes nothing; an attempt that was closed as unknown is corrected (``late``). A job that has
        changed raises StaleClaim, but only after attempt, files and ledger row are durable, because the money was
        spent. A deleted job raises NotFound, after attempt and ledger row are durable if the attempt still exists.
        A job that the last load found in flight and changed is revised at once, in the same transaction.
        """
        self._in_flight.discard(settlement.attempt.id)
        # The answer is sealed in its slot, so that its settlement can wait for a claim to share a commit with.
        work = partial(settle, settlement=settlement, loading=self._loading, shared=self.shared, now=now)
        return await self._committer.post(work, patient=True)

    async def move(self, job: Job, event: Requeued | Cancelled | Revised) -> Job:
        """Apply a decision of the user; raise StaleClaim if *job* has changed, IllegalEvent if that is impossible."""
        after = advance(job, event)
        return await self._committer.submit(partial(_move, before=job, after=after, now=event.at))

    async def requeue(self, wanted: Sequence[Job], now: datetime) -> None:
        """Requeue ended jobs, all or none; raise StaleClaim if one has changed."""
        await self._committer.submit(partial(_requeue, wanted=wanted, now=now))

    async def drop(self, job: Job, event: Cancelled, *, free: bool) -> Job:
        """Give a job up; *free*: its unknown attempts were looked up, and were not charged."""
        after = advance(job, event)
        return await self._committer.submit(partial(repair.drop, before=job, after=after, free=free, now=event.at))

    async def book(self, charges: Sequence[tuple[RiskyAttempt, Charge]]) -> None:
        """Book what the user found out about attempts at risk; raise StaleClaim if one has changed meanwhile."""
        await self._committer.submit(partial(at_risk.book, charges=charges))

    async def cancel(self, wanted: Sequence[Job], now: datetime) -> list[Job]:
        """Cancel jobs together and return those that had not changed; the others are left alone."""
        return await self._committer.submit(partial(repair.cancel, wanted=wanted, now=now))

    async def adopt(self, job: Job, attempt_id: str, file: Artifact, now: datetime) -> Job:
        """Adopt a published file that the user supplied; *attempt_id* is the attempt it belongs to, or a new id."""
        return await self._committer.submit(
            partial(repair.adopt, before=job, attempt_id=attempt_id, file=file, now=now)
        )

    async def mark_failed(self, batch_id: int, failed: Mapping[str, tuple[Cause, str]], now: datetime) -> int:
        """Mark pending jobs, by key, as failed as a lost database had them; return how many were pending."""
        return await self._committer.submit(partial(lost_jobs.mark_failed, batch_id=batch_id, failed=failed, now=now))

    async def add_recovered(
        self, batch_id: int, traces: Sequence[RecoveredAttempt], now: datetime, *, last: bool
    ) -> tuple[RecoveryCounts, list[RecoveredAttempt]]:
        """Add attempts recovered from disk that the database does not know; repeating this changes nothing.

        Return counts, and the files that wait for an earlier one; *last*: there is no earlier file to wait for.
        """
        return await self._committer.submit(
            partial(repair.add_recovered, batch_id=batch_id, traces=traces, last=last, now=now)
        )


# --- batches and runs ---------------------------------------------------------


def _open_batch(connection: Connection, *, name: str, manifest: str, folder: str, now: datetime) -> int:
    facts = {"manifest": manifest, "folder": folder, "updated_at": now}
    statement = upsert(connection, batches).values(name=name, created_at=now, **facts)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=facts))
    return int(connection.execute(select(batches.c.id).where(batches.c.name == name)).scalar_one())


def _add_run(connection: Connection, *, row: dict[str, Any]) -> None:
    close_full_blocks(connection)
    connection.execute(insert(runs), row)


def _end_run(connection: Connection, *, run_id: str, exit_code: int, now: datetime) -> None:
    ended = update(runs).where(runs.c.id == run_id, runs.c.ended_at.is_(None))
    connection.execute(ended.values(ended_at=now, exit_code=exit_code))


# --- one job ------------------------------------------------------------------


def _move(connection: Connection, *, before: Job, after: Job, now: datetime) -> Job:
    swap(connection, before, after, now)
    if after.delivered < before.delivered:
        supersede(connection, [before.id], now)
    return after


def _requeue(connection: Connection, *, wanted: Sequence[Job], now: datetime) -> None:
    require_current(connection, wanted)
    event, made_again = Requeued(at=now), list[int]()
    for before in wanted:
        after = advance(before, event)
        swap(connection, before, after, now)
        if after.delivered < before.delivered:
            made_again.append(before.id)
    supersede(connection, made_again, now)
