"""Redo: makes the images of done jobs again. The old files stay until the new ones are there.

With new prompts, it makes failed jobs as well: a file of prompts may hold rejected pictures and refused jobs.

A redo that was stopped is finished before another one begins: as long as selected jobs wait to be made again, only
these are sent. So the same command, given again after a kill or a used-up budget, buys nothing twice.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from ..errors import NotFound
from ..files.output_tree import open_file
from ..job import Job, State
from ..manifest import Batch
from ..mark import NOTE_LENGTH, PICK, REJECT
from ..planning.compare import Repeats
from ..planning.override_marks import NOTE, Overrides, overrides_of
from ..planning.selection import Selection
from ..store import marks, needs
from ..store.queries import known_keys, remade
from ..store.reader import Reader
from ..store.records import DeliveredFile
from ..wording import canonical
from .project import CommandFlags, Project
from .reading import STORE_WIDTH, read_ahead
from .run_options import RunOptions

#: So many jobs that others wait for are named.
_SHOWN = 3
_UNFINISHED = (State.PENDING, State.RUNNING)


@dataclass(frozen=True, kw_only=True, slots=True)
class Requeue:
    """The jobs that a run requeues, by key, and what the user has to know about the other selected ones."""

    jobs: Mapping[str, Job] = field(default_factory=dict)
    alone: bool = False  #: nothing else is sent
    notices: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)  #: of marks, by key; a note of the options replaces them
    cascade: frozenset[str] = frozenset()  #: keys of those that were not selected: they use images of the others

    def for_plan(self) -> Repeats:
        """Return what a plan has to know."""
        return Repeats(jobs=self.jobs, alone=self.alone, cascade=self.cascade)

    def overrides(self, options: RunOptions) -> Mapping[str, Overrides]:
        """Return what *options* set in place of the manifest, by key."""
        return {key: self._overrides(key, options) for key in self.jobs if key not in self.cascade}

    def _overrides(self, key: str, options: RunOptions) -> Overrides:
        note = options.note or self.notes.get(key, "")
        return {
            **options.overrides,
            **({"prompt": options.prompts[key]} if key in options.prompts else {}),
            # Another note than that of an earlier redo, or none: a note explains one image.
            **({NOTE: note} if note or options.redo else {}),
        }


def jobs_to_retry(project: Project, reader: Reader, batch: Batch, options: RunOptions) -> Requeue:
    """Return the jobs that a retry requeues; raise NotFound if the batch never ran."""
    batch_id, selection = _selection(project, reader, batch, options)
    jobs = {job.key: job for job in reader.jobs(batch_id, selection)}
    notices: list[str] = []
    # Without a job to requeue, the command line suggests a redo.
    if jobs and selection.listed is not None and "done" not in selection.states:
        done = replace(selection, states=("done",), causes=(), sample=None, limit=None)
        if number := sum(1 for _ in reader.jobs(batch_id, done)):
            notices.append(f"{number:,} done: left as they are; redo makes them again")
    notes = _notes_of_marks(reader, jobs.values(), options)
    # They are pending, and only waited for these: the same run makes them.
    followers = [] if batch.chains is None else batch.chains.followers(jobs)
    after = {job.key: job for job in _jobs_of(reader, batch_id, followers) if job.state is State.PENDING}
    return Requeue(
        jobs={**jobs, **after},
        notices=(*notices, *_note_notices(notes), *_waiting_notices(len(after))),
        notes=notes,
        cascade=frozenset(after),
    )


def jobs_to_redo(project: Project, reader: Reader, batch: Batch, options: RunOptions) -> Requeue:
    """Return the jobs that a redo makes again; raise NotFound if the batch never ran."""
    batch_id, selection = _selection(project, reader, batch, options)
    # The sample and the limit apply to the jobs that can be made again; see ``compare``.
    selection = replace(selection, sample=None, limit=None)
    by_state: dict[State, list[Job]] = {}
    for job in reader.jobs(batch_id, selection):
        by_state.setdefault(job.state, []).append(job)
    done = by_state.pop(State.DONE, [])
    # New prompts are also for jobs that were refused.
    named = done + (by_state.pop(State.FAILED, []) if options.prompts else [])
    # What an interrupted run left in flight becomes pending or done when this run settles it.
    unfinished = by_state.pop(State.PENDING, []) + by_state.pop(State.RUNNING, [])
    edited = [job for job in named if _has_other_prompt(job, options.prompts)]
    gone = _jobs_without_files(project, reader, batch_id, selection) if options.missing_files else None
    due = edited if gone is None else [job for job in edited if job.key in gone]
    once_done = {job.id for job in _made_before(reader, unfinished)}
    waiting = [job for job in unfinished if job.id in once_done or _waits_with_prompt(job, options.prompts)]
    others = Counter({str(state): len(jobs) for state, jobs in by_state.items()})
    rest = [job.key for job in unfinished if job not in waiting]
    stuck = [] if batch.chains is None else _stuck(reader, batch_id, rest)
    others["pending"] = len(rest) - len(stuck)
    # A picture whose file is gone is made again for its own sake: what was made from it is still there.
    selected = [] if options.missing_files else [job.key for job in (*named, *unfinished)]
    users = _users_of_images(reader, batch, batch_id, selected)
    interrupted = _made_before(reader, users)
    if waiting or interrupted:
        first, cascade = waiting, interrupted
    else:
        first, cascade = due, _made_after(reader, batch, batch_id, [job.key for job in due if job.key in selected])
    notices = [
        *_progress_notices(len(waiting) + len(interrupted), len(due)),
        *([f"{number:,} with the prompt in the file already"] if (number := len(named) - len(edited)) else []),
        *([] if options.missing_files else _other_notices(others, project.command_flags(batch.name))),
        *([] if options.missing_files else _stuck_notices(stuck, project.command_flags(batch.name), batch)),
    ]
    notes = _notes_of_marks(reader, first, options)
    jobs = {job.key: job for job in (*first, *cascade)}
    return Requeue(
        jobs=jobs,
        notices=(*notices, *_note_notices(notes), *_cascade_notices(len(cascade))),
        notes=notes,
        cascade=frozenset(job.key for job in cascade),
    )


def _users_of_images(reader: Reader, batch: Batch, batch_id: int, keys: Iterable[str]) -> list[Job]:
    """Return the jobs that use images of *keys*, directly or not, and are not among these."""
    return [] if batch.chains is None else _jobs_of(reader, batch_id, batch.chains.users(keys))


def _made_after(reader: Reader, batch: Batch, batch_id: int, keys: Iterable[str]) -> list[Job]:
    """Return the jobs that are made again after *keys*, because they use their images."""
    users = _users_of_images(reader, batch, batch_id, keys)
    return [job for job in users if job.state in (State.DONE, *_UNFINISHED)]


def _jobs_of(reader: Reader, batch_id: int, keys: list[str]) -> list[Job]:
    return reader.ask(partial(needs.jobs_of, batch_id=batch_id, wanted=keys)) if keys else []


def _made_before(reader: Reader, users: Iterable[Job]) -> list[Job]:
    """Return the pending jobs among *users* that an interrupted redo has requeued."""
    unfinished = [job for job in users if job.state in _UNFINISHED]
    before = reader.ask(partial(remade, ids=[job.id for job in unfinished])) if unfinished else frozenset[int]()
    return [job for job in unfinished if job.id in before]


def _stuck(reader: Reader, batch_id: int, keys: Collection[str]) -> list[needs.WaitingJob]:
    """Return those of the pending jobs *keys* that wait for a job that ended without an image."""
    waiting = reader.ask(partial(needs.waiting, batch_id=batch_id)) if keys else []
    return [job for job in waiting if job.ended is not None and job.key in keys]


def _stuck_notices(stuck: Iterable[needs.WaitingJob], flags: CommandFlags, batch: Batch) -> Iterator[str]:
    by_parent = Counter((str(job.ended), str(job.state)) for job in stuck)
    for (parent, state), number in by_parent.most_common(_SHOWN):
        which = {"failed": "which failed", "unknown": "whose outcome is unknown"}.get(state, "which was cancelled")
        retry = flags.on_manifest("retry", batch.manifest, f"--id {shlex.quote(parent)} --status {state}")
        yield f"{number:,} {'waits' if number == 1 else 'wait'} for {parent}, {which}: {retry} makes all of them"
    if (more := len(by_parent) - _SHOWN) > 0:
        yield f"and others, which wait for {more:,} more"


def _cascade_notices(number: int) -> Iterator[str]:
    if number:
        yield f"{number:,} {'uses' if number == 1 else 'use'} their images: made again, too"


def _waiting_notices(number: int) -> Iterator[str]:
    if number:
        yield f"{number:,} {'waits' if number == 1 else 'wait'} for these: made as well"


def _notes_of_marks(reader: Reader, jobs: Iterable[Job], options: RunOptions) -> dict[str, str]:
    """Return the notes that users gave pictures of *jobs*, by key: of rejected ones, or as the selection asks."""
    if options.note:
        return {}
    notes: dict[str, str] = {}
    selects = options.requeue is not None and options.requeue.marks
    ids = {job.id: job for job in jobs}
    for job_id, of_job in reader.ask(partial(marks.of_jobs, ids=list(ids))).items():
        wanted = [
            mark
            for mark in of_job
            if mark.note and not mark.replaced and (mark.mark == REJECT or (selects and mark.mark != PICK))
        ]
        several = ids[job_id].wanted > 1
        texts = [f"{mark.ordinal + 1}: {mark.note}" if several else mark.note for mark in wanted]
        if texts:
            notes[ids[job_id].key] = " ".join("; ".join(texts).split())[:NOTE_LENGTH]
    return notes


def _selection(project: Project, reader: Reader, batch: Batch, options: RunOptions) -> tuple[int, Selection]:
    """Return the batch's id and the selection of a requeue, without ids that the batch has not run yet."""
    batch_id = reader.batch_id(batch.name)
    if batch_id is None:
        command = project.command_flags().on_manifest("run", batch.manifest)
        raise NotFound(f"batch {batch.name} has not run yet. To run it: {command}")
    selection = options.requeue or Selection()
    if selection.listed is not None:
        # Ids that are not in the manifest either are reported by the plan.
        known = reader.ask(partial(known_keys, batch_id=batch_id, keys=selection.listed.lines))
        selection = replace(selection, listed=selection.listed.among(known))
    return batch_id, selection


def _has_other_prompt(job: Job, prompts: Mapping[str, str]) -> bool:
    return job.key not in prompts or canonical(job.task.prompt) != canonical(prompts[job.key])


def _waits_with_prompt(job: Job, prompts: Mapping[str, str]) -> bool:
    """Return whether an interrupted redo gave *job* the prompt in the file."""
    return job.key in prompts and "prompt" in overrides_of(job.fingerprint) and not _has_other_prompt(job, prompts)


def _jobs_without_files(project: Project, reader: Reader, batch_id: int, selection: Selection) -> frozenset[str]:
    """Return the keys of selected jobs with a delivered file that is gone."""
    pages = reader.files(batch_id, selection)

    def is_gone(file: DeliveredFile) -> bool:
        return not open_file(project.root, file.file.path).exists()

    files = (file for page in pages for file in page)
    return frozenset(file.key for file, gone in read_ahead(files, is_gone, STORE_WIDTH) if gone)


def _progress_notices(waiting: int, done: int) -> Iterator[str]:
    if waiting:
        yield f"{waiting:,} of an earlier redo that did not finish: only these are sent now"
        if done:
            yield f"{done:,} done: left as they are; repeat the command afterwards to make them again"


def _note_notices(notes: Mapping[str, str]) -> Iterator[str]:
    if notes:
        yield f"{len(notes):,} with the note of the mark"


def _other_notices(counts: Mapping[str, int], flags: CommandFlags) -> Iterator[str]:
    """Yield what became of the selected jobs that are not done."""
    for state, advice in (
        ("failed", "use retry in place of redo"),
        ("pending", "run makes them"),
        ("unknown", f"{flags.on_batch('unknown list')} shows them"),
        ("cancelled", "use retry --status cancelled in place of redo"),
    ):
        if counts[state]:
            yield f"{counts[state]:,} {state}: not made again; {advice}"
