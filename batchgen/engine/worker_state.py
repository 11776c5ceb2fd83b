"""State of a worker of a cluster, as displays show it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerState:
    """The state of one worker at one moment."""

    name: str
    host: str  #: "" until it has answered for the first time
    in_flight: int = 0
    capacity: int = 0  #: most calls that it takes
    alive: bool = False  #: it answers
