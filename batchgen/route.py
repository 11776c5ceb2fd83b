"""Routes and model filters: which lanes may send a job. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Seconds that a provider must be out of order before the next provider of a route may continue.
FAILOVER_AFTER = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """The fallback providers of a job."""

    others: tuple[str, ...]  #: fallback providers, in order of preference
    failover_after: float = FAILOVER_AFTER  #: seconds that each earlier provider must be out of order first
    any_order: bool = False  #: any provider with free capacity may send the job

    def before(self, home: str, provider: str) -> tuple[str, ...] | None:
        """Return the providers that precede *provider* for a job of *home*; None if it is not on the route."""
        if provider == home:
            return ()
        if provider not in self.others:
            return None
        return () if self.any_order else (home, *self.others[: self.others.index(provider)])

    def as_json(self) -> dict[str, Any]:
        """Return the route as the job database stores it."""
        document: dict[str, Any] = {"others": list(self.others), "after": self.failover_after}
        return document | ({"at_once": True} if self.any_order else {})

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Route:
        """Read what ``as_json`` wrote."""
        return cls(
            others=tuple(document["others"]),
            failover_after=document["after"],
            any_order=document.get("at_once", False),
        )


def askable(home: str, route: Route | None) -> tuple[str, ...]:
    """Return every provider that a job of *home* may be sent to."""
    return (home, *(route.others if route else ()))


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """The models that a lane serves: only the *named* ones, or all except them."""

    named: frozenset[str] = frozenset()
    only: bool = False  #: True: only the named models; False: all except them

    def matches(self, model: str) -> bool:
        """Return whether the lane serves *model*."""
        return (model in self.named) is self.only

    def without(self, model: str) -> ModelFilter:
        """Return a filter that excludes *model* as well."""
        return self.without_all(frozenset({model}))

    def without_all(self, models: frozenset[str]) -> ModelFilter:
        """Return a filter that excludes all of *models* as well."""
        return ModelFilter(self.named - models if self.only else self.named | models, only=self.only)


#: One lane for all models, because they share the provider's limits.
ALL = ModelFilter()
