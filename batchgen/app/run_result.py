"""The result of a run and its summary: what ``run --json`` prints and ``runs/<id>/summary.json`` stores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ..budget import Budget
from ..engine.lane import Closure
from ..errors import ExitCode, StoreError
from ..files.atomic import write_atomic
from ..files.output import make_private
from ..learned_prices import Underpriced
from ..manifest.batch import SkippedJobs
from ..money import show_credits, show_usd
from ..object_url import Folder
from ..planning.plan import Plan
from ..store import ledger
from ..store.records import Loaded
from .advice import NextStep, next_steps
from .deliver import CopyReport
from .lane_result import LaneResult
from .project import CommandFlags, Project
from .queries import BatchStatus, waiting_document
from .recovery.rebuild import RecoveryReport
from .recovery.resumed import Resumed
from .run_options import FailOn

#: How many summaries are kept. Older ones are removed.
KEPT_SUMMARIES = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """What a run did and how the batch is after it."""

    run_id: str
    command: str
    began: datetime
    status: BatchStatus
    lanes: Sequence[LaneResult]
    images: int  #: delivered by this run
    seconds: float
    signal: int | None  #: the signal that stopped it
    drained: str | None  #: why it stopped early
    sent: bool  #: False if there was nothing to do
    collects_only: bool = False  #: it was not to send anything
    failed: int  #: jobs that failed in this run
    unknown: int  #: jobs that became unknown in this run
    usd: int  #: nano-USD that this run is known to have spent
    budgets: Sequence[Budget]
    sandbox: bool
    selected_by: str  #: the selecting options, as typed
    fail_on: FailOn = "any"
    command_flags: CommandFlags = field(default_factory=CommandFlags)  #: flags of the commands that it suggests
    underpriced: Sequence[Underpriced] = ()  #: calls that cost more than the price list says
    imageless_job: str | None = None  #: an example, if a lane closed because of answers without an image
    previous_exit_code: int | None = None
    recovery: RecoveryReport | None = None  #: what the job database had lost and took in from disk
    resumed: Resumed | None = None  #: the calls that an interrupted run had in flight
    cut_off: bool = False  #: requests in flight were given up, after a second signal or a long wait
    report: Folder | None = None  #: the page of the report that was written at the end
    copies: CopyReport | None = None  #: derived copies; None: the manifest asks for none
    plan: Plan = field(default_factory=Plan)
    loaded: Loaded = field(default_factory=Loaded)  #: how loading the plan changed the job database

    @property
    def exit_code(self) -> int:
        """Return the exit code: the gravest that applies."""
        if self.signal is not None:
            return 128 + self.signal
        # A provider is not closed while another of its keys or model groups still works.
        working = {lane.provider for lane in self.lanes if lane.closed is None and not lane.denied}
        closures = {lane.closed for lane in self.lanes if lane.closed and lane.left and lane.provider not in working}
        closures |= {Closure.DENIED for lane in self.lanes if lane.denied_left}
        if closures & {Closure.MONEY, Closure.BUDGET}:
            return ExitCode.OUT_OF_MONEY
        if Closure.DENIED in closures:
            return ExitCode.DENIED
        left = self.status.counts.pending > self.status.stuck and not self.collects_only
        is_whole = not self.plan.selected and not self._waits_for_provider
        if closures or (left and (self.drained is not None or is_whole)):
            return ExitCode.STOPPED
        if self.status.at_provider:
            return ExitCode.AT_PROVIDER
        incomplete = (self.has_failures or self.skipped or self.status.stuck) and not self.failures_ignored
        return ExitCode.JOBS_FAILED if incomplete else ExitCode.OK

    @property
    def _waits_for_provider(self) -> bool:
        """Return whether every pending job waits for others, of which some are at their provider."""
        return self.status.at_provider > 0 and self.status.counts.pending == len(self.status.waiting)

    @property
    def has_failures(self) -> bool:
        """Return whether the batch has failed or unknown jobs, from this run or an earlier one."""
        return bool(self.status.counts.failed or self.status.counts.unknown)

    @property
    def skipped(self) -> SkippedJobs:
        """Return the jobs with a bad source image, which this run should have made; none if jobs were selected."""
        return SkippedJobs() if self.plan.selected else self.plan.skipped

    @property
    def failures_ignored(self) -> bool:
        """Return whether ``--fail-on`` keeps them out of the exit code."""
        return self.fail_on == "never" or (self.fail_on == "all" and self.status.counts.done > 0)

    @property
    def exit_meaning(self) -> str:
        """Return what the exit code means here."""
        if self.exit_code == ExitCode.OK:
            return self._success()
        if self.exit_code == ExitCode.JOBS_FAILED and not self.has_failures and not self.skipped:
            return "ran to the end; some jobs wait for jobs that were cancelled"
        if self.exit_code == ExitCode.JOBS_FAILED and not self.has_failures:
            return f"ran to the end; {self._skipped_text()} because of bad source images"
        return ExitCode(self.exit_code).meaning

    @property
    def needs_attention(self) -> bool:
        """Return whether the end of a run requires action by the user.

        What the next run continues anyway does not: an interruption, a time limit, a provider that was unreachable
        once. Nor does an exit code that the previous run had as well, if this one delivered nothing.
        """
        if self.failed or self.unknown:
            return True
        if self.exit_code in (ExitCode.OK, ExitCode.AT_PROVIDER, ExitCode.INTERRUPTED, ExitCode.TERMINATED):
            return False
        repeated = self.previous_exit_code == self.exit_code and not self.images
        if self.exit_code != ExitCode.STOPPED or any(lane.paused and lane.left for lane in self.lanes):
            return not repeated
        closures = {str(lane.closed) for lane in self.lanes if lane.closed is not None and lane.left}
        if any(lane.final and lane.left for lane in self.lanes) or closures & {"doubt", "no-image"}:
            return True
        return "down" in closures and self.previous_exit_code == ExitCode.STOPPED

    def as_json(self) -> dict[str, Any]:
        """Return the summary as a document; money is a decimal string, null if unknown."""
        status = self.status
        steps = list(next_steps(status, self.command_flags, self.imageless_job, self.lanes))
        body = ledger.status_document(status.batch.name, status.counts, status.usage, status.failures)
        return body | {
            "failures": self._failures(steps),
            "unknown": self._unknown(),
            "at_provider": status.at_provider,
            "exit_code": int(self.exit_code),
            "exit_words": self.exit_meaning,
            "needs_person": self.needs_attention,
            "files_gone": self.status.presence.as_json(),
            "copies": None if self.copies is None else self.copies.as_json(),
            "report": None if self.report is None else str(self.report),
            "run": self._run(),
            "budgets": [budget.as_json() for budget in self.budgets],
            "skipped": self.plan.skipped.as_json(),
            "waiting": waiting_document(self.status),
            "underpriced": [price.as_json() for price in self.underpriced],
            "next": [{"command": step.command, "what": step.what, "cause": step.cause} for step in steps],
        }

    @property
    def unmatched(self) -> str:
        """Return that the selection has no job to send: notes of the plan state why those that it names are not."""
        return f"nothing {'to send for' if self.plan.notices else 'matched'} {self.selected_by}"

    def _skipped_text(self) -> str:
        return "one job was skipped" if self.skipped.count == 1 else f"{self.skipped.count:,} jobs were skipped"

    def _success(self) -> str:
        plan, counts, changed = self.plan, self.status.counts, self.loaded.left
        pending = counts.pending + counts.running
        rest = [f"{pending:,} pending"] if pending else []
        rest += [f"{changed:,} changed but not redone yet"] if changed else []
        rest += [f"{self._skipped_text()}, ignored by --fail-on {self.fail_on}"] if self.skipped else []
        if self.has_failures:
            summary = f"some jobs failed or are unknown, ignored by --fail-on {self.fail_on}"
        elif self.collects_only:
            summary = "nothing is at the provider"
        elif plan.selected and not plan.matched:
            summary = self.unmatched
        elif not rest:
            summary = f"all done except {counts.cancelled:,} cancelled" if counts.cancelled else "all done"
        else:
            summary = (
                f"done with the {plan.requests:,} selected" if plan.requests else "no selected job needs to be sent"
            )
        rest += [str(self.status.presence)] if self.status.presence.gone else []
        return "; ".join([summary, ", ".join(rest)] if rest else [summary])

    def _failures(self, steps: Sequence[NextStep]) -> list[dict[str, Any]]:
        by_cause = {step.cause: step for step in steps if step.cause}
        return [
            {
                "cause": failure.cause,
                "count": failure.count,
                "example": {"id": failure.key, "message": failure.message},
                "next": by_cause[failure.cause].command,
                "what": by_cause[failure.cause].what,
            }
            for failure in self.status.failures
        ]

    def _unknown(self) -> dict[str, Any]:
        at_risk = [line for line in self.status.usage if line.at_risk]
        return {
            "jobs": self.status.counts.unknown,
            "attempts": sum(line.at_risk for line in at_risk),
            "usd": show_usd(ledger.add([line.at_risk_usd for line in at_risk])) if at_risk else "0",
            "credits": {
                line.provider: show_credits(line.at_risk_credits)
                for line in at_risk
                if line.at_risk_credits is not None
            },
        }

    def _run(self) -> dict[str, Any]:
        seconds = round(self.seconds, 3)
        return {
            "id": self.run_id,
            "command": self.command,
            "began": f"{self.began:%Y-%m-%dT%H:%M:%SZ}",
            "seconds": seconds,
            "images": self.images,
            "images_per_minute": round(self.images / seconds * 60, 1) if seconds > 0 else 0.0,
            "failed": self.failed,
            "unknown": self.unknown,
            "usd": show_usd(self.usd),
            "folder": self.status.batch.folder,
            "manifest": self.status.batch.manifest,
            "sandbox": self.sandbox,
            "signal": self.signal,
            "stopped": self.drained,
            "resumed": None if self.resumed is None else self.resumed.as_json(),
            "lanes": [lane.as_json() for lane in self.lanes],
        }


def summary_path(project: Project, run_id: str) -> Path:
    """Return the path of a run's summary."""
    return project.state / "runs" / run_id / "summary.json"


def write_summary(project: Project, result: RunResult) -> Path | None:
    """Write the summary of a run, whole or not at all; return its path, None if the disk refuses it."""
    file = summary_path(project, result.run_id)
    runs = file.parents[1]
    data = json.dumps(result.as_json(), indent=2).encode() + b"\n"
    try:
        make_private(make_private(runs) / result.run_id)
        # All runs share one temporary name, so that the next run overwrites what a killed one left.
        write_atomic(file, data, part=runs / ".summary.part")
    except (OSError, StoreError):
        return None
    for old in sorted(runs.glob("*-*-*"))[:-KEPT_SUMMARIES]:
        with suppress(OSError):
            shutil.rmtree(old)
    return file
