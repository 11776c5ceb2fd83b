"""The result of a run, collected at its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from ..engine.lane import Lane
from ..engine.runner import Runner
from ..store.ledger import Counts
from .clock import utc_now
from .lane_result import LaneResult
from .presence import look
from .queries import ShardStatus, batch_status
from .report.folder import find
from .run_result import RunResult
from .runners import runners_of

if TYPE_CHECKING:
    from .run_inputs import RunInputs


def collect_result(
    inputs: RunInputs, batch_id: int, runner: Runner, started: datetime, stop_signal: int | None
) -> RunResult:
    """Return what a run came to, by its lanes and the job database."""
    counts, lanes_ = inputs.reader.lanes(batch_id), runner.lanes
    status = batch_status(inputs.reader, inputs.reader.batch(inputs.batch.name))
    run_id, chosen = runner.attempts.run_id, inputs.options.requeue or inputs.options.selection
    others = [each for each in runners_of(inputs.project, inputs.reader, batch_id) if each.id != run_id]
    return RunResult(
        run_id=run_id,
        command=inputs.command,
        began=started,
        status=replace(
            status,
            presence=look(inputs.project, inputs.reader, status.batch, status.counts.images),
            report=find(inputs.project, status.batch),
            held=[f"{why} (such as job {key})" for why, key in runner.attempts.left_behind.items()],
            runners=others,
            shard=ShardStatus.of(inputs.reader, batch_id, chosen.shard),
        ),
        lanes=[_lane_result(inputs, batch_id, lane, counts.get(lane.provider)) for lane in lanes_],
        images=sum(lane.images for lane in lanes_),
        seconds=(utc_now() - started).total_seconds(),
        signal=stop_signal,
        drained=runner.drained,
        sent=any(lane.calls or lane.images or lane.failed or lane.unknown or lane.closed for lane in lanes_),
        collects_only=inputs.options.collects_only,
        failed=sum(lane.failed for lane in lanes_),
        unknown=sum(lane.unknown for lane in lanes_),
        usd=sum(lane.usd for lane in lanes_),
        budgets=runner.attempts.wallet.budgets,
        underpriced=tuple(runner.attempts.prices.underpriced.values()),
        sandbox=inputs.project.sandbox,
        selected_by=inputs.options.selected_by,
        fail_on=inputs.options.fail_on,
        command_flags=inputs.project.command_flags(),
        plan=inputs.plan,
        recovery=inputs.recovery,
        previous_exit_code=next((run.exit_code for run in inputs.reader.runs(batch_id) if run.id != run_id), None),
    )


def _lane_result(inputs: RunInputs, batch_id: int, lane: Lane, counts: Counts | None) -> LaneResult:
    return LaneResult.of(
        lane,
        left=counts.pending if counts else 0,
        denied_left=inputs.reader.pending_of(batch_id, lane.provider, lane.denied),
        variable=_key_variable(inputs, lane.provider),
    )


def _key_variable(inputs: RunInputs, provider: str) -> str | None:
    profile = inputs.batch.profiles.get(provider)
    return next(iter(profile.api_key_env), None) if profile else None
