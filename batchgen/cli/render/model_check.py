"""Models of providers compared with batchgen's, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from ...providers.model_changes import ChangeKind, ModelChange, model_changes
from .format import count

if TYPE_CHECKING:
    from ...app.provider_check import ProviderListing

#: New models that one line names.
_NAMED = 12


def exit_code_of(listing: ProviderListing, today: date) -> int:
    """Return that of the listing, or 4 where the default model is not listed or has ended."""
    return listing.exit_code or (4 if _lacks_default(listing, today) else 0)


def _lacks_default(listing: ProviderListing, today: date) -> bool:
    profile, catalogue = listing.profile, listing.catalogue
    changes = model_changes(profile, catalogue, today) if catalogue else ()
    return any(change.is_over and change.model == profile.default_model for change in changes)


def model_lines(listings: Sequence[ProviderListing], today: date) -> Iterator[str]:
    """Yield a block for each provider: its list, and every model that differs."""
    width = max((len(listing.profile.name) for listing in listings), default=0)
    for listing in listings:
        for number, (label, text) in enumerate(_block(listing, today)):
            yield f"{'' if number else listing.profile.name:<{width}}  {label:<6}  {text}".rstrip()


def _block(listing: ProviderListing, today: date) -> Iterator[tuple[str, str]]:
    catalogue = listing.catalogue
    if catalogue is None:
        yield "list", f"unknown: {listing.answer.words or 'the response lists no models'}"
        if listing.answer.hint:
            yield "next", listing.answer.hint
        return
    changes = model_changes(listing.profile, catalogue, today)
    partly = "" if catalogue.is_complete else " on the first page; there are more"
    known = count(len(listing.profile.models), "model")
    same = "" if any(change.kind is not ChangeKind.NEW for change in changes) else f", {known} of batchgen as listed"
    yield "list", f"{count(len(catalogue.models), 'model')}{partly}{same}"
    for change in changes:
        if change.kind is not ChangeKind.NEW:
            yield change.kind.value, f"{change.model}: {change.message}{f'; {change.hint}' if change.hint else ''}"
    new = [change.model for change in changes if change.kind is ChangeKind.NEW]
    if new:
        more = f" and {len(new) - _NAMED} more" if len(new) > _NAMED else ""
        yield "new", f"{', '.join(new[:_NAMED])}{more}"
        yield "", f"to use one: providers: {{{listing.profile.name}: {{models: {{{new[0]}: {{}}}}}}}}"


def models_check_document(listings: Sequence[ProviderListing], today: date) -> dict[str, Any]:
    """Return what ``providers check --models --json`` prints."""
    return {"providers": [_document(listing, today) for listing in listings]}


def _document(listing: ProviderListing, today: date) -> dict[str, Any]:
    catalogue = listing.catalogue
    changes = model_changes(listing.profile, catalogue, today) if catalogue else ()
    return {
        "name": listing.profile.name,
        "verdict": str(listing.answer.verdict),
        "message": listing.answer.words or None,
        "listed": len(catalogue.models) if catalogue else None,
        "complete": catalogue.is_complete if catalogue else None,
        **{kind.value: [_change(change) for change in changes if change.kind is kind] for kind in ChangeKind},
    }


def _change(change: ModelChange) -> dict[str, Any]:
    return {"model": change.model, "message": change.message, "hint": change.hint or None}
