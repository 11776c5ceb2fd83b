"""Task dialect: everything that the server knows about a provider whose images are tasks that clients poll for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from ..faults import Fault
from ..keys import KeyHeader
from ..values import Bill, Fetch, Form, Json, Order, Picture, Refusal, Reply, Trace
from .dialect import FreeEndpoint, Price, Refuse


class Progress(Enum):
    """How far a task has come."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    ABORTED = "aborted"  #: cancelled before it started
    ODD = "odd"  #: a state without documents, for one poll

    @property
    def over(self) -> bool:
        """Whether nothing more happens to the task."""
        return self not in {Progress.QUEUED, Progress.RUNNING, Progress.ODD}


@dataclass(kw_only=True, slots=True)
class Task:
    """One task at a provider."""

    id: str
    serial: int  #: of the request that submitted it
    url: str  #: the provider's base address, for the addresses in answers
    model: str
    fields: Json  #: the body of the submission
    created: float
    order: Order | None = None  #: None: the body is wrong, and only the task's end shows it
    bill: Bill | None = None  #: what it costs when it is done
    state: Progress = Progress.QUEUED
    started: float | None = None
    ended: float | None = None
    pictures: tuple[Picture, ...] = ()
    refusal: Refusal | None = None  #: why it failed or was refused
    faults: tuple[Fault, ...] = ()
    polls: int = 0
    late: bool = False  #: its deadline cancelled it

    def fault(self, kind: str) -> Fault | None:
        """Return the task's fault of this kind."""
        return next((fault for fault in self.faults if fault.kind == kind), None)

    @property
    def seconds(self) -> float:
        """The time at work."""
        return 0.0 if self.started is None or self.ended is None else round(self.ended - self.started, 3)

    @property
    def place(self) -> str:
        """The base address at which polls are answered."""
        if self.fault("poll-elsewhere") is None:
            return self.url
        return self.url.replace("://127.0.0.1:", "://localhost:")


Answer = Callable[[Task, Trace], Reply]
#: Answers a cancellation; the last argument is the state of the task when it arrived.
CancelAnswer = Callable[[Task, Trace, Progress], Reply]


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """One address of a task that clients ask for free: its status or its result."""

    answer: Answer
    method: str = "GET"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancel:
    """The address at which a task is cancelled."""

    answer: CancelAnswer
    method: str = "POST"
    from_states: frozenset[Progress] = frozenset({Progress.QUEUED})  #: the states in which a task can be cancelled


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadedFile:
    """A source image that a client has uploaded."""

    id: str
    url: str
    filename: str
    mime: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadTarget:
    """The address to which clients upload source images, as multipart and for free."""

    answer: Callable[[UploadedFile, Trace], Reply]
    field: str  #: the form field of the file
    required: frozenset[str] = frozenset()  #: other form fields that must be there
    lifetime: float = math.inf  #: seconds for which the file's address works


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskDialect:
    """A provider's addresses, and how it reads, prices, answers and refuses tasks."""

    name: str
    submit: tuple[str, ...]  #: paths of submissions, below the provider's prefix; ``{model}`` is in the path or body
    read: Callable[[Mapping[str, str], Form, Mapping[str, str], Fetch], Order]  #: parts of the path, body, headers
    price: Price
    accept: Answer
    refuse: Refuse
    lose: Callable[[str, Trace], Reply]  #: the answer about a task that the provider does not know; given its id
    views: Mapping[str, View]  #: by path with ``{id}``, or with the name of a query parameter after ``?``
    cancels: Mapping[str, Cancel] = field(default_factory=dict)
    uploads: Mapping[str, UploadTarget] = field(default_factory=dict)
    new_id: Callable[[str], str] = str  #: a task's id from a UUID
    checks_late: bool = False  #: a wrong body is accepted, and the task fails
    moderates_late: bool = True  #: content is refused as the end of a task, not in answer to its submission
    charged: frozenset[Progress] = frozenset({Progress.DONE})  #: the ends that are charged
    idempotent: bool = False  #: an Idempotency-Key is honoured
    hold: Callable[[Mapping[str, str]], float] = lambda _: 0.0  #: seconds that a submission waits for the task
    deadline: Callable[[Mapping[str, str]], float] = lambda _: math.inf  #: seconds after which the task is cancelled
    free_endpoints: Mapping[str, FreeEndpoint] = field(default_factory=dict)
    key_header: KeyHeader = field(default_factory=KeyHeader)
    lifetime: float = math.inf  #: seconds for which the address of a picture works
    states_wait: bool = True  #: a refusal by a limit has Retry-After
    opened: Callable[[Json], Json] = lambda fields: fields  #: the body of a submission in the form that ``read`` takes
    url_only: bool = True
