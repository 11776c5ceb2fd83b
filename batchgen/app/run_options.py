"""How a run is to go, and what it came to.  Values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from ..budget import Budget
from ..engine.lane import Closure
from ..fault import Cause
from ..learned_prices import Underpriced
from ..planning.plan import Plan
from ..planning.selection import Selection
from ..store.records import Loaded
from .project import CommandFlags
from .queries import BatchStatus
from .recovery.rebuild import RecoveryReport
from .recovery.resumed import Resumed
from .shutdown import StopConditions

#: Which failures of jobs a script hears of by the exit code: any, only where nothing at all was done, none.
FailOn = Literal["any", "all", "never"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """How a run is to go, beside what the manifest says."""

    budget: int | None = None  #: nano-USD for this run
    allow_unpriced: bool = False  #: send requests without a known price even under a budget
    wait_lock: float = 0.0  #: seconds to wait for another run to end
    requeue: Selection | None = None  #: failed jobs to put back first
    alone: bool = True  #: where jobs are put back, send these and nothing else
    amend: Mapping[str, Any] = field(default_factory=dict)  #: what these are asked for beside their manifest
    selection: Selection = field(default_factory=Selection)  #: of what is pending, what is sent
    keep_changed: bool = False  #: leave done jobs as they are, also where the manifest asks for something else
    bounds: StopConditions = field(default_factory=StopConditions)  #: when the run ends by itself
    fail_on: FailOn = "any"
    attended: bool = True  #: there is a terminal, where somebody may decide what it waits for
    latency: str = "realistic"  #: of the sandbox
    chosen: str = ""  #: the options that selected what it is about, as typed
    again: str = ""  #: those that a run which goes on needs too, as typed


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneResult:
    """How a lane ended: why it closed, if it did, and what was left in it."""

    provider: str
    name: str  #: of the lane: it tells a provider's keys and groups of models apart
    closed: Closure | None
    message: str | None
    cause: Cause | None  #: of what closed it
    left: int
    stood_in: Mapping[str, int] = field(default_factory=dict)  #: jobs that it did for others, by their provider
    beyond: int = 0  #: jobs in doubt that were not bought again, because so many had been
    final: bool = False  #: what closed it will not change by itself
    denied: Mapping[str, str] = field(default_factory=dict)  #: models that it may not use, with the provider's words
    denied_left: int = 0  #: jobs of these models that are left
    held: bool = False  #: paused by `batchgen pause`


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """What a run came to."""

    run_id: str
    command: str
    began: datetime
    standing: BatchStatus
    lanes: Sequence[LaneResult]
    images: int  #: delivered by this run
    seconds: float
    stopped: int | None  #: the signal that stopped it
    drained: str | None  #: the bound that ended it early, in words
    sent: bool  #: False: there was nothing to do
    failed: int  #: jobs that failed in this run
    doubtful: int  #: jobs that this run left in doubt
    usd: int  #: nano-USD that this run is known to have spent
    purses: Sequence[Budget]  #: what counts against each budget
    sandbox: bool
    chosen: str  #: the options that selected what it was about
    fail_on: FailOn = "any"
    way: CommandFlags = field(default_factory=CommandFlags)  #: how commands that go on are typed
    underpriced: Sequence[Underpriced] = ()  #: calls that were found to cost more than the price list says
    imageless: str | None = None  #: a job to look at, where a lane closed for answers without an image
    before: int | None = None  #: the exit code of the run before
    taken_in: RecoveryReport | None = None  #: what the job table had lost and learnt again from the files around it
    resumed: Resumed | None = None  #: what became of the calls that an earlier run was cut off with
    wish: Plan = field(default_factory=Plan)  #: what it set out to do
    loaded: Loaded = field(default_factory=Loaded)  #: what it did to the job table before

    @property
    def exit_code(self) -> int:
        """Return the exit code of the table in the README: the gravest of what holds."""
        if self.stopped is not None:
            return 128 + self.stopped
        # a provider with another key that still works, or models in another lane, was not closed
        open_ = {lane.provider for lane in self.lanes if lane.closed is None and not lane.denied}
        why = {lane.closed for lane in self.lanes if lane.closed and lane.left and lane.provider not in open_}
        why |= {Closure.DENIED for lane in self.lanes if lane.denied_left}
        if why & {Closure.MONEY, Closure.BUDGET}:
            return 7
        if Closure.DENIED in why:
            return 5
        if why or (self.standing.counts.pending and (self.drained is not None or not self.wish.selected)):
            return 8
        return 3 if self.fallen_short and not self.forgiven else 0

    @property
    def fallen_short(self) -> bool:
        """Tell whether jobs failed or are in doubt, in this run or an earlier one."""
        return bool(self.standing.counts.failed or self.standing.counts.unknown)

    @property
    def forgiven(self) -> bool:
        """Tell whether the exit code is to say nothing of that."""
        return self.fail_on == "never" or (self.fail_on == "all" and self.standing.counts.done > 0)
