"""Money at risk: lists the attempts that may have been charged, and books what the user found out about them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import anyio

from ..errors import NotFound, UsageError
from ..files import log
from ..job import Job, State
from ..planning.selection import Selection
from ..store.at_risk import RiskyAttempt, attempts_at_risk, attempts_to_settle
from ..store.reader import Reader
from ..task import NOTHING, Basis, Charge
from .project import Project, open_locked, open_reader


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What the provider's records say about a call: nano-USD and milli-credits; both 0 if it was not charged."""

    usd: int | None = None
    credits: int | None = None

    def charge(self, attempt: RiskyAttempt) -> Charge:
        """Return the charge of *attempt*; a unit that is not given follows from the other at the attempt's own rate.

        The records of the provider count as its report.
        """
        if not self.usd and not self.credits:
            return NOTHING
        estimate = attempt.estimate
        if self.usd is None and self.credits is not None:
            usd = _converted(self.credits, estimate.credits, estimate.usd)
            return Charge(usd=usd, credits=self.credits, basis=Basis.UNKNOWN if usd is None else Basis.PRICED)
        credits_ = self.credits
        if credits_ is None and not attempt.is_settled:
            credits_ = attempt.booked.credits  # the answer stated them
        if credits_ is None and self.usd is not None:
            credits_ = _converted(self.usd, estimate.usd, estimate.credits)
        return Charge(usd=self.usd, credits=credits_, basis=Basis.REPORTED)


def _converted(amount: int, of: int | None, to: int | None) -> int | None:
    return round(amount * to / of) if of and to is not None else None


def list_at_risk(project: Project, name: str | None, selection: Selection) -> Sequence[RiskyAttempt]:
    """Return the attempts of the selected jobs that may have been charged, including those of orphaned jobs."""
    with open_reader(project) as reader:
        batch = reader.batch(name)
        chosen = replace(selection, orphaned=True)
        return reader.ask(partial(attempts_at_risk, batch_id=batch.id, selection=chosen))


def settle(
    project: Project, name: str | None, key: str, finding: Finding, *, attempt: str | None = None, every: bool = False
) -> tuple[Job, Sequence[tuple[RiskyAttempt, Charge]]]:
    """Book *finding* for the attempt of job *key* that is at risk; return the job, which stays as it is.

    *attempt* names one of several by the start of its id, or corrects a settled one; *every*: all of them were charged
    alike. Raises NotFound, UsageError.
    """
    with open_locked(project) as (reader, writer):
        batch = reader.batch(name)
        job = reader.job(batch.id, key)
        charges = [(found, finding.charge(found)) for found in _chosen(reader, job, attempt, every=every)]
        anyio.run(writer.book, charges)
    for found, charge in charges:
        log.event("settled", job=key, attempt=found.id, usd=charge.usd, credits=charge.credits)
    return job, charges


def _chosen(reader: Reader, job: Job, attempt: str | None, *, every: bool) -> Sequence[RiskyAttempt]:
    attempts = reader.ask(partial(attempts_to_settle, job_id=job.id))
    if attempt is not None:
        return [_named(job, attempt, attempts)]
    risky = [each for each in attempts if not each.is_settled]
    if not risky:
        raise NotFound(_nothing_at_risk(job))
    if len(risky) > 1 and not every:
        listed = ", ".join(f"{each.id[:12]} ({each.started_at:%Y-%m-%d %H:%M:%S} UTC)" for each in risky)
        raise UsageError(
            f"{len(risky)} attempts of job {job.key} are at risk: {listed}. Nothing was changed: name one with "
            "--attempt, or settle all alike with --all"
        )
    return risky


def _named(job: Job, start: str, attempts: Sequence[RiskyAttempt]) -> RiskyAttempt:
    named = [each for each in attempts if each.id.startswith(start.lower())]
    if len(named) == 1:
        return named[0]
    if not named:
        show = f"`batchgen show {shlex.quote(job.key)}`"
        raise NotFound(f"no attempt {start} of job {job.key} is at risk; {show} lists its attempts")
    raise UsageError(f"{start} begins the ids of {len(named)} attempts of job {job.key}: give more of it")


def _nothing_at_risk(job: Job) -> str:
    why = "an interrupted run left its call: run again first" if job.state is State.RUNNING else "nothing was changed"
    return f"no attempt of job {job.key} is at risk; {why}. To correct a settled one, name it with --attempt"
