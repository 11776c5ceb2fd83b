"""Where attempts are carried out.  One method; plain data in, plain data out."""

from __future__ import annotations

from typing import Protocol

from ..job import Attempt, Outcome


class Backend(Protocol):
    """Carries attempts out, here or elsewhere.  Idempotent by attempt id; never repeats a paid call by itself."""

    async def run(self, attempt: Attempt) -> Outcome:
        """Return what came of *attempt*; raise StoreError where the place itself fails (disk full, ...)."""
        ...
