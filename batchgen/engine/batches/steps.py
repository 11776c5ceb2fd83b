"""Steps of a submission, each committed before the next one begins, so that a crash between any two loses nothing.

=============  ===================================  ===========================================================
state          what may exist at the provider       what the next run does
=============  ===================================  ===========================================================
building       nothing, or a file without a use     releases its calls: none was sent
submitting     a file, and perhaps a batch          looks for the batch in the provider's list, and adopts it; if it
                                                    is missing there for good, releases its calls
submitted      a batch                              polls; once it has ended, downloads its results
downloaded     a batch, whose results are here      delivers them; calls that are settled are passed over
=============  ===================================  ===========================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from anyio import to_thread

from ...database_url import Database, database_name
from ...fault import Cause, Fault, ProviderError
from ...files.result_files import SubmissionFiles
from ...files.result_rows import ResultRows
from ...files.source_cache import SourceCache
from ...files.spool import Spool
from ...job import Missed
from ...providers import batches_of
from ...providers.batch_base import BatchState, RemoteBatch
from ...providers.batch_rules import collect_by, lacks_results
from ...providers.profile import Profile
from ...store import submissions
from ...store.guest import write_as_guest
from ...store.reader import Reader
from ...store.submissions import Submission, SubmissionState
from ...transport import Transport
from ..attempts import AttemptRunner
from ..lane import Lane
from . import decisions
from .building import RequestFile, claim_all, order_of, order_of_batch
from .collecting import Collector, OpenCall
from .grouping import Draft
from .holding import why_held
from .notes import note_batch, write_note
from .reminders import Reminders
from .remote import RemoteBatches, is_refusal


@dataclass(kw_only=True, slots=True)
class Steps:
    """Carries out the steps of the submissions of one provider."""

    profile: Profile
    lanes: list[Lane]  #: of the provider
    attempts: AttemptRunner
    reader: Reader
    database: Database
    transport: Transport
    spool: Spool
    inputs: SourceCache
    folder: Path  #: of the files of submissions
    reminders: Reminders
    show_message: Callable[[str], None] = lambda _text: None
    refused: dict[str, Fault] = field(default_factory=dict)  #: why the provider did not take a submission
    stuck: set[str] = field(default_factory=set)  #: submissions that this run cannot settle
    _uploaded: dict[tuple[str | None, str], dict[str, str]] = field(default_factory=dict)
    _missing_since: dict[str, datetime] = field(default_factory=dict)  #: when this run first missed results

    async def take_over(self, batch_id: int) -> list[Submission]:
        """Return the live submissions of the provider that no other run has in hand."""
        query = partial(submissions.take_over, batch_id=batch_id, run_id=self.attempts.run_id)
        taken = await to_thread.run_sync(write_as_guest, self.database, query)
        return [each for each in taken if each.provider == self.profile.name]

    async def advance(self, submission: Submission, *, keep: bool) -> Submission:
        """Do what is next for a submission, and return it; *keep*: its calls are still bought in batches."""
        if submission.state is SubmissionState.DOWNLOADED and not await self._open_calls(submission):
            return await self._end(submission, SubmissionState.COLLECTED)  # whatever the provider still has of it
        self.reminders.look(submission, self.attempts.now())
        if (why := why_held(submission, self.profile, self.lanes, self._files(submission))) is not None:
            self._leave(submission, why)
            return await self._step(submission, message=why)
        if submission.state is SubmissionState.BUILDING:
            return await self._release(submission, "the run ended before the batch was submitted")
        adopts = submission.state is SubmissionState.SUBMITTING
        return await (self._adopt(submission) if adopts else self._poll(submission, cancel=not keep))

    def _leave(self, submission: Submission, why: str) -> None:
        """Leave a submission to later runs."""
        self.stuck.add(submission.id)
        self.show_message(f"waiting   batch {submission.remote_id or submission.id}: {why}")

    # --- to the provider --------------------------------------------------------

    async def build(self, lane: Lane, batch_id: int, draft: Draft) -> Submission | None:
        """Claim the jobs of *draft* and submit them; return None if the budget allows none of them."""
        if self.attempts.why_refused(lane, draft.jobs[0]) is not None:
            return None
        submission = Submission(
            id=self.attempts.new_id(),
            batch_id=batch_id,
            run_id=self.attempts.run_id,
            provider=self.profile.name,
            account=lane.account,
            endpoint=draft.group.kind.value,
            model=draft.group.model,
            created_at=self.attempts.now(),
        )
        await to_thread.run_sync(write_as_guest, self.database, partial(submissions.add, submission=submission))
        if not await claim_all(self.attempts, lane, draft.jobs, submission.id):
            await self._release(submission, "no call was claimed")
            return None
        file = RequestFile(
            remote=self._remote(submission),
            inputs=self.inputs,
            files=self._files(submission),
            uploaded=self._uploaded.setdefault((lane.account, draft.group.model), {}),
        )
        uploaded: tuple[str, str] | None = None
        with lane.uploads.interruptible():
            try:
                uploaded = await self._upload(submission, file)
            except ProviderError as error:
                return await self._refuse(submission, error.fault)
        if uploaded is None or lane.draining:
            return await self._release(submission, "the run ended before the batch was submitted")
        name, digest = uploaded
        submission = await self._step(
            submission,
            state=SubmissionState.SUBMITTING,
            input_file=name,
            body_sha256=digest,
            submitted_at=self.attempts.now(),
        )
        return await self._create(submission)

    async def _upload(self, submission: Submission, file: RequestFile) -> tuple[str, str] | None:
        """Write and upload the file; None if no request of it can be sent."""
        for call in await self._open_calls(submission):
            opened, lane = self.attempts.reopen(self._lane(submission), *call)
            attempt = await self.attempts.with_images(opened.attempt)
            if (missed := await file.add(attempt)) is not None:
                await self.attempts.resume(lane, *call, missed)
        return await file.upload(submission.id) if file.lines else None

    async def _create(self, submission: Submission) -> Submission:
        remote = self._remote(submission)
        await self._note(submission)
        try:
            batch = await remote.ask(remote.dialect.create(self.profile, order_of_batch(submission, self.profile)))
        except ProviderError as error:
            if is_refusal(error.fault):
                return await self._refuse(submission, error.fault)
            # It may have been created: the next looks search the provider's list.
            grace = self.profile.batch.listing_grace
            text = f"the creation of the batch has no answer ({error.fault.message}): batchgen looks for it in "
            text += f"{submission.provider}'s list, and creates it only if it is still missing there {grace:g} s later"
            self.show_message(text)
            return await self._step(submission, message=text)
        return await self._submitted(submission, batch)

    async def _adopt(self, submission: Submission) -> Submission:
        """Look for the batch of a submission whose creation has no answer; release its calls if there is none for sure.

        It is not created from the old file: jobs and budgets may have changed since.
        """
        remote, now = self._remote(submission), self.attempts.now()
        try:
            listing = await remote.ask(remote.dialect.find(self.profile, order_of_batch(submission, self.profile)))
        except ProviderError as error:
            return await self._step(submission, message=f"the provider's list cannot be read: {error.fault.message}")
        # Until it is created, a submission keeps here when a complete list lacked it first: runs may be short.
        verdict = decisions.judge_listing(listing, submission.polled_at, now, self.profile.batch.listing_grace)
        if verdict is decisions.Verdict.ADOPT:
            return await self._submitted(submission, listing.batches[0])
        if verdict is decisions.Verdict.WAIT:
            first = now if listing.complete else None
            return await self._step(submission, polled_at=submission.polled_at or first)
        return await self._remove_requests(await self._release(submission, "the batch was not created"), remote)

    async def _note(self, submission: Submission) -> None:
        """Note beside its files what the job database knows of a submission; raise StoreError."""
        files, calls = self._files(submission), await self._open_calls(submission)
        name = database_name(self.database)
        await to_thread.run_sync(write_note, files, submission, self.attempts.batch, name, calls)
        await to_thread.run_sync(files.write_address, self.profile.base_url, name)

    async def _submitted(self, submission: Submission, batch: RemoteBatch) -> Submission:
        await to_thread.run_sync(note_batch, self._files(submission), batch.id)
        reported = decisions.facts_of(batch, self.attempts.now())
        after = await self._step(submission, state=SubmissionState.SUBMITTED, remote_id=batch.id, **reported)
        calls = len(await self._open_calls(after))
        count = f"{calls:,} call{'' if calls == 1 else 's'}"
        self.show_message(f"submitted {count} to {after.provider} as batch {batch.id}")
        return after

    # --- and back ---------------------------------------------------------------

    async def _poll(self, submission: Submission, *, cancel: bool) -> Submission:
        remote, now = self._remote(submission), self.attempts.now()
        try:
            batch = await remote.ask(remote.dialect.poll(self.profile, submission.remote_id or ""))
            if cancel and remote.dialect.keeps_part and not batch.state.is_final:
                await remote.ask(remote.dialect.cancel(self.profile, batch.id))
        except ProviderError as error:
            if error.fault.cause is Cause.UNKNOWN and error.fault.final:
                return await self._missing(submission, error.fault)
            return await self._step(submission, message=error.fault.message)
        end = collect_by(batch, remote.dialect.limits, submission.submitted_at or submission.created_at)
        missing = decisions.missing_results(batch, now, end)
        facts = decisions.facts_of(batch, now) | {"message": missing or submission.cancellation}
        after = await self._step(submission, **facts, collect_by=end)
        if missing and now - self._missing_since.setdefault(after.id, now) >= decisions.RESULTS_PATIENCE:
            self._leave(after, f"{missing}; the next run looks again")
        return await self._collect(after, batch) if batch.state.is_final and missing is None else after

    async def _collect(self, submission: Submission, batch: RemoteBatch) -> Submission:
        """Download the results of a batch that has ended, and settle its calls."""
        collector = await self._collector(submission, batch)
        is_over = submission.collect_by is not None and self.attempts.now() >= submission.collect_by
        if is_over and lacks_results(batch):
            return await self._lose(collector, submission)
        if not batch.nothing_ran:
            try:
                await collector.fetch()
            except ProviderError as error:
                if is_over:
                    return await self._lose(collector, submission)
                text = f"the results of batch {batch.id} cannot be downloaded yet: {error.fault.message}"
                return await self._step(submission, message=text)
        submission = await self._step(submission, state=SubmissionState.DOWNLOADED)
        await collector.deliver(await self._open_calls(submission))
        return await self._remove_requests(await self._finish(submission, collector), collector.remote)

    async def _lose(self, collector: Collector, submission: Submission) -> Submission:
        """Settle the calls of a batch as unknown whose results have vanished at the provider."""
        await collector.lose(await self._open_calls(submission))
        return await self._finish(submission, collector)

    async def _collector(self, submission: Submission, batch: RemoteBatch) -> Collector:
        remote = self._remote(submission)
        sent = await to_thread.run_sync(self.reader.ask, partial(submissions.sent_calls, submission=submission))
        return Collector(
            attempts=self.attempts,
            spool=self.spool,
            remote=remote,
            lane=self._lane(submission),
            batch=batch,
            files=self._files(submission),
            lines=order_of(sent),
            rows=ResultRows(remote.dialect.read_row),
        )

    async def _finish(self, submission: Submission, collector: Collector) -> Submission:
        """Close a submission, unless calls of it are left."""
        batch, after = collector.batch, await self._end(submission, SubmissionState.COLLECTED)
        if after.is_live:
            return after
        if batch.fault is not None and decisions.concerns_all(batch, collector.lines.values()):
            self.refused[submission.id] = batch.fault
        self.show_message(f"collected batch {batch.id} of {submission.provider} ({batch.word or batch.state})")
        return after

    async def _missing(self, submission: Submission, fault: Fault) -> Submission:
        """Leave a batch at the provider that does not know it now; once it is lost for good, its calls are unknown."""
        if submission.state is SubmissionState.DOWNLOADED:  # What the provider had is on this disk.
            name, output, errors = submission.remote_id or "", submission.output_file, submission.error_file
            stored = RemoteBatch(id=name, state=BatchState.DONE, output_file=output, error_file=errors)
            return await self._collect(submission, stored)
        remote, text = self._remote(submission), f"{decisions.NOT_KNOWN}: {fault.message} (HTTP {fault.status})"
        try:
            listing = await remote.ask(remote.dialect.find(self.profile, order_of_batch(submission, self.profile)))
        except ProviderError as error:
            return await self._step(submission, message=f"{text}; its list cannot be read: {error.fault.message}")
        if not decisions.is_lost(submission, listing, self.attempts.now(), self.profile.batch.listing_grace):
            return await self._step(submission, message=f"{text}; it is looked for again")
        return await self._lost(submission, Missed(fault=fault))

    async def _lost(self, submission: Submission, missed: Missed) -> Submission:
        """Settle the calls of a batch that the provider has lost."""
        calls = await self._open_calls(submission)
        for call in calls:
            await self.attempts.resume(self._lane(submission), *call, missed)
        self.show_message(
            f"lost      batch {submission.remote_id}: {submission.provider} neither knows nor lists it any more. "
            f"Its {len(calls):,} calls may have been charged: they are unknown, and not sent again"
        )
        return await self._end(submission, SubmissionState.COLLECTED, missed.fault.message)

    async def _refuse(self, submission: Submission, fault: Fault) -> Submission:
        self.refused[submission.id] = fault
        return await self._release(submission, f"the provider did not take the batch: {fault.message}")

    async def _release(self, submission: Submission, why: str) -> Submission:
        """Give up a submission that was not carried out: its calls are free, and their jobs are pending again."""
        for call in await self._open_calls(submission):
            await self.attempts.resume(self._lane(submission), *call, decisions.unsent(why))
        return await self._end(submission, SubmissionState.RELEASED, why)

    async def _end(self, submission: Submission, state: SubmissionState, message: str | None = None) -> Submission:
        """Close a submission, whose files nothing needs any more, unless calls of it are left."""
        if left := len(await self._open_calls(submission)):
            if not self._lane(submission).draining:
                self.stuck.add(submission.id)
            return await self._step(submission, message=f"{left:,} of its calls could not be settled yet")
        after = await self._step(submission, state=state, message=message or submission.message)
        self._files(submission).remove()
        return after

    # --- what they need ---------------------------------------------------------

    async def _remove_requests(self, submission: Submission, remote: RemoteBatches) -> Submission:
        """Delete the file of requests at the provider, once nothing needs it; return the submission."""
        if not submission.is_live and submission.input_file and not self._lane(submission).draining:
            with self._lane(submission).interruptible():
                await remote.remove(submission.input_file)
        return submission

    async def _step(self, before: Submission, **changes: Any) -> Submission:  # noqa: ANN401 - fields of a submission
        """Commit a step and return the submission after it; raise StaleClaim if another run has it in hand."""
        after = replace(before, **changes)
        change = partial(submissions.change, before=before, after=after)
        return await to_thread.run_sync(write_as_guest, self.database, change)

    async def _open_calls(self, submission: Submission) -> list[OpenCall]:
        return await to_thread.run_sync(self.reader.ask, partial(submissions.open_calls, submission_id=submission.id))

    def _lane(self, submission: Submission) -> Lane:
        return next((lane for lane in self.lanes if lane.account == submission.account), self.lanes[0])

    def _files(self, submission: Submission) -> SubmissionFiles:
        return SubmissionFiles(self.folder, submission.id)

    def _remote(self, submission: Submission) -> RemoteBatches:
        model = self.profile.find(submission.model)[1]
        dialect = batches_of(self.profile, model)
        if dialect is None:
            raise LookupError(f"{submission.provider} has no batches of {submission.model} any more")
        return RemoteBatches(
            client=self.transport.client(submission.provider, submission.account),
            dialect=dialect,
            profile=self.profile,
            model=model,
            may_repeat=lambda: not self._lane(submission).draining,
            lease=self._lane(submission).lease,
        )
