"""Which lanes may do a job: its route over several providers, and the models that a lane is for.  Values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Seconds that a provider may be out of order before the next of a job's route takes over.
FAILOVER_AFTER = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Who else may do a job that its own provider cannot do now."""

    others: tuple[str, ...]  #: providers, in order of preference
    after: float = FAILOVER_AFTER  #: seconds that each before one of them must be out of order
    at_once: bool = False  #: whoever has room may take it

    def before(self, home: str, provider: str) -> tuple[str, ...] | None:
        """Return who comes before *provider* for a job of *home*; None where it may not do the job at all."""
        if provider == home:
            return ()
        if provider not in self.others:
            return None
        return () if self.at_once else (home, *self.others[: self.others.index(provider)])

    def as_json(self) -> dict[str, Any]:
        """Return it as the job table keeps it."""
        document: dict[str, Any] = {"others": list(self.others), "after": self.after}
        return document | ({"at_once": True} if self.at_once else {})

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Route:
        """Return what ``as_json`` wrote."""
        return cls(others=tuple(document["others"]), after=document["after"], at_once=document.get("at_once", False))


def askable(home: str, route: Route | None) -> tuple[str, ...]:
    """Return every provider that a job of *home* may be sent to."""
    return (home, *(route.others if route else ()))


@dataclass(frozen=True, slots=True)
class Models:
    """The models that a lane is for: those *named*, or all but those."""

    named: frozenset[str] = frozenset()
    only: bool = False  #: those named; else all but those

    def takes(self, model: str) -> bool:
        """Return whether jobs of *model* belong here."""
        return (model in self.named) is self.only

    def without(self, model: str) -> Models:
        """Return these without *model*."""
        return Models(self.named - {model} if self.only else self.named | {model}, only=self.only)


#: Where a provider's models share its limits.
ALL = Models()
