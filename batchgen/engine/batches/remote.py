"""Remote batches: carries out the calls of a batch dialect over the transport.

Free calls are repeated a few times here. The call that creates a batch goes out once: ``lane`` decides what follows.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from anyio import sleep, to_thread

from ...fault import Cause, Charged, Fault, ProviderError
from ...files.result_files import SubmissionFiles
from ...providers.base import Call, Reply
from ...providers.batch_base import BatchDialect, ResultFile, Talk
from ...providers.error_mapping import fault_of
from ...providers.model import Model
from ...providers.profile import Profile
from ...transport import BufferSink, ProviderClient, decompressed, is_temporary
from ..lease import Lease
from ..remote_tasks import SLOWEST_UPLOAD

Value = TypeVar("Value")

#: How often a free call is tried, and the seconds before the first repeat; each further pause is twice as long.
TRIES, FIRST_WAIT, LONGEST_WAIT = 4, 1.0, 60.0
#: Seconds for one call without a file, and for a file of results.
CALL_SECONDS, DOWNLOAD_SECONDS = 90.0, 4 * 3600.0
#: Bytes of the largest file of results that is downloaded.
MOST_RESULTS = 20_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteBatches:
    """The batches of one model at one account of a provider."""

    client: ProviderClient
    dialect: BatchDialect
    profile: Profile
    model: Model
    may_repeat: Callable[[], bool] = lambda: True  #: False: the run is ending
    lease: Lease | None = None  #: for which the billed call may be sent; None: it has no need of one

    async def ask(self, talk: Talk[Value], upload_bytes: int = 0) -> Value:
        """Carry out a conversation about batches and return its result; raise ProviderError."""
        seconds = CALL_SECONDS + upload_bytes / SLOWEST_UPLOAD
        try:
            call = next(talk)
            while True:
                try:
                    reply = await (self._once if call.billed else self._repeated)(call, seconds)
                except ProviderError as error:
                    call = talk.throw(error)
                else:
                    call = talk.send(reply)
        except StopIteration as end:
            result: Value = end.value
            return result

    async def remove(self, input_file: str) -> None:
        """Delete a file of requests, if the provider lets us: it expires anyway."""
        with suppress(ProviderError):
            await self._once(self.dialect.removal(self.profile, input_file), CALL_SECONDS)

    async def download(self, file: ResultFile, files: SubmissionFiles) -> None:
        """Download a file of results, unless it is here already; raise ProviderError, or StoreError for this disk."""
        if files.result(file.name).exists():
            return
        with files.receive(file.name) as sink:
            head = await self.client.carry(file.call, sink, DOWNLOAD_SECONDS, MOST_RESULTS)
            if not 200 <= head.status < 300:
                reply = Reply(status=head.status, headers=head.headers, body=await to_thread.run_sync(sink.beginning))
                raise ProviderError(fault_of(reply, self.profile))
            if head.broken is not None:
                raise ProviderError(Fault(cause=Cause.UNREACHED, message=f"the download broke off: {head.broken}"))
            await to_thread.run_sync(sink.finish)

    async def _once(self, call: Call, seconds: float) -> Reply:
        sink = BufferSink()
        head = await self.client.carry(call, sink, seconds, ready=self._ready if call.billed else None)
        body = decompressed(sink.body(), head.headers)
        return Reply(status=head.status, headers=head.headers, body=body, broken=head.broken)

    async def _ready(self) -> None:
        """Raise ProviderError if another run may have the submission by now: it would create the batch as well."""
        if self.lease is not None and not self.lease.left:
            why = "nothing was sent: this runner could not renew its lease"
            raise ProviderError(Fault(cause=Cause.UNREACHED, message=why))

    async def _repeated(self, call: Call, seconds: float) -> Reply:
        """Return the answer to a free call, which is sent again where none came, or one that may pass."""
        for number in range(1, TRIES + 1):
            is_last = number == TRIES or not self.may_repeat()
            try:
                reply = await self._once(call, seconds)
            except ProviderError:
                if is_last:
                    raise
            else:
                if is_last or (not is_temporary(reply.status) and reply.broken is None):
                    return reply
            await sleep(min(FIRST_WAIT * 2.0 ** (number - 1), LONGEST_WAIT))
        raise AssertionError("the last try returns or raises")


def is_refusal(fault: Fault) -> bool:
    """Return whether a provider that answered in this way has certainly not created a batch.

    A limit (429) is a refusal too: a full queue of batches lasts for hours, in which their jobs have to stay pending.
    """
    is_answer = fault.status is not None and 400 <= fault.status < 500
    is_answer = is_answer and (fault.status == 429 or not is_temporary(fault.status or 0))
    return fault.charged is Charged.NO and fault.cause is not Cause.UNREACHED and is_answer
