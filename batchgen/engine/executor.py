"""Executor: carries a dialect's conversation over the wire and publishes the images that come.

Exceptions end here; the engine gets an outcome as a value. Idempotent by attempt id: an attempt whose answer is
already in the spool is finished from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path

from anyio import CancelScope, current_time, to_thread

from ..errors import StoreError, UnfinishedTask, UnreadableAnswer
from ..fault import Cause, Charged, ProviderError
from ..files.group_thread import GroupThread
from ..files.output import sync_names
from ..files.slot import Slot, StoredAnswer
from ..files.source_cache import SourceCache
from ..files.source_objects import StopWaiting
from ..files.spool import Scratch, Spool
from ..job import Attempt, Delivered, Outcome
from ..object_url import is_object_url
from ..planning.forecast import call_bytes
from ..providers import slot_profile
from ..providers.base import Call, Generation, Remember, Reply, Request, Step, Wait
from ..providers.model import Model
from ..providers.profile import Profile
from ..providers.ratelimit_headers import read_rate_limit
from ..providers.validation import deadline
from ..ready import Ready
from ..transport import LostResultError, ProviderClient, ResponseHead, Transport, decompressed
from .exchange import Exchange, ProfileDumps, TaskProgress, begin, is_keyed, missed, own_fault, stored_reply
from .handover import delivered_before, marked_delivery, remove_marker, write_marker
from .publication import publish
from .readers import Readers
from .remote_tasks import RemoteTasks, fault_of_task
from .request_sources import SourceUploads, with_files
from .uploads import Uploads

#: How often a paid call is sent where the provider charges an idempotency key only once.
KEYED_TRIES = 3
_ATTEMPT_FIELDS = tuple(field.name for field in fields(Attempt))


@dataclass(frozen=True, kw_only=True, slots=True)
class Executor:
    """The backend of this process."""

    transport: Transport
    spool: Spool
    inputs: SourceCache
    root: Path  #: file names in the job database are relative to it
    readers: Readers
    alarm: Callable[[Exception], None]  #: called if this machine could not store an answer safely
    tasks: RemoteTasks = field(default_factory=RemoteTasks)
    arrived: Callable[[str], None] = lambda _id: None  #: called for every paid answer, before it is read
    is_superseded: Callable[[Attempt], bool] = lambda _attempt: False  #: another runner has the job by now
    sandbox: bool = False  #: a sandbox run, as its sidecars state
    sources: SourceUploads = field(default_factory=SourceUploads)
    uploads: Uploads = field(default_factory=Uploads)  #: to an object store
    #: Syncs the folders of published files: a call alone takes one sync, 64 in flight share each.
    names: GroupThread[Path, None] = field(default_factory=lambda: GroupThread("batchgen-names", sync_names))
    _marked: set[str] = field(default_factory=set)  #: ids of attempts with a marker
    _dumps: ProfileDumps = field(default_factory=ProfileDumps)

    async def run(self, attempt: Attempt, ready: Ready) -> Outcome:
        """Carry *attempt* out, once, and return its outcome; *ready* is awaited right before its request is written.

        Raises StoreError if this machine cannot store or publish the answer, and UnfinishedTask if a remote task is
        left to the next run; all other errors are in the outcome.
        """
        exchange = Exchange(attempt, ready)
        if is_object_url(attempt.folder):
            exchange.place = self.uploads.place()
        try:
            return await self._run(exchange)
        finally:
            if exchange.place is not None:
                exchange.place.leave()

    async def release(self, attempt: Attempt, *, delivered: bool) -> None:
        """Remove what is left of an attempt whose outcome is committed, soon."""
        if attempt.id in self._marked:  # first, so that a slot that is left leads to a marker that is left
            self._marked.discard(attempt.id)
            await to_thread.run_sync(remove_marker, attempt)
        self.spool.release_soon(attempt.id, delivered, self.alarm)

    async def _run(self, exchange: Exchange) -> Outcome:
        attempt = exchange.attempt
        try:
            delivered = await self._converse(exchange)
            # An upload may last minutes, and another runner may have the job by then.
            await self.uploads.publish(exchange.uploads, partial(self.is_superseded, attempt))
            if not exchange.aside:
                await self._sync_names(delivered)
            # Only the images are left of an answer that the spool could not store: they may be on another disk. Of a
            # remote task the spool has no result, and the provider may not keep it for long.
            is_marked = exchange.unstored or exchange.task is not None
            if (
                is_marked
                and attempt.id not in self._marked
                and await to_thread.run_sync(write_marker, attempt, delivered)
            ):
                self._marked.add(attempt.id)
        except ProviderError as error:
            await self.uploads.publish(exchange.uploads)  # pictures that cannot be read here
            fault = fault_of_task(exchange, error.fault)
            if exchange.unknown_before is not None and fault.charged is Charged.NO:
                # The first call under the same key may have been carried out, however a later one ended.
                fault = replace(exchange.unknown_before, message=f"{exchange.unknown_before.message} ({fault.message})")
            return missed(exchange, fault, error.usage or exchange.usage)
        except (StoreError, OSError, UnfinishedTask):
            raise
        except Exception as error:
            what = ": ".join(filter(None, (type(error).__name__, str(error))))
            if exchange.may_have_paid:
                raise UnreadableAnswer(
                    f"job {attempt.key}: a paid answer arrived and could not be read ({what}). It is kept in the spool:"
                    " the next run, or a fixed version of batchgen, delivers it without paying again"
                ) from error
            return missed(exchange, own_fault(exchange, what), exchange.usage)
        return delivered

    async def _sync_names(self, delivered: Delivered) -> None:
        """Make the names of published files durable, together with those of other calls."""
        files = (self.root / artifact.path for artifact in delivered.artifacts if not is_object_url(artifact.path))
        for file in {file.parent: file for file in files}.values():
            await self.names.submit(file)

    async def _converse(self, exchange: Exchange) -> Delivered:
        attempt = exchange.attempt
        if attempt.resumed and exchange.place is not None:
            await exchange.place.take()  # before its answer is in memory
        stored = await to_thread.run_sync(self.spool.find, attempt.id) if attempt.resumed else None
        exchange.profile, exchange.model = self._profile_of(attempt, stored)
        request = await self._request(exchange)
        step: Step | Delivered
        if attempt.handle is not None:
            step = await self._continue_task(exchange, request)
        elif attempt.resumed:
            step = await self._continue_stored(exchange, request, stored)
        else:
            step = begin(exchange, request)
        while not isinstance(step, Delivered):
            try:
                step = await self._turn(exchange, request, step)
            except ProviderError as error:
                broke_off = exchange.head is not None and exchange.head.broken and error.fault.cause is Cause.UNKNOWN
                if not broke_off or exchange.again or exchange.task is not None or not is_keyed(request):
                    raise
                step = begin(exchange, request, after=error.fault)
        return step

    async def _continue_stored(
        self, exchange: Exchange, request: Request, stored: StoredAnswer | None
    ) -> Step | Delivered:
        """Continue from the answer that an earlier run stored, or send the call again under its key."""
        begin(exchange, request)
        try:
            return await self._read_in_place(exchange, partial(self._read_stored, exchange, stored))
        except ProviderError as error:
            if error.fault.cause is not Cause.UNKNOWN or not (is_keyed(request) and exchange.attempt.key_valid):
                raise
            return begin(exchange, request, after=error.fault)

    async def _continue_task(self, exchange: Exchange, request: Request) -> Step | Delivered:
        """Poll the remote task of an earlier run, unless its images are already published."""
        attempt = exchange.attempt
        if (delivered := await to_thread.run_sync(marked_delivery, attempt)) is not None:
            self._marked.add(attempt.id)
            return delivered
        exchange.task = TaskProgress(ends=current_time(), handle=attempt.handle, is_confirmed=False)
        if attempt.given_up:
            await self.tasks.cancel(exchange, self._client(exchange), request)
        return begin(exchange, request)

    async def _turn(self, exchange: Exchange, request: Request, step: Step) -> Step | Delivered:
        if isinstance(step, Remember):
            await self.tasks.remember(exchange, step)
        elif isinstance(step, Wait):
            await self.tasks.wait(exchange, step.seconds)
            if await self.tasks.is_given_up(exchange.attempt):
                await self.tasks.cancel(exchange, self._client(exchange), request)
        elif step.billed:
            return await self._buy(exchange, request, step)
        else:
            return await self._ask(exchange, step)
        return await self._read_in_place(exchange, partial(self._feed, exchange, None))

    def _client(self, exchange: Exchange) -> ProviderClient:
        return self.transport.client(exchange.attempt.task.provider, exchange.attempt.account, exchange.profile)

    async def _ask(self, exchange: Exchange, call: Call) -> Step | Delivered:
        """Poll a remote task, or download a result."""
        client = self._client(exchange)
        if call.signed:
            reply = await self.tasks.poll(exchange, client, call)
            return await self._read_in_place(exchange, partial(self._feed, exchange, reply))
        with self.spool.scratch() as scratch:
            try:
                head = await client.fetch(call.url, scratch, call.patience)
            except LostResultError as error:
                if await self.tasks.before_download(exchange, error):
                    return call
                # The dialect knows what the answer cost, and whether its other images are complete.
                return await self._read_in_place(exchange, partial(self._feed, exchange, error))
            exchange.has_results = True
            return await self._read_in_place(exchange, partial(self._read, exchange, head, scratch))

    async def _buy(self, exchange: Exchange, request: Request, call: Call) -> Step | Delivered:
        if exchange.attempt.handle is not None:  # Its task was started by another dialect, or for another model.
            message = f"{request.profile.name} is set up in another way than when its tasks were started"
            raise UnfinishedTask(f"{message}: set its dialect and its model as they were")
        client = self._client(exchange)
        with await self._slot(exchange) as slot:
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
            try:
                return await self._synced_and_read(exchange, exchange.head, slot)
            finally:
                if slot.error is not None:
                    exchange.unstored = True
                    self.alarm(slot.error)

    async def _synced_and_read(self, exchange: Exchange, head: ResponseHead, slot: Slot) -> Step | Delivered:
        """Make an answer durable at once, then read it: in one hop to a thread if a reader is idle."""

        def work() -> Step | Delivered:
            with slot:  # its end waits for the disk as well
                slot.sync()
                return self._read(exchange, head, slot)

        return await self._read_in_place(exchange, work, first=slot.sync)

    async def _read_in_place(
        self, exchange: Exchange, work: Callable[[], Step | Delivered], first: Callable[[], None] | None = None
    ) -> Step | Delivered:
        """Read an answer in a thread; one for an object store waits for a place, and keeps it while it uploads."""
        place = exchange.place
        if place is None:
            return await self.readers.run(work, first=first)
        if first is not None:
            await self.readers.run(first)
        await place.take()
        try:
            step = await self.readers.run(work)
        except ProviderError:
            if not exchange.uploads:
                place.leave()
            raise
        if not isinstance(step, Delivered):
            place.leave()
        return step

    async def _slot(self, exchange: Exchange) -> Slot:
        attempt = exchange.attempt
        order = {name: getattr(attempt, name) for name in _ATTEMPT_FIELDS}
        order[slot_profile.KEY] = self._dumps.content(exchange)
        opening = self.spool.open_soon(attempt.id, order, call_bytes(attempt.task), replace=exchange.again)
        with CancelScope(shield=True):  # a slot without an owner would count as a call that was sent
            await opening
        return opening.result()

    async def _send(
        self, exchange: Exchange, client: ProviderClient, call: Call, slot: Slot, request: Request
    ) -> ResponseHead:
        """Send a paid call: once, or again with the same key if the provider charges a key only once."""
        tries = KEYED_TRIES if is_keyed(request) else 1
        while True:
            tries -= 1
            try:
                return await client.send(
                    call, slot, deadline(request.task, request.profile, request.mode), exchange.clear
                )
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

    async def _request(self, exchange: Exchange) -> Request:
        attempt, profile, model = exchange.attempt, exchange.profile, exchange.model
        task = attempt.task
        if not attempt.resumed:  # An answer that has arrived is read even if its source images have changed.
            try:
                task = await with_files(task, model.rules(task.kind), profile.name, self.inputs)
            except StopWaiting:
                await exchange.ready()  # raises: the lane of a run that is ending lets nothing go
                raise
        request = Request(
            task=task,
            profile=profile,
            model=model,
            attempt_id=attempt.id,
            mode=attempt.mode,
            handle=attempt.handle,
        )
        if attempt.resumed:
            return request
        ask = partial(self.tasks.poll, exchange, self._client(exchange))
        return await self.sources.with_addresses(request, attempt.account, ask)

    def _read(self, exchange: Exchange, head: ResponseHead, sink: Slot | Scratch) -> Step | Delivered:
        return self._feed(exchange, _reply(head, sink))

    def _read_stored(self, exchange: Exchange, stored: StoredAnswer | None) -> Step | Delivered:
        """Feed the dialect the answer that an earlier run stored, or return what a marker states."""
        if (delivered := delivered_before(exchange.attempt, stored)) is not None:
            self._marked.add(exchange.attempt.id)
            return delivered
        reply = stored_reply(stored, elsewhere=exchange.attempt.elsewhere)
        exchange.head, exchange.status = ResponseHead(status=reply.status, headers=reply.headers), reply.status
        return self._feed(exchange, reply)

    def _feed(self, exchange: Exchange, news: Reply | ProviderError | None) -> Step | Delivered:
        """Feed the dialect a reply, an error or nothing; publish its images once it has all of them."""
        talk = exchange.conversation
        try:
            return talk.throw(news) if isinstance(news, ProviderError) else talk.send(news)
        except StopIteration as end:
            generation: Generation = end.value
        exchange.aside = self.is_superseded(exchange.attempt)
        del news  # its megabytes are not needed while the images are synced
        return publish(exchange, generation, self.root, sandbox=self.sandbox)


def _reply(head: ResponseHead, sink: Slot | Scratch) -> Reply:
    body = decompressed(sink.body(), head.headers)
    return Reply(status=head.status, headers=head.headers, body=body, broken=head.broken)
