"""Jobs that nobody wants any more, also while a run works on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

import anyio

from ..errors import UsageError
from ..files import lock
from ..files.lock import Holder
from ..job import Job, State
from ..planning.selection import Selection
from ..store.reader import Reader
from ..store.records import Batch
from ..store.writer import Writer
from .project import Project, opened

#: Jobs cancelled by one transaction: a run that wants to write waits no longer than for these.
TOGETHER = 500

_GOING = (State.PENDING.value, State.RUNNING.value)
#: What has a cause may have ended with it.
_ENDED_BADLY = (State.FAILED.value, State.UNKNOWN.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelReport:
    """What was cancelled."""

    batch: Batch
    keys: Sequence[str]
    under_way: int  #: of these, how many had a call under way, which will be paid all the same
    late: int  #: selected, but ended before they could be cancelled
    holder: Holder | None  #: who works on the job table


def cancel(project: Project, name: str | None, selection: Selection) -> CancelReport:
    """Cancel the selected jobs of a batch that are pending or running, or stand as the selection says.

    Needs no lock: every change is a compare-and-set, and a run drops a job that is no longer as it was.  A call under
    way ends and is booked, but does not make its job done.  Raises NotFound, UsageError.
    """
    states = selection.states or (_GOING + _ENDED_BADLY if selection.causes else _GOING)
    if impossible := set(states) - {*_GOING, *_ENDED_BADLY}:
        raise UsageError(f"a job that is {min(impossible)} cannot be cancelled.  Nothing was changed")
    with opened(project) as reader, Writer(project.db, guest=True) as writer:
        batch = reader.batch(name)
        chosen = reader.jobs(batch.id, replace(selection, states=states))
        gone, late = anyio.run(_give_up, reader, writer, batch, chosen, states)
    return CancelReport(
        batch=batch,
        keys=[job.key for job in gone],
        under_way=sum(job.state is State.RUNNING for job in gone),
        late=late,
        holder=lock.holder(project.db),
    )


async def _give_up(
    reader: Reader, writer: Writer, batch: Batch, chosen: Iterable[Job], states: Sequence[str]
) -> tuple[list[Job], int]:
    gone, late, rest = list[Job](), 0, iter(chosen)
    while some := list(islice(rest, TOGETHER)):
        while some:
            done = await writer.cancel(some, datetime.now(UTC))
            gone += done
            known = {job.id for job in done}
            # a run took them up, or settled them, since they were looked up
            moved = [reader.job(batch.id, job.key) for job in some if job.id not in known]
            some = [job for job in moved if job.state.value in states]
            late += len(moved) - len(some)
    return gone, late
