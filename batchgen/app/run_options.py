"""The options of a run, as its caller sets them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..planning.selection import Selection
from .shutdown import StopConditions

#: Which failed jobs the exit code reports: any, only if no job at all is done, none.
FailOn = Literal["any", "all", "never"]

#: Shows the user one line at once.
ShowMessage = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterOptions:
    """The Ray cluster of a run."""

    address: str | None = None  #: None: RAY_ADDRESS, or else Ray is started on this machine
    workers: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """The options of a run, in addition to what the manifest sets."""

    budget: int | None = None  #: nano-USD for this run
    allow_unpriced: bool = False  #: send requests without a known price even under a budget
    wait_lock: float = 0.0  #: seconds to wait for another run to end
    requeue: Selection | None = None  #: ended jobs to requeue first: failed ones, or done ones for a redo
    redo: bool = False  #: make done jobs again
    missing_files: bool = False  #: of a redo: only jobs with a delivered file that is gone
    only_requeued: bool = True  #: if jobs are requeued, send these and no others
    overrides: Mapping[str, Any] = field(default_factory=dict)  #: replace parameters of the requeued jobs
    prompts: Mapping[str, str] = field(default_factory=dict)  #: replace prompts of the requeued jobs, by id
    note: str = ""  #: why the requeued jobs are made again; kept in their sidecars
    selection: Selection = field(default_factory=Selection)  #: which pending jobs are sent
    keep_changed: bool = False  #: leave done jobs as they are even if the manifest has changed
    stop_conditions: StopConditions = field(default_factory=StopConditions)
    fail_on: FailOn = "any"
    interactive: bool = True  #: at a terminal, where the user may decide about what the run waits for
    leaves: bool = False  #: what is at a provider for hours is left to the next run
    collects_only: bool = False  #: send nothing, and collect what providers have finished
    latency: str = "realistic"  #: of the sandbox
    selected_by: str = ""  #: the selecting options, as typed
    cluster: ClusterOptions | None = None  #: whose workers carry attempts out; None: this process does
    environment: Mapping[str, str] | None = field(default=None, repr=False)  #: that contains the keys; None: our own
    command: str = ""  #: as it could be typed; "": the command line of this process
