"""Clearance of one attempt: the permission to write its request, which the limits give at the last moment."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from ..fault import Cause, Fault, ProviderError
from .lane import Lane
from .limits.gate import Gate
from .limits.wire_queue import PATIENCE, REPEAT_PATIENCE


@dataclass(kw_only=True, slots=True)
class Clearance:
    """Permission of a lane to write the request of one attempt.

    ``ready`` is awaited when the connection is made, before each time that the request is written: it returns when
    every window of the lane has room, and has counted the request by then. Where the lane may not send any more, it
    raises ProviderError, and nothing was sent.
    """

    lane: Lane
    model: str
    images: int  #: that the request counts as
    let_go_at: float | None = None  #: when the gates let it go; None: an earlier run sent it, and it may be repeated
    written_at: float | None = None  #: when the request was written last
    withdrawn: bool = False  #: the lane did not let it go after all

    @property
    def sent_at(self) -> float:
        """Return when the request was written, or else when the gates let it go."""
        moment = self.let_go_at if self.written_at is None else self.written_at
        return self.lane.inner_gate.clock() if moment is None else moment

    @property
    def unsent(self) -> bool:
        """Return whether the request was withdrawn before a byte of it was sent."""
        return self.withdrawn and self.written_at is None

    async def __call__(self) -> None:
        """Wait as ``ready`` does: a clearance is what a backend awaits."""
        await self.ready()

    def why_withheld(self) -> str | None:
        """Return why the request must not be sent any more; None if it may."""
        return self.lane.why_withheld(self.model)

    def withdraw(self) -> None:
        """Record that the request was not sent, and will not be."""
        self.written_at, self.withdrawn = None, True

    def expire(self) -> None:
        """Record that the request was not written although it might have been: the limits are asked again."""
        self.written_at = None

    def delay(self) -> None:
        """Record that the request was written only now: it counts again, at the later time."""
        now = self.lane.inner_gate.clock()
        for gate in self.lane.gates:
            gate.written(now, self.images, None)

    async def ready(self) -> None:
        """Wait until the request may be written, and count it as written now.

        Nothing may be awaited between this and the write. Raises ProviderError if it must not be written any more.
        """
        gates = self.lane.gates
        if not any(gate.wire.waiting for gate in gates) and self._seconds_left(gates) <= 0:
            return self._count()
        for gate in gates:
            gate.wire.waiting += 1
        try:
            async with AsyncExitStack() as turns:
                # The models' gate first: a request that waits for it must not hold up those of other models.
                for number in range(len(gates) - 1, -1, -1):
                    await turns.enter_async_context(gates[number].wire.turn)
                    while (seconds := self._seconds_left(gates[number:])) > 0:
                        await gates[number].wire.pause(seconds)
                self._count()
        finally:
            for gate in gates:
                gate.wire.waiting -= 1

    def _seconds_left(self, gates: Sequence[Gate]) -> float:
        """Return the seconds until *gates* have room; raise ProviderError where the request must not wait for it."""
        # A repeat under the same key is sent whatever the lane does: it settles whether the first one was carried out.
        is_repeat = self.let_go_at is None or self.written_at is not None
        why = None if is_repeat else self.lane.why_withheld(self.model)
        if is_repeat and self.lane.lease is not None and not self.lane.lease.left:
            why = self.lane.why_withheld(self.model)
        seconds = max(gate.wire_wait(self.images, is_repeat=is_repeat) for gate in gates)
        if why is None and any(gate.withheld for gate in gates):
            why = f"other runners use the limits of {self.lane.name}"
        if why is None and seconds > (REPEAT_PATIENCE if is_repeat else PATIENCE):
            why = f"{self.lane.name} may send again in {seconds:.0f} s"
        if why is not None:
            self.withdrawn = True
            raise ProviderError(Fault(cause=Cause.UNREACHED, message=f"nothing was sent: {why}"))
        return seconds

    def _count(self) -> None:
        let_go_at = self.let_go_at if self.written_at is None else None
        now = self.lane.inner_gate.clock()
        for gate in self.lane.gates:
            gate.written(now, self.images, let_go_at)
        self.written_at = now
