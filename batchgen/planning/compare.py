"""Compares a manifest with the job database: what a run would send. Pure.

Jobs are streamed in chunks: of a million jobs only counts, a few changes and three examples are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol

from ..fingerprint import older_rule
from ..job import State
from ..manifest.batch import Batch, PlannedJob
from ..task import Task
from .diff import Change, differences
from .estimate import CostEstimate, PlanContext
from .override_marks import without_note
from .plan import CONFIRM_ABOVE, Plan
from .sampling import Examples, Sampler
from .selection import Selection, is_literal

#: Jobs looked up at once.
CHUNK = 5_000
#: Changed jobs that are kept with their differences.
CHANGES = 20

#: The outcomes of comparing a job whose request differs from the one in the database.
_DIFFERENT = frozenset({"changed", "held"})
#: The outcomes of jobs that a run sends.
_SENT = frozenset({"new", "changed", "pending"})
_OUTCOME_OF_STATE = {state: state.value for state in State} | {State.RUNNING: "pending"}


class StoredJob(NamedTuple):
    """A job as the database knows it."""

    id: int
    state: State
    fingerprint: str
    cause: str | None = None


class Table(Protocol):
    """The jobs of one batch in the database."""

    def lookup(self, keys: Sequence[str]) -> Mapping[str, StoredJob]:
        """Return the jobs with these keys, as far as they exist."""

    def tasks(self, keys: Sequence[str]) -> Mapping[str, Task]:
        """Return the tasks of the jobs with these keys, as far as they exist."""

    def last_id(self) -> int:
        """Return the highest id of a job."""

    def others(self, seen: Container[int], last_id: int) -> Iterator[str]:
        """Yield the keys of jobs up to *last_id* whose ids are not in *seen*."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeats:
    """The ended jobs that a run requeues; by default there are none."""

    jobs: Collection[str] = ()  #: their keys
    alone: bool = False  #: nothing else is sent
    cascade: Container[str] = ()  #: keys of those of *jobs* that are sent although they are not selected


#: Called for every selected job, with the outcome of its comparison and the stored job.
OnJob = Callable[[PlannedJob, str, StoredJob | None], None]


def compare(
    batch: Batch,
    table: Table | None,
    *,
    context: PlanContext,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    keep_changed: bool = False,
    repeats: Repeats = Repeats(),
    on_job: OnJob | None = None,
    changes_all: bool = False,
    remote: Container[str] = (),
) -> Plan:
    """Compare *batch* with the job database; *table* is None if that does not know the batch yet.

    New, changed and pending jobs that *selection* selects are what a run sends: their cost, time and space are
    estimated. With *keep_changed*, changed jobs that are done are left as they are. Jobs of *remote* are at the
    provider, and are not sent again.
    """
    comparison = _Comparison(batch, table, selection, keep_changed=keep_changed, on_job=on_job)
    comparison.changes_left = None if changes_all else CHANGES
    comparison.repeats, comparison.remote, comparison.blocked = repeats, remote, _blocked(batch, table, repeats)
    estimate, examples = CostEstimate(batch.profiles, context), Examples()
    changed_remote = CostEstimate(batch.profiles, context)
    selected = not selection.everything or repeats.alone
    revise, requeue = set[str](), set[str]()
    for jobs in _sent(batch, comparison, Sampler(selection)):
        estimate.add(jobs)
        changed_remote.add([job for job in jobs if job.key in remote])
        examples.add(jobs)
        if selected:
            revise.update(comparison.revised(jobs))
        if selection.counted:
            comparison.report(jobs)
        requeue.update(job.key for job in jobs if job.key in repeats.jobs)
    return Plan(
        **comparison.plan_fields(),
        **estimate.plan_fields(),
        changed_remote=changed_remote.lanes() if remote else (),
        skipped=batch.skipped,
        examples=examples.chosen(),
        selected=selected,
        revise=frozenset(revise) if selected else None,
        again=frozenset(requeue),
        confirm_above=CONFIRM_ABOVE if batch.confirm_above is None else batch.confirm_above,
    )


def _sent(batch: Batch, comparison: _Comparison, sampler: Sampler) -> Iterator[list[PlannedJob]]:
    """Yield the jobs that are sent, a chunk at a time, and at the end the sample."""
    jobs = iter(batch.jobs)
    while chunk := list(islice(jobs, CHUNK)):
        yield sampler.take(comparison.due(chunk))
    yield sampler.rest()


def _blocked(batch: Batch, table: Table | None, repeats: Repeats) -> Mapping[str, str]:
    """Return the jobs that wait for an ended one, which this run does not send either; each with the ended one."""
    if batch.chains is None or table is None:
        return {}
    states: dict[str, State] = {}
    parents = iter(dict.fromkeys(parent for of_job in batch.chains.parents.values() for parent in of_job))
    while keys := list(islice(parents, CHUNK)):
        for key, stored in table.lookup(keys).items():
            if key not in repeats.jobs and not batch.chains.has_changed(key, stored.fingerprint):
                states[key] = stored.state
    return batch.chains.blocked(states)


class _Comparison:
    """Counts and changes of a batch, while its jobs are streamed."""

    def __init__(
        self, batch: Batch, table: Table | None, selection: Selection, *, keep_changed: bool, on_job: OnJob | None
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.changes: list[Change] = []
        self.changes_left: int | None = CHANGES
        self.matched = 0
        self.absent = {pattern for pattern in selection.ids if is_literal(pattern)}
        self.absent.update(() if selection.listed is None else selection.listed.lines)
        self.repeats = Repeats()
        self.remote: Container[str] = ()
        self.blocked: Mapping[str, str] = {}
        self.waiting = 0  #: selected jobs that would be sent, but wait for an ended one
        self._folder = batch.manifest.parent
        self._table = table
        self._last_id = 0 if table is None else table.last_id()
        self._seen: set[int] = set()
        self._selection = selection
        self._keep_changed = keep_changed
        self._on_job = on_job

    def plan_fields(self) -> dict[str, Any]:
        """Return the results by the names of their fields in ``Plan``."""
        return {
            **self.counts,
            "orphaned": self.count_orphaned(),
            "changes": tuple(self.changes),
            "matched": self.matched,
            "absent": tuple(sorted(self.absent)),
            "waiting": self.waiting,
            "waits_for": tuple(dict.fromkeys(self.blocked.values())) if self.waiting else (),
        }

    def due(self, chunk: list[PlannedJob]) -> list[PlannedJob]:
        """Return the jobs of *chunk* that are selected and that a run sends."""
        stored_jobs = self._lookup(chunk)
        due, changed = [], []
        for job in chunk:
            stored = stored_jobs.get(job.key)
            if stored is not None:
                self._seen.add(stored.id)
            outcome = self._outcome(job, stored)
            self.counts[outcome] += 1
            if outcome in _DIFFERENT:
                changed.append(job)
            if not self._selects(job, outcome, stored):
                continue
            self.matched += 1
            if outcome in _SENT and job.key in self.blocked:
                self.waiting += 1
            elif outcome in _SENT:
                due.append(job)
            # With a sample or a limit, only jobs that are sent are reported; see ``report``.
            if self._on_job is not None and not self._selection.counted:
                self._on_job(job, outcome, stored)
        self._keep_changes(changed)
        return due

    def report(self, sent: Sequence[PlannedJob]) -> None:
        """Report the jobs that are sent, if a sample or a limit left it open which ones would be."""
        if self._on_job is not None:
            stored_jobs = self._lookup(sent)
            for job in sent:
                stored = stored_jobs.get(job.key)
                self._on_job(job, self._outcome(job, stored), stored)

    def revised(self, sent: Sequence[PlannedJob]) -> Iterable[str]:
        """Return the keys of those of *sent* that request something else than the database has."""
        stored_jobs = self._lookup(sent)
        return [job.key for job in sent if job.key in stored_jobs and _has_changed(stored_jobs[job.key], job)]

    def count_orphaned(self) -> int:
        """Return how many jobs of the database were not seen; call it at the end."""
        return 0 if self._table is None else sum(1 for _ in self._table.others(self._seen, self._last_id))

    def _lookup(self, jobs: Sequence[PlannedJob]) -> Mapping[str, StoredJob]:
        """Return the stored jobs; a fingerprint of an older version that means the same has become the present one."""
        if self._table is None:
            return {}
        stored_jobs = dict(self._table.lookup([job.key for job in jobs]))
        older = [job for job in jobs if job.key in stored_jobs and _is_of_older_rule(stored_jobs[job.key], job)]
        # The task is read only where the fingerprint alone does not answer the question.
        unclear = [job.key for job in older if _has_changed(stored_jobs[job.key], job)]
        before = self._table.tasks(unclear) if unclear else {}
        for job in older:
            stored = stored_jobs[job.key]
            if job.is_unchanged(stored.fingerprint, before.get(job.key)):
                stored_jobs[job.key] = stored._replace(fingerprint=job.fingerprint)
        return stored_jobs

    def _outcome(self, job: PlannedJob, stored: StoredJob | None) -> str:
        if stored is None:
            return "new"
        requeued = job.key in self.repeats.jobs
        outcome = "pending" if requeued else _OUTCOME_OF_STATE[stored.state]
        if not _has_changed(stored, job) or (
            requeued and without_note(stored.fingerprint) == without_note(job.fingerprint)
        ):
            return "at_provider" if outcome == "pending" and job.key in self.remote else outcome
        if not (self._keep_changed or job.is_to_be_kept(stored.fingerprint)):
            return "changed"
        if outcome == "pending" and job.key in self.remote:  # It is collected, and then kept as it is.
            return "at_provider"
        return "held" if outcome == "done" else "changed"

    def _selects(self, job: PlannedJob, outcome: str, stored: StoredJob | None) -> bool:
        """Return whether *job* is selected; jobs that a run sends count as pending, held ones as done."""
        selection, recipe = self._selection, job.recipe
        self.absent.discard(job.key)
        if self.repeats.alone and job.key not in self.repeats.jobs:
            return False
        if job.key in self.repeats.cascade:
            return True
        state = "pending" if outcome in _SENT or outcome == "at_provider" else outcome.replace("held", "done")
        if selection.states and state not in selection.states:
            return False
        if selection.causes and (stored is None or stored.cause not in selection.causes):
            return False
        task = recipe.task
        return selection.matches(job.key, recipe.tags, task.provider, task.model, task.kind.value)

    def _keep_changes(self, changed: list[PlannedJob]) -> None:
        """Keep the differences of changed jobs, of as many as are wanted."""
        if self.changes_left is not None:
            changed = changed[: self.changes_left]
            self.changes_left -= len(changed)
        if changed and self._table is not None:
            before = self._table.tasks([job.key for job in changed])
            for job in changed:
                fields = differences(before[job.key], job.task, self._folder) if job.key in before else ()
                self.changes.append(Change(id=job.key, fields=fields))


def _is_of_older_rule(stored: StoredJob, job: PlannedJob) -> bool:
    return stored.fingerprint != job.fingerprint and older_rule(stored.fingerprint) is not None


def _has_changed(stored: StoredJob, job: PlannedJob) -> bool:
    return not job.is_unchanged(stored.fingerprint)
