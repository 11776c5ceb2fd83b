"""The job state machine.  Rule: every state change in batchgen is in this file.

Decisions: nothing here reads a clock, a file or a socket.

                Claimed               Delivered                        Requeued, Revised
    PENDING -------------> RUNNING -------------> DONE        DONE, FAILED, UNKNOWN, CANCELLED -> PENDING
       ^                    |  |  |
       +-- PartialDelivery -+  |  +-- Exhausted --> FAILED
       +-- Deferred --------+  +-- Incomplete ----> FAILED
       +-- Released --------+  +-- Unknown -------> UNKNOWN            all but DONE, CANCELLED --Cancelled--> CANCELLED

    A file comes without a call, brought by a person or found again:  PENDING, FAILED, UNKNOWN --Adopted--> DONE
    and where others still lack, or none did:                         the same and DONE --Supplied--> as it was
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from .errors import IllegalEvent
from .fault import Fault, RateLimitInfo
from .route import Route
from .task import UNPRICED, Artifact, Charge, Task, Usage


class State(StrEnum):
    """Where a job stands."""

    PENDING = "pending"  #: waits for ``not_before``, then for its lane
    RUNNING = "running"  #: an attempt is open
    DONE = "done"  #: every image wanted is on disk
    FAILED = "failed"  #: given up; ``cause`` says why
    UNKNOWN = "unknown"  #: may have been bought; nobody can know; waits for a person
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One request for an image (or, with per_request, a few), and how far it has come."""

    id: int  #: the job table's number
    batch: str
    key: str  #: the user's id, unique in the batch
    task: Task
    fingerprint: str  #: "1:<sha256>"; decides whether the job is redone
    output: str  #: file stem, relative to the batch's output folder
    sidecar: bool = True
    tags: tuple[str, ...] = ()
    priority: int = 0
    position: int = 0  #: in the manifest
    state: State = State.PENDING
    cause: str | None = None
    message: str | None = None
    wanted: int = 1  #: images in all
    delivered: int = 0  #: images on disk
    claim: int = 0  #: only grows; the fence of every compare-and-set
    tries: int = 0  #: spent of the retry budget; given back when the attempt was not the job's fault
    doubts: int = 0  #: attempts whose outcome nobody knows
    not_before: datetime | None = None
    route: Route | None = None  #: where the job may go if ``task.provider`` cannot do it now


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """The order given to a backend: plain data without keys or image bytes, so it can travel."""

    id: str  #: 32 hex digits; also sent as the client's request id
    job_id: int
    claim: int
    batch: str
    key: str
    task: Task  #: ``n`` is what is still missing; ``provider`` is who is asked, the job's own or one of its route
    account: str | None = None  #: which of the provider's keys it goes out with; None: it has only one
    fingerprint: str
    folder: str  #: absolute output folder of the batch
    output: str
    ordinal: int = 0  #: number of the first image of this attempt
    wanted: int = 1  #: images the whole job wants; more than one puts numbers into file names
    sidecar: bool = True
    resumed: bool = False  #: an earlier run gave this order and died: finish it, never send it
    key_valid: bool = False  #: where the provider honours idempotency keys, this attempt's still counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """Images arrived and are published."""

    artifacts: tuple[Artifact, ...]
    usage: Usage
    charge: Charge = UNPRICED
    text: str | None = None
    note: str | None = None  #: what went wrong beside the images that came
    shortfall: Fault | None = None  #: why fewer came than were asked for, as far as that is known
    request_id: str | None = None
    limit: RateLimitInfo | None = (
        None  #: what the answer said of the provider's limit; None also where it is an old answer
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Missed:
    """No image; ``usage`` is what the answer said it cost all the same, if there was one."""

    fault: Fault
    usage: Usage | None = None
    charge: Charge = UNPRICED
    request_id: str | None = None


#: What a backend hands back for an attempt.
Outcome = Delivered | Missed


# --- what may happen to a job -------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened to a job at a time (UTC)."""

    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed(Event):
    """A lane took the job; its attempt is open."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery(Event):
    """Every image that was missing is on disk."""

    outcome: Delivered


@dataclass(frozen=True, kw_only=True, slots=True)
class PartialDelivery(Event):
    """Fewer images came than were asked for: ask again for the rest."""

    outcome: Delivered


@dataclass(frozen=True, kw_only=True, slots=True)
class Deferred(Event):
    """The attempt failed and another is worth it; it cost a try."""

    fault: Fault
    not_before: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Released(Event):
    """The attempt ended through no fault of the job (throttled, lane closed, stopped): the try is given back."""

    fault: Fault
    not_before: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Exhausted(Event):
    """Another attempt would be in vain, or was one too many."""

    fault: Fault


@dataclass(frozen=True, kw_only=True, slots=True)
class Incomplete(Exhausted):
    """Fewer images came than were asked for, and that was the last purchase: what came stays, the rest is given up."""

    outcome: Delivered


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknown(Event):
    """Nobody can know whether the attempt was carried out; policy says not to buy again."""

    fault: Fault


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancelled(Event):
    """A person does not want the job any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Requeued(Event):
    """A person wants the job tried again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Adopted(Event):
    """The last file that was missing came without a call: a person brought it, or it was found on disk."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Supplied(Event):
    """One of several missing files came without a call; others still lack, or this one is beyond those wanted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Revised(Event):
    """The manifest now asks for something else under the same id."""


TRANSITIONS: dict[State, dict[type[Event], State]] = {
    State.PENDING: {
        Claimed: State.RUNNING,
        Cancelled: State.CANCELLED,
        Revised: State.PENDING,
        Adopted: State.DONE,
        Supplied: State.PENDING,
    },
    State.RUNNING: {
        Delivery: State.DONE,
        PartialDelivery: State.PENDING,
        Deferred: State.PENDING,
        Released: State.PENDING,
        Exhausted: State.FAILED,
        Incomplete: State.FAILED,
        Unknown: State.UNKNOWN,
        Cancelled: State.CANCELLED,
    },
    State.DONE: {Revised: State.PENDING, Requeued: State.PENDING, Supplied: State.DONE},
    State.FAILED: {
        Revised: State.PENDING,
        Requeued: State.PENDING,
        Cancelled: State.CANCELLED,
        Adopted: State.DONE,
        Supplied: State.FAILED,
    },
    State.UNKNOWN: {
        Revised: State.PENDING,
        Requeued: State.PENDING,
        Cancelled: State.CANCELLED,
        Adopted: State.DONE,
        Supplied: State.UNKNOWN,
    },
    State.CANCELLED: {Revised: State.PENDING, Requeued: State.PENDING},
}


def advance(job: Job, event: Event) -> Job:
    """Return *job* as it is after *event*; raise IllegalEvent where the table has no such move."""
    try:
        state = TRANSITIONS[job.state][type(event)]
    except KeyError:
        raise IllegalEvent(f"{type(event).__name__} on a {job.state} job") from None
    before, job = job.state, replace(job, state=state)
    match event:
        case Claimed():
            return replace(job, claim=job.claim + 1, tries=job.tries + 1, not_before=None)
        case Delivery() | PartialDelivery() | Adopted() | Supplied():
            return _supplied(job, event)
        case Deferred(fault=fault, not_before=when):
            return replace(_blamed(job, fault), not_before=when)
        case Released(fault=fault, not_before=when):
            return replace(_blamed(job, fault), tries=job.tries - 1, not_before=when)
        case Incomplete(fault=fault):
            return _blamed(_supplied(job, event), fault)
        case Exhausted(fault=fault) | Unknown(fault=fault):
            return _blamed(job, fault)
        case Requeued() | Revised():
            fresh = isinstance(event, Revised) or before is State.DONE
            kept = 0 if fresh else job.delivered
            return replace(job, tries=0, doubts=0, delivered=kept, not_before=None, cause=None, message=None)
        case _:
            return job


def _supplied(job: Job, event: Delivery | PartialDelivery | Incomplete | Adopted | Supplied) -> Job:
    came = len(event.outcome.artifacts) if isinstance(event, Delivery | PartialDelivery | Incomplete) else 1
    job = replace(job, delivered=job.delivered + came)
    return replace(job, not_before=None, cause=None, message=None) if isinstance(event, Delivery | Adopted) else job


def _blamed(job: Job, fault: Fault) -> Job:
    doubt = 1 if fault.cause == "unknown" else 0
    return replace(job, cause=fault.cause.value, message=fault.message, doubts=job.doubts + doubt)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """All that one ended attempt writes, in one transaction."""

    attempt: Attempt
    event: Event
    charge: Charge
    reserved: Charge | None = None  #: at its end, where that was more than when it was opened
    usage: Usage = field(default_factory=Usage)
    request_id: str | None = None
