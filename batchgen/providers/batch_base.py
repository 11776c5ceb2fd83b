"""The batch protocol: batches of a provider as generators that do no I/O.

A generator yields calls and is sent their replies, as a dialect is; it returns a value or raises a ProviderError. Only
the call of ``create`` is billed: all others may be repeated. Files are never in memory: an upload names a file on this
disk, and a result file is a call whose body the driver streams to one (``results``), to be read row by row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from ..fault import Cause, Charged, Fault, ProviderError
from ..task import Kind, Source
from . import dialect
from .base import Call, Reply, Request
from .error_mapping import fault_of
from .jsonbody import Json, read_or_none
from .profile import Profile
from .responses import SingleCallDialect

Value = TypeVar("Value")
#: A call is answered with its reply; an error of the way is thrown in.
Talk = Generator[Call, Reply, Value]


class BatchState(StrEnum):
    """The state of a remote batch."""

    QUEUED = "queued"  #: accepted, not begun
    RUNNING = "running"  #: in progress, or about to be cancelled
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Return whether the state never changes again."""
        return self not in (BatchState.QUEUED, BatchState.RUNNING)


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchLimits:
    """What one batch may hold."""

    lines: int
    request_bytes: int  #: of the file of requests
    images: int  #: images that one file of results carries well
    window: float  #: seconds within which the provider answers; then the batch expires
    lifetime: float  #: seconds for which results can be downloaded, at least


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchOrder:
    """A batch to be created from a file that is uploaded."""

    submission_id: str  #: ours; the provider stores it, so that the batch can be found after a crash
    kind: Kind
    model: str  #: the provider's own name
    input_file: str  #: the provider's id of the file of requests

    def created(self, batch: RemoteBatch) -> bool:
        """Return whether *batch* was created from this order."""
        return batch.submission_id == self.submission_id or batch.input_file == self.input_file


@dataclass(frozen=True, kw_only=True, slots=True)
class LineProblem:
    """Why a provider refused a batch before it carried anything out."""

    code: str
    message: str
    line: int | None = None  #: of the file of requests, the first is 1; None: the whole batch


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteBatch:
    """A batch as its provider reports it."""

    id: str
    state: BatchState
    word: str = ""  #: the provider's own word for the state
    submission_id: str | None = None  #: of the submission that created it, if it was one of ours
    input_file: str | None = None
    output_file: str | None = None  #: results; None: there are none, or not yet
    error_file: str | None = None  #: rows of requests that failed, where the provider keeps them apart
    created_at: datetime | None = None
    ended_at: datetime | None = None
    deadline_at: datetime | None = None  #: the end of the provider's window
    counts: Mapping[str, int] = field(default_factory=dict)  #: for display; they are not stable, and never money
    problems: tuple[LineProblem, ...] = ()
    fault: Fault | None = None  #: why the batch as a whole failed
    nothing_ran: bool = False  #: the provider states that no request was carried out, so nothing is charged


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The batches at a provider that a submission created."""

    batches: tuple[RemoteBatch, ...]
    complete: bool  #: every batch of the account was compared; otherwise a missing one may exist


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultFile:
    """A file of results. The driver streams the body of the reply to a file of its own."""

    name: str  #: "output" or "errors"
    call: Call


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of a result file: the answer to one request, or the statement that it was not carried out."""

    key: str  #: as in the file of requests
    reply: Reply | None  #: as if the request had been sent alone; None: it was not carried out, and is free
    code: str = ""  #: why it was not carried out: "batch_expired", "batch_cancelled"

    @property
    def rank(self) -> int:
        """Return which of two rows of one request counts: the one with an image before all others."""
        if self.reply is None:
            return 0
        return 2 if 200 <= self.reply.status < 300 else 1


class BatchDialect(ABC):
    """The batches of one wire format."""

    limits: ClassVar[BatchLimits]
    #: After a cancellation, the results of what was carried out before can still be downloaded.
    keeps_part: ClassVar[bool] = True

    @abstractmethod
    def line(self, request: Request, key: str, files: Mapping[str, str]) -> Mapping[str, Any]:
        """Return a line of the file of requests as a JSON body, whose images may be placeholders as in a call.

        *files*: the provider's ids of source images that are uploaded already, by the path of the local file.
        """

    @abstractmethod
    def sources(self, request: Request) -> tuple[Source, ...]:
        """Return the local images to be uploaded before the line of *request* is written, each one once."""

    @abstractmethod
    def upload(self, profile: Profile, file: Source, name: str) -> Talk[str]:
        """Upload the file of requests; return its id at the provider. A repeated upload leaves an unused file."""

    @abstractmethod
    def upload_source(self, profile: Profile, source: Source) -> Talk[str]:
        """Upload a source image; return its id at the provider."""

    @abstractmethod
    def create(self, profile: Profile, order: BatchOrder) -> Talk[RemoteBatch]:
        """Create the batch: the billed call, which is never repeated before ``find`` shows that it created none."""

    @abstractmethod
    def find(self, profile: Profile, order: BatchOrder) -> Talk[Listing]:
        """List the batches of the account, and return those that *order* created."""

    @abstractmethod
    def poll(self, profile: Profile, remote_id: str) -> Talk[RemoteBatch]:
        """Return the state of a batch."""

    @abstractmethod
    def cancel(self, profile: Profile, remote_id: str) -> Talk[None]:
        """Ask the provider to cancel a batch; a later poll shows what became of it."""

    @abstractmethod
    def results(self, profile: Profile, batch: RemoteBatch) -> tuple[ResultFile, ...]:
        """Return the downloads of a batch, the file with the images first; none if it has no results."""

    @abstractmethod
    def removal(self, profile: Profile, input_file: str) -> Call:
        """Return the call that deletes the file of requests of a batch whose calls are settled.

        Results stay: a copy of the job database from before they were collected still has to find them.
        """

    @abstractmethod
    def read_row(self, raw: bytes) -> Row | None:
        """Return the content of one row; None if it names no request."""


def address(profile: Profile, path_key: str, *segments: str, tail: str = "", **query: str) -> str:
    """Return the URL of a path with more *segments*, a *tail* such as ``:cancel``, and more query parameters."""
    parts = urlsplit(profile.url(path_key))
    path = "/".join([parts.path.rstrip("/"), *(quote(segment, safe="") for segment in segments)]) + tail
    merged = "&".join(filter(None, (parts.query, urlencode(query))))
    return urlunsplit(parts._replace(path=path, query=merged))


def body_of(request: Request) -> Mapping[str, Any]:
    """Return the JSON body of the call that the dialect would send: a line of a file has no other form.

    Raise ProviderError if the dialect cannot make such a call.
    """
    model = request.model
    own = dialect(model.dialect or request.profile.dialect)
    rules = model.rules(request.task.kind)
    call = None
    if isinstance(own, SingleCallDialect) and rules is not None:
        call = own.call(request, rules.model_copy(update={"body": "json"}))
    if call is None or call.json is None:
        message = f"{request.profile.name} cannot {request.task.kind} with {request.task.model}"
        raise ProviderError(Fault(cause=Cause.INVALID, message=message))
    return call.json


def free_call(method: str, url: str, body: Mapping[str, Any] | None = None) -> Call:
    """Return a call with the key that costs nothing and may be repeated."""
    return Call(method=method, url=url, json=body, billed=False)


def document_of(reply: Reply, profile: Profile) -> Mapping[str, Json]:
    """Return the object in a good answer; raise ProviderError for any other answer."""
    document = read_or_none(reply.body)
    if not 200 <= reply.status < 300:
        raise ProviderError(fault_of(reply, profile, document))
    if not isinstance(document, Mapping) or reply.broken is not None:
        raise unreadable(reply, "the answer is not a JSON object")
    return document


def document_of_batch(reply: Reply, profile: Profile, id_field: str, remote_id: str) -> Mapping[str, Json]:
    """Return the answer about the state of a batch; raise ProviderError if it is gone, or another one is described."""
    if reply.status == 404:
        raise gone(f"batch {remote_id}", reply.status)
    document = document_of(reply, profile)
    if text_of(document, id_field) != remote_id:
        raise unreadable(reply, f"the answer does not describe batch {remote_id}")
    return document


def require_cancelled(reply: Reply, profile: Profile) -> None:
    """Raise ProviderError if a cancellation was not accepted; it is not an error that the batch has ended meanwhile."""
    if reply.status not in (400, 404, 409):
        document_of(reply, profile)


def unreadable(reply: Reply, why: str) -> ProviderError:
    """Return the error of a good status without the content that belongs to it: the call may have had its effect."""
    return ProviderError(
        Fault(
            cause=Cause.UNKNOWN,
            message=f"{reply.broken or why} (HTTP {reply.status}, {len(reply.body)} bytes)",
            charged=Charged.MAYBE,
            status=reply.status,
        )
    )


def gone(what: str, status: int) -> ProviderError:
    """Return the error of a batch that its provider no longer knows; it may have been charged."""
    return ProviderError(
        Fault(
            cause=Cause.UNKNOWN,
            message=f"the provider does not know {what} any more",
            charged=Charged.MAYBE,
            status=status,
            hint="look it up at the provider; it may have been done and charged",
            final=True,
        )
    )


def text_of(document: Mapping[str, Json], name: str) -> str | None:
    """Return a text field that is neither empty nor holds half of a surrogate pair, or None."""
    value = document.get(name)
    is_whole = isinstance(value, str) and value.encode("utf-8", "ignore").decode() == value
    return value if isinstance(value, str) and value and is_whole else None


def part_of(document: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    """Return a field that is an object; an empty one if it is not."""
    value = document.get(name)
    return value if isinstance(value, Mapping) else {}


def counts_of(document: Mapping[str, Json]) -> dict[str, int]:
    """Return the whole numbers of an object, also where they are written as text."""
    numbers: dict[str, int] = {}
    for name, value in document.items():
        if isinstance(value, int) and not isinstance(value, bool):
            numbers[name] = value
        elif isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
            numbers[name] = int(value)
    return numbers
