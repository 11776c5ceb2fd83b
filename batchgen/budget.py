"""Budgets: money is reserved before it is spent. Pure: no clock, no store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from .calendar_period import CalendarPeriod
from .learned_prices import CallKind, PriceMemory, larger
from .mode import Mode
from .money import show_credits, show_usd
from .task import Basis, Charge, Task

NOTHING = Charge(usd=0, credits=0, basis=Basis.ESTIMATED)
#: Why a budget refuses a call whose price is not known.
NO_PRICE = "no price is known"


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetLimit:
    """The most that may be spent: nano-USD in total, milli-credits by provider. None, or no entry, is no limit."""

    usd: int | None = None
    credits: Mapping[str, int] = field(default_factory=dict)
    scope: str = ""  #: what it limits, for display: "this run", "today"
    only: str | None = None  #: limits this provider alone
    unpriced: bool = False  #: calls without a known price are allowed
    period: CalendarPeriod | None = None  #: limits each calendar day or month
    shared: bool = False  #: limits all batches of the job database together
    setting: str = ""  #: what sets it: "budget.per_day.usd", "--budget"
    place: str = ""  #: where that is written: "jobs/night.yaml:5"; "" for an option

    def __bool__(self) -> bool:
        return self.usd is not None or bool(self.credits)


@dataclass(kw_only=True, slots=True)
class Budget:
    """A limit and what counts against it: money spent, money at risk, and reservations of calls in flight."""

    limit: BudgetLimit
    usd: int = 0
    credits: dict[str, int] = field(default_factory=dict)
    earlier: bool = True  #: attempts that earlier runs left open are reserved here
    open_usd: int = 0  #: the part of ``usd`` that earlier runs left reserved
    open_credits: dict[str, int] = field(default_factory=dict)  #: the same of ``credits``
    ends: datetime | None = None  #: when its calendar period ends and it starts again; None: never

    def as_json(self) -> dict[str, Any]:
        """Return the limit and what counts against it, as documents show it."""
        limit = self.limit
        return {
            "scope": limit.scope,
            "provider": limit.only,
            "period": limit.period,
            "shared": limit.shared,
            "setting": limit.setting,
            "place": limit.place,
            "ends": None if self.ends is None else self.ends.isoformat(),
            "usd": None if limit.usd is None else {"limit": show_usd(limit.usd), "used": show_usd(self.usd)},
            "credits": {
                name: {"limit": show_credits(most), "used": show_credits(self.credits.get(name, 0))}
                for name, most in limit.credits.items()
            },
        }

    def allows(self, provider: str, estimate: Charge) -> bool:
        """Return whether a call that may cost *estimate* (its high figure) fits into what is left.

        A call without a price never fits under a limit in its own currency: whether the limit held could not be known.
        """
        if not self.applies_to(provider):
            return True
        most = self.limit.credits.get(provider)
        if most is not None:
            if estimate.credits is None and not self.limit.unpriced:
                return False
            if self.credits.get(provider, 0) + (estimate.credits or 0) > most:
                return False
        if self.limit.usd is None:
            return True
        if estimate.usd is None:
            # A call priced in credits is covered by the limit on credits.
            return most is not None or self.limit.unpriced
        return self.usd + estimate.usd <= self.limit.usd

    def applies_to(self, provider: str) -> bool:
        """Return whether calls to *provider* count against this budget."""
        return self.limit.only in (None, provider)

    def why_refused(self, provider: str, estimate: Charge) -> str:
        """Return why a call of *estimate*, which this budget does not allow, is refused."""
        price = estimate.usd if self.limit.credits.get(provider) is None else estimate.credits
        if price is None:
            return f"{NO_PRICE}, and there is a budget of {self.limit.scope}: state a tariff, or allow_unpriced"
        reason = f"the budget of {self.limit.scope} is used up"
        left = 0 if self.limit.usd is None else self.limit.usd - self.usd
        if left > 0 and estimate.usd is not None and estimate.usd > left:
            reason += f": {show_usd(left)} USD left, and the next call may cost {show_usd(estimate.usd)}"
        return reason if self.ends is None else f"{reason}; it starts again on {self.ends.astimezone():%d %B at %H:%M}"

    def reserve(self, provider: str, estimate: Charge) -> None:
        """Count *estimate* as spent."""
        if self.applies_to(provider):
            self.usd += estimate.usd or 0
            self._add_credits(provider, estimate.credits or 0)

    def settle(self, provider: str, estimate: Charge, actual: Charge) -> None:
        """Replace a reservation by the actual cost; a currency in which that is unknown keeps its reservation."""
        if not self.applies_to(provider):
            return
        free = actual.usd == 0 and not actual.credits
        if actual.usd is not None:
            self.usd += actual.usd - (estimate.usd or 0)
        if free or actual.credits is not None:
            self._add_credits(provider, (actual.credits or 0) - (estimate.credits or 0))

    def renew(self, now: datetime, in_flight: Iterable[tuple[str, Charge]]) -> None:
        """Start again if the calendar period has ended; reservations carry over, as they are booked when they end."""
        if self.ends is None or self.limit.period is None or now < self.ends:
            return
        self.usd, self.credits = self.open_usd, dict(self.open_credits)
        for provider, reserved in in_flight:
            self.reserve(provider, reserved)
        self.ends = self.limit.period.ends(now)

    def release_open(self, provider: str, estimate: Charge) -> None:
        """Record that an attempt that an earlier run left open has ended."""
        if self.applies_to(provider):
            self.open_usd = max(0, self.open_usd - (estimate.usd or 0))
            left = self.open_credits.get(provider, 0) - (estimate.credits or 0)
            self.open_credits[provider] = max(0, left)

    def replace_sums(self, usd: int, credits_: Mapping[str, int], pending: Iterable[tuple[str, int, int]]) -> None:
        """Count what all runners have spent and reserved by the job database, and what it does not know yet.

        *pending*: by provider, nano-USD and milli-credits that calls of this run will reserve there.
        """
        self.usd, self.credits = usd, dict(credits_)
        for provider, more_usd, more_credits in pending:
            if self.applies_to(provider):
                self.usd += more_usd
                self._add_credits(provider, more_credits)

    def _add_credits(self, provider: str, amount: int) -> None:
        self.credits[provider] = self.credits.get(provider, 0) + amount


@dataclass(frozen=True, slots=True)
class Budgets:
    """All budgets that a call must fit into: this run's, the batch's, today's, a provider's."""

    budgets: tuple[Budget, ...] = ()

    def why_refused(self, provider: str, estimate: Charge) -> str | None:
        """Return why a call of *estimate* is refused; None if every budget allows it."""
        budget = self.refusing(provider, estimate)
        return None if budget is None else budget.why_refused(provider, estimate)

    def refusing(self, provider: str, estimate: Charge) -> Budget | None:
        """Return the first budget that does not allow a call of *estimate*; None if every budget allows it."""
        return next((budget for budget in self.budgets if not budget.allows(provider, estimate)), None)

    def reserve(self, provider: str, estimate: Charge) -> None:
        """Count *estimate* as spent in every budget."""
        for budget in self.budgets:
            budget.reserve(provider, estimate)

    def settle(self, provider: str, estimate: Charge, actual: Charge, *, earlier: bool = False) -> None:
        """Replace a reservation by the actual cost in every budget; *earlier*: an earlier run made the reservation."""
        for budget in self.budgets:
            if budget.earlier or not earlier:
                budget.settle(provider, estimate, actual)
                if earlier:
                    budget.release_open(provider, estimate)


@dataclass(slots=True)
class _Reservation:
    """What a call in flight has reserved, and what the price list estimates for it."""

    task: Task
    kind: CallKind
    listed: Charge
    reserved: Charge
    booked: Charge = NOTHING  #: what the job database has of it

    @property
    def pending(self) -> tuple[str, int, int]:
        """Return the provider, and what is reserved beyond what the job database has of it."""
        usd, credits_ = self.reserved.usd or 0, self.reserved.credits or 0
        return self.task.provider, usd - (self.booked.usd or 0), credits_ - (self.booked.credits or 0)


@dataclass(slots=True)
class Reservations:
    """The reservations of calls in flight: each at least as much as similar calls were found to cost.

    However low the price list is, nothing more is sent once the true price shows that the budget is used up.
    """

    budgets: Budgets
    prices: PriceMemory
    _reservations: dict[str, _Reservation] = field(default_factory=dict)  #: by attempt
    _of_kind: dict[CallKind, dict[str, _Reservation]] = field(default_factory=dict)  #: the same, by kind of call
    _being_read: set[str] = field(default_factory=set)  #: attempts whose answers are being read
    _answered: set[CallKind] = field(default_factory=set)  #: kinds of calls of which a cost or an image has been read

    def __contains__(self, attempt_id: object) -> bool:
        """Return whether this run has reserved money for a call."""
        return attempt_id in self._reservations

    def why_refused(self, task: Task, estimate: Charge, mode: Mode = Mode.STANDARD) -> str | None:
        """Return why a call for *task* is refused; None if every budget allows it.

        Under a budget, no call is sent while the first answer to a call of its kind is being read, because that answer
        may state another price.
        """
        reason = self.budgets.why_refused(task.provider, self.prices.at_least(task, estimate, mode))
        if (
            reason is None
            and self._being_read
            and self.budgets.budgets
            and self._first_is_read(CallKind.of(task, mode))
        ):
            return f"the first answer of {task.provider} is being read, which may state another price"
        return reason

    def refusing(self, task: Task, estimate: Charge, mode: Mode = Mode.STANDARD) -> BudgetLimit | None:
        """Return the limit that refuses a call for *task*; None if every budget allows it."""
        budget = self.budgets.refusing(task.provider, self.prices.at_least(task, estimate, mode))
        return None if budget is None else budget.limit

    def renew(self, now: datetime) -> None:
        """Start the budgets again whose day or month has ended."""
        for budget in self.budgets.budgets:
            budget.renew(now, ((call.task.provider, call.reserved) for call in self._reservations.values()))

    def _first_is_read(self, kind: CallKind) -> bool:
        being_read = (self._reservations[attempt].kind for attempt in self._being_read)
        return kind not in self._answered and kind in being_read

    def answer_arrived(self, attempt_id: str) -> None:
        """Record that the answer to a call has arrived and is read next."""
        if attempt_id in self._reservations:
            self._being_read.add(attempt_id)

    def answer_read(self, attempt_id: str) -> None:
        """Record that the answer to a call has been read, or never will be in this run."""
        self._being_read.discard(attempt_id)

    def reserve(self, attempt_id: str, task: Task, estimate: Charge, mode: Mode = Mode.STANDARD) -> Charge:
        """Reserve the most that a call for *task* may cost, and return it."""
        reserved = self.prices.at_least(task, estimate, mode)
        self.budgets.reserve(task.provider, reserved)
        kind = CallKind.of(task, mode)
        reservation = _Reservation(task, kind, estimate, reserved)
        self._reservations[attempt_id] = self._of_kind.setdefault(kind, {})[attempt_id] = reservation
        return reserved

    def opened(self, attempt_id: str, estimate: Charge) -> None:
        """Record that the job database has an attempt with its *estimate*."""
        if attempt_id in self._reservations:
            self._reservations[attempt_id].booked = estimate

    def pending(self) -> list[tuple[str, int, int]]:
        """Return what calls in flight have reserved beyond what the job database has of them, by provider."""
        return [call.pending for call in self._reservations.values()]

    def reserved(self, attempt_id: str, default: Charge) -> Charge:
        """Return what a call has reserved now; *default* if an earlier run made the reservation."""
        reservation = self._reservations.get(attempt_id)
        return reservation.reserved if reservation else default

    def learn(self, task: Task, actual: Charge, images: int, mode: Mode = Mode.STANDARD) -> None:
        """Record what a call for *task* cost, and raise the reservations of calls in flight to that price."""
        kind = CallKind.of(task, mode)
        # A free answer, such as a throttled one, shows no price.
        if images or actual.usd or actual.credits:
            self._answered.add(kind)
        if not self.prices.observe(task, actual, images, mode):
            return
        # One answer in twenty sets a new highest price of late, and thousands of calls may be in flight.
        for call in self._of_kind.get(kind, {}).values():
            if self.prices.covers(kind, call.task.n, call.reserved):
                continue
            raised = self.prices.at_least(call.task, call.listed, mode)
            usd, credits_ = larger(raised.usd, call.reserved.usd), larger(raised.credits, call.reserved.credits)
            raised = replace(raised, usd=usd, credits=credits_)
            self.budgets.settle(call.task.provider, call.reserved, raised)
            call.reserved = raised

    def settle(
        self, attempt_id: str, provider: str, estimate: Charge, actual: Charge, *, earlier: bool = False
    ) -> None:
        """Replace a call's reservation by its actual cost; *earlier*: an earlier run reserved *estimate*."""
        self.budgets.settle(provider, self.reserved(attempt_id, estimate), actual, earlier=earlier)
        self.answer_read(attempt_id)
        reservation = self._reservations.pop(attempt_id, None)
        if reservation is not None:
            del self._of_kind[reservation.kind][attempt_id]
