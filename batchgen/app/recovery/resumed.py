"""What became of the calls that were under way when a run was cut off: killed, or the power failed."""

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
#: Jobs that are named.
NAMED = 5


@dataclass(kw_only=True, slots=True)
class Resumed:
    """What became of them, as far as they were brought to an end."""

    delivered: int = 0  #: their answers had arrived
    unsent: int = 0
    answered: int = 0  #: without an image: refused, failed, of no use
    again: list[str] = field(default_factory=list)  #: jobs in doubt that are due to be bought again
    held: list[str] = field(default_factory=list)  #: jobs in doubt that wait for a person
    given_up: int = 0  #: in doubt, of jobs that a person had cancelled
    _usd: list[int | None] = field(default_factory=list)
    _credits: Counter[str] = field(default_factory=Counter)

    def note(self, lane: Lane, opened: OpenAttempt, settlement: Settlement | None) -> None:
        """Take in how a call ended; what this run sent itself is none of them."""
        if settlement is None or not opened.attempt.resumed:
            return
        event, key = settlement.event, opened.attempt.key
        fault = getattr(event, "fault", None)
        if isinstance(event, Delivery | PartialDelivery | Incomplete):
            self.delivered += 1
        elif fault is None or fault.cause is not Cause.UNKNOWN:
            self.unsent += fault is not None and fault.cause is Cause.UNREACHED
            self.answered += fault is None or fault.cause is not Cause.UNREACHED
        else:
            self._usd.append(opened.estimate.usd)
            self._credits[lane.provider] += opened.estimate.credits or 0
            if opened.job.state is not State.RUNNING:
                self.given_up += 1
            elif isinstance(event, Deferred):
                self.again.append(key)
            elif isinstance(event, Unknown):
                self.held.append(key)

    @property
    def doubtful(self) -> int:
        """Return how many are in doubt."""
        return len(self._usd)

    @property
    def calls(self) -> int:
        """Return how many there were."""
        return self.delivered + self.unsent + self.answered + self.doubtful

    @property
    def usd(self) -> int | None:
        """Return what those in doubt may have cost (nano-USD), as far as known; None where nobody knows."""
        return ledger.add(self._usd) if self._usd else 0

    @property
    def credits(self) -> Mapping[str, int]:
        """Return the same in milli-credits, by provider."""
        return {name: amount for name, amount in self._credits.items() if amount}

    def as_json(self) -> dict[str, Any]:
        """Return it as a document."""
        return {
            "calls": self.calls,
            "delivered": self.delivered,
            "unsent": self.unsent,
            "answered": self.answered,
            "in_doubt": self.doubtful,
            "at_risk_usd": show_usd(self.usd),
            "at_risk_credits": {name: show_credits(amount) for name, amount in self.credits.items()},
            "bought_again": list(self.again),
            "held": list(self.held),
        }


@dataclass(kw_only=True, slots=True)
class SentCalls:
    """What this run has sent, and which answers held no image."""

    calls: int = 0
    _imageless: dict[str, str] = field(default_factory=dict)  #: by lane, the job of the last such answer

    def note(self, lane: Lane, opened: OpenAttempt, settlement: Settlement | None) -> None:
        """Take in how a call ended."""
        fault = None if settlement is None else getattr(settlement.event, "fault", None)
        if fault is not None and fault.cause in (Cause.EMPTY, Cause.SPOILED):
            self._imageless[lane.name] = opened.attempt.key
        unsent = fault is not None and fault.cause is Cause.UNREACHED
        self.calls += settlement is not None and not unsent and not opened.attempt.resumed

    @contextmanager
    def corrected(self) -> Iterator[None]:
        """Correct an error that ends the run and says that nothing was sent, where earlier calls were."""
        try:
            yield
        except StoreError as error:
            text, others = str(error), "1 call was" if self.calls == 1 else f"{self.calls} calls were"
            if not self.calls or _NOTHING not in text:
                raise
            raise type(error)(text.replace(_NOTHING, f"This call was not sent; {others} before")) from error

    def imageless_job(self, lanes: Iterable[Lane]) -> str | None:
        """Return a job whose answer held no image, where one of *lanes* closed for such answers."""
        closed = (lane.name for lane in lanes if lane.closed is Closure.NO_IMAGE)
        return next((self._imageless[name] for name in closed if name in self._imageless), None)


def resumed_text(found: Resumed) -> str:
    """Return it in words, on one line."""
    calls = "1 call" if found.calls == 1 else f"{found.calls} calls"
    return f"the run before was cut off with {calls} under way: {'; '.join(_parts(found))}"


def _parts(found: Resumed) -> Iterator[str]:
    if found.delivered:
        yield f"{found.delivered} delivered from what had arrived"
    if found.unsent:
        yield f"{found.unsent} not sent yet"
    if found.answered:
        yield f"{found.answered} answered without an image"
    if found.doubtful:
        risk = [f"{show_credits(amount)} credits at {name}" for name, amount in found.credits.items()]
        risk = ([] if found.usd is None else [format_usd(found.usd)]) + risk
        yield f"{found.doubtful} in doubt (at risk {', '.join(risk) or 'nobody knows how much'})"
    if found.again:
        yield f"bought again: {_names(found.again)}"
    if found.held:
        yield f"not bought again: {_names(found.held)}"


def _names(keys: Sequence[str]) -> str:
    more = len(keys) - NAMED
    return ", ".join(sorted(keys)[:NAMED]) + (f" and {more} more" if more > 0 else "")
