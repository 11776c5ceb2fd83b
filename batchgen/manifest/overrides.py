"""Options of one run that override the manifest and the settings.  Pure values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UsageError, suggest
from ..providers.profile import Profile


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlay:
    """Options of one run; None, or an empty mapping, keeps the manifest's and the settings' values."""

    concurrency: int | None = None  #: requests in flight at each provider
    rates: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  #: limits by provider and name
    attempts: int | None = None  #: most paid attempts for one job
    folder: Path | None = None  #: absolute output folder

    def over(self, profile: Profile) -> Profile:
        """Return *profile* with the overrides applied."""
        limits = profile.limits.model_copy(update=self.limits(profile.name))
        retry = profile.retry.model_copy(update={} if self.attempts is None else {"attempts": self.attempts})
        return profile.model_copy(update={"limits": limits, "retry": retry})

    def limits(self, provider: str) -> dict[str, float]:
        """Return the limits that are overridden for *provider*."""
        width = {} if self.concurrency is None else {"concurrency": self.concurrency}
        return {**width, **self.rates.get(provider, {})}

    def require(self, providers: Collection[str]) -> None:
        """Raise UsageError where a provider other than *providers* is named."""
        for name in self.rates:
            if name not in providers:
                hint = suggest(name, providers, f"it has: {', '.join(providers)}")
                raise UsageError(f"--rate {name}: the manifest has no provider {name}; {hint}")
