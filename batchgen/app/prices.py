"""Price list: the tariff of each model, and what one image costs under it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from ..mode import Mode
from ..providers.model import Model, Tariff
from ..providers.pricing import estimate
from ..task import Charge, Kind, Task
from .config.providers import load_profiles
from .project import Project

#: The image size that prices are given for.
SIZE = "1024x1024"


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceRow:
    """One model at one provider."""

    provider: str
    model: str
    tariff: Tariff
    image: Mapping[str, Charge]  #: price of one image without source images, by tier ("medium", "2K"; "" is any)
    ends: str | None = None  #: the day on which the provider retires it
    successor: str | None = None
    modes: Mapping[Mode, Decimal] = field(default_factory=dict)  #: factors of the price, by mode


def prices(project: Project, names: Sequence[str] = ()) -> Iterator[PriceRow]:
    """Yield every model of the providers *names*, or of all; opens no connection. Raises UsageError."""
    for name, profile in load_profiles(project, names).items():
        for title, model in profile.models.items():
            image = {tier: _image(name, title, model, tier) for tier in _tiers(model.tariff)}
            yield PriceRow(
                provider=name,
                model=title,
                tariff=model.tariff,
                image=image,
                ends=model.ends,
                successor=model.successor,
                modes={mode: terms.factor for mode, terms in model.modes.items()},
            )


def _tiers(tariff: Tariff) -> Sequence[str]:
    """Return the qualities or resolutions that a tariff distinguishes, in its order; [""] if it has one price."""
    tables = (tariff.output_tokens, tariff.usd_per_image, tariff.credits_per_image)
    names = [tier for table in tables if isinstance(table, Mapping) for tier in table if " " not in tier]
    return list(dict.fromkeys(names)) or [""]


def _image(provider: str, title: str, model: Model, tier: str) -> Charge:
    by_resolution = tier.upper().endswith("K") or tier.isdecimal()
    task = Task(
        kind=Kind.GENERATE,
        prompt="",
        provider=provider,
        model=title,
        size=None if by_resolution else SIZE,
        quality=None if by_resolution else tier or None,
        resolution=tier if by_resolution else None,
    )
    return estimate(task, model).expected
