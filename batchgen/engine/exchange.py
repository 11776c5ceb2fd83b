"""Exchange: the conversation about one attempt, from the slot to the outcome, and the faults that may end it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..fault import Cause, Charged, Fault, ProviderError, RateLimitInfo
from ..files.images import DamagedImageError, UnknownFormatError
from ..files.object_tree import Upload
from ..files.slot import StoredAnswer
from ..job import Attempt, Missed
from ..providers import dialect, slot_profile
from ..providers.base import Conversation, Reply, Request, Step
from ..providers.error_mapping import request_id
from ..providers.model import Model
from ..providers.pricing import charge, reported_charge
from ..providers.profile import Profile
from ..ready import Ready
from ..task import NOTHING, UNPRICED, Charge, Usage
from ..transport import ResponseHead, decompressed
from .uploads import UploadPlace


@dataclass(slots=True)
class TaskProgress:
    """How far the polling of a remote task is."""

    ends: float  #: when this run stops polling, on the clock of the loop
    handle: Mapping[str, Any] | None = None  #: as it is committed
    is_confirmed: bool = True  #: the dialect has stated how long it is polled
    polled: bool = False  #: each run polls once at least
    is_cancelled: bool = False  #: the provider was asked to cancel it


@dataclass(slots=True)
class Exchange:
    """State of one conversation; it outlives the exception that ends it."""

    attempt: Attempt
    ready: Ready
    profile: Profile = field(init=False)
    model: Model = field(init=False)
    conversation: Conversation = field(init=False)
    sent: bool = False  #: the paid call may have gone out
    status: int | None = None  #: of the answer to it, which has begun to arrive
    head: ResponseHead | None = None
    usage: Usage | None = None
    limit: RateLimitInfo | None = None  #: stated in the answer just paid for, not in one that an earlier run stored
    uploads: list[Upload] = field(default_factory=list)  #: images for an object store, once they are read
    place: UploadPlace | None = None  #: among the uploads; None: the images go to a disk
    unstored: bool = False  #: the spool could not store its answer
    aside: bool = False  #: its images go to the superseded files: their names are those of a later attempt
    again: bool = False  #: a new conversation asks for the same purchase, under the same key
    unknown_before: Fault | None = None  #: of an earlier call under the same key, which may have been carried out
    task: TaskProgress | None = None  #: of the remote task that the call started
    has_results: bool = False  #: some have been downloaded

    async def clear(self) -> None:
        """Wait until the limits have room for the request; when this returns, it may go out."""
        await self.ready()
        self.sent = True

    @property
    def may_have_paid(self) -> bool:
        """Return whether an answer with a good status is here, or may be in the spool, where an earlier run left it."""
        if self.status is None:
            return self.attempt.resumed and not self.sent
        return self.status < 300

    @property
    def request_id(self) -> str | None:
        """Return the provider's id of the request, if its answer states one."""
        return request_id(self.head.headers) if self.head else None


@dataclass(frozen=True, slots=True)
class _Dump:
    """The content of a profile, which keeps its objects alive: their ids are its key."""

    profile: Profile
    model: Model
    content: Mapping[str, Any]


@dataclass(slots=True)
class ProfileDumps:
    """The profiles as slots hold them: one is the same for all calls to a model."""

    _dumps: dict[tuple[int, int, str], _Dump] = field(default_factory=dict)

    def content(self, exchange: Exchange) -> Mapping[str, Any]:
        """Return the content of the profile of a conversation."""
        profile, model, name = exchange.profile, exchange.model, exchange.attempt.task.model
        key = id(profile), id(model), name
        if key not in self._dumps:
            self._dumps[key] = _Dump(profile, model, slot_profile.dump(profile, model, name))
        return self._dumps[key].content


def missed(exchange: Exchange, fault: Fault, usage: Usage | None) -> Missed:
    """Return the outcome of an attempt without an image, with the cost that the answer states."""
    return Missed(fault=fault, usage=usage, charge=_charge(exchange, fault, usage), request_id=exchange.request_id)


def _charge(exchange: Exchange, fault: Fault, usage: Usage | None) -> Charge:
    attempt, model = exchange.attempt, exchange.model
    if fault.charged is Charged.NO:
        return (reported_charge(usage, model, attempt.mode) if usage is not None else None) or NOTHING
    if fault.charged is Charged.MAYBE and (usage is None or not usage.stated):
        return UNPRICED
    return charge(usage or Usage(images=attempt.task.n), attempt.task, model, attempt.mode)


def begin(exchange: Exchange, request: Request, *, after: Fault | None = None) -> Step:
    """Begin the conversation, for the first time or *after* a fault; the key makes it the same purchase."""
    exchange.again, exchange.unknown_before = after is not None, after
    exchange.conversation = dialect(request.model.dialect or request.profile.dialect).converse(request)
    return next(exchange.conversation)


def is_keyed(request: Request) -> bool:
    """Return whether the provider charges all calls under one key once."""
    return request.profile.idempotency_header is not None


def stored_reply(stored: StoredAnswer | None, *, elsewhere: bool = False) -> Reply:
    """Return the reply that a slot holds; raise ProviderError where it holds none.

    *elsewhere*: the slot of the call would be on another machine.
    """
    if stored is None and elsewhere:
        text = "the run on another machine was cut off, and what became of its call is not known here"
        raise ProviderError(replace(lost_call().fault, message=text))
    if stored is None:
        # The slot is made, and its folder synced, before the call is sent: without a slot nothing was sent.
        raise ProviderError(Fault(cause=Cause.UNREACHED, message="the run ended before the request was sent"))
    if stored.status is None:
        raise lost_call()
    came = f"the run ended while the answer (HTTP {stored.status}) was arriving, after {len(stored.body)} bytes"
    broken = None if stored.sealed else came
    return Reply(
        status=stored.status, headers=stored.headers, body=decompressed(stored.body, stored.headers), broken=broken
    )


def own_fault(exchange: Exchange, what: str) -> Fault:
    """Return the fault of a call that a bug ended; after sending, its result is unknown."""
    if not exchange.sent:
        return Fault(cause=Cause.ERROR, message=f"an error in batchgen itself, before anything was sent: {what}")
    if exchange.status is None:
        return replace(lost_call().fault, message=f"an error in batchgen itself while the answer was awaited: {what}")
    return Fault(cause=Cause.ERROR, message=f"an error in batchgen itself: {what}", charged=Charged.MAYBE)


def spoiled_fault(damages: Sequence[DamagedImageError]) -> Fault:
    """Return the fault of pictures that were paid for and are damaged, or in a format that cannot be read here."""
    return Fault(
        cause=Cause.SPOILED,
        message="; ".join(dict.fromkeys(map(str, damages))),
        charged=Charged.YES,
        hint="the answer is kept in the spool",
        final=all(isinstance(error, UnknownFormatError) for error in damages),
    )


def lost_call() -> ProviderError:
    """Return the error of a call that was sent and not answered before its run ended."""
    return ProviderError(
        Fault(
            cause=Cause.UNKNOWN,
            message="the run ended while the request was in flight",
            charged=Charged.MAYBE,
            hint="it may have been carried out and charged; check the provider's own log",
        )
    )
