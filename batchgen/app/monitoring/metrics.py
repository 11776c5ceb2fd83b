"""Metrics of a run, kept in a file for Prometheus' node exporter."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from anyio import CancelScope, create_task_group, sleep, to_thread

from ...engine.lane import Lane
from ...engine.runner import Runner
from ...errors import StoreError
from ...files.atomic import write_atomic
from ...money import show_credits, show_usd
from ...store.ledger import Counts
from ...store.reader import Reader
from ..run_options import ShowMessage
from ..run_result import RunResult

#: Seconds between two writes of the file.
EVERY = 5.0

_STATES = ("pending", "running", "done", "failed", "unknown", "cancelled")

#: Labels and value of a sample.
Sample = tuple[Mapping[str, str], int | str]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric and its samples."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: Sequence[Sample] = ()


@dataclass(kw_only=True, slots=True)
class MetricsFile:
    """Writes the metrics of one run, each time the whole file or nothing."""

    file: Path
    show_message: ShowMessage
    _last: list[Family] = field(default_factory=list)
    _began: float = field(default_factory=time.time)
    _failed: bool = False

    @asynccontextmanager
    async def follow(self, runner: Runner, reader: Reader) -> AsyncIterator[None]:
        """Keep the file up to date during a run."""
        async with create_task_group() as tasks:
            tasks.start_soon(self._keep_writing, runner, reader)
            yield
            tasks.cancel_scope.cancel()
        # Computed inside the event loop, because lanes measure pauses by its clock.
        self._last = families(runner, reader.counts(runner.batch_id), self._began)

    def finished(self, result: RunResult) -> None:
        """Write the final metrics, with the exit code."""
        batch = {"batch": result.status.batch.name}
        ended, code = "batchgen_run_ended_timestamp_seconds", "batchgen_run_exit_code"
        self._write(
            [
                *self._last,
                Family(ended, "gauge", "Unix time at which the run ended.", [(batch, f"{time.time():.3f}")]),
                Family(code, "gauge", "Exit code of the run.", [(batch, int(result.exit_code))]),
            ]
        )

    async def _keep_writing(self, runner: Runner, reader: Reader) -> None:
        while True:
            try:
                counts = await to_thread.run_sync(reader.counts, runner.batch_id)
            except StoreError:
                counts = None  # The writer of the job database reports what is wrong with it.
            if counts is not None:
                with CancelScope(shield=True):
                    await to_thread.run_sync(self._write, families(runner, counts, self._began))
            await sleep(EVERY)

    def _write(self, metrics: Iterable[Family]) -> None:
        try:
            # The exporter runs as another user, so that others may read the file.
            write_atomic(self.file, exposition(metrics).encode(), mode=0o666)
        except OSError as error:
            if not self._failed:
                self._failed = True
                self.show_message(f"cannot write --metrics-file {self.file}: {error.strerror}; the run continues")


def families(runner: Runner, counts: Counts, began: float) -> list[Family]:
    """Return the metrics of a run that began at the Unix time *began*."""
    batch = {"batch": runner.attempts.batch}

    def by_provider(
        name: str, help_: str, value: Callable[[Lane], int], show: Callable[[int], int | str] = int
    ) -> Family:
        totals: dict[str, int] = {}
        for lane in runner.lanes:
            totals[lane.provider] = totals.get(lane.provider, 0) + value(lane)
        samples = [(batch | {"provider": provider}, show(total)) for provider, total in totals.items()]
        return Family(f"batchgen_{name}", "counter" if name.endswith("_total") else "gauge", help_, samples)

    def by_lane(name: str, help_: str, value: Callable[[Lane], int | str]) -> Family:
        samples = [(batch | {"provider": lane.provider, "lane": lane.name}, value(lane)) for lane in runner.lanes]
        return Family(f"batchgen_{name}", "gauge", help_, samples)

    jobs = [(batch | {"state": state}, getattr(counts, state)) for state in _STATES]
    budgets = [
        (batch | {"scope": budget.limit.scope}, _usd(budget.limit.usd), _usd(budget.usd))
        for budget in runner.attempts.wallet.budgets
        if budget.limit.usd is not None
    ]
    limits: list[Sample] = [(labels, limit) for labels, limit, _ in budgets]
    used: list[Sample] = [(labels, spent) for labels, _, spent in budgets]
    start: list[Sample] = [(batch, f"{began:.3f}")]
    return [
        by_provider("images_total", "Images delivered by this run.", lambda lane: lane.images),
        by_provider("jobs_done_total", "Jobs completed by this run.", lambda lane: lane.done),
        by_provider("jobs_failed_total", "Jobs that failed in this run.", lambda lane: lane.failed),
        by_provider("jobs_unknown_total", "Jobs that became unknown in this run.", lambda lane: lane.unknown),
        by_provider("spend_usd_total", "USD known to be spent by this run.", lambda lane: lane.usd, _usd),
        by_provider("spend_credits_total", "Credits spent by this run.", lambda lane: lane.credits, _credits),
        by_provider("calls_in_flight", "Calls in flight.", lambda lane: lane.in_flight),
        by_lane("lane_closed", "1 if the lane takes no more jobs.", lambda lane: int(lane.closed is not None)),
        by_lane("lane_held", "1 if the lane was paused by a command.", lambda lane: int(lane.paused)),
        by_lane("lane_pause_seconds", "Seconds until the lane sends again.", lambda lane: f"{lane.pause_left:.1f}"),
        Family("batchgen_jobs", "gauge", "Jobs of the batch, by state.", jobs),
        Family("batchgen_budget_limit_usd", "gauge", "Budget in USD.", limits),
        Family("batchgen_budget_used_usd", "gauge", "USD spent, at risk or reserved under a budget.", used),
        *_worker_families(runner, batch),
        Family("batchgen_run_started_timestamp_seconds", "gauge", "Unix time at which the run began.", start),
    ]


def _worker_families(runner: Runner, batch: Mapping[str, str]) -> list[Family]:
    workers = [({**batch, "worker": worker.name, "host": worker.host}, worker) for worker in runner.workers()]
    up: list[Sample] = [(labels, int(worker.alive)) for labels, worker in workers]
    calls: list[Sample] = [(labels, worker.in_flight) for labels, worker in workers]
    return [
        Family("batchgen_worker_up", "gauge", "1 if the worker of a cluster answers.", up),
        Family("batchgen_worker_calls_in_flight", "gauge", "Calls in flight at a worker of a cluster.", calls),
    ]


def exposition(metrics: Iterable[Family]) -> str:
    """Format metrics as Prometheus text; those without samples are omitted."""
    lines: list[str] = []
    for family in metrics:
        if family.samples:
            lines += [f"# HELP {family.name} {_escaped(family.help)}", f"# TYPE {family.name} {family.kind}"]
            lines += [f"{family.name}{_labels(labels)} {value}" for labels, value in family.samples]
    return "".join(f"{line}\n" for line in lines)


def _usd(amount: int | None) -> str:
    return show_usd(amount) or "0"


def _credits(amount: int) -> str:
    return show_credits(amount) or "0"


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{_quoted(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
