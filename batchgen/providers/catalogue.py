"""Catalogues: the models that a provider lists, with the end dates and prices that its list has. Pure.

Shapes of lists: OpenAI's ``{data: [{id}]}`` (aigate, OpenRouter, xAI alike), Gemini's ``{models: [{name}]}`` with
pages, Replicate's ``{results: [...]}``, or a plain list. OpenRouter's entries also have ``pricing`` in USD per token,
``expiration_date`` and ``architecture.output_modalities`` (its SDK 1.3.84: components/model.py and publicpricing.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from .error_bodies import clean
from .jsonbody import Json, value_at
from .model import Model
from .profile import Profile

#: Days for which a model that a list lacks is reported; a list that was read earlier may have changed since.
FRESH_DAYS = 7

#: Prices per token in a list, and the rate of a tariff that each is compared with. OpenRouter documents image_output
#: as a price "per output image", but its lists have one per token there: 0.00003 for gemini-2.5-flash-image.
_RATES = {"prompt": "text_in", "completion": "text_out", "image_token": "image_in", "image_output": "image_out"}
_MOST_PER_TOKEN = Decimal("0.001")
_MILLION = 1_000_000

#: Where the list does not state what a model makes, its name does.
_IMAGE_MODEL = re.compile(r"image|imagen|banana|dall-e|flux|seedream|recraft|ideogram", re.IGNORECASE)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedModel:
    """One model of a list."""

    id: str
    aliases: tuple[str, ...] = ()
    ends: str | None = None  #: the day (YYYY-MM-DD) after which the provider may remove it, if the list states one
    rates: Mapping[str, Decimal] = field(default_factory=dict)  #: USD per million tokens, by the names of a tariff
    makes_images: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """The models that a provider lists."""

    models: tuple[ListedModel, ...]
    is_complete: bool = True  #: False: there are further pages, so that a missing model proves nothing

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids, sorted."""
        return tuple(model.id for model in self.models)

    @property
    def names(self) -> frozenset[str]:
        """Return the ids, and every alias that is accepted."""
        return frozenset(name for model in self.models for name in (model.id, *model.aliases))

    def offers(self, profile: Profile) -> Mapping[str, bool]:
        """Return, for each model of *profile*, whether it is listed; nothing if the list has other names."""
        if profile.checks.models is not None and profile.checks.models.own_names:
            return {}
        names = self.names
        return {name: model.wire in names for name, model in profile.models.items()}

    def find(self, model: Model) -> ListedModel | None:
        """Return the entry of a model; None if it is not listed."""
        return next((listed for listed in self.models if model.wire in (listed.id, *listed.aliases)), None)

    def as_json(self) -> dict[str, Any]:
        """Return the catalogue as JSON; facts that a model lacks are left out."""
        return {"complete": self.is_complete, "models": {model.id: _facts(model) for model in self.models}}

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Catalogue:
        """Read what ``as_json`` returned; raise KeyError, TypeError or ValueError for anything else."""
        models = tuple(
            ListedModel(
                id=str(name),
                aliases=tuple(map(str, facts.get("aliases", ()))),
                ends=_day(facts.get("ends")),
                rates={rate: Decimal(usd) for rate, usd in facts.get("rates", {}).items() if rate in _RATES.values()},
                makes_images=bool(facts.get("images", True)),
            )
            for name, facts in document["models"].items()
        )
        return cls(models=models, is_complete=bool(document["complete"]))


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenCatalogue:
    """A catalogue as it was read from a provider at some time."""

    at: datetime  #: UTC
    base_url: str  #: the address it was read from; "" fits every address
    catalogue: Catalogue

    def fits(self, profile: Profile) -> bool:
        """Return whether this is the list of *profile*: another address under the same name has other models."""
        return self.base_url in ("", profile.base_url)

    def is_fresh(self, today: date) -> bool:
        """Return whether it was read in the last days."""
        return (today - self.at.date()).days <= FRESH_DAYS

    def unlisted(self, profile: Profile, today: date) -> frozenset[str]:
        """Return the models of *profile* that are missing from a list that was read in the last days."""
        if not self.fits(profile) or not self.catalogue.is_complete or not self.is_fresh(today):
            return frozenset()
        return frozenset(name for name, listed in self.catalogue.offers(profile).items() if not listed)

    def dated(self, profile: Profile) -> Profile:
        """Return *profile* with the end dates of the list for models that have none."""
        if not self.fits(profile):
            return profile
        ends = {
            name: listed.ends
            for name, model in profile.models.items()
            if model.ends is None and (listed := self.catalogue.find(model)) is not None and listed.ends is not None
        }
        if not ends:
            return profile
        models = {
            name: model.model_copy(update={"ends": ends[name]}) if name in ends else model
            for name, model in profile.models.items()
        }
        return profile.model_copy(update={"models": models})


def read_catalogue(document: Json) -> Catalogue | None:
    """Return the models in an answer; None if it lists none."""
    entries = document if isinstance(document, list) else _entries(document)
    models = {model.id: model for entry in entries for model in _listed(entry)}
    if not models:
        return None
    more = value_at(document, "nextPageToken") or value_at(document, "next") or value_at(document, "has_more")
    return Catalogue(models=tuple(models[name] for name in sorted(models)), is_complete=not more)


def _entries(document: Json) -> list[Any]:
    lists = (value_at(document, name) for name in ("data", "models", "results"))
    return next((entries for entries in lists if isinstance(entries, list)), [])


def _listed(entry: Json) -> Iterator[ListedModel]:
    name = value_at(entry, "id") or value_at(entry, "name")
    if not isinstance(name, str) or not name.strip():
        return
    title = clean(name.removeprefix("models/"), 200)
    yield ListedModel(
        id=title,
        aliases=tuple(_texts(value_at(entry, "aliases"))),
        ends=_day(value_at(entry, "expiration_date")),
        rates=dict(_rates(value_at(entry, "pricing"))),
        makes_images=_makes_images(entry, title),
    )


def _makes_images(entry: Json, name: str) -> bool:
    modalities = value_at(entry, "architecture.output_modalities")
    if isinstance(modalities, list):
        return "image" in modalities
    kind = value_at(entry, "type")
    return "image" in kind.lower() if isinstance(kind, str) else _IMAGE_MODEL.search(name) is not None


def _rates(pricing: Json) -> Iterator[tuple[str, Decimal]]:
    if not isinstance(pricing, Mapping):
        return
    for name, rate in _RATES.items():
        try:
            usd = Decimal(str(pricing.get(name)))
        except InvalidOperation:
            continue
        if usd.is_finite() and 0 < usd < _MOST_PER_TOKEN:
            yield rate, (usd * _MILLION).normalize()


def _facts(model: ListedModel) -> dict[str, Any]:
    facts: dict[str, Any] = {"images": model.makes_images}
    if model.aliases:
        facts["aliases"] = list(model.aliases)
    if model.ends:
        facts["ends"] = model.ends
    if model.rates:
        facts["rates"] = {rate: f"{usd:f}" for rate, usd in model.rates.items()}
    return facts


def _day(value: Json) -> str | None:
    """Return the day of a date or time; None for anything else."""
    match = _DAY.match(value) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        return date.fromisoformat(match[0]).isoformat()
    except ValueError:
        return None


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, str))
