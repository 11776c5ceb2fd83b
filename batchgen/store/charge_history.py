"""What earlier calls were found to cost.  SQL on an open connection; only the newest rows are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Connection, and_, select

from ..task import Basis, Charge, Task, Usage
from .rows import decode_task
from .tables import attempts, jobs, ledger

#: Rows of the ledger that are looked at.
RECENT = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class PastCall:
    """A call that brought pictures, what it was asked for, and what was booked for it."""

    task: Task  #: in the words of its job; provider and model are those that were asked
    charge: Charge
    usage: Usage  #: as far as the ledger keeps it


def past_calls(connection: Connection) -> Iterator[PastCall]:
    """Yield the latest calls that brought pictures, the oldest first, as far as their jobs still ask for the same."""
    newest = select(ledger).order_by(ledger.c.id.desc()).limit(RECENT).subquery()
    # a job that was changed meanwhile has a later call, or waits for one
    same = and_(jobs.c.id == attempts.c.job_id, jobs.c.claim == attempts.c.claim, jobs.c.state == "done")
    source = newest.join(attempts, attempts.c.id == newest.c.attempt_id).join(jobs, same)
    wanted = select(newest, jobs.c.task, jobs.c.wanted).select_from(source)
    for row in connection.execute(wanted.where(newest.c.images > 0).order_by(newest.c.id)):
        task = replace(decode_task(row.task), provider=row.provider, model=row.model, n=row.wanted)
        yield PastCall(
            task=task,
            charge=Charge(usd=row.usd, credits=row.credits, basis=Basis(row.basis)),
            usage=Usage(
                images=row.images,
                input_tokens=row.input_tokens,
                output_tokens=row.output_tokens,
                credits=row.credits,
            ),
        )
