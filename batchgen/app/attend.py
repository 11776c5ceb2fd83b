"""What goes on beside a run: what lanes learn is kept, and silence is told."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any

from anyio import current_time, sleep

from ..runner import Runner
from ..store.writer import Writer

#: Seconds between two times at which what was learned is written down.
KEEP_EVERY = 60.0
#: Seconds without the end of any call after which a person is told; renders take up to five minutes.
SILENCE = 900.0

Attendant = Callable[[], Coroutine[Any, Any, None]]


def attendants(runner: Runner, writer: Writer, say: Callable[[str], None]) -> Sequence[Attendant]:
    """Return what is to go on beside *runner* until its end."""

    async def remember() -> None:
        while True:
            await sleep(KEEP_EVERY)
            await keep(runner, writer, runner.purchases.now())

    async def listen() -> None:
        told = began = current_time()
        while True:
            await sleep(SILENCE / 10)
            heard = max(runner.heard_at or began, told)
            if current_time() - heard >= SILENCE:
                told = current_time()
                say(silence(runner, current_time() - max(runner.heard_at or began, began)))

    return (remember, listen)


async def keep(runner: Runner, writer: Writer, now: datetime) -> None:
    """Write down what lanes have learned."""
    states = {lane.name: lane.gates[-1].controller for lane in runner.lanes}
    known = {name: state for name, one in states.items() if one is not None and (state := one.state())}
    if known:
        await writer.learn(known, now)


def silence(runner: Runner, seconds: float) -> str:
    """Return what to tell a person when nothing has come to its end for so many seconds."""
    lanes = [f"{lane.name}: {_doing(lane.in_flight, lane.pause_left, lane.fault)}" for lane in runner.lanes]
    return f"no call has ended for {seconds / 60:.0f} min.  {'; '.join(lanes)}"


def _doing(in_flight: int, pause: float, fault: object) -> str:
    parts = [f"{in_flight} in flight"]
    parts += [f"paused for {pause / 60:.0f} min more"] if pause >= 60 else []
    parts += [f"last said: {getattr(fault, 'message', '')}"] if fault is not None else []
    return ", ".join(parts)
