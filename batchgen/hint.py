"""What a provider says of a limit of its own, in the headers of an answer or the words of a refusal.  A value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimitInfo:
    """What headers or messages say of a limit, as in "Limit 5, Used 5"; None is unsaid."""

    limit: float | None = None
    remaining: float | None = None
    used: float | None = None
    reset_seconds: float | None = None
    window_seconds: float | None = None
    unit: Literal["requests", "images"] = "requests"
    concurrent: bool = False  #: the limit is on requests in flight, not on a rate

    @property
    def spent(self) -> bool:
        """Return whether nothing is left."""
        if self.remaining is not None:
            return self.remaining < 1
        return self.used is not None and self.limit is not None and self.used >= self.limit
