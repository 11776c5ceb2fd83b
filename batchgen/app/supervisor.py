"""What goes on beside a run: what a person tells it is heard, what lanes learn is kept, and silence is told."""

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
from ..providers.profile import Limits
from ..store.writer import Writer
from . import live_limits
from .lanes import LaneHistory, ago, configured, sent
from .live_limits import ShowMessage
from .project import Project

#: Seconds between two times at which what was learned is written down.
KEEP_EVERY = 60.0
#: Seconds without the end of any call after which a person is told; renders take up to five minutes.
SILENCE = 900.0
#: Looks in a row that find nothing but a pause in the way, before a run without a terminal ends.
SURE = 3
#: Seconds that such a run waits after a provider was paused during it.
NEAR = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Supervisor:
    """Who attends to a run."""

    project: Project
    batch: Batch
    runner: Runner
    writer: Writer
    say: ShowMessage  #: tells a person something at once
    on_silence: ShowMessage | None = None  #: tells of a silence; None: as *say* does
    interactive: bool = True  #: there is a terminal, where somebody may end what the run waits for

    @asynccontextmanager
    async def around(self, display: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
        """Attend to the run inside *display*; nothing is sent before it is known what must not be."""
        apply = partial(self._apply, {lane.provider: lane.account_gate.width for lane in self.runner.lanes})
        async with create_task_group() as tasks:
            await tasks.start(partial(live_limits.follow, self.project, self.batch, apply, self.say))
            tasks.start_soon(self._remember)
            tasks.start_soon(self._listen)
            if not self.interactive:
                tasks.start_soon(self._end_of_waiting)
            async with display:
                yield
            tasks.cancel_scope.cancel()
        await self.keep()

    def stalled(self, text: str) -> None:
        """Tell a person that nothing comes back."""
        log.event("stalled", logging.WARNING, message=text)
        (self.on_silence or self.say)(text)

    async def keep(self) -> None:
        """Write down what lanes have learned."""
        learned = {lane.name: lane.inner_gate.controller for lane in self.runner.lanes}
        states = {name: state for name, one in learned.items() if one is not None and (state := one.state())}
        if not states:
            return
        try:
            await self.writer.learn(states, self.runner.purchases.now())
        except StoreError as error:
            # raised here it would cut off what is in flight
            self.runner.halt(error)

    async def _apply(self, begun: Mapping[str, int], provider: str, limits: Limits, paused: bool) -> None:
        # as many as may be open at once was settled when the run began, and what was typed goes before what is filed
        filed = self.batch.profiles[provider].limits.concurrency
        width = limits.concurrency if limits.concurrency != filed else begun.get(provider, filed)
        windows = configured(limits)
        known = await self._sent_before(provider, SlidingWindows(windows).memory)
        self.runner.steer(provider, windows, width, held=paused)
        for gate, sends, since in known:
            gate.recall(sends, since)

    async def _sent_before(self, provider: str, seconds: float) -> list[tuple[Gate, list[tuple[float, int]], float]]:
        """Return what a window over so many *seconds* has to know of the time before it was said, gate by gate."""
        gates = {lane.account: lane.account_gate for lane in self.runner.lanes if lane.provider == provider}
        found = []
        for account, gate in gates.items():
            if gate.windows.memory < seconds:
                memory, since = (
                    LaneHistory(table=self.project.db, lessons={}, now=self.runner.purchases.now()),
                    gate.clock(),
                )
                calls = await to_thread.run_sync(sent, provider, account, seconds, memory)
                found.append((gate, list(ago(calls, memory.now)), since))
        return found

    async def _remember(self) -> None:
        while True:
            await sleep(KEEP_EVERY)
            await self.keep()

    async def _end_of_waiting(self) -> None:
        """End a run without a terminal, once all that is left waits for a decision.

        Whoever paused a provider during the run may still be there, and gets some time.
        """
        since = dict.fromkeys(self._paused(), -math.inf)  # these were paused before it began
        looks = 0
        while True:
            await sleep(live_limits.LOOK)
            now, paused = current_time(), self._paused()
            since = {name: since.get(name, now) for name in paused}
            waiting = self.runner.waits_for()
            looks = looks + 1 if waiting else 0
            if looks >= SURE and all(now - since.get(name, now) >= NEAR for name in waiting):
                self.runner.drain(f"all that is left waits for a decision: {self._undo(waiting)}")
                return

    def _paused(self) -> list[str]:
        return list(dict.fromkeys(lane.provider for lane in self.runner.lanes if lane.held))

    def _undo(self, providers: list[str]) -> str:
        flags = self.project.command_flags().flags
        return ", ".join(f"{name} is paused (to resume it: batchgen unpause{flags} {name})" for name in providers)

    async def _listen(self) -> None:
        since = current_time()
        while True:
            since = max(since, self.runner.heard_at or since)
            if (left := since + SILENCE - current_time()) > 0:
                await sleep(left)
                continue
            self.stalled(f"nothing has come back for {SILENCE / 60:.0f} min: {_state(self.runner)}")
            since = current_time()


def _state(runner: Runner) -> str:
    return "; ".join(f"{lane.name}: {_doing(lane)}" for lane in runner.lanes if lane.closed is None)


def _doing(lane: Lane) -> str:
    parts = [f"{lane.in_flight} in flight"]
    parts += ["paused by you"] if lane.held else []
    parts += [f"pauses for {lane.pause_left / 60:.0f} min more"] if lane.pause_left >= 60 else []
    parts += [f"last heard: {fault.message}"] if isinstance(fault := lane.fault, Fault) else []
    return ", ".join(parts)
