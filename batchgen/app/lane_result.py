"""The final state of a lane: why it closed, and what it left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ..budget import NO_PRICE, BudgetLimit
from ..engine.lane import Closure, Lane
from ..fault import Cause

#: Why a lane closed.
CLOSURES = {
    "money": "out of money",
    "denied": "key, model or path refused",
    "down": "unreachable",
    "doubt": "it accepts calls but does not answer; each may have cost money",
    "budget": "the budget is used up",
    "no-image": "calls were charged but returned no image",
}

#: Closures whose message is a whole sentence, and is shown alone.
WHOLE_SENTENCE = ("budget", "no-image")
#: Closures that are reported even if other providers did the work.
NEWS = ("money", "denied", "no-image")
#: More precise reasons, by closure and cause.
_REASONS = {
    ("denied", "invalid"): "the first jobs were all refused alike, which looks like a mistake in its settings",
    ("denied", "refused"): "refused several different jobs in a row without processing them",
    ("down", "error"): "answered only with errors",
    ("down", "throttled"): "answered every call with 429 for as long as retry.patience allows",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneResult:
    """The final state of a lane: why it closed, if it did, and how many jobs it left."""

    provider: str
    name: str  #: of the lane; a provider has several for its keys and model groups
    closed: Closure | None
    message: str | None
    cause: Cause | None  #: of what closed it
    left: int
    failed_over: Mapping[str, int] = field(default_factory=dict)  #: jobs done for other providers, by provider
    rebuys_refused: int = 0  #: unknown jobs that were not bought again because too many had been
    final: bool = False  #: what closed it needs the user
    denied: Mapping[str, str] = field(default_factory=dict)  #: models that the account may not use, and why
    denied_left: int = 0  #: remaining jobs of these models
    paused: bool = False  #: paused by `batchgen pause`
    limit: BudgetLimit | None = None  #: the budget that closed it
    unpriced: bool = False  #: a budget closed it because the price of a call is unknown
    sent: bool = True  #: whether it sent any call
    variable: str | None = None  #: of the environment, with its key

    @classmethod
    def of(cls, lane: Lane, *, left: int, denied_left: int, variable: str | None = None) -> Self:
        """Return the result of *lane* after a run; *variable* holds its key."""
        return cls(
            name=lane.name,
            provider=lane.provider,
            closed=lane.closed,
            message=lane.fault.message if lane.fault else None,
            cause=lane.fault.cause if lane.fault else None,
            final=lane.fault is not None and lane.fault.final,
            denied={model: fault.message for model, fault in lane.denied.items()},
            denied_left=denied_left,
            failed_over=dict(lane.failed_over),
            rebuys_refused=lane.rebuys_refused,
            paused=lane.paused,
            limit=lane.limit,
            unpriced=lane.limit is not None and lane.fault is not None and lane.fault.message.startswith(NO_PRICE),
            sent=lane.calls > 0,
            variable=lane.account or variable,
            left=left,
        )

    @property
    def why_closed(self) -> str:
        """Return why the lane closed."""
        return _REASONS.get((str(self.closed), str(self.cause)), CLOSURES[str(self.closed)])

    def as_json(self) -> dict[str, Any]:
        """Return the lane as a document."""
        return {
            "provider": self.provider,
            "closed": self.closed,
            "why": None if self.closed is None else CLOSURES[str(self.closed)],
            "message": self.message,
            "left": self.left,
            "stood_in": dict(self.failed_over),
            "not_bought_again": self.rebuys_refused,
            "denied_models": dict(self.denied),
        }
