"""The pulse of this machine: moments at which it stood still, so that they are not laid to the program's account."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_NAP = 0.01
_LATE = 0.03  #: seconds by which a nap must be late, before the machine counts as standing still


@dataclass
class Pulse:
    """Stalls as begin and end, in milliseconds since 1970."""

    stalls: list[tuple[float, float]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def take(self) -> None:
        """Note each nap that ended late, until it is over."""
        while not self.stop.is_set():
            before = time.time()
            time.sleep(_NAP)
            if (after := time.time()) - before > _NAP + _LATE:
                self.stalls.append((1000 * before, 1000 * after))

    def stood_still(self, begin: float, end: float) -> bool:
        """Tell whether the machine stood still at some moment between the two."""
        return any(start < end and begin < finish for start, finish in self.stalls)


@contextmanager
def pulse() -> Iterator[Pulse]:
    """Take the pulse meanwhile."""
    taken = Pulse()
    thread = threading.Thread(target=taken.take, daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        taken.stop.set()
        thread.join()
