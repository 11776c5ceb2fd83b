"""Two-stage stop: the first signal lets calls in flight end, the second cuts them off but keeps what arrived."""

from __future__ import annotations

import signal
from contextlib import AbstractAsyncContextManager

from anyio import CancelScope, create_task_group, open_signal_receiver

from ..runner import Runner


class Stop:
    """Runs a runner and listens for signals; ``signal`` is the one that stopped it, or None."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._scope = CancelScope()
        self.signal: int | None = None

    async def guard(self, display: AbstractAsyncContextManager[None]) -> None:
        """Run the runner inside *display* until its end, listening for signals."""
        async with create_task_group() as tasks:
            tasks.start_soon(self._listen)
            async with display:
                with self._scope:
                    await self._runner.run()
            tasks.cancel_scope.cancel()

    async def _listen(self) -> None:
        with open_signal_receiver(signal.SIGINT, signal.SIGTERM) as arrivals:
            async for number in arrivals:
                if self.signal is None:
                    self.signal = int(number)
                    self._runner.drain()
                else:
                    self._scope.cancel()
