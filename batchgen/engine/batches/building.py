"""Building of submissions: their calls are claimed, and their file of requests is written and uploaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from anyio import create_task_group, to_thread

from ...fault import ProviderError
from ...files.result_files import SubmissionFiles
from ...files.source_cache import SourceCache
from ...job import Attempt, Job, Missed
from ...mode import Mode
from ...providers.base import Call, Request
from ...providers.batch_base import BatchDialect, BatchOrder
from ...providers.model import Model
from ...providers.profile import Profile
from ...store.submissions import Submission
from ...task import NOTHING, Kind, Source, Task
from ...transport.payload import pack
from ..attempts import AttemptRunner, OpenAttempt
from ..lane import Lane
from ..request_sources import with_files
from .grouping import Weight
from .remote import RemoteBatches

#: In place of the id of an uploaded file and of an attempt, to measure a line before there are any.
_FILE_ID, _KEY = "file-" + "0" * 59, "0" * 32
#: Calls that are claimed at once: they share commits.
_TOGETHER = 64


def weigh(dialect: BatchDialect, profile: Profile, model: Model, task: Task) -> Weight:
    """Return what the request of *task* takes of the bounds of a file."""
    request = Request(task=task, profile=profile, model=model, attempt_id=_KEY)
    try:
        uploaded = {source.path or "": _FILE_ID for source in dialect.sources(request)}
        line = pack(Call(method="POST", url="", json=dialect.line(request, _KEY, uploaded)))
    except ProviderError:  # it fails alone, once it is claimed
        line = None
    return Weight(request_bytes=(line.length if line else 0) + 1, images=task.n)


async def claim_all(attempts: AttemptRunner, lane: Lane, jobs: Sequence[Job], submission_id: str) -> list[OpenAttempt]:
    """Claim *jobs* for a submission; return the calls, in the order of their ids.

    It ends early where the budgets allow no more, or the time of batches is over: all calls of a file have one price.
    """
    claimed: list[OpenAttempt] = []

    async def claim(prepared: OpenAttempt) -> None:
        if (opened := await attempts.claim(lane, prepared)) is not None:
            claimed.append(opened)

    for start in range(0, len(jobs), _TOGETHER):
        is_over = False
        async with create_task_group() as tasks:
            for job in jobs[start : start + _TOGETHER]:
                is_late = attempts.mode_of(attempts.task_at(job, lane.provider)) is not Mode.BATCH
                if is_over := is_late or attempts.why_refused(lane, job) is not None:
                    break
                prepared = attempts.prepare(lane, job)
                attempt = replace(prepared.attempt, submission=submission_id)
                tasks.start_soon(claim, replace(prepared, attempt=attempt))
        if is_over:
            break
    return sorted(claimed, key=lambda opened: opened.attempt.id)


@dataclass(slots=True)
class RequestFile:
    """The file of requests of one submission, line by line in the order of the attempt ids."""

    remote: RemoteBatches
    inputs: SourceCache
    files: SubmissionFiles
    uploaded: dict[str, str]  #: the provider's ids of source images, by their hash
    lines: list[Mapping[str, Any]] = field(default_factory=list)

    async def add(self, attempt: Attempt) -> Missed | None:
        """Add the request of a call, and upload its source images; return its outcome if it cannot be sent.

        Raises ProviderError if an upload fails.
        """
        remote = self.remote
        try:
            rules = remote.model.rules(attempt.task.kind)
            task = await with_files(attempt.task, rules, remote.profile.name, self.inputs)
            request = Request(
                task=task, profile=remote.profile, model=remote.model, attempt_id=attempt.id, mode=attempt.mode
            )
            sources = remote.dialect.sources(request)
            # Here, so that an image that cannot be read concerns its own request only.
            pack(Call(method="POST", url="", json=remote.dialect.line(request, attempt.id, {})))
        except ProviderError as error:
            return Missed(fault=error.fault, charge=NOTHING)
        ids = {source.path or "": await self._upload(source) for source in sources}
        self.lines.append(remote.dialect.line(request, attempt.id, ids))
        return None

    async def upload(self, name: str) -> tuple[str, str]:
        """Write the file and upload it; return the provider's id and the SHA-256 of the file."""
        digest = await to_thread.run_sync(self.files.write_requests, self._content())
        size = self.files.requests.stat().st_size
        file = Source(path=str(self.files.requests), size_bytes=size, mime="application/jsonl")
        talk = self.remote.dialect.upload(self.remote.profile, file, name)
        return await self.remote.ask(talk, upload_bytes=size), digest

    async def _upload(self, source: Source) -> str:
        """Upload a source image once, however many requests have it."""
        key = source.sha256 or source.path or ""
        if key not in self.uploaded:
            size = await to_thread.run_sync(lambda: Path(source.path or "").stat().st_size)
            talk = self.remote.dialect.upload_source(self.remote.profile, source)
            self.uploaded[key] = await self.remote.ask(talk, upload_bytes=size)
        return self.uploaded[key]

    def _content(self) -> Iterator[bytes]:
        for line in self.lines:
            if (payload := pack(Call(method="POST", url="", json=line))) is not None:
                yield from payload.read()
            yield b"\n"


def order_of(keys: Iterable[str]) -> dict[str, int]:
    """Return the line of each request in the file of its submission; the first is 1."""
    return {key: number for number, key in enumerate(sorted(keys), start=1)}


def order_of_batch(submission: Submission, profile: Profile) -> BatchOrder:
    """Return what is stated when the batch of *submission* is created, and looked for in the provider's list."""
    return BatchOrder(
        submission_id=submission.id,
        kind=Kind(submission.endpoint),
        model=profile.find(submission.model)[1].wire,
        input_file=submission.input_file or "",
    )
