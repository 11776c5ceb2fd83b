"""How a run is to go, and what it came to.  Values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..planning.selection import Selection
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
    only_requeued: bool = True  #: where jobs are put back, send these and nothing else
    overrides: Mapping[str, Any] = field(default_factory=dict)  #: what these are asked for beside their manifest
    selection: Selection = field(default_factory=Selection)  #: of what is pending, what is sent
    keep_changed: bool = False  #: leave done jobs as they are, also where the manifest asks for something else
    stop_conditions: StopConditions = field(default_factory=StopConditions)  #: when the run ends by itself
    fail_on: FailOn = "any"
    interactive: bool = True  #: there is a terminal, where somebody may decide what it waits for
    latency: str = "realistic"  #: of the sandbox
    selected_by: str = ""  #: the options that selected what it is about, as typed
    again: str = ""  #: those that a run which goes on needs too, as typed
