"""Submissions for users: which are at a provider, and how one of them is cancelled there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BatchgenError, NotFound, UsageError
from ..store import submissions
from ..store.reader import Reader
from ..store.submissions import Submission, SubmissionState
from .project import Project, open_reader

if TYPE_CHECKING:
    from ..providers.batch_base import BatchDialect
    from ..providers.profile import Profile
    from ..store.records import AttemptRecord
    from .config.keys import ApiKeys


@dataclass(frozen=True, slots=True)
class OpenSubmission:
    """A submission with calls that are not settled."""

    submission: Submission
    calls: int

    def as_json(self) -> dict[str, Any]:
        """Return the submission as ``status --json`` prints it."""
        facts = self.submission
        moments = ("created_at", "submitted_at", "deadline_at", "collect_by", "polled_at")
        times = {name: None if (at := getattr(facts, name)) is None else at.isoformat() for name in moments}
        return {
            "id": facts.id,
            "provider": facts.provider,
            "account": facts.account,
            "model": facts.model,
            "endpoint": facts.endpoint,
            "state": facts.state.value,
            "remote_id": facts.remote_id,
            "jobs": self.calls,
            "counts": dict(facts.counts),
            "message": facts.message,
            **times,
        }


def open_submissions(reader: Reader, batch_id: int) -> Sequence[OpenSubmission]:
    """Return the submissions of a batch whose calls are not all settled, oldest first."""
    live = reader.ask(partial(submissions.of_batch, batch_id=batch_id, live=True))
    calls = reader.ask(partial(submissions.open_counts, ids=[each.id for each in live])) if live else {}
    return [OpenSubmission(each, calls.get(each.id, 0)) for each in live]


def submissions_of(project: Project, name: str | None, attempts: Sequence[AttemptRecord]) -> dict[str, Submission]:
    """Return the submissions, by id, that open attempts of one job are in; nothing is read if there is none."""
    ids = {attempt.submission_id for attempt in attempts if attempt.state == "open" and attempt.submission_id}
    if not ids:
        return {}
    with open_reader(project) as reader:
        live = reader.ask(partial(submissions.of_batch, batch_id=reader.batch(name).id, live=True))
    return {each.id: each for each in live if each.id in ids}


def cancel(project: Project, name: str | None, start: str) -> tuple[Submission, str]:
    """Ask the provider to cancel the submission whose id, or that of its batch there, begins with *start*.

    Returns it, and the manifest of its jobs. What the provider has carried out by then is paid for, and collected by
    the next run. Raises NotFound, UsageError, KeyMissing, and BatchgenError if the provider refuses it.
    """
    # Here because commands that only look import this module, too.
    import anyio

    from ..fault import ProviderError
    from ..providers import batches_of
    from ..store.guest import write_as_guest
    from .config.keys import load_keys, sandbox_keys
    from .plan import read_manifest
    from .sandbox_providers import addresses

    with open_reader(project) as reader:
        batch = reader.batch(name)
        found = reader.ask(partial(submissions.find, batch_id=batch.id, start=start))
    submission = _to_cancel(project, batch.name, found, start)
    profiles = read_manifest(project, Path(batch.manifest)).profiles
    profile = profiles.get(submission.provider)
    dialect = None if profile is None else batches_of(profile, profile.find(submission.model)[1])
    if profile is None or dialect is None:
        raise UsageError(f"{submission.provider} has no batches of {submission.model} in {batch.manifest} any more")
    keys = sandbox_keys(profiles) if project.sandbox else load_keys(profiles, [profile.name], [])
    try:
        with addresses(project) as at_provider:
            anyio.run(_cancel, submission, at_provider(profile), dialect, keys)
    except ProviderError as error:
        raise BatchgenError(
            f"{profile.name} did not cancel batch {submission.remote_id}: {error.fault.message}"
        ) from error
    write_as_guest(project.db, partial(submissions.note_cancellation, submission_id=submission.id))
    return submission, batch.manifest


def _to_cancel(project: Project, batch: str, found: Sequence[Submission], start: str) -> Submission:
    """Return the one submission of *found* that can be cancelled; raise NotFound or UsageError."""
    live = [each for each in found if each.is_live]
    if len(live) > 1:
        raise UsageError(f"{len(live)} submissions begin with {start!r}; type more of the id. Nothing was changed")
    if not live:
        why = f"submission {found[0].id} has ended" if found else f"there is no submission {start!r} in {batch}"
        raise NotFound(f"{why}. Those at a provider: {project.command_flags().on_batch('status')}")
    state = live[0].state
    if state is not SubmissionState.SUBMITTED or live[0].remote_id is None:
        raise UsageError(f"submission {live[0].id} is {state}: there is nothing at the provider to cancel")
    return live[0]


async def _cancel(
    submission: Submission,
    profile: Profile,
    dialect: BatchDialect,
    keys: ApiKeys,
) -> None:
    from ..engine.batches.remote import RemoteBatches
    from ..transport import Transport

    async with Transport({profile.name: profile}, keys.first, keys.keys) as transport:
        remote = RemoteBatches(
            client=transport.client(profile.name, submission.account),
            dialect=dialect,
            profile=profile,
            model=profile.find(submission.model)[1],
        )
        await remote.ask(dialect.cancel(profile, submission.remote_id or ""))
