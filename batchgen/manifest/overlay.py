"""What is typed for one run and goes before its manifest and the settings.  Decisions: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..providers.profile import Profile
from .wording import suggestion

if TYPE_CHECKING:
    from .batch import Batch


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlay:
    """What holds for one run alone; None, or nothing, leaves what manifest and settings say."""

    concurrency: int | None = None  #: requests in flight at each provider
    rates: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  #: limits by provider and name
    attempts: int | None = None  #: most paid attempts for one job
    folder: Path | None = None  #: absolute output folder

    def laid(self, batch: Batch) -> Batch:
        """Return *batch* with this over it; raise UsageError where it names a provider that *batch* has not."""
        for name in self.rates:
            if name not in batch.profiles:
                hint = suggestion(name, list(batch.profiles)) or f"it has: {', '.join(batch.profiles)}"
                raise UsageError(f"--rate {name}: the manifest has no provider {name}; {hint}")
        return replace(
            batch,
            profiles={name: self.over(profile) for name, profile in batch.profiles.items()},
            limits={name: replace(said, typed=frozenset(self._limits(name))) for name, said in batch.limits.items()},
            folder=self.folder or batch.folder,
            overlay=self,
        )

    def over(self, profile: Profile) -> Profile:
        """Return *profile* with this over it."""
        limits = profile.limits.model_copy(update=self._limits(profile.name))
        retry = profile.retry.model_copy(update={} if self.attempts is None else {"attempts": self.attempts})
        return profile.model_copy(update={"limits": limits, "retry": retry})

    def _limits(self, provider: str) -> dict[str, float]:
        width = {} if self.concurrency is None else {"concurrency": self.concurrency}
        return {**width, **self.rates.get(provider, {})}
