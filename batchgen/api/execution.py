"""The execution of a run for a program: in a thread, with callbacks in place of a display."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from threading import Thread

from anyio import to_thread

from ..app import queries
from ..app import run as runs
from ..app.budgets import SET_PRICE, is_capped, needs_price, require_prices
from ..app.project import Project
from ..app.run_options import RunOptions
from ..app.shutdown import StopRequest
from ..engine.attempts import OpenAttempt
from ..engine.lane import Lane
from ..engine.runner import Runner
from ..errors import SpendNotConfirmed
from ..job import Delivery, Exhausted, Settlement, Unknown
from ..manifest import Batch
from ..money import NANO, show_usd
from ..planning.plan import Plan
from ..planning.selection import IdList, Selection
from ..store.reader import Reader
from .values import Job, Progress, Result


@dataclass(kw_only=True, slots=True)
class Execution:
    """One run of a batch, and what its program is shown of it."""

    project: Project
    batch: Batch
    options: RunOptions
    yes: bool
    on_progress: Callable[[Progress], object] | None
    on_message: Callable[[str], object] | None
    call: Callable[[Callable[[], None]], None] = lambda callback: callback()  #: calls back in the program's thread
    stop: StopRequest = field(default_factory=StopRequest)
    _ended: set[str] = field(default_factory=set)  #: ids of jobs that ended in this run
    _messages: list[str] = field(default_factory=list)
    error: BaseException | None = None  #: of a callback; it stopped the run

    def start(self) -> Future[Result]:
        """Start the run in a thread of its own, and return its result to come."""
        future: Future[Result] = Future()

        def work() -> None:
            try:
                future.set_result(self._run())
            except BaseException as error:  # noqa: BLE001 - the thread that waits for the result raises it
                future.set_exception(error)

        Thread(target=work, name=f"batchgen {self.batch.name}").start()
        return future

    def _run(self) -> Result:
        result = runs.run(
            self.project,
            self.batch,
            self.options,
            self._confirm,
            self._follow,
            show_message=self._show,
            stop=self.stop,
        )
        listed = IdList("this run", dict.fromkeys(sorted(self._ended), 0))
        pairs = queries.jobs(self.project, self.batch.name, Selection(listed=listed), None) if self._ended else ()
        jobs = [Job.of(job, bill, self.project.root) for job, bill in pairs]
        return Result.of(result, jobs, self._messages)

    def _confirm(self, batch: Batch, plan: Plan) -> None:
        own, unpriced = self.options.budget, self.options.allow_unpriced
        require_prices(batch, plan, own, unpriced=unpriced)
        if unusable := [name for name in plan.priceless if needs_price(batch, name, own, unpriced=unpriced)]:
            why = "the budget is in USD, and their price in USD is unknown"
            self._show(f"cannot be used as a fallback: {', '.join(unusable)}; {why}. {SET_PRICE}")
        if self.yes or self.options.budget is not None or is_capped(batch, plan):
            return
        low, high = (show_usd(amount) for amount in (plan.usd.low, plan.usd.high))
        cost = f"cost {low} to {high} USD" if high is not None else "cost an unknown amount"
        raise SpendNotConfirmed(
            f"spending was not confirmed: {plan.requests:,} requests may {cost}. Nothing was sent. "
            "Pass budget=USD or yes=True, or set budget: in the manifest"
        )

    @asynccontextmanager
    async def _follow(self, runner: Runner, reader: Reader) -> AsyncIterator[None]:
        start = await to_thread.run_sync(reader.lanes, runner.batch_id)
        began = time.monotonic()
        earlier = {name: sum(getattr(counts, name) for counts in start.values()) for name in _COUNTED}

        def progress(job: str | None) -> Progress:
            done, failed, unknown = (sum(getattr(lane, name) for lane in runner.lanes) for name in _ENDS)
            return Progress(
                total=sum(counts.total for counts in start.values()),
                done=earlier["done"] + done,
                failed=earlier["failed"] + failed,
                unknown=earlier["unknown"] + unknown,
                pending=max(0, earlier["pending"] + earlier["running"] - done - failed - unknown),
                images=sum(lane.images for lane in runner.lanes),
                usd=Decimal(sum(lane.usd for lane in runner.lanes)) / NANO,
                seconds=time.monotonic() - began,
                job=job,
            )

        def report(lane: Lane, opened: OpenAttempt, settlement: Settlement | None) -> None:
            del lane
            if settlement is None:
                return
            if isinstance(settlement.event, Delivery | Exhausted | Unknown):
                self._ended.add(opened.job.key)
            if self.on_progress is not None:
                self._notify(self.on_progress, progress(opened.job.key))

        runner.subscribe(report)
        yield

    def _show(self, text: str) -> None:
        self._messages.append(text)
        if self.on_message is not None:
            self._notify(self.on_message, text)

    def _notify(self, callback: Callable[..., object], value: object) -> None:
        """Call back with *value*; the run stops, as at Ctrl-C, if that returns False or raises an error."""

        def notify() -> None:
            try:
                wanted = callback(value) is not False
            except BaseException as error:  # noqa: BLE001 - raised once requests in flight have ended
                self.error = self.error or error
                wanted = False
            if not wanted and not self.stop.drain:
                self.stop.set()

        self.call(notify)


#: Counts of a batch that progress begins with, and counters of a lane.
_COUNTED = ("done", "failed", "unknown", "pending", "running")
_ENDS = ("done", "failed", "unknown")
