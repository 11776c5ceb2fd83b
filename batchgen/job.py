"""The job state machine: every state change in batchgen is defined here. Pure: no clock, no I/O.

Claimed               Delivered                        Requeued, Revised
PENDING -------------> RUNNING -------------> DONE        DONE, FAILED, UNKNOWN, CANCELLED -> PENDING
^                    |  |  |
+-- PartialDelivery -+  |  +-- Exhausted --> FAILED
+-- Deferred --------+  +-- Incomplete ----> FAILED
+-- Released --------+  +-- Unknown -------> UNKNOWN            all but DONE, CANCELLED --Cancelled--> CANCELLED

A file that arrives without a call, supplied by the user or recovered from disk:
PENDING, FAILED, UNKNOWN --Adopted--> DONE                 (it was the last missing file)
PENDING, FAILED, UNKNOWN, DONE --Supplied--> unchanged     (others are missing, or none was)

Images that arrive for a job that was cancelled while its call was in flight; they are paid for:
CANCELLED --Delivery--> DONE
CANCELLED --PartialDelivery, Incomplete--> unchanged       (they count, and the rest is not bought)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from .errors import IllegalEvent
from .fault import Cause, Fault, RateLimitInfo
from .mode import Mode
from .route import Route
from .task import UNPRICED, Artifact, Charge, Task, Usage


class State(StrEnum):
    """The state of a job."""

    PENDING = "pending"  #: waits for ``not_before`` and then for its lane
    RUNNING = "running"  #: an attempt is in flight
    DONE = "done"  #: every wanted image is on disk
    FAILED = "failed"  #: given up; ``cause`` is the reason
    UNKNOWN = "unknown"  #: may have been bought, which cannot be known; needs attention
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One request for an image (or a few, with per_request), and its progress."""

    id: int  #: row id in the job database
    batch: str
    key: str  #: the user's id, unique in the batch
    task: Task
    fingerprint: str  #: "2:<sha256>"; a different one means that the job is redone
    output: str  #: file stem, relative to the batch's output folder
    sidecar: bool = True
    tags: tuple[str, ...] = ()
    priority: int = 0
    position: int = 0  #: order in the manifest
    state: State = State.PENDING
    cause: str | None = None
    message: str | None = None
    wanted: int = 1  #: images in total
    delivered: int = 0  #: images on disk
    claim: int = 0  #: only grows; guards every compare-and-set
    tries: int = 0  #: tries used of retry.attempts; an attempt that fails through no fault of the job is not counted
    unknown_attempts: int = 0  #: attempts whose outcome cannot be known
    not_before: datetime | None = None
    route: Route | None = None  #: fallback providers, for when ``task.provider`` is out of order


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """The order to a backend: plain data without keys or image bytes, so that it can be serialized."""

    id: str  #: 32 hex digits; also sent as the client request id
    job_id: int
    claim: int
    batch: str
    key: str
    task: Task  #: ``n`` counts the missing images; ``provider`` is the job's own or a fallback
    account: str | None = None  #: which of the provider's API keys is used; None: it has only one
    fingerprint: str
    folder: str  #: absolute output folder of the batch, or a place in an object store
    output: str
    ordinal: int = 0  #: number of the first image of this attempt
    wanted: int = 1  #: images of the whole job; file names are numbered if there are several
    sidecar: bool = True
    resumed: bool = False  #: left open by an earlier run: finish it, never send it
    elsewhere: bool = False  #: its answer, if one has arrived, is on another machine
    handle: Mapping[str, Any] | None = None  #: of the remote task that an earlier run started: it is polled
    age: float = 0.0  #: seconds since that run claimed the job
    given_up: bool = False  #: the user has cancelled the job: its remote task is cancelled, too
    mode: Mode = Mode.STANDARD  #: how the call is bought
    key_valid: bool = False  #: the idempotency key is still valid at the provider, if that honours such keys
    submission: str | None = None  #: that it is a row of; None: it is a call of its own

    def file_name(self, ordinal: int, extension: str) -> str:
        """Return the name of an image in the output folder; images beyond those wanted get names no job has."""
        number = f"-{ordinal + 1}" if self.wanted > 1 else ""
        if ordinal >= self.wanted:
            number = f".extra{ordinal - self.wanted + 1}"
        return f"{self.output}{number}.{extension}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """A successful outcome: images arrived and are published."""

    artifacts: tuple[Artifact, ...]
    usage: Usage
    charge: Charge = UNPRICED
    text: str | None = None
    note: str | None = None  #: what went wrong although images arrived
    shortfall: Fault | None = None  #: why fewer images arrived than requested, if that is known
    request_id: str | None = None
    limit: RateLimitInfo | None = None  #: the rate limit stated in the answer; None also for an old answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Missed:
    """An outcome without an image; ``usage`` is the cost that an answer stated nevertheless."""

    fault: Fault
    usage: Usage | None = None
    charge: Charge = UNPRICED
    request_id: str | None = None


#: The result of an attempt.
Outcome = Delivered | Missed


# --- events ---------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened to a job; times are UTC."""

    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed(Event):
    """A lane claimed the job and opened an attempt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery(Event):
    """Every missing image is on disk."""

    outcome: Delivered


@dataclass(frozen=True, kw_only=True, slots=True)
class PartialDelivery(Event):
    """Fewer images arrived than requested; the rest is requested again."""

    outcome: Delivered


@dataclass(frozen=True, kw_only=True, slots=True)
class Deferred(Event):
    """The attempt failed and used up a try; another will follow."""

    fault: Fault
    not_before: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Released(Event):
    """The attempt failed through no fault of the job (throttled, lane closed, stopped) and does not count as a try."""

    fault: Fault
    not_before: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Exhausted(Event):
    """Another attempt would not help, or none is left."""

    fault: Fault


@dataclass(frozen=True, kw_only=True, slots=True)
class Incomplete(Exhausted):
    """Fewer images arrived than requested in the last attempt: they are kept, and the rest is given up."""

    outcome: Delivered


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknown(Event):
    """Whether the request was carried out cannot be known, and policy forbids buying it again."""

    fault: Fault


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancelled(Event):
    """The user gave the job up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Requeued(Event):
    """The user wants the job tried again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Adopted(Event):
    """The last missing file arrived without a call: the user supplied it, or it was found on disk."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Supplied(Event):
    """A file arrived without a call, and either more are missing or none was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Revised(Event):
    """The manifest requests something else under the same id."""


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
    State.CANCELLED: {
        Revised: State.PENDING,
        Requeued: State.PENDING,
        Delivery: State.DONE,
        PartialDelivery: State.CANCELLED,
        Incomplete: State.CANCELLED,
    },
}


def advance(job: Job, event: Event) -> Job:
    """Return *job* as it is after *event*; raise IllegalEvent if TRANSITIONS has no such move."""
    try:
        state = TRANSITIONS[job.state][type(event)]
    except KeyError:
        raise IllegalEvent(f"{type(event).__name__} on a {job.state} job") from None
    match event:
        case Claimed():
            return replace(job, state=state, claim=job.claim + 1, tries=job.tries + 1, not_before=None)
        case Delivery() | Adopted():
            return replace(
                job, state=state, delivered=_delivered(job, event), not_before=None, cause=None, message=None
            )
        case PartialDelivery() | Supplied():
            return replace(job, state=state, delivered=_delivered(job, event))
        case Deferred(fault=fault, not_before=when):
            return replace(job, state=state, not_before=when, **_fault_fields(job, fault))
        case Released(fault=fault, not_before=when):
            return replace(job, state=state, tries=job.tries - 1, not_before=when, **_fault_fields(job, fault))
        case Incomplete(fault=fault):
            return replace(job, state=state, delivered=_delivered(job, event), **_fault_fields(job, fault))
        case Exhausted(fault=fault) | Unknown(fault=fault):
            return replace(job, state=state, **_fault_fields(job, fault))
        case Requeued() | Revised():
            is_revised = isinstance(event, Revised)
            starts_over = is_revised or job.state is State.DONE
            return replace(
                job,
                state=state,
                claim=job.claim + is_revised,  # A call that is still in flight was made for another request.
                tries=0,
                unknown_attempts=0,
                delivered=0 if starts_over else job.delivered,
                not_before=None,
                cause=None,
                message=None,
            )
        case _:
            return replace(job, state=state)


def _delivered(job: Job, event: Delivery | PartialDelivery | Incomplete | Adopted | Supplied) -> int:
    """Return the number of images on disk after *event*; a file that arrives without a call is one."""
    return job.delivered + (1 if isinstance(event, Adopted | Supplied) else len(event.outcome.artifacts))


def _fault_fields(job: Job, fault: Fault) -> dict[str, Any]:
    unknown = job.unknown_attempts + (fault.cause is Cause.UNKNOWN)
    return {"cause": fault.cause.value, "message": fault.message, "unknown_attempts": unknown}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """Everything that an ended attempt writes to the job database in one transaction."""

    attempt: Attempt
    event: Event
    charge: Charge
    reserved: Charge | None = None  #: the reservation at its end, if it was raised while the attempt was in flight
    usage: Usage = field(default_factory=Usage)
    request_id: str | None = None
    revised: bool = False  #: its job requests something else since, and is due again
