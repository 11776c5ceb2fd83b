"""Figures of a run in progress: the same values for ``run``, which counts itself, and ``watch``, which reads them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..budget import Budget
from ..engine.worker_state import WorkerState
from ..store.ledger import Counts

#: Seconds over which rates are averaged.
WINDOW = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderFigures:
    """What one provider did in this run, and what it waits for."""

    provider: str
    done: int = 0  #: jobs
    failed: int = 0  #: jobs
    unknown: int = 0  #: jobs
    in_flight: int = 0
    width: int | None = None  #: how many requests may be in flight; None: not known here
    images: int = 0
    per_minute: float = 0.0  #: images
    usd: int = 0  #: nano-USD
    credits: int = 0  #: milli-credits
    waits: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFigures:
    """The progress of a run and of its batch at one moment."""

    batch: str
    jobs: int | None  #: that this run was to send; None: not known here
    counts: Counts  #: of the batch
    providers: Sequence[ProviderFigures] = ()
    seconds: float = 0.0  #: since the run began
    budgets: Sequence[Budget] = ()
    stopping: str = ""  #: why the run sends no more requests
    workers: Sequence[WorkerState] = ()  #: of a cluster
    neighbours: Sequence[str] = ()  #: other runners of the job database

    @property
    def done(self) -> int:
        """Return the jobs that this run completed."""
        return sum(each.done for each in self.providers)

    @property
    def failed(self) -> int:
        """Return the jobs that failed in this run."""
        return sum(each.failed for each in self.providers)

    @property
    def unknown(self) -> int:
        """Return the jobs that became unknown in this run."""
        return sum(each.unknown for each in self.providers)

    @property
    def ended(self) -> int:
        """Return the jobs that ended in this run."""
        return self.done + self.failed + self.unknown

    @property
    def in_flight(self) -> int:
        """Return the requests in flight."""
        return sum(each.in_flight for each in self.providers)

    @property
    def left(self) -> int:
        """Return the jobs that this run has yet to end."""
        pending = self.counts.pending + self.counts.running
        return pending if self.jobs is None else max(0, min(pending, self.jobs - self.ended))

    @property
    def share(self) -> float:
        """Return the part of this run's jobs that has ended, from 0 to 1."""
        return self.ended / (self.ended + self.left) if self.ended + self.left else 1.0

    @property
    def per_minute(self) -> float:
        """Return images per minute."""
        return sum(each.per_minute for each in self.providers)

    @property
    def usd(self) -> int:
        """Return the nano-USD that this run is known to have spent."""
        return sum(each.usd for each in self.providers)

    @property
    def seconds_left(self) -> float | None:
        """Return how long the rest takes at this pace; None without a rest or a pace, and while the run stops."""
        images = sum(each.images for each in self.providers)
        if self.stopping or not self.left or not self.ended or not images or self.per_minute < 0.1:
            return None
        return self.left * images / self.ended / self.per_minute * 60


@dataclass(slots=True)
class Rates:
    """Images per minute by provider, over the last minute."""

    _seen: deque[tuple[float, Mapping[str, int]]] = field(default_factory=deque)

    def add(self, now: float, images: Mapping[str, int]) -> Mapping[str, float]:
        """Take in the images so far; return the rates, which are empty at the first look."""
        self._seen.append((now, images))
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW:
            self._seen.popleft()
        began, before = self._seen[0]
        if now <= began:
            return {}
        return {name: (count - before.get(name, 0)) / (now - began) * 60 for name, count in images.items()}

    def clear(self) -> None:
        """Forget everything: another run began."""
        self._seen.clear()
