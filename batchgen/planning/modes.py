"""Modes side by side: what the same requests cost and how long they take in each mode of their models. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from ..mode import Mode
from ..money import show_usd
from .forecast import DAY, Forecast, Latency
from .range import Range

#: How long an answer takes in flex: Google's target is 1 to 15 minutes (ai.google.dev, "Flex inference").
FLEX_LATENCY = Latency(median=300.0, p90=900.0)
#: Batches are answered within a day, often much earlier.
BATCH_TIME = Forecast(low=0.0, expected=DAY, high=DAY)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModeEstimate:
    """All requests of a plan, bought in one mode where their models offer it, and as standard where they do not."""

    mode: Mode
    requests: int  #: bought in this mode
    usd: Range = field(default_factory=Range)  #: nano-USD of all requests with a price
    time: Forecast = field(default_factory=Forecast)
    in_force: int = 0  #: requests that a run that starts now would buy in this mode

    def as_json(self) -> dict[str, Any]:
        """Return it for ``plan --json``."""
        return {
            "mode": self.mode.value,
            "requests": self.requests,
            "usd": self.usd.shown(show_usd),
            "seconds": math.ceil(self.time.expected),
            "in_force": self.in_force > 0,
        }
