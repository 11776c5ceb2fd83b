"""Executor: carries a dialect's conversation over the wire and publishes the images that come.

Exceptions end here; the engine gets an outcome as a value. Idempotent by attempt id: an attempt whose answer is
already in the spool is finished from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from anyio import CapacityLimiter, to_thread

from ..errors import StoreError, UnreadableAnswer
from ..fault import Cause, Charged, Fault, ProviderError, RateLimitInfo
from ..files.images import DamagedImageError, ImageInfo, UnknownFormatError, examine
from ..files.output import publish
from ..files.sidecar import describe
from ..files.source_cache import SourceCache
from ..files.spool import Scratch, Slot, Spool, StoredAnswer
from ..job import Attempt, Delivered, Missed, Outcome
from ..planning.forecast import call_bytes
from ..planning.override_marks import note_of
from ..providers import dialect, slot_profile
from ..providers.base import Call, Conversation, Generation, Reply, Request
from ..providers.error_mapping import request_id
from ..providers.pricing import charge, reported_charge
from ..providers.profile import Model, Profile
from ..providers.ratelimit_headers import read_rate_limit
from ..providers.validation import as_sent, deadline
from ..task import NOTHING, UNPRICED, Artifact, Charge, Picture, Usage
from ..transport import ProviderClient, ResponseHead, Transport, decompressed
from .attempts import Ready
from .call_faults import lost, own_fault

#: How often a paid call is sent where the provider charges an idempotency key only once.
KEYED_TRIES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Executor:
    """The backend of this process."""

    transport: Transport
    spool: Spool
    inputs: SourceCache
    root: Path  #: file names in the job database are relative to it
    readers: CapacityLimiter  #: threads that read answers; each holds one whole answer in memory
    alarm: Callable[[OSError], None]  #: called if this machine could not store an answer safely
    arrived: Callable[[str], None] = lambda _id: None  #: called for every paid answer, before it is read
    sandbox: bool = False  #: a sandbox run, as its sidecars state

    async def run(self, attempt: Attempt, ready: Ready) -> Outcome:
        """Carry *attempt* out, once, and return its outcome; *ready* is awaited right before its request is written.

        Raises StoreError if this machine cannot store or publish the answer; all other errors are in the outcome.
        """
        exchange = _Exchange(attempt, ready)
        try:
            return await self._converse(exchange)
        except ProviderError as error:
            fault = error.fault
            if exchange.unknown_before is not None and fault.charged is Charged.NO:
                # The first call under the same key may have been carried out, however a later one ended.
                fault = replace(exchange.unknown_before, message=f"{exchange.unknown_before.message} ({fault.message})")
            return self._outcome(exchange, fault, error.usage or exchange.usage)
        except (StoreError, OSError):
            raise
        except Exception as error:
            what = ": ".join(filter(None, (type(error).__name__, str(error))))
            if exchange.may_have_paid:
                raise UnreadableAnswer(
                    f"job {attempt.key}: a paid answer arrived and could not be read ({what}). It is kept in the spool:"
                    " the next run, or a fixed version of batchgen, delivers it without paying again"
                ) from error
            return self._outcome(exchange, own_fault(what, sent=exchange.sent, status=exchange.status), exchange.usage)

    def _outcome(self, exchange: _Exchange, fault: Fault, usage: Usage | None) -> Missed:
        """Return the outcome of an attempt without an image, with the cost that the answer states."""
        return Missed(
            fault=fault, usage=usage, charge=self._charge(exchange, fault, usage), request_id=exchange.request_id
        )

    async def _converse(self, exchange: _Exchange) -> Delivered:
        attempt = exchange.attempt
        stored = await to_thread.run_sync(self.spool.find, attempt.id) if attempt.resumed else None
        exchange.profile, exchange.model = self._profile_of(attempt, stored)
        request = await self._request(exchange)
        step: Call | Delivered = _begin(exchange, request)
        if attempt.resumed:
            try:
                step = await self._in_thread(partial(self._read_stored, exchange, stored))
            except ProviderError as error:
                if error.fault.cause is not Cause.UNKNOWN or not (_keyed(request) and attempt.key_valid):
                    raise
                step = _begin(exchange, request, after=error.fault)
        while isinstance(step, Call):
            try:
                step = await self._turn(exchange, request, step)
            except ProviderError as error:
                broke_off = exchange.head is not None and exchange.head.broken and error.fault.cause is Cause.UNKNOWN
                if not broke_off or exchange.again or not _keyed(request):
                    raise
                step = _begin(exchange, request, after=error.fault)
        return step

    async def _turn(self, exchange: _Exchange, request: Request, call: Call) -> Call | Delivered:
        client = self.transport.client(exchange.attempt.task.provider, exchange.attempt.account, exchange.profile)
        if not call.billed:
            with self.spool.scratch() as scratch:
                try:
                    head = await client.fetch(call.url, scratch, call.patience)
                except ProviderError as error:
                    # The dialect knows what the answer cost, and whether its other images are complete.
                    return await self._in_thread(partial(self._feed, exchange, error))
                return await self._in_thread(partial(self._read, exchange, head, scratch))
        with await to_thread.run_sync(self._slot, exchange) as slot:
            try:
                exchange.head = await self._send(exchange, client, call, slot, request)
            except BaseException:
                if not (exchange.sent or exchange.again):
                    slot.discard()  # To the next run, a slot without an answer means that the call may have been sent.
                raise
            finally:
                exchange.status = slot.status
            self.arrived(exchange.attempt.id)
            exchange.limit = read_rate_limit(exchange.head.headers)
            if slot.error is not None:
                self.alarm(slot.error)
            return await self._in_thread(partial(self._read, exchange, exchange.head, slot))

    async def _in_thread(self, work: Callable[[], Call | Delivered]) -> Call | Delivered:
        # Each thread holds one whole answer in memory, from its bytes to its published images.
        return await to_thread.run_sync(work, limiter=self.readers)

    def _slot(self, exchange: _Exchange) -> Slot:
        attempt = exchange.attempt
        order = asdict(attempt) | {
            slot_profile.KEY: slot_profile.dump(exchange.profile, exchange.model, attempt.task.model)
        }
        return self.spool.open(attempt.id, order, call_bytes(attempt.task), replace=exchange.again)

    async def _send(
        self, exchange: _Exchange, client: ProviderClient, call: Call, slot: Slot, request: Request
    ) -> ResponseHead:
        """Send a paid call: once, or again with the same key if the provider charges a key only once."""
        tries = KEYED_TRIES if _keyed(request) else 1
        while True:
            tries -= 1
            try:
                return await client.send(call, slot, deadline(request.task, request.profile), exchange.clear)
            except ProviderError as error:
                if error.fault.cause is not Cause.UNKNOWN or not tries:
                    raise
                exchange.unknown_before = error.fault
            await to_thread.run_sync(slot.rewind)

    def _profile_of(self, attempt: Attempt, stored: StoredAnswer | None) -> tuple[Profile, Model]:
        """Return the provider's profile: the current one, or the one in the slot if the manifest no longer has it."""
        try:
            profile = self.transport.client(attempt.task.provider).profile
            return profile, profile.find(attempt.task.model)[1]
        except LookupError:
            if not attempt.resumed:
                raise
        return slot_profile.load(attempt.task, stored.order if stored else {})

    async def _request(self, exchange: _Exchange) -> Request:
        attempt, profile, model = exchange.attempt, exchange.profile, exchange.model
        rules = model.rules(attempt.task.kind)
        task = attempt.task
        if not attempt.resumed:  # An answer that has arrived is read even if its source images have changed.
            await self.inputs.require_unchanged(task)
            task = await self.inputs.with_copies(task)
            by_bytes = rules is not None and not rules.image_urls
            task = await self.inputs.with_local_files(task) if by_bytes else task
        return Request(task=task, profile=profile, model=model, attempt_id=attempt.id)

    def _read(self, exchange: _Exchange, head: ResponseHead, sink: Slot | Scratch) -> Call | Delivered:
        body = decompressed(sink.body(), head.headers)
        return self._feed(exchange, Reply(status=head.status, headers=head.headers, body=body, broken=head.broken))

    def _read_stored(self, exchange: _Exchange, stored: StoredAnswer | None) -> Call | Delivered:
        """Feed the dialect the answer that an earlier run stored."""
        reply = _stored_reply(stored)
        exchange.head, exchange.status = ResponseHead(status=reply.status, headers=reply.headers), reply.status
        return self._feed(exchange, reply)

    def _feed(self, exchange: _Exchange, news: Reply | ProviderError) -> Call | Delivered:
        """Feed the dialect a reply or an error; publish its images once it has all of them."""
        try:
            return exchange.conversation.send(news) if isinstance(news, Reply) else exchange.conversation.throw(news)
        except StopIteration as end:
            generation: Generation = end.value
        return self._deliver(exchange, generation)

    def _deliver(self, exchange: _Exchange, generation: Generation) -> Delivered:
        attempt, exchange.usage = exchange.attempt, generation.usage
        cost = charge(generation.usage, attempt.task, exchange.model)
        found: list[_Found] = []
        damages: list[DamagedImageError] = []
        for number, picture in enumerate(generation.pictures):
            try:
                found.append(_Found(picture, examine(picture.data)))
            except DamagedImageError as error:
                damages.append(self._keep_beside(attempt, attempt.ordinal + number, picture, error))
        sent = replace(attempt, task=as_sent(attempt.task, exchange.model))
        artifacts = [self._publish(sent, found, index, generation.usage, cost) for index in range(len(found))]
        if not artifacts:
            raise ProviderError(_spoiled(damages), generation.usage)
        return Delivered(
            artifacts=tuple(artifacts),
            usage=generation.usage,
            charge=cost,
            text=generation.text,
            note="; ".join(filter(None, [generation.note, *map(str, damages)])) or None,
            shortfall=generation.shortfall or (_spoiled(damages) if damages else None),
            request_id=exchange.request_id,
            limit=exchange.limit,
        )

    @staticmethod
    def _keep_beside(attempt: Attempt, ordinal: int, picture: Picture, error: DamagedImageError) -> DamagedImageError:
        """Keep a picture that cannot be decoded here in the output folder; return *error* with its name."""
        if not isinstance(error, UnknownFormatError):
            return error
        name = attempt.file_name(ordinal, error.extension)
        publish(Path(attempt.folder), name, picture.data)
        return UnknownFormatError(f"{error}; it is kept as {Path(attempt.folder, name)}", error.extension)

    def _publish(self, attempt: Attempt, found: Sequence[_Found], index: int, usage: Usage, cost: Charge) -> Artifact:
        picture, facts = found[index].picture, found[index].facts
        ordinal = attempt.ordinal + index
        name = attempt.file_name(ordinal, facts.extension)
        folder = Path(attempt.folder)
        file = folder / name
        artifact = Artifact(
            ordinal=ordinal,
            path=str(file.relative_to(self.root) if file.is_relative_to(self.root) else file),
            sha256=hashlib.sha256(picture.data).hexdigest(),
            size_bytes=len(picture.data),
            width=facts.width,
            height=facts.height,
            mime=facts.mime,
        )
        beside = None
        if attempt.sidecar:
            share, note = cost.share(len(found), index), note_of(attempt.fingerprint)
            beside = describe(attempt, artifact, picture, usage, cost, share=share, sandbox=self.sandbox, note=note)
        publish(folder, name, picture.data, sidecar=beside)
        return artifact

    def _charge(self, exchange: _Exchange, fault: Fault, usage: Usage | None) -> Charge:
        if fault.charged is Charged.NO:
            return (reported_charge(usage, exchange.model) if usage is not None else None) or NOTHING
        if fault.charged is Charged.MAYBE and (usage is None or not usage.stated):
            return UNPRICED
        return charge(usage or Usage(images=exchange.attempt.task.n), exchange.attempt.task, exchange.model)


@dataclass(frozen=True, slots=True)
class _Found:
    """A complete image and what its file states."""

    picture: Picture
    facts: ImageInfo


@dataclass(slots=True)
class _Exchange:
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
    again: bool = False  #: a new conversation asks for the same purchase, under the same key
    unknown_before: Fault | None = None  #: of an earlier call under the same key, which may have been carried out

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
        return request_id(self.head.headers) if self.head else None


def _begin(exchange: _Exchange, request: Request, *, after: Fault | None = None) -> Call:
    """Begin the conversation, for the first time or *after* a fault; the key makes it the same purchase."""
    exchange.again, exchange.unknown_before = after is not None, after
    exchange.conversation = dialect(request.model.dialect or request.profile.dialect).converse(request)
    return next(exchange.conversation)


def _keyed(request: Request) -> bool:
    """Return whether the provider charges all calls under one key once."""
    return request.profile.idempotency_header is not None


def _stored_reply(stored: StoredAnswer | None) -> Reply:
    """Return the reply that a slot holds; raise ProviderError where it holds none."""
    if stored is None:
        # The slot is made, and its folder synced, before the call is sent: without a slot nothing was sent.
        raise ProviderError(Fault(cause=Cause.UNREACHED, message="the run ended before the request was sent"))
    if stored.status is None:
        raise lost()
    came = f"the run ended while the answer (HTTP {stored.status}) was arriving, after {len(stored.body)} bytes"
    broken = None if stored.sealed else came
    return Reply(
        status=stored.status, headers=stored.headers, body=decompressed(stored.body, stored.headers), broken=broken
    )


def _spoiled(damages: Sequence[DamagedImageError]) -> Fault:
    """Return the fault of pictures that were paid for and are damaged, or in a format that cannot be read here."""
    return Fault(
        cause=Cause.SPOILED,
        message="; ".join(dict.fromkeys(map(str, damages))),
        charged=Charged.YES,
        hint="the answer is kept in the spool",
        final=all(isinstance(error, UnknownFormatError) for error in damages),
    )
