"""Perform one attempt: carry a dialect's conversation over the wire and publish what comes.

This is the whole of what runs on a worker, here or in a cluster.  Exceptions end here; past this module only values
travel.  It is idempotent by attempt id: an attempt whose answer already lies in the spool is finished from there.
"""

from __future__ import annotations

import hashlib
import re
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
from ..providers import dialect, slot_profile
from ..providers.base import Call, Conversation, Generation, Reply, Request
from ..providers.error_mapping import request_id
from ..providers.pricing import charge, reported_charge
from ..providers.profile import Model, Profile
from ..providers.ratelimit_headers import read_rate_limit
from ..providers.validation import deadline
from ..task import NOTHING, UNPRICED, Artifact, Charge, Picture, Task, Usage
from ..transport import ProviderClient, ResponseHead, Transport, decompressed

#: How often one purchase is asked for, where the provider charges an idempotency key once.
KEYED_TRIES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Executor:
    """What performing needs.  ``root`` is the folder that file names in the job table are relative to."""

    transport: Transport
    spool: Spool
    inputs: SourceCache
    root: Path
    readers: CapacityLimiter  #: threads that read answers; each holds one whole answer in memory
    alarm: Callable[[OSError], None]  #: called when this machine could not keep an answer as it should
    arrived: Callable[[str], None] = lambda _id: None  #: called for every paid answer, before it is read
    rehearsal: bool = False  #: what is delivered is simulated, and its sidecars say so

    async def run(self, attempt: Attempt) -> Outcome:
        """Carry *attempt* out, once, and return what came of it.

        Raises StoreError where this machine cannot keep or publish the answer; all else is in the outcome.
        """
        talk = _Exchange(attempt)
        try:
            return await self._converse(talk)
        except ProviderError as error:
            fault = error.fault
            if talk.in_doubt is not None and fault.charged is Charged.NO:
                # how a later call under the same key ended says nothing of the first, which may have been carried out
                fault = replace(talk.in_doubt, message=f"{talk.in_doubt.message} ({fault.message})")
            return self._missed(talk, fault, error.usage or talk.usage)
        except (StoreError, OSError):
            raise
        except Exception as error:
            what = ": ".join(filter(None, (type(error).__name__, str(error))))
            if talk.may_have_paid:
                raise UnreadableAnswer(
                    f"job {attempt.key}: a paid answer arrived and could not be read ({what}). It is kept in the spool:"
                    " the next run, or a fixed version of batchgen, delivers it without paying again"
                ) from error
            return self._missed(talk, _own_fault(talk, what), talk.usage)

    def _missed(self, talk: _Exchange, fault: Fault, usage: Usage | None) -> Missed:
        """Return the outcome of an attempt without an image, with all that the answer states of its cost."""
        return Missed(fault=fault, usage=usage, charge=self._charge(talk, fault, usage), request_id=talk.request_id)

    async def _converse(self, talk: _Exchange) -> Delivered:
        attempt = talk.attempt
        kept = await to_thread.run_sync(self.spool.find, attempt.id) if attempt.resumed else None
        talk.profile, talk.model = self._terms(attempt, kept)
        request = await self._request(talk)
        step: Call | Delivered = _begin(talk, request)
        if attempt.resumed:
            try:
                step = await self._in_thread(partial(self._read_stored, talk, kept))
            except ProviderError as error:
                if error.fault.cause is not Cause.UNKNOWN or not (_keyed(request) and attempt.key_valid):
                    raise
                step = _begin(talk, request, after=error.fault)
        while isinstance(step, Call):
            try:
                step = await self._turn(talk, request, step)
            except ProviderError as error:
                broke_off = talk.head is not None and talk.head.broken and error.fault.cause is Cause.UNKNOWN
                if not broke_off or talk.again or not _keyed(request):
                    raise
                step = _begin(talk, request, after=error.fault)
        return step

    async def _turn(self, talk: _Exchange, request: Request, call: Call) -> Call | Delivered:
        line = self.transport.client(talk.attempt.task.provider, talk.attempt.account, talk.profile)
        if not call.billed:
            with self.spool.scratch() as scratch:
                try:
                    head = await line.fetch(call.url, scratch, call.patience)
                except ProviderError as error:
                    # the dialect knows what the answer cost, and whether other images of it are whole
                    return await self._in_thread(partial(self._feed, talk, error))
                return await self._in_thread(partial(self._read, talk, head, scratch))
        with await to_thread.run_sync(self._slot, talk) as slot:
            talk.sent = True
            try:
                talk.head = await self._send(talk, line, call, slot, request)
            finally:
                talk.status = slot.status
            self.arrived(talk.attempt.id)
            talk.limit = read_rate_limit(talk.head.headers)
            if slot.error is not None:
                self.alarm(slot.error)
            return await self._in_thread(partial(self._read, talk, talk.head, slot))

    async def _in_thread(self, work: Callable[[], Call | Delivered]) -> Call | Delivered:
        # one whole answer in memory per thread: from its bytes to its published images without letting go
        return await to_thread.run_sync(work, limiter=self.readers)

    def _slot(self, talk: _Exchange) -> Slot:
        attempt = talk.attempt
        order = asdict(attempt) | {slot_profile.KEY: slot_profile.dump(talk.profile, talk.model, attempt.task.model)}
        return self.spool.open(attempt.id, order, _room_for(attempt.task), replace=talk.again)

    async def _send(
        self, talk: _Exchange, line: ProviderClient, call: Call, slot: Slot, request: Request
    ) -> ResponseHead:
        """Send a paid call: once, or again with the same key where the provider promises to charge a key once."""
        tries = KEYED_TRIES if _keyed(request) else 1
        while True:
            tries -= 1
            try:
                return await line.send(call, slot, deadline(request.task, request.profile))
            except ProviderError as error:
                if error.fault.cause is not Cause.UNKNOWN or not tries:
                    raise
                talk.in_doubt = error.fault
            await to_thread.run_sync(slot.rewind)

    def _terms(self, attempt: Attempt, kept: StoredAnswer | None) -> tuple[Profile, Model]:
        """Return the provider's facts: today's, or those noted in the slot where the manifest has it no more."""
        try:
            profile = self.transport.client(attempt.task.provider).profile
            return profile, profile.find(attempt.task.model)[1]
        except LookupError:
            if not attempt.resumed:
                raise
        return slot_profile.load(attempt.task, kept.order if kept else {})

    async def _request(self, talk: _Exchange) -> Request:
        attempt, profile, model = talk.attempt, talk.profile, talk.model
        rules = model.rules(attempt.task.kind)
        task = attempt.task
        if not attempt.resumed:  # what has arrived is read whatever became of its sources
            await self.inputs.require_unchanged(task)
            by_bytes = rules is not None and not rules.image_urls
            task = await self.inputs.with_local_files(task) if by_bytes else task
        return Request(task=task, profile=profile, model=model, attempt_id=attempt.id)

    def _read(self, talk: _Exchange, head: ResponseHead, sink: Slot | Scratch) -> Call | Delivered:
        body = decompressed(sink.body(), head.headers)
        return self._feed(talk, Reply(status=head.status, headers=head.headers, body=body, broken=head.broken))

    def _read_stored(self, talk: _Exchange, kept: StoredAnswer | None) -> Call | Delivered:
        """Go on from what an earlier run kept of the answer."""
        reply = _kept_reply(kept)
        talk.head, talk.status = ResponseHead(status=reply.status, headers=reply.headers), reply.status
        return self._feed(talk, reply)

    def _feed(self, talk: _Exchange, news: Reply | ProviderError) -> Call | Delivered:
        """Pass on to the dialect what came, or what went wrong; publish its pictures once it has them all."""
        try:
            return talk.conversation.send(news) if isinstance(news, Reply) else talk.conversation.throw(news)
        except StopIteration as end:
            generation: Generation = end.value
        return self._deliver(talk, generation)

    def _deliver(self, talk: _Exchange, generation: Generation) -> Delivered:
        attempt, talk.usage = talk.attempt, generation.usage
        cost = charge(generation.usage, attempt.task, talk.model)
        artifacts: list[Artifact] = []
        damages: list[DamagedImageError] = []
        for number, picture in enumerate(generation.pictures):
            try:
                found = _Found(picture, examine(picture.data))
            except DamagedImageError as error:
                damages.append(self._keep_beside(attempt, attempt.ordinal + number, picture, error))
                continue
            ordinal = attempt.ordinal + len(artifacts)
            artifacts.append(self._publish(attempt, found, ordinal, generation.usage, cost))
        if not artifacts:
            raise ProviderError(_spoiled(damages), generation.usage)
        return Delivered(
            artifacts=tuple(artifacts),
            usage=generation.usage,
            charge=cost,
            text=generation.text,
            note="; ".join(filter(None, [generation.note, *map(str, damages)])) or None,
            shortfall=generation.shortfall or (_spoiled(damages) if damages else None),
            request_id=talk.request_id,
            limit=talk.limit,
        )

    @staticmethod
    def _keep_beside(attempt: Attempt, ordinal: int, picture: Picture, error: DamagedImageError) -> DamagedImageError:
        """Keep a picture that cannot be decoded here in the output folder; return *error* with its name."""
        if not isinstance(error, UnknownFormatError):
            return error
        name = attempt.file_name(ordinal, error.extension)
        publish(Path(attempt.folder), name, picture.data)
        return UnknownFormatError(f"{error}; it is kept as {Path(attempt.folder, name)}", error.extension)

    def _publish(self, attempt: Attempt, found: _Found, ordinal: int, usage: Usage, cost: Charge) -> Artifact:
        picture, facts = found.picture, found.facts
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
            beside = describe(attempt, artifact, picture, usage, cost, rehearsal=self.rehearsal)
        publish(folder, name, picture.data, sidecar=beside)
        return artifact

    def _charge(self, talk: _Exchange, fault: Fault, usage: Usage | None) -> Charge:
        if fault.charged is Charged.NO:
            return (reported_charge(usage, talk.model) if usage is not None else None) or NOTHING
        if fault.charged is Charged.MAYBE and (usage is None or not usage.stated):
            return UNPRICED
        return charge(usage or Usage(images=talk.attempt.task.n), talk.attempt.task, talk.model)


@dataclass(frozen=True, slots=True)
class _Found:
    """A picture that proved to be a whole image."""

    picture: Picture
    facts: ImageInfo


@dataclass(slots=True)
class _Exchange:
    """What is known of a conversation so far; it outlives the exception that ends it."""

    attempt: Attempt
    profile: Profile = field(init=False)
    model: Model = field(init=False)
    conversation: Conversation = field(init=False)
    sent: bool = False  #: the paid call may have gone out
    status: int | None = None  #: of the answer to it, which has begun to arrive
    head: ResponseHead | None = None
    usage: Usage | None = None
    limit: RateLimitInfo | None = (
        None  #: as the answer just paid for says; what an earlier run kept says nothing of today
    )
    again: bool = False  #: a new conversation asks for the same purchase, under the same key
    in_doubt: Fault | None = None  #: how an earlier call under the same key ended, which may have been carried out

    @property
    def may_have_paid(self) -> bool:
        """Return whether an answer with a good status is here, or may be in the spool, where an earlier run left it."""
        if self.status is None:
            return self.attempt.resumed and not self.sent
        return self.status < 300

    @property
    def request_id(self) -> str | None:
        return request_id(self.head.headers) if self.head else None


def _begin(talk: _Exchange, request: Request, *, after: Fault | None = None) -> Call:
    """Begin the conversation, for the first time or *after* a fault: the key makes it the same purchase."""
    talk.again, talk.in_doubt = after is not None, after
    talk.conversation = dialect(request.model.dialect or request.profile.dialect).converse(request)
    return next(talk.conversation)


def _keyed(request: Request) -> bool:
    """Return whether the provider charges all calls under one key once."""
    return request.profile.idempotency_header is not None


def _kept_reply(kept: StoredAnswer | None) -> Reply:
    """Return the reply that a slot holds; raise ProviderError where it holds none."""
    if kept is None:
        # the slot is made before the call is sent, and its folder synced: without a slot nothing was sent
        raise ProviderError(Fault(cause=Cause.UNREACHED, message="the run ended before the request was sent"))
    if kept.status is None:
        raise _lost()
    came = f"the run ended while the answer (HTTP {kept.status}) was arriving, after {len(kept.body)} bytes"
    broken = None if kept.sealed else came
    return Reply(status=kept.status, headers=kept.headers, body=decompressed(kept.body, kept.headers), broken=broken)


def _own_fault(talk: _Exchange, what: str) -> Fault:
    """Return the fault of a call that an error of batchgen's own ended: nothing is known of one that went out."""
    if not talk.sent:
        return Fault(cause=Cause.ERROR, message=f"an error in batchgen itself, before anything was sent: {what}")
    if talk.status is None:
        return replace(_lost().fault, message=f"an error in batchgen itself while the answer was awaited: {what}")
    return Fault(cause=Cause.ERROR, message=f"an error in batchgen itself: {what}", charged=Charged.MAYBE)


def _spoiled(damages: Sequence[DamagedImageError]) -> Fault:
    """Return the fault of pictures that were paid for and are damaged, or in a format that cannot be read here."""
    return Fault(
        cause=Cause.SPOILED,
        message="; ".join(dict.fromkeys(map(str, damages))),
        charged=Charged.YES,
        hint="the answer is kept in the spool",
        final=all(isinstance(error, UnknownFormatError) for error in damages),
    )


def _lost() -> ProviderError:
    return ProviderError(
        Fault(
            cause=Cause.UNKNOWN,
            message="the run ended while the request was under way",
            charged=Charged.MAYBE,
            hint="it may have been carried out and charged; the provider's own log can tell",
        )
    )


def _room_for(task: Task) -> int:
    """Return the bytes an answer may need: a photo has about two bytes a pixel as PNG, four thirds of it in base64."""
    found = re.fullmatch(r"(\d+)x(\d+)", task.size or "")
    pixels = int(found[1]) * int(found[2]) if found else 1024 * 1536
    return task.n * min(pixels, 8_294_400) * 8 // 3 + 65_536
