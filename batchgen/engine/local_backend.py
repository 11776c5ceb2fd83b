"""Carry attempts out in this process."""

from __future__ import annotations

from dataclasses import dataclass

from ..job import Attempt, Outcome
from .executor import Executor


@dataclass(frozen=True, slots=True)
class LocalBackend:
    """Attempts run as tasks of this event loop."""

    workshop: Executor

    async def run(self, attempt: Attempt) -> Outcome:
        """Return what came of *attempt*."""
        return await self.workshop.perform(attempt)
