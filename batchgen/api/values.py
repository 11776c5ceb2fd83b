"""Values of the Python interface: batches, plans, progress, results and the ledger. Amounts are Decimal, in USD."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..errors import ExitCode, Problem
from ..money import MILLI, NANO
from ..object_url import Folder, place_of

if TYPE_CHECKING:
    from ..app.run_result import RunResult
    from ..job import Job as StoredJob
    from ..manifest import Batch as ManifestBatch
    from ..manifest.batch import PlannedJob
    from ..planning.plan import Plan as RunPlan
    from ..planning.range import Range
    from ..store.ledger import UsageLine
    from ..store.records import Bill


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One job as the manifest requests it."""

    id: str
    prompt: str
    kind: str  #: generate or edit
    provider: str
    model: str
    size: str | None
    images: int  #: requested of the provider
    sources: tuple[str, ...]  #: paths and addresses of source images
    tags: tuple[str, ...]

    @classmethod
    def of(cls, job: PlannedJob) -> Self:
        """Return the request of a job of a manifest."""
        task = job.recipe.task
        return cls(
            id=job.key,
            prompt=job.prompt,
            kind=task.kind.value,
            provider=task.provider,
            model=task.model,
            size=task.size,
            images=job.recipe.wanted,
            sources=tuple(source.url or source.path or "" for source in task.images),
            tags=job.recipe.tags,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """A manifest that has been read and checked; iterating it yields its requests."""

    name: str
    manifest: Path
    output: Folder  #: folder of the images, or a place in an object store
    warnings: tuple[Problem, ...]
    _batch: ManifestBatch = field(repr=False, compare=False)

    @classmethod
    def of(cls, batch: ManifestBatch) -> Self:
        """Return the value of a manifest's batch."""
        return cls(
            name=batch.name, manifest=batch.manifest, output=batch.folder, warnings=tuple(batch.warnings), _batch=batch
        )

    def __len__(self) -> int:
        return len(self._batch.jobs)

    def __iter__(self) -> Iterator[Request]:
        return map(Request.of, self._batch.jobs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """An estimate; all three are None if the price is unknown."""

    low: Decimal | None
    expected: Decimal | None
    high: Decimal | None

    @classmethod
    def of(cls, amount: Range, scale: int) -> Self:
        """Return an estimate in whole units."""
        return cls(
            low=_decimal(amount.low, scale),
            expected=_decimal(amount.expected, scale),
            high=_decimal(amount.high, scale),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a run would send and cost."""

    batch: str
    counts: Mapping[str, int]  #: jobs by outcome of the comparison: new, changed, pending, done and so on
    requests: int
    images: int
    usd: Amount
    credits: Mapping[str, Amount]  #: by provider
    unpriced: int  #: requests without a price in USD, which *usd* leaves out
    seconds: float
    document: Mapping[str, Any] = field(repr=False)  #: as ``batchgen plan --json`` prints it

    @classmethod
    def of(cls, name: str, plan: RunPlan) -> Self:
        """Return the value of a plan."""
        document = plan.as_json()
        return cls(
            batch=name,
            counts=document["jobs"],
            requests=plan.requests,
            images=plan.images,
            usd=Amount.of(plan.usd, NANO),
            credits={provider: Amount.of(amount, MILLI) for provider, amount in plan.credits.items()},
            unpriced=plan.unpriced,
            seconds=plan.time.expected,
            document=document,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A job with its files and its cost so far."""

    id: str
    state: str  #: pending, running, done, failed, unknown or cancelled
    prompt: str
    provider: str  #: the last one that was asked, or the first one of the job
    model: str
    files: tuple[Folder, ...]  #: delivered images: absolute paths, or addresses in an object store
    cost: Decimal | None  #: USD of all attempts; None if no price is known
    credits: Decimal | None
    at_risk: Decimal | None  #: USD of attempts that may have been charged
    attempts: int
    cause: str | None  #: why it failed
    message: str | None
    tags: tuple[str, ...]

    @classmethod
    def of(cls, job: StoredJob, bill: Bill, root: Path) -> Self:
        """Return the value of a stored job; file names are relative to *root*."""
        return cls(
            id=job.key,
            state=job.state.value,
            prompt=job.task.prompt,
            provider=bill.provider or job.task.provider,
            model=job.task.model,
            files=tuple(place_of(file.path, root) for file in bill.files),
            cost=_decimal(bill.usd, NANO),
            credits=_decimal(bill.credits, MILLI),
            at_risk=_decimal(bill.at_risk_usd, NANO),
            attempts=bill.attempts,
            cause=job.cause,
            message=job.message,
            tags=job.tags,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerLine:
    """What all calls to one model of a provider have cost."""

    provider: str
    model: str
    attempts: int
    images: int
    usd: Decimal | None  #: None: charged, but the price is unknown
    credits: Decimal | None
    at_risk: Decimal | None  #: USD of attempts that may have been charged
    unpriced: int  #: attempts that *usd* leaves out

    @classmethod
    def of(cls, line: UsageLine) -> Self:
        """Return the value of a line of the ledger."""
        return cls(
            provider=line.provider,
            model=line.model,
            attempts=line.attempts,
            images=line.images,
            usd=_decimal(line.usd, NANO),
            credits=_decimal(line.credits, MILLI),
            at_risk=_decimal(line.at_risk_usd, NANO),
            unpriced=line.unpriced,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """The progress of a run: the batch's jobs, and what this run has made and spent."""

    total: int  #: jobs of the batch
    done: int
    failed: int
    unknown: int
    pending: int  #: waiting or in flight
    images: int  #: of this run
    usd: Decimal  #: of this run
    seconds: float  #: since the run began
    job: str | None  #: the job whose request has just ended


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The result of a run."""

    run_id: str
    batch: str
    exit_code: ExitCode  #: that the command line would end with
    meaning: str  #: of the exit code here
    stopped: str | None  #: why it stopped early
    images: int  #: delivered by this run
    failed: int  #: jobs that failed in this run
    unknown: int  #: jobs of this run whose request may have been charged
    usd: Decimal  #: known to be spent by this run
    seconds: float
    counts: Mapping[str, int]  #: jobs of the batch by state
    jobs: tuple[Job, ...]  #: that ended in this run
    ledger: tuple[LedgerLine, ...]  #: of the batch, earlier runs included
    messages: tuple[str, ...]  #: notices about the run as a whole
    document: Mapping[str, Any] = field(repr=False)  #: as ``batchgen run --json`` prints it

    @property
    def ok(self) -> bool:
        """Return whether the exit code is 0."""
        return self.exit_code == ExitCode.OK

    @classmethod
    def of(cls, result: RunResult, jobs: Sequence[Job], messages: Sequence[str]) -> Self:
        """Return the value of a run's result."""
        counts = result.status.counts
        names = ("pending", "running", "done", "failed", "unknown", "cancelled")
        return cls(
            run_id=result.run_id,
            batch=result.status.batch.name,
            exit_code=ExitCode(result.exit_code),
            meaning=result.exit_meaning,
            stopped=result.drained,
            images=result.images,
            failed=result.failed,
            unknown=result.unknown,
            usd=Decimal(result.usd) / NANO,
            seconds=result.seconds,
            counts={name: getattr(counts, name) for name in names},
            jobs=tuple(jobs),
            ledger=tuple(map(LedgerLine.of, result.status.usage)),
            messages=tuple(messages),
            document=result.as_json(),
        )


def _decimal(amount: int | None, scale: int) -> Decimal | None:
    return None if amount is None else Decimal(amount) / scale
