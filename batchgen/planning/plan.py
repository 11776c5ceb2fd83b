"""What a manifest would change in the job table, and what that would cost in money, time and space.  A decision: pure.

Jobs stream by in chunks: of a million, counts are kept, a few changes and three examples.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol

from ..budget import Budget
from ..fingerprint import unchanged
from ..job import State
from ..manifest.batch import Batch, PlannedJob
from ..money import NANO, show_credits, show_usd
from ..task import Task
from .diff import Change, differences
from .estimate import CostEstimate, PlanContext, ProviderEstimate, Range
from .forecast import Disk, Forecast
from .sampling import Examples, Picks
from .selection import Selection, is_literal

__all__ = ["CONFIRM_ABOVE", "Plan", "PlanContext", "ProviderEstimate", "Range", "Row", "Table", "Tell", "compare"]

#: Jobs looked up at once.
CHUNK = 5_000
#: Changed jobs that are kept with what changed.
CHANGES = 20
#: nano-USD above which a person at a terminal is asked, where the manifest does not say.
CONFIRM_ABOVE = NANO


class Row(NamedTuple):
    """What the job table knows of a job."""

    id: int
    state: State
    fingerprint: str
    cause: str | None = None


class Table(Protocol):
    """One batch in the job table."""

    def lookup(self, keys: Sequence[str]) -> Mapping[str, Row]:
        """Return those of *keys* that it knows."""

    def tasks(self, keys: Sequence[str]) -> Mapping[str, Task]:
        """Return what those of *keys* that it knows ask for."""

    def last_id(self) -> int:
        """Return the highest id of a job."""

    def others(self, seen: bytearray) -> Iterator[str]:
        """Yield the keys of jobs whose byte in *seen*, by their id, is 0."""


#: Called for every selected job, with its standing and its row.
Tell = Callable[[PlannedJob, str, Row | None], None]

#: What stands in a plan, in the order in which it is told; all but the last are of the manifest.
STANDINGS = ("new", "changed", "pending", "failed", "unknown", "done", "cancelled", "held", "orphaned")
#: Those of jobs that ask for something else than the table knows.
_DIFFERENT = frozenset({"changed", "held"})
#: What a run sends.
_SENT = frozenset({"new", "changed", "pending"})
_STANDING = {state: state.value for state in State} | {State.RUNNING: "pending"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A batch beside its job table.  Each job of the manifest is counted once; money and time are of what is sent."""

    new: int = 0
    changed: int = 0  #: another fingerprint than in the table: would be made again
    pending: int = 0  #: begun or waiting
    failed: int = 0
    unknown: int = 0
    done: int = 0
    cancelled: int = 0
    held: int = 0  #: changed, but done and kept as they are (--keep-changed)
    orphaned: int = 0  #: in the table, no more in the manifest; never deleted
    lanes: tuple[ProviderEstimate, ...] = ()  #: by provider and model
    disk: Disk = field(default_factory=Disk)
    changes: tuple[Change, ...] = ()  #: the first of those changed or held, or all where asked for
    examples: tuple[PlannedJob, ...] = ()  #: up to three of what is sent
    alternates: tuple[str, ...] = ()  #: providers that may take over what others cannot do
    priceless: tuple[str, ...] = ()  #: those of them that have no price in USD for some of it
    dearest: int | None = None  #: nano-USD if the dearest of its providers does each job; None: nobody stands in
    without: tuple[tuple[str, str, int], ...] = ()  #: those named that cannot: name, reason, how many jobs
    selected: bool = False  #: only a part is sent: somebody selected
    matched: int = 0  #: jobs that are selected, wherever they stand
    absent: tuple[str, ...] = ()  #: ids that were selected by name, and that no job has
    revise: frozenset[str] | None = None  #: keys of the changed jobs that are sent; None: of all that changed
    again: frozenset[str] = frozenset()  #: keys of those sent that ended and are put back for it
    confirm_above: int = CONFIRM_ABOVE  #: nano-USD
    purses: tuple[Budget, ...] = ()  #: the budgets that hold for it, and what of each is used

    @property
    def total(self) -> int:
        """Return how many jobs the manifest has."""
        left = self.failed + self.unknown + self.done + self.cancelled + self.held
        return self.new + self.changed + self.pending + left

    @property
    def requests(self) -> int:
        """Return how many jobs a run would send."""
        return sum(lane.requests for lane in self.lanes)

    @property
    def images(self) -> int:
        """Return how many images a run would ask for."""
        return sum(lane.images for lane in self.lanes)

    @property
    def unpriced(self) -> int:
        """Return how many requests have no price in USD, and so stand in no sum of USD."""
        return sum(lane.unpriced for lane in self.lanes)

    @property
    def slowest(self) -> ProviderEstimate | None:
        """Return a lane of the provider that takes longest: they work side by side, so it decides the time."""
        return max(self.lanes, key=lambda lane: lane.time.expected, default=None)

    @property
    def time(self) -> Forecast:
        """Return how long a run would take."""
        return Forecast() if self.slowest is None else self.slowest.time

    @property
    def usd(self) -> Range:
        """Return the nano-USD of what has a price: 0 where nothing is to be made, None where nothing has one."""
        priced = [lane.usd for lane in self.lanes if lane.usd.expected is not None]
        total = Range() if self.lanes and not priced else Range(low=0, expected=0, high=0)
        for span in priced:
            total = total.plus(span)
        return total

    @property
    def credits(self) -> dict[str, Range]:
        """Return the milli-credits of each provider that counts in them."""
        total: dict[str, Range] = {}
        for lane in self.lanes:
            if lane.credits.expected is not None:
                total[lane.provider] = total.get(lane.provider, Range()).plus(lane.credits)
        return total

    @property
    def asks(self) -> bool:
        """Return whether a person has to agree: it may cost more than a little, or nobody knows what."""
        high = self.usd.high
        most = None if high is None else max(high, self.dearest or 0)
        return bool(self.lanes) and (self.unpriced > 0 or most is None or most > self.confirm_above)

    def as_json(self) -> dict[str, Any]:
        """Return the plan in the shape of ``plan --json``."""
        return {
            "schema_version": 1,
            "jobs": {"total": self.total} | {name: getattr(self, name) for name in STANDINGS},
            "images": self.images,
            "usd": self.usd.shown(show_usd),
            "credits": {provider: span.shown(show_credits) for provider, span in self.credits.items()},
            "seconds": math.ceil(self.time.expected),
            "unpriced": self.unpriced,
            "selected": self.selected,
            "requests": self.requests,
            "lanes": [lane.as_json() for lane in self.lanes],
            "time": self._time(),
            "disk": {"bytes": self.disk.bytes, "free_bytes": self.disk.free_bytes, "fits": self.disk.fits},
            "confirm": {"above_usd": show_usd(self.confirm_above), "asks": self.asks},
            "changes": [change.as_json() for change in self.changes],
            "examples": [job.as_json() for job in self.examples],
            "alternates": {"providers": list(self.alternates), "usd": show_usd(self.dearest)},
            "budgets": [purse.as_json() for purse in self.purses],
            "left_out": [{"provider": name, "reason": why, "jobs": number} for name, why, number in self.without],
        }

    def _time(self) -> dict[str, Any]:
        who = None if self.slowest is None else self.slowest.provider
        span = {"low": math.ceil(self.time.low), "high": math.ceil(self.time.high)}
        return span | {"provider": who, "limit": self.time.limit}


def compare(
    batch: Batch,
    table: Table | None,
    *,
    facts: PlanContext,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    keep_changed: bool = False,
    again: Container[str] | None = None,
    alone: bool = True,
    tell: Tell | None = None,
    changes_all: bool = False,
) -> Plan:
    """Compare *batch* with what the job table knows of it; None: nothing.

    New, changed and pending jobs are what a run sends, as far as *selection* selects them: their money, time and
    space are counted.  Done jobs that changed are left as they are where *keep_changed* is set.  *again*: the keys of
    ended jobs that are put back, for a run that sends these and, where they go *alone*, nothing else.
    """
    comparison = _Comparison(batch, table, selection, keep_changed, tell)
    comparison.again = again
    comparison.only = again if alone else None
    comparison.changes_left = None if changes_all else CHANGES
    quote, examples, picks = CostEstimate(batch.profiles, facts), Examples(), Picks(selection)
    selected = not selection.everything or comparison.only is not None
    revise, put_back = set[str](), set[str]()
    for sent in _sent(batch, comparison, picks):
        quote.add(sent)
        examples.add(sent)
        if selected:
            revise.update(comparison.revised(sent))
        if selection.counted:
            comparison.told(sent)
        if again is not None:
            put_back.update(job.key for job in sent if job.key in again)
    return Plan(
        orphaned=0 if table is None else sum(1 for _ in table.others(comparison.seen)),
        **{**comparison.counts, **quote.answers()},
        changes=tuple(comparison.changes),
        examples=examples.chosen(),
        selected=selected,
        matched=comparison.matched,
        absent=tuple(sorted(comparison.absent)),
        revise=frozenset(revise) if selected else None,
        again=frozenset(put_back),
        confirm_above=CONFIRM_ABOVE if batch.confirm_above is None else batch.confirm_above,
    )


def _sent(batch: Batch, comparison: _Comparison, picks: Picks) -> Iterator[list[PlannedJob]]:
    """Yield what is sent, a chunk at a time; at the end what a sample drew."""
    jobs = iter(batch.jobs)
    while chunk := list(islice(jobs, CHUNK)):
        yield picks.take(comparison.due(chunk))
    yield picks.rest()


class _Comparison:
    """Where the jobs of a batch stand, as they come by."""

    def __init__(
        self, batch: Batch, table: Table | None, selection: Selection, keep_changed: bool, tell: Tell | None
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.seen = bytearray(0 if table is None else table.last_id() + 1)
        self.changes: list[Change] = []
        self.changes_left: int | None = CHANGES
        self.matched = 0
        self.absent = {pattern for pattern in selection.ids if is_literal(pattern)}
        self.again: Container[str] | None = None
        self.only: Container[str] | None = None
        self._folder = batch.manifest.parent
        self._table = table
        self._selection = selection
        self._restricted = selection != Selection(
            orphaned=selection.orphaned, sample=selection.sample, seed=selection.seed, limit=selection.limit
        )
        self._keep_changed = keep_changed
        self._tell = tell
        self._tell_each = None if selection.counted else tell  #: of a part by number, only what is sent is told

    def due(self, chunk: list[PlannedJob]) -> list[PlannedJob]:
        """Return those of *chunk* that are selected and that a run sends."""
        if self._table is None and not self._restricted and self._tell is None:
            self.counts["new"] += len(chunk)
            self.matched += len(chunk)
            return chunk
        rows = {} if self._table is None else self._table.lookup([job[0] for job in chunk])
        due, changed = [], []
        find, seen, size, counts = rows.get, self.seen, len(self.seen), self.counts
        restricted = self._restricted or self.only is not None
        for job in chunk:
            row = find(job[0])
            if row is None:
                standing = "new"
            else:
                if row[0] < size:  # else it was added by a run that goes on meanwhile
                    seen[row[0]] = 1
                standing = self._standing(job, row)
                if standing in _DIFFERENT:
                    changed.append(job)
            counts[standing] += 1
            if restricted and not self._selects(job, standing, row):
                continue
            self.matched += 1
            if standing in _SENT:
                due.append(job)
            if self._tell_each is not None:
                self._tell_each(job, standing, row)
        self._note(changed)
        return due

    def _standing(self, job: PlannedJob, row: Row) -> str:
        standing = "pending" if self.again is not None and job[0] in self.again else _STANDING[row[1]]
        if not _changed(row, job):
            return standing
        return "held" if standing == "done" and self._keep_changed else "changed"

    def told(self, sent: Sequence[PlannedJob]) -> None:
        """Tell of those that are sent, where they were too many to tell of as they came."""
        if self._tell is not None:
            rows = {} if self._table is None else self._table.lookup([job.key for job in sent])
            for job in sent:
                row = rows.get(job.key)
                self._tell(job, "new" if row is None else self._standing(job, row), row)

    def revised(self, sent: Sequence[PlannedJob]) -> Iterable[str]:
        """Return the keys of those of *sent* that ask for something else than the job table knows."""
        rows = {} if self._table is None else self._table.lookup([job.key for job in sent])
        return [job.key for job in sent if (row := rows.get(job.key)) is not None and _changed(row, job)]

    def _selects(self, job: PlannedJob, standing: str, row: Row | None) -> bool:
        """Tell whether *job* is selected; what a run sends counts as pending, and what is held as done."""
        chosen, task = self._selection, job.recipe.task
        self.absent.discard(job.key)
        if self.only is not None and job.key not in self.only:
            return False
        state = "pending" if standing in _SENT else standing.replace("held", "done")
        if chosen.states and state not in chosen.states:
            return False
        if chosen.causes and (row is None or row.cause not in chosen.causes):
            return False
        return chosen.matches(job.key, job.recipe.tags, task.provider, task.model, task.kind.value)

    def _note(self, changed: list[PlannedJob]) -> None:
        """Keep what changed, of as many jobs as are wanted."""
        if self.changes_left is not None:
            changed = changed[: self.changes_left]
            self.changes_left -= len(changed)
        if changed and self._table is not None:
            before = self._table.tasks([job.key for job in changed])
            for job in changed:
                fields = differences(before[job.key], job.task, self._folder) if job.key in before else ()
                self.changes.append(Change(id=job.key, fields=fields))


def _changed(row: Row, job: PlannedJob) -> bool:
    """Tell whether *job* asks for something else than its row."""
    return row[2] != job[2] and not unchanged(row[2], job.task, job[2])
