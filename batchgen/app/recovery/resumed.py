"""The calls that were in flight when an earlier run was interrupted, and how they ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ...engine.attempts import OpenAttempt
from ...engine.lane import Closure, Lane
from ...errors import StoreError
from ...fault import Cause
from ...job import Deferred, Delivery, Incomplete, PartialDelivery, Settlement, State, Unknown
from ...money import format_usd, show_credits, show_usd
from ...store import ledger

_NOTHING = "Nothing was sent"
#: How many jobs a message names.
NAMED = 5


@dataclass(kw_only=True, slots=True)
class Resumed:
    """The interrupted calls of an earlier run that this run has settled."""

    delivered: int = 0
    unsent: int = 0
    answered: int = 0  #: without an image
    again: list[str] = field(default_factory=list)  #: jobs that are to be bought again
    held: list[str] = field(default_factory=list)  #: jobs that wait for the user's decision
    given_up: int = 0  #: unknown calls of jobs that were cancelled meanwhile
    _complete: bool = False
    _usd: list[int | None] = field(default_factory=list)
    _credits: Counter[str] = field(default_factory=Counter)

    def record(self, lane: Lane, opened: OpenAttempt, settlement: Settlement | None) -> None:
        """Count how a resumed call ended."""
        if settlement is None or self._complete or not opened.attempt.resumed:
            return
        event, key = settlement.event, opened.attempt.key
        fault = getattr(event, "fault", None)
        if isinstance(event, Delivery | PartialDelivery | Incomplete):
            self.delivered += 1
        elif fault is not None and fault.cause is Cause.UNREACHED:
            self.unsent += 1
        elif fault is None or fault.cause is not Cause.UNKNOWN:
            self.answered += 1
        else:
            self._usd.append(opened.estimate.usd)
            self._credits[lane.provider] += opened.estimate.credits or 0
            if opened.job.state is not State.RUNNING:
                self.given_up += 1
            elif isinstance(event, Deferred):
                self.again.append(key)
            elif isinstance(event, Unknown):
                self.held.append(key)

    def complete(self) -> None:
        """Stop counting: calls that settle from now on belong to this run."""
        self._complete = True

    @property
    def unknown(self) -> int:
        """Return how many calls are unknown: they may have cost money."""
        return len(self._usd)

    @property
    def calls(self) -> int:
        """Return how many calls there were."""
        return self.delivered + self.unsent + self.answered + self.unknown

    @property
    def usd(self) -> int | None:
        """Return what the unknown calls may have cost in nano-USD; None if no price is known."""
        return ledger.add(self._usd) if self._usd else 0

    @property
    def credits(self) -> Mapping[str, int]:
        """Return what the unknown calls may have cost in milli-credits, by provider."""
        return {name: amount for name, amount in self._credits.items() if amount}

    def as_json(self) -> dict[str, Any]:
        """Return the counts as a document."""
        return {
            "calls": self.calls,
            "delivered": self.delivered,
            "unsent": self.unsent,
            "answered": self.answered,
            "in_doubt": self.unknown,
            "at_risk_usd": show_usd(self.usd),
            "at_risk_credits": {name: show_credits(amount) for name, amount in self.credits.items()},
            "bought_again": list(self.again),
            "held": list(self.held),
        }


@dataclass(kw_only=True, slots=True)
class SentCalls:
    """The calls that this run has sent, and the jobs whose answers held no image."""

    calls: int = 0
    _imageless: dict[str, str] = field(default_factory=dict)  #: lane -> job of the last such answer

    def record(self, lane: Lane, opened: OpenAttempt, settlement: Settlement | None) -> None:
        """Count a settled call."""
        if settlement is None:
            return
        cause = fault.cause if (fault := getattr(settlement.event, "fault", None)) else None
        if cause in (Cause.EMPTY, Cause.SPOILED):
            self._imageless[lane.name] = opened.attempt.key
        self.calls += cause is not Cause.UNREACHED and not opened.attempt.resumed

    @contextmanager
    def corrected(self) -> Iterator[None]:
        """Correct an error that claims that nothing was sent if earlier calls of this run were."""
        try:
            yield
        except StoreError as error:
            if not self.calls or _NOTHING not in str(error):
                raise
            earlier = "1 call was" if self.calls == 1 else f"{self.calls} calls were"
            text = str(error).replace(_NOTHING, f"This call was not sent; {earlier} before")
            raise type(error)(text) from error

    def imageless_job(self, lanes: Iterable[Lane]) -> str | None:
        """Return a job whose answer held no image, if one of *lanes* closed because of such answers."""
        closed = (lane.name for lane in lanes if lane.closed is Closure.NO_IMAGE)
        return next((self._imageless[name] for name in closed if name in self._imageless), None)


def resumed_text(resumed: Resumed) -> str:
    """Describe the resumed calls in one line."""
    calls = "1 call" if resumed.calls == 1 else f"{resumed.calls} calls"
    return f"the last run was interrupted with {calls} in flight: {'; '.join(_parts(resumed))}"


def _parts(resumed: Resumed) -> Iterator[str]:
    if resumed.delivered:
        yield f"{resumed.delivered} delivered from what had arrived"
    if resumed.unsent:
        yield f"{resumed.unsent} not sent yet"
    if resumed.answered:
        yield f"{resumed.answered} answered without an image"
    if resumed.unknown:
        risk = [] if resumed.usd is None else [format_usd(resumed.usd)]
        risk += [f"{show_credits(amount)} credits at {name}" for name, amount in resumed.credits.items()]
        yield f"{resumed.unknown} unknown (at risk: {', '.join(risk) or 'no price known'})"
    if resumed.again:
        yield f"bought again: {_names(resumed.again)}"
    if resumed.held:
        yield f"not bought again: {_names(resumed.held)}"


def _names(keys: Sequence[str]) -> str:
    more = len(keys) - NAMED
    return ", ".join(sorted(keys)[:NAMED]) + (f" and {more} more" if more > 0 else "")
