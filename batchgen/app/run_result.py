"""The end of a run as a document: what ``run --json`` prints, and ``runs/<id>/summary.json`` beside the job table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ..budget import Budget
from ..engine.lane import Closure
from ..errors import StoreError
from ..fault import Cause
from ..files.atomic import write_atomic
from ..files.output import make_private
from ..learned_prices import Underpriced
from ..money import show_credits, show_usd
from ..planning.plan import Plan
from ..store import ledger
from ..store.records import Loaded
from .advice import CLOSURES, NextStep, exit_meaning, needs_attention, next_steps
from .project import CommandFlags, Project
from .queries import BatchStatus
from .recovery.rebuild import RecoveryReport
from .recovery.resumed import Resumed
from .run_options import FailOn

#: Summaries that are kept; older ones go.
KEPT = 500


def document(ended: RunResult) -> dict[str, Any]:
    """Return the end of a run as a JSON document; money is a decimal string, null where nobody knows."""
    found = ended.status
    ahead = list(next_steps(found, ended.command_flags, ended.imageless_job))
    body = ledger.status_document(found.batch.name, found.counts, found.usage, found.failures)
    return body | {
        "failures": _failures(ended, ahead),
        "unknown": _unknown(ended),
        "exit_code": ended.exit_code,
        "exit_words": exit_meaning(ended),
        "needs_person": needs_attention(ended),
        "run": _run(ended),
        "budgets": [purse.as_json() for purse in ended.purses],
        "underpriced": [one.as_json() for one in ended.underpriced],
        "next": [{"command": step.command, "what": step.what, "cause": step.cause} for step in ahead],
    }


def summary_path(project: Project, run_id: str) -> Path:
    """Return where the summary of a run lies."""
    return project.state / "runs" / run_id / "summary.json"


def write_summary(project: Project, ended: RunResult) -> Path | None:
    """Write the summary of a run, whole or not at all; return its path, None where the disk does not take it."""
    file = summary_path(project, ended.run_id)
    runs = file.parents[1]
    data = json.dumps(document(ended), indent=2).encode() + b"\n"
    try:
        make_private(make_private(runs) / ended.run_id)
        # one temporary name for all runs: what a run leaves when it dies here, the next one overwrites
        write_atomic(file, data, part=runs / ".summary.part")
    except (OSError, StoreError):
        return None
    _forget(runs)
    return file


def _forget(folder: Path) -> None:
    for old in sorted(folder.glob("*-*-*"))[:-KEPT]:
        with suppress(OSError):
            shutil.rmtree(old)


def _failures(ended: RunResult, ahead: list[NextStep]) -> list[dict[str, Any]]:
    cures = {step.cause: step for step in ahead if step.cause}
    return [
        {
            "cause": failure.cause,
            "count": failure.count,
            "example": {"id": failure.key, "message": failure.message},
            "next": cures[failure.cause].command,
            "what": cures[failure.cause].what,
        }
        for failure in ended.status.failures
    ]


def _unknown(ended: RunResult) -> dict[str, Any]:
    doubtful = [line for line in ended.status.usage if line.at_risk]
    return {
        "jobs": ended.status.counts.unknown,
        "attempts": sum(line.at_risk for line in doubtful),
        "usd": show_usd(ledger.add([line.at_risk_usd for line in doubtful])) if doubtful else "0",
        "credits": {
            line.provider: show_credits(line.at_risk_credits) for line in doubtful if line.at_risk_credits is not None
        },
    }


def _run(ended: RunResult) -> dict[str, Any]:
    seconds = round(ended.seconds, 3)
    return {
        "id": ended.run_id,
        "command": ended.command,
        "began": _utc(ended.began),
        "seconds": seconds,
        "images": ended.images,
        "images_per_minute": round(ended.images / seconds * 60, 1) if seconds > 0 else 0.0,
        "failed": ended.failed,
        "unknown": ended.doubtful,
        "usd": show_usd(ended.usd),
        "folder": ended.status.batch.folder,
        "manifest": ended.status.batch.manifest,
        "sandbox": ended.sandbox,
        "signal": ended.signal,
        "stopped": ended.drained,
        "resumed": None if ended.resumed is None else ended.resumed.as_json(),
        "lanes": [_lane(lane) for lane in ended.lanes],
    }


def _lane(lane: LaneResult) -> dict[str, Any]:
    return {
        "provider": lane.provider,
        "closed": lane.closed,
        "why": None if lane.closed is None else CLOSURES[str(lane.closed)],
        "message": lane.message,
        "left": lane.left,
        "stood_in": dict(lane.stood_in),
        "not_bought_again": lane.beyond,
        "denied_models": dict(lane.denied),
    }


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


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
    status: BatchStatus
    lanes: Sequence[LaneResult]
    images: int  #: delivered by this run
    seconds: float
    signal: int | None  #: the signal that stopped it
    drained: str | None  #: the bound that ended it early, in words
    sent: bool  #: False: there was nothing to do
    failed: int  #: jobs that failed in this run
    doubtful: int  #: jobs that this run left in doubt
    usd: int  #: nano-USD that this run is known to have spent
    purses: Sequence[Budget]  #: what counts against each budget
    sandbox: bool
    selected_by: str  #: the options that selected what it was about
    fail_on: FailOn = "any"
    command_flags: CommandFlags = field(default_factory=CommandFlags)  #: how commands that go on are typed
    underpriced: Sequence[Underpriced] = ()  #: calls that were found to cost more than the price list says
    imageless_job: str | None = None  #: a job to look at, where a lane closed for answers without an image
    previous_exit_code: int | None = None  #: the exit code of the run before
    recovery: RecoveryReport | None = None  #: what the job table had lost and learnt again from the files around it
    resumed: Resumed | None = None  #: what became of the calls that an earlier run was cut off with
    plan: Plan = field(default_factory=Plan)  #: what it set out to do
    loaded: Loaded = field(default_factory=Loaded)  #: what it did to the job table before

    @property
    def exit_code(self) -> int:
        """Return the exit code of the table in the README: the gravest of what holds."""
        if self.signal is not None:
            return 128 + self.signal
        # a provider with another key that still works, or models in another lane, was not closed
        open_ = {lane.provider for lane in self.lanes if lane.closed is None and not lane.denied}
        why = {lane.closed for lane in self.lanes if lane.closed and lane.left and lane.provider not in open_}
        why |= {Closure.DENIED for lane in self.lanes if lane.denied_left}
        if why & {Closure.MONEY, Closure.BUDGET}:
            return 7
        if Closure.DENIED in why:
            return 5
        if why or (self.status.counts.pending and (self.drained is not None or not self.plan.selected)):
            return 8
        return 3 if self.has_failures and not self.failures_ignored else 0

    @property
    def has_failures(self) -> bool:
        """Tell whether jobs failed or are in doubt, in this run or an earlier one."""
        return bool(self.status.counts.failed or self.status.counts.unknown)

    @property
    def failures_ignored(self) -> bool:
        """Tell whether the exit code is to say nothing of that."""
        return self.fail_on == "never" or (self.fail_on == "all" and self.status.counts.done > 0)
