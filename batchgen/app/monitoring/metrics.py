"""Keeps a file of figures about a run up to date, for Prometheus' node exporter."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from anyio import CancelScope, create_task_group, sleep, to_thread

from ...budget import Budget
from ...engine.lane import Lane
from ...engine.runner import Runner
from ...errors import StoreError
from ...files.atomic import write_atomic
from ...money import show_credits, show_usd
from ...store.ledger import Counts
from ...store.reader import Reader
from ..run_options import ShowMessage
from ..run_result import RunResult

#: Seconds between two times at which the file is written.
EVERY = 5.0

_STATES = ("pending", "running", "done", "failed", "unknown", "cancelled")


@dataclass(kw_only=True, slots=True)
class MetricsFile:
    """Writes the figures of one run, each time the whole file or nothing."""

    file: Path
    say: ShowMessage  #: tells a person that the file cannot be written
    _last: list[Family] = field(default_factory=list)
    _began: float = field(default_factory=time.time)
    _mute: bool = False

    @asynccontextmanager
    async def follow(self, runner: Runner, reader: Reader) -> AsyncIterator[None]:
        """Keep the file up to date while a run goes on."""
        async with create_task_group() as tasks:
            tasks.start_soon(self._keep_writing, runner, reader)
            yield
            tasks.cancel_scope.cancel()
        # here, because lanes tell the time by the event loop's clock
        self._last = families(runner, reader.counts(runner.batch_id), self._began)

    def finished(self, ended: RunResult) -> None:
        """Write the figures at the end, with the exit code."""
        batch = {"batch": ended.status.batch.name}
        end = [
            Family(
                name="batchgen_run_ended_timestamp_seconds",
                kind="gauge",
                help="When the run ended, in seconds since 1970.",
                samples=[(batch, f"{time.time():.3f}")],
            ),
            Family(
                name="batchgen_run_exit_code",
                kind="gauge",
                help="The exit code of the run.",
                samples=[(batch, ended.exit_code)],
            ),
        ]
        self._write([*self._last, *end])

    async def _keep_writing(self, runner: Runner, reader: Reader) -> None:
        while True:
            try:
                counts = await to_thread.run_sync(reader.counts, runner.batch_id)
            except StoreError:
                counts = None  # whoever writes the job table says what is wrong
            if counts is not None:
                with CancelScope(shield=True):
                    await to_thread.run_sync(self._write, list(families(runner, counts, self._began)))
            await sleep(EVERY)

    def _write(self, found: Iterable[Family]) -> None:
        try:
            # others may read it: the exporter is another user
            write_atomic(self.file, exposition(found).encode(), mode=0o666)
        except OSError as error:
            if not self._mute:
                self._mute = True
                self.say(f"--metrics-file {self.file} cannot be written: {error.strerror}; the run goes on")


def families(runner: Runner, counts: Counts, began: float) -> list[Family]:
    """Return the figures of a run; counters count from its beginning (*began*, seconds since 1970)."""
    batch = {"batch": runner.attempts.batch}

    def by_provider(name: str, kind: str, what: str, figure: Callable[[Lane], int], show: str = "") -> Family:
        totals: dict[str, int] = {}
        for lane in runner.lanes:
            totals[lane.provider] = totals.get(lane.provider, 0) + figure(lane)
        samples = [(batch | {"provider": who}, _shown(total, show)) for who, total in totals.items()]
        return Family(name=f"batchgen_{name}", kind=kind, help=what, samples=samples)

    def by_lane(name: str, what: str, figure: Callable[[Lane], int | str]) -> Family:
        samples = [(batch | {"provider": lane.provider, "lane": lane.name}, figure(lane)) for lane in runner.lanes]
        return Family(name=f"batchgen_{name}", kind="gauge", help=what, samples=samples)

    jobs = [(batch | {"state": state}, getattr(counts, state)) for state in _STATES]
    start = [(batch, f"{began:.3f}")]
    return [
        by_provider("images_total", "counter", "Images delivered by this run.", lambda lane: lane.images),
        by_provider("jobs_done_total", "counter", "Jobs finished by this run.", lambda lane: lane.done),
        by_provider("jobs_failed_total", "counter", "Jobs that failed in this run.", lambda lane: lane.failed),
        by_provider("jobs_unknown_total", "counter", "Jobs that this run left in doubt.", lambda lane: lane.unknown),
        by_provider("spend_usd_total", "counter", "USD known to be spent by this run.", lambda lane: lane.usd, "usd"),
        by_provider(
            "spend_credits_total", "counter", "Credits spent by this run.", lambda lane: lane.credits, "credits"
        ),
        by_provider("calls_in_flight", "gauge", "Calls under way.", lambda lane: lane.in_flight),
        by_lane("lane_closed", "1 where a lane takes no more jobs.", lambda lane: int(lane.closed is not None)),
        by_lane("lane_held", "1 where a person paused a lane.", lambda lane: int(lane.paused)),
        by_lane("lane_pause_seconds", "Seconds until a lane goes on.", lambda lane: f"{lane.pause_left:.1f}"),
        Family(name="batchgen_jobs", kind="gauge", help="Jobs of the batch, by state.", samples=jobs),
        *_budgets(runner.attempts.wallet.budgets, batch),
        Family(
            name="batchgen_run_started_timestamp_seconds",
            kind="gauge",
            help="When the run began, in seconds since 1970.",
            samples=start,
        ),
    ]


def _budgets(purses: Iterable[Budget], batch: dict[str, str]) -> list[Family]:
    capped = [(batch | {"scope": purse.limit.scope}, purse) for purse in purses]
    limits = [(labels, show_usd(purse.limit.usd) or "0") for labels, purse in capped if purse.limit.usd is not None]
    used = [(labels, show_usd(purse.usd) or "0") for labels, purse in capped if purse.limit.usd is not None]
    what = "USD that count against a budget: spent, at risk, reserved."
    return [
        Family(name="batchgen_budget_limit_usd", kind="gauge", help="USD that a budget allows.", samples=limits),
        Family(name="batchgen_budget_used_usd", kind="gauge", help=what, samples=used),
    ]


def _shown(total: int, show: str) -> int | str:
    if show == "usd":
        return show_usd(total) or "0"
    return (show_credits(total) or "0") if show == "credits" else total


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """One metric: what it counts, and its samples by their labels."""

    name: str
    kind: str  #: "counter" only grows within a run, "gauge" goes up and down
    help: str
    samples: Sequence[tuple[Mapping[str, str], int | str]] = field(default_factory=list)  #: labels, a decimal number


def exposition(families: Iterable[Family]) -> str:
    """Return *families* as text; those without samples are left out."""
    lines: list[str] = []
    for family in families:
        if family.samples:
            lines += [f"# HELP {family.name} {_escaped(family.help)}", f"# TYPE {family.name} {family.kind}"]
            lines += [f"{family.name}{_labels(labels)} {value}" for labels, value in family.samples]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Mapping[str, str]) -> str:
    said = ",".join(f'{name}="{_quoted(value)}"' for name, value in labels.items())
    return f"{{{said}}}" if said else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
