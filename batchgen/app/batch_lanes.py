"""Batch lanes of a run: which providers get one, to submit jobs in batches and to collect these."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..database_url import database_name
from ..engine.batches.notes import read_note
from ..errors import StoreError
from ..files import log
from ..files.result_files import FOLDER, SubmissionFiles, stored_submissions, submissions_with_files
from ..mode import Mode
from ..providers.profile import Profile, UnknownModel
from ..store import submissions
from ..store.reader import Reader
from .clock import utc_now

if TYPE_CHECKING:
    from ..engine.batches.lane import BatchLane
    from ..engine.executor import Executor
    from ..engine.runner import Runner
    from .project import Project
    from .run_inputs import RunInputs

#: How old a file of requests is that no run can still be uploading.
_ABANDONED = timedelta(days=1)


def add_batch_lanes(inputs: RunInputs, runner: Runner, executor: Executor, profiles: Mapping[str, Profile]) -> None:
    """Give *runner* a lane for the batches of each provider that buys in batches, or has some to be collected."""
    live = providers_with_submissions(inputs.reader, runner.batch_id)
    for name in sorted(live - (set(profiles) - set(inputs.keys.without_key))):
        why = "has no key" if name in profiles else "is no longer in the manifest"
        inputs.show_message(f"waiting   {name} {why}: its batches stay at the provider until it is put back")
    for name, profile in profiles.items():
        if name not in live and all(step.mode is not Mode.BATCH for step in profile.modes):
            continue
        lane = _batch_lane(inputs, runner, executor, profile)
        if lane is not None:
            lane.begin()
            runner.companions.append(lane.drive)
            runner.subscribe(lane.record)


def remove_remains(reader: Reader, folder: Path) -> None:
    """Remove the files in *folder* of submissions that have ended: a run that was cut off may have left them.

    Those of a submission that only a lost job database knew, and that was never created, go after a day.
    """
    names = submissions_with_files(folder)
    if not names:
        return
    ended = set(reader.ask(partial(submissions.ended, ids=names)))
    unknown = set(names) - reader.ask(partial(submissions.known, ids=names))
    before = (utc_now() - _ABANDONED).timestamp()
    for files in (SubmissionFiles(folder, name) for name in names):
        if files.submission_id in ended or (files.submission_id in unknown and files.is_abandoned(before)):
            files.remove()


def providers_with_submissions(reader: Reader, batch_id: int) -> set[str]:
    """Return the providers with submissions whose calls are not all settled."""
    query = partial(submissions.of_batch, batch_id=batch_id, live=True)
    return {each.provider for each in reader.ask(query)}


def require_known(project: Project, reader: Reader) -> None:
    """Raise StoreError if the job database was lost, or is older, while a batch was at its provider that has no note.

    Its jobs seem to have been sent never, and would be bought a second time. Batches of earlier versions have no notes.
    """
    name = database_name(project.db)
    stored = [files for files in stored_submissions(project.state / FOLDER) if files.belongs_to(name)]
    if not stored:
        return
    known = reader.ask(partial(submissions.known, ids=[files.submission_id for files in stored]))
    lost = [files for files in stored if files.submission_id not in known and read_note(files) is None]
    if not lost:
        return
    first, many = lost[0], f"{len(lost)} batches" if len(lost) > 1 else "a batch"
    raise StoreError(
        f"{name} was lost or replaced while {many} may have been at {first.read_address()}: the job database lacks "
        f"submission {first.submission_id}, and this run would buy its jobs again. Nothing was sent. Put the job "
        f"database back; or look for the batch at the provider, then delete {first.folder}/{first.submission_id}.*"
    )


def _batch_lane(inputs: RunInputs, runner: Runner, executor: Executor, profile: Profile) -> BatchLane | None:
    from ..engine.batches.lane import BatchLane
    from ..engine.batches.reminders import Reminders
    from ..engine.batches.steps import Steps

    lanes = [lane for lane in runner.lanes if lane.provider == profile.name]
    if not lanes or profile.name in inputs.keys.without_key:
        return None

    def sign(at: float) -> None:
        runner.last_answer_at = at

    steps = Steps(
        profile=profile,
        lanes=lanes,
        attempts=runner.attempts,
        reader=inputs.reader,
        database=inputs.project.db,
        transport=executor.transport,
        spool=executor.spool,
        inputs=executor.inputs,
        folder=inputs.project.state / FOLDER,
        show_message=inputs.show_message,
        reminders=Reminders(partial(_alarm, inputs.on_silence or inputs.show_message)),
    )
    return BatchLane(
        provider=profile.name,
        profile=profile,
        names=_model_names(inputs.batch.profiles.values(), profile),
        lanes=lanes,
        all_lanes=runner.lanes,
        at_work=runner.at_work,
        batch_id=runner.batch_id,
        attempts=runner.attempts,
        reader=inputs.reader,
        steps=steps,
        scope=runner.scope,
        chained=runner.chained,
        leaves=inputs.options.leaves,
        collects_only=inputs.options.collects_only,
        show_message=inputs.show_message,
        on_failure=runner.halt,
        on_sign=sign,
    )


def _model_names(profiles: Iterable[Profile], profile: Profile) -> list[str]:
    """Return the names, in all *profiles*, of the models that *profile* has."""
    known = ((name, model) for each in profiles for name, model in each.models.items())
    names = dict.fromkeys(each for name, model in known for each in (name, model.wire, *model.aliases))
    return [name for name in names if _has(profile, name)]


def _has(profile: Profile, model: str) -> bool:
    try:
        profile.find(model)
    except UnknownModel:
        return False
    return True


def _alarm(show: Callable[[str], None], text: str) -> None:
    log.event("results_expire", logging.WARNING, message=text)
    show(text)
