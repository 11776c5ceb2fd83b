"""Which of several providers a job goes to, and which may take it over.  Decisions: pure."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from ..providers.pricing import estimate
from ..providers.profile import Model
from ..route import Route
from ..task import Task
from .model import Routing


@dataclass(frozen=True, slots=True)
class Candidate:
    """One provider that can do a job: the job as it would be asked for it, and the model that would do it."""

    task: Task
    model: Model

    @property
    def prompt_max(self) -> int:
        """Return how many characters of a prompt it takes."""
        rules = self.model.rules(self.task.kind)
        return rules.prompt_max if rules else 0


@dataclass(frozen=True, slots=True)
class RouteChoice:
    """Who may do a job: the first of ``offers``, or one drawn by its ``shares``, and the others instead of it."""

    offers: tuple[Candidate, ...]
    shares: tuple[float, ...] = ()  #: bounds in (0, 1], where jobs are spread over the offers
    wish: Routing = field(default_factory=Routing)
    lasting: bool = True  #: other prompts would find the same providers
    without: tuple[tuple[str, str], ...] = ()  #: providers that cannot do it, each with its reason

    @property
    def homes(self) -> tuple[Candidate, ...]:
        """Return those that jobs of this kind are given to."""
        return self.offers if self.shares else self.offers[:1]

    def route(self, home: Candidate) -> Route | None:
        """Return who else may do what *home* is given."""
        others = tuple(offer.task.provider for offer in self.offers if offer is not home)
        if not others:
            return None
        return Route(others=others, failover_after=self.wish.failover_after, any_order=self.wish.strategy == "fastest")

    def home(self, key: str) -> int:
        """Return which of ``homes`` the job *key* is given to: the same every time."""
        if not self.shares:
            return 0
        point = int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8]) / 2**64
        return min(bisect_right(self.shares, point), len(self.shares) - 1)


def routing(value: object) -> Routing:
    """Return what a job says of its route: nothing, a strategy, or all of it."""
    if value is None:
        return Routing()
    return Routing.model_validate({"strategy": value} if isinstance(value, str) else value)


def chosen(offers: Sequence[Candidate], wish: Routing, *, lasting: bool) -> RouteChoice:
    """Order *offers*, which stand in the user's order, as *wish* says."""
    if wish.strategy == "cheapest":
        # a price that nobody knows is no low one; among equals the user's order counts
        return RouteChoice(tuple(sorted(offers, key=_cost)), (), wish, lasting)
    if wish.strategy == "weighted" and len(offers) > 1:
        weights = [wish.weights.get(offer.task.provider, 1.0 if not wish.weights else 0.0) for offer in offers]
        if total := sum(weights):
            return RouteChoice(tuple(offers), tuple(bound / total for bound in accumulate(weights)), wish, lasting)
    return RouteChoice(tuple(offers), (), wish, lasting)


def unknown_weights(wish: Routing, names: Sequence[str]) -> list[str]:
    """Return the providers that *wish* weighs and that the job does not name."""
    return [name for name in wish.weights if name not in names]


def _cost(offer: Candidate) -> tuple[bool, int]:
    usd = estimate(offer.task, offer.model).expected.usd
    return usd is None, usd or 0
