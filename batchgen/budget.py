"""Money reserved before it is spent.  A decision with a memory: pure, no clock, no store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .learned_prices import CallKind, PriceMemory, larger
from .money import show_credits, show_usd
from .task import Charge, Task


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetLimit:
    """What may be spent: nano-USD in all, milli-credits by provider.  None, or no entry, is no cap."""

    usd: int | None = None
    credits: Mapping[str, int] = field(default_factory=dict)
    scope: str = ""  #: what it caps, in words: "this run", "today"
    only: str | None = None  #: caps this provider alone
    unpriced: bool = False  #: calls without a price may go out all the same

    def __bool__(self) -> bool:
        return self.usd is not None or bool(self.credits)


@dataclass(kw_only=True, slots=True)
class Budget:
    """How much of the caps is left: what was spent, what is at risk, and what calls in flight have reserved."""

    caps: BudgetLimit
    usd: int = 0
    credits: dict[str, int] = field(default_factory=dict)
    earlier: bool = True  #: what earlier runs left open is reserved here

    def as_json(self) -> dict[str, Any]:
        """Return a cap and what counts against it, as documents show it."""
        caps = self.caps
        return {
            "scope": caps.scope,
            "provider": caps.only,
            "usd": None if caps.usd is None else {"limit": show_usd(caps.usd), "used": show_usd(self.usd)},
            "credits": {
                name: {"limit": show_credits(limit), "used": show_credits(self.credits.get(name, 0))}
                for name, limit in caps.credits.items()
            },
        }

    def allows(self, provider: str, estimate: Charge) -> bool:
        """Return whether a call that may cost *estimate* (its high figure) fits into what is left.

        A call without a price never fits under a cap of its own currency: nobody could say whether the cap held.
        """
        if not self._concerns(provider):
            return True
        cap = self.caps.credits.get(provider)
        if cap is not None:
            if estimate.credits is None and not self.caps.unpriced:
                return False
            if self.credits.get(provider, 0) + (estimate.credits or 0) > cap:
                return False
        if self.caps.usd is None:
            return True
        if estimate.usd is None:
            return cap is not None or self.caps.unpriced  # priced in credits, and those are capped
        return self.usd + estimate.usd <= self.caps.usd

    def short_of(self, estimate: Charge) -> str:
        """Return what is left and what a call may cost, where money is left and too little."""
        left = 0 if self.caps.usd is None else self.caps.usd - self.usd
        if left <= 0 or estimate.usd is None or estimate.usd <= left:
            return ""
        return f": {show_usd(left)} USD left, and the next call may cost {show_usd(estimate.usd)}"

    def reserve(self, provider: str, estimate: Charge) -> None:
        """Count *estimate* as gone."""
        if not self._concerns(provider):
            return
        self.usd += estimate.usd or 0
        self._count(provider, estimate.credits or 0)

    def settle(self, provider: str, estimate: Charge, actual: Charge) -> None:
        """Replace a reservation by what the call really cost; in a currency where that is unknown it stays."""
        if not self._concerns(provider):
            return
        free = actual.usd == 0 and not actual.credits
        if actual.usd is not None:
            self.usd += actual.usd - (estimate.usd or 0)
        if free or actual.credits is not None:
            self._count(provider, (actual.credits or 0) - (estimate.credits or 0))

    def _concerns(self, provider: str) -> bool:
        return self.caps.only in (None, provider)

    def _count(self, provider: str, points: int) -> None:
        self.credits[provider] = self.credits.get(provider, 0) + points


@dataclass(frozen=True, slots=True)
class Budgets:
    """Several purses, of which a call needs every one: this run's, the batch's, today's, a provider's."""

    purses: tuple[Budget, ...] = ()

    def refusing(self, provider: str, estimate: Charge) -> str | None:
        """Return why a call of *estimate* may not go, in words, or None where every purse allows it."""
        purse = next((purse for purse in self.purses if not purse.allows(provider, estimate)), None)
        if purse is None:
            return None
        if (estimate.usd if purse.caps.credits.get(provider) is None else estimate.credits) is None:
            return f"no price is known, and there is a budget of {purse.caps.scope}: state a tariff, or allow_unpriced"
        return f"the budget of {purse.caps.scope} is used up{purse.short_of(estimate)}"

    def reserve(self, provider: str, estimate: Charge) -> None:
        """Count *estimate* as gone from every purse."""
        for purse in self.purses:
            purse.reserve(provider, estimate)

    def settle(self, provider: str, estimate: Charge, actual: Charge, *, earlier: bool = False) -> None:
        """Replace a reservation by what the call really cost, in every purse; *earlier*: another run reserved it."""
        for purse in self.purses:
            if purse.earlier or not earlier:
                purse.settle(provider, estimate, actual)


@dataclass(slots=True)
class _Held:
    """What a call in flight has reserved, beside what the price list says of it."""

    task: Task
    listed: Charge
    reserved: Charge


@dataclass(slots=True)
class Reservations:
    """What calls in flight have reserved: each at least what calls like it were found to cost, once that is known.

    So nothing more is sent once the true price says that the budget is used up, however low the price list is.
    """

    wallet: Budgets
    prices: PriceMemory
    _held: dict[str, _Held] = field(default_factory=dict)  #: by attempt
    _arrived: set[str] = field(default_factory=set)  #: attempts whose answers are being read
    _answered: set[CallKind] = field(default_factory=set)  #: kinds of which an answer with a cost or a picture was read

    def refusing(self, task: Task, estimate: Charge) -> str | None:
        """Return why a call for *task* may not go, in words, or None where every budget allows it.

        Under a budget none goes while the first answer to such a call is read: it may state another price.
        """
        why = self.wallet.refusing(task.provider, self.prices.at_least(task, estimate))
        if why is None and self._arrived and self.wallet.purses and self._first_is_read(CallKind.of(task)):
            return f"the first answer of {task.provider} is being read, which may state another price"
        return why

    def _first_is_read(self, kind: CallKind) -> bool:
        return kind not in self._answered and any(CallKind.of(self._held[one].task) == kind for one in self._arrived)

    def arrived(self, attempt_id: str) -> None:
        """Take note that the answer to a call is here, and is read next."""
        if attempt_id in self._held:
            self._arrived.add(attempt_id)

    def hold(self, attempt_id: str, task: Task, estimate: Charge) -> Charge:
        """Reserve what a call for *task* may cost at most, and return that."""
        held = self.prices.at_least(task, estimate)
        self.wallet.reserve(task.provider, held)
        self._held[attempt_id] = _Held(task, estimate, held)
        return held

    def held(self, attempt_id: str, otherwise: Charge) -> Charge:
        """Return what a call has reserved now; *otherwise* where an earlier run reserved it."""
        known = self._held.get(attempt_id)
        return known.reserved if known else otherwise

    def learn(self, task: Task, actual: Charge, images: int) -> None:
        """Take note of what a call for *task* cost that brought *images*, and reserve as much for those in flight."""
        if images or actual.usd or actual.credits:  # what is free, as a throttled call is, shows no price
            self._answered.add(CallKind.of(task))
        if not self.prices.observe(task, actual, images):
            return
        for one in self._held.values():
            raised = self.prices.at_least(one.task, one.listed)
            usd, credits_ = larger(raised.usd, one.reserved.usd), larger(raised.credits, one.reserved.credits)
            raised = replace(raised, usd=usd, credits=credits_)
            self.wallet.settle(one.task.provider, one.reserved, raised)
            one.reserved = raised

    def ended(self, attempt_id: str) -> None:
        """Take note that the answer to a call has been read, or never will be in this run."""
        self._arrived.discard(attempt_id)

    def settle(
        self, attempt_id: str, provider: str, estimate: Charge, actual: Charge, *, earlier: bool = False
    ) -> None:
        """Replace what a call has reserved by what it really cost; *earlier*: another run reserved *estimate*."""
        self.wallet.settle(provider, self.held(attempt_id, estimate), actual, earlier=earlier)
        self.ended(attempt_id)
        self._held.pop(attempt_id, None)
