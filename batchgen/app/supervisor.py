"""Supervisor of a run: applies live limits, stores learned rates, reports silence, ends a run that only waits."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from anyio import create_task_group, current_time, sleep, to_thread

from ..engine.lane import Lane
from ..engine.limits.gate import Gate
from ..engine.limits.windows import SlidingWindows
from ..engine.runner import Runner
from ..errors import StoreError
from ..fault import Fault
from ..files import log
from ..manifest import Batch
from ..providers.profile import Limits, Profile
from ..store.writer import Writer
from . import live_limits
from .lanes import LaneHistory, ago, configured, sent
from .project import Project
from .run_options import ShowMessage

#: Seconds between two writes of the learned rates.
STORE_EVERY = 60.0
#: Seconds without a finished call before silence is reported. Rendering takes up to five minutes.
SILENCE = 900.0
#: Consecutive looks that find only paused work before a run without a terminal ends.
IDLE_LOOKS = 3
#: Seconds that such a run waits after a provider was paused during it.
PAUSE_GRACE = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Supervisor:
    """Background tasks of one run."""

    project: Project
    batch: Batch
    runner: Runner
    writer: Writer
    show_message: ShowMessage
    on_silence: ShowMessage | None = None  #: reports that no answer arrives; None: *show_message* does
    interactive: bool = True  #: at a terminal, where the user may resume a paused provider

    @asynccontextmanager
    async def around(self, display: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
        """Supervise the run inside *display*; pauses apply before anything is sent."""
        apply = partial(self._apply, {lane.provider: lane.account_gate.width for lane in self.runner.lanes})
        async with create_task_group() as tasks:
            await tasks.start(partial(live_limits.follow, self.project, self.batch, apply, self.show_message))
            tasks.start_soon(self._store_regularly)
            tasks.start_soon(self._watch_for_silence)
            if not self.interactive:
                tasks.start_soon(self._end_when_only_paused)
            async with display:
                yield
            tasks.cancel_scope.cancel()
        await self.store_learned()

    def stalled(self, text: str) -> None:
        """Report that no answer arrives."""
        log.event("stalled", logging.WARNING, message=text)
        (self.on_silence or self.show_message)(text)

    async def store_learned(self) -> None:
        """Store the rates that the lanes have learned."""
        controllers = {lane.name: lane.inner_gate.controller for lane in self.runner.lanes}
        states = {
            name: state
            for name, controller in controllers.items()
            if controller is not None and (state := controller.state())
        }
        if not states:
            return
        try:
            await self.writer.learn(states, self.runner.attempts.now())
        except StoreError as error:
            # Raised here, the error would cut off the calls in flight.
            self.runner.halt(error)

    async def _apply(self, initial_widths: Mapping[str, int], provider: str, limits: Limits, paused: bool) -> None:
        # The limit of open files may have narrowed the lanes when the run began; only a changed width overrides that.
        configured_width = self.batch.profiles[provider].limits.concurrency
        changed = limits.concurrency != configured_width
        width = limits.concurrency if changed else initial_widths.get(provider, configured_width)
        windows = configured(limits)
        earlier = await self._sent_before(provider, SlidingWindows(windows).memory)
        self.runner.configure(provider, windows, width, paused=paused)
        for gate, sends, since in earlier:
            gate.recall(sends, since)

    async def _sent_before(self, provider: str, seconds: float) -> list[tuple[Gate, list[tuple[float, int]], float]]:
        """Return the calls that a new window over *seconds* has to count, by gate."""
        gates = {lane.account: lane.account_gate for lane in self.runner.lanes if lane.provider == provider}
        result = []
        for account, gate in gates.items():
            if gate.windows.memory < seconds:
                since = gate.clock()
                history = LaneHistory(table=self.project.db, lessons={}, now=self.runner.attempts.now())
                calls = await to_thread.run_sync(sent, provider, account, seconds, history)
                result.append((gate, list(ago(calls, history.now)), since))
        return result

    async def _store_regularly(self) -> None:
        while True:
            await sleep(STORE_EVERY)
            await self.store_learned()

    async def _end_when_only_paused(self) -> None:
        """End a run without a terminal once only jobs of paused providers are left.

        A provider that was paused during the run gets some time, because its user may be about to resume it.
        """
        since = dict.fromkeys(self._paused(), -math.inf)  # paused before the run
        looks = 0
        while True:
            await sleep(live_limits.LOOK)
            now, paused = current_time(), self._paused()
            since = {name: since.get(name, now) for name in paused}
            waiting = self.runner.only_paused()
            looks = looks + 1 if waiting else 0
            if looks >= IDLE_LOOKS and all(now - since.get(name, now) >= PAUSE_GRACE for name in waiting):
                self.runner.drain(f"the remaining jobs wait for a decision: {self._how_to_resume(waiting)}")
                return

    def _paused(self) -> list[str]:
        return list(dict.fromkeys(lane.provider for lane in self.runner.lanes if lane.paused))

    def _how_to_resume(self, providers: list[str]) -> str:
        flags = self.project.command_flags()
        return ", ".join(f"{name} is paused (to resume it: {flags.plain('unpause', name)})" for name in providers)

    async def _watch_for_silence(self) -> None:
        since = current_time()
        while True:
            since = max(since, self.runner.last_answer_at or since)
            limit = silence_limit(self.batch.profiles)
            if (left := since + limit - current_time()) > 0:
                await sleep(left)
                continue
            self.stalled(f"no answer for {limit / 60:.0f} min: {_state(self.runner)}")
            since = current_time()


def silence_limit(profiles: Mapping[str, Profile]) -> float:
    """Return the seconds without a finished call before silence is reported: some modes have slower answers."""
    models = [model for profile in profiles.values() if profile.modes for model in profile.models.values()]
    totals = [terms.total for model in models for terms in model.modes.values() if terms.total is not None]
    return max([SILENCE, *(total + 300.0 for total in totals)])


def _state(runner: Runner) -> str:
    return "; ".join(f"{lane.name}: {_doing(lane)}" for lane in runner.lanes if lane.closed is None)


def _doing(lane: Lane) -> str:
    parts = [f"{lane.in_flight} in flight"]
    parts += ["paused by `batchgen pause`"] if lane.paused else []
    parts += [f"waits {lane.pause_left / 60:.0f} min more"] if lane.pause_left >= 60 else []
    parts += [f"last error: {fault.message}"] if isinstance(fault := lane.fault, Fault) else []
    return ", ".join(parts)
