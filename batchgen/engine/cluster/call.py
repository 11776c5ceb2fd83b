"""Messages between the driver and its workers: plain data, which holds neither keys nor images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ...errors import StoreError
from ...fault import Cause, Fault
from ...job import Attempt, Missed, Outcome
from ...providers.profile import Profile

#: Whether a worker knows an attempt: in this process, in the spool of its host, or not at all.
Trace = Literal["here", "stored", "never"]


class Fenced(StoreError):
    """A newer run of the batch has taken the workers over; this one must stop."""


class WorkerLost(Exception):
    """A worker, or the way to it, is gone; what became of its calls has to be found out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """Everything that a worker needs besides its own environment."""

    name: str  #: of the worker; unique in the cluster
    batch: str  #: names the folder of the worker's spool: all workers of a host share it
    root: str  #: artifact paths are relative to it
    profiles: Mapping[str, Profile]
    accounts: Mapping[str, Sequence[str | None]] = field(default_factory=dict)  #: variables of the keys, by provider
    sandbox: bool = False
    version: str  #: of batchgen, which must be the same on both sides
    lease: float  #: seconds without a call of the driver after which an idle worker leaves


@dataclass(frozen=True, kw_only=True, slots=True)
class Hello:
    """A worker's introduction."""

    name: str
    host: str
    pid: int
    incarnation: str  #: of this process: a restarted worker has another one
    spool: str  #: id of the folder that holds its answers
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One attempt for a worker."""

    attempt: Attempt
    epoch: int  #: of the driver; workers refuse lower ones than they have met


@dataclass(frozen=True, kw_only=True, slots=True)
class Permit:
    """The permission to write one request, by the worker's own clock."""

    until: float
    life: float  #: seconds before *until* at which it was granted
    pace: float | None = None  #: most requests that the worker may write per second in this lane
    lane: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The driver's answer to a worker that asked for a permit: the permit, or why the request must not be sent."""

    attempt_id: str
    serial: int
    permit: Permit | None = None
    fault: Fault | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A worker's request for a permit, made on an open connection."""

    serial: int  #: grows with every question of a worker
    attempt_id: str
    expired: bool = False  #: the permit before came too late, so that nothing was written


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """A worker's heartbeat: what it waits for, and its clock when it received the call and when it answered."""

    incarnation: str
    received_at: float
    sent_at: float
    questions: tuple[Question, ...] = ()
    late: tuple[str, ...] = ()  #: attempts whose request was written long after its permit was granted
    in_flight: int = 0
    alarm: str | None = None  #: why this worker cannot store answers safely


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The outcome of an attempt, or why it stays open."""

    attempt_id: str
    worker: str
    outcome: Outcome | None = None
    store_error: str | None = None  #: the worker could not store or publish the answer, and keeps it in its spool
    unreadable: str | None = None  #: an answer that was paid for and cannot be read is kept in the worker's spool

    @property
    def is_unknown(self) -> bool:
        """Return whether the request may have been carried out, and nothing shows how it ended."""
        return isinstance(self.outcome, Missed) and self.outcome.fault.cause is Cause.UNKNOWN
