"""Differences between a provider's models as batchgen has them and as the provider lists them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from ..errors import nearest
from .catalogue import Catalogue, ListedModel
from .model import Model
from .profile import Profile, UnknownModel

#: A dated version of a model, such as gpt-image-2-2026-04-21: its plain name is what people use.
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
#: Prices that differ by less are equal: lists round.
_ROUNDING = Decimal("0.005")


class ChangeKind(StrEnum):
    """In what a model differs, most serious first."""

    GONE = "gone"  #: not listed
    ENDS = "ends"  #: has an end date, here or in the list
    PRICE = "price"
    NEW = "new"  #: listed, and unknown to batchgen


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChange:
    """One model in which the list and batchgen differ."""

    kind: ChangeKind
    model: str  #: batchgen's name of it; the id in the list for a new one
    message: str
    hint: str = ""
    is_over: bool = False  #: calls to it fail: it is not listed, or has ended


def model_changes(profile: Profile, catalogue: Catalogue, today: date) -> tuple[ModelChange, ...]:
    """Return the differences of the models of *profile*, most serious first."""
    kinds = list(ChangeKind)
    changes = (*_of_known(profile, catalogue, today), *_new(profile, catalogue))
    return tuple(sorted(changes, key=lambda change: kinds.index(change.kind)))


def replacement(model: Model, catalogue: Catalogue) -> str:
    """Return the model to use in place of one that is not listed: its successor, or the nearest id; "" if unknown."""
    ids = [listed.id for listed in catalogue.models if listed.makes_images]
    return model.successor or nearest(model.wire, ids, cutoff=0.5) or ""


def _of_known(profile: Profile, catalogue: Catalogue, today: date) -> Iterator[ModelChange]:
    offers = catalogue.offers(profile)
    for name, model in profile.models.items():
        listed = catalogue.find(model)
        if listed is None:
            if catalogue.is_complete and name in offers:
                near = replacement(model, catalogue)
                ends = f", and was to end on {model.ends}" if model.ends else ""
                hint = f"write model: {near}" if near else ""
                message = f"{model.wire} is not listed{ends}"
                yield ModelChange(kind=ChangeKind.GONE, model=name, message=message, hint=hint, is_over=True)
        else:
            yield from _end(name, model, listed, today)
            yield from _prices(profile.name, name, model, listed)


def _end(name: str, model: Model, listed: ListedModel, today: date) -> Iterator[ModelChange]:
    ends = listed.ends or model.ends
    if ends is None:
        return
    is_over = today >= date.fromisoformat(ends)
    verb = "ended" if is_over else "ends"
    other = f" (batchgen has {model.ends})" if listed.ends and model.ends and listed.ends != model.ends else ""
    hint = f"write model: {model.successor}" if model.successor else ""
    message = f"{verb} on {ends}{other}"
    yield ModelChange(kind=ChangeKind.ENDS, model=name, message=message, hint=hint, is_over=is_over)


def _prices(provider: str, name: str, model: Model, listed: ListedModel) -> Iterator[ModelChange]:
    tokens = model.tariff.usd_per_million_tokens
    if tokens is None:
        return
    rates = {rate: getattr(tokens, rate) for rate in listed.rates}
    differing = {
        rate: (ours, listed.rates[rate])
        for rate, ours in rates.items()
        if ours and abs(ours - listed.rates[rate]) > ours * _ROUNDING
    }
    if not differing:
        return
    words = (f"{rate} {_plain(theirs)} in the list, {_plain(ours)} here" for rate, (ours, theirs) in differing.items())
    rates_text = ", ".join(f"{rate}: {_plain(theirs)}" for rate, (_, theirs) in differing.items())
    setting = {provider: {"models": {name: {"tariff": {"usd_per_million_tokens": f"{{{rates_text}}}"}}}}}
    hint = f"to use those of the list: providers: {_yaml(setting)}"
    yield ModelChange(
        kind=ChangeKind.PRICE, model=name, message=f"USD per million tokens: {', '.join(words)}", hint=hint
    )


def _yaml(value: object) -> str:
    """Return nested mappings as YAML on one line."""
    if not isinstance(value, dict):
        return str(value)
    return f"{{{', '.join(f'{name}: {_yaml(inner)}' for name, inner in value.items())}}}"


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _new(profile: Profile, catalogue: Catalogue) -> Iterator[ModelChange]:
    for listed in catalogue.models:
        if not listed.makes_images or _SNAPSHOT.search(listed.id):
            continue
        names = (listed.id, *listed.aliases)
        if not any(_is_known(profile, name.removesuffix("-preview")) for name in names):
            yield ModelChange(
                kind=ChangeKind.NEW, model=listed.id, message="is listed, and not among batchgen's models"
            )


def _is_known(profile: Profile, name: str) -> bool:
    try:
        profile.find(name)
    except UnknownModel:
        return False
    return True
