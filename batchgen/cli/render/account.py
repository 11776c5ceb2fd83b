"""What was found out about keys, models and prices, in words and as JSON.  Values in, lines of text out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ...money import show_credits, show_usd
from .. import output

if TYPE_CHECKING:
    from ...app.prices import PriceRow
    from ...app.provider_check import CheckCandidate, ProviderCheck, ProviderListing
    from ...providers.account import Balance, Catalogue, Limit
    from ...providers.probe import AccountReport
    from ...task import Charge

_LABELS = {"accepted": "accepted", "refused": "refused", "unreached": "no answer", "untold": "not told"}
_MISSING = "no key"

Pairs = Iterable[tuple[str, str]]


def check_lines(found: Iterable[ProviderCheck]) -> list[str]:
    """Return a block per key: what became of it, what is left, which models, which limits, and what is not told."""
    found = list(found)
    width = max((len(each.candidate.profile.name) for each in found), default=0)
    lines = []
    for each in found:
        name = each.candidate.profile.name
        for number, (label, text) in enumerate(_block(each)):
            lines.append(f"{'' if number else name:<{width}}  {label:<9}  {text}".rstrip())
    return lines


def _block(each: ProviderCheck) -> Pairs:
    account = each.account
    if account is None:
        yield _MISSING, each.candidate.problem
        return
    yield _LABELS[account.verdict], _key_words(each.candidate)
    if account.words:
        status = f" (HTTP {account.status})" if account.status else ""
        yield "because", f"{account.words}{status}"
    if account.balance is not None:
        yield "balance", _balance_words(account.balance)
    if account.catalogue is not None:
        yield "models", _model_words(account.catalogue, each)
    for limit in account.limits:
        yield "limit", _limit_words(limit)
    reasons: dict[str, list[str]] = {}
    for what, why in account.unavailable.items():
        if why not in account.words:
            reasons.setdefault(why, []).append(what)
    for why, things in reasons.items():
        yield "not told", f"{' and '.join(things)}: {why}"
    if account.out_of_money or account.hint:
        yield "next", "add credit at the provider, or raise its limit" if account.out_of_money else account.hint


def _key_words(candidate: CheckCandidate) -> str:
    if candidate.key is None:
        return "it needs no key"
    ends = f", ends in {candidate.ends}" if candidate.ends else ""
    return f"{candidate.key.source}{ends}"


def _balance_words(balance: Balance) -> str:
    parts = [] if balance.account is None else [_amount(balance.account, balance.unit)]
    if balance.key is not None:
        parts.append(f"this key may still spend {_amount(balance.key, balance.unit)}")
    elif balance.unlimited and balance.account is None:
        parts.append("this key has no limit of its own")
    if balance.used:
        parts.append(f"{_amount(balance.used, balance.unit)} spent through this key so far")
    return "; ".join(parts) or "nothing spent so far"


def _amount(amount: Decimal, unit: str) -> str:
    if unit != "USD":
        return f"{_plain(amount)} {unit}"
    cents = f"{abs(amount):,.4f}" if 0 < abs(amount) < Decimal("0.01") else f"{abs(amount):,.2f}"
    return f"{'-' if amount < 0 else ''}${cents}"


def _model_words(catalogue: Catalogue, each: ProviderCheck) -> str:
    offers = catalogue.offers(each.candidate.profile)
    missing = [name for name, there in offers.items() if not there]
    listed = output.count(len(catalogue.ids), "model")
    if missing:
        return f"{listed} listed, and these are not among them: {', '.join(missing)}"
    return f"{listed} listed, with {'the one' if len(offers) == 1 else f'all {len(offers)}'} that batchgen knows"


def _limit_words(limit: Limit) -> str:
    parts = [] if limit.limit is None else [f"{limit.limit:,} {limit.of}"]
    if limit.remaining is not None:
        parts.append(f"{limit.remaining:,} {'left' if parts else f'{limit.of} left'}")
    if limit.resets is not None:
        parts.append(f"whole again in {limit.resets:g} s")
    return ", ".join(parts)


def check_document(found: Iterable[ProviderCheck]) -> dict[str, Any]:
    """Return what ``providers check --json`` prints."""
    return {"schema_version": 1, "providers": [_checked_json(each) for each in found]}


def _checked_json(each: ProviderCheck) -> dict[str, Any]:
    candidate, account = each.candidate, each.account
    key = {"variable": candidate.variable, "source": candidate.key.source if candidate.key else None}
    return {
        "name": candidate.profile.name,
        "preset": candidate.profile.preset,
        "base_url": candidate.profile.base_url,
        "key": key | {"ends": candidate.ends or None} if candidate.key else None,
        **(_account_json(account, each) if account else _missing_json(candidate)),
    }


def _missing_json(candidate: CheckCandidate) -> dict[str, Any]:
    nothing = dict.fromkeys(("hint", "status", "balance", "out_of_money", "models"))
    return {"verdict": "missing", "message": candidate.problem, **nothing, "limits": [], "untold": {}}


def _account_json(account: AccountReport, each: ProviderCheck) -> dict[str, Any]:
    balance, catalogue = account.balance, account.catalogue
    return {
        "verdict": str(account.verdict),
        "message": account.words or None,
        "hint": account.hint or None,
        "status": account.status,
        "balance": balance
        and {
            "unit": balance.unit,
            "account": _plain(balance.account),
            "key": _plain(balance.key),
            "unlimited": balance.unlimited,
            "used": _plain(balance.used),
        },
        "out_of_money": account.out_of_money,
        "models": catalogue and {"listed": len(catalogue.ids), "known": dict(catalogue.offers(each.candidate.profile))},
        "limits": [
            {"of": limit.of, "limit": limit.limit, "remaining": limit.remaining, "resets_seconds": limit.resets}
            for limit in account.limits
        ],
        "untold": dict(account.unavailable),
    }


def _plain(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount.normalize():f}"


def known_as(listed: ProviderListing) -> Mapping[str, str]:
    """Return what batchgen calls a model, by the name that the provider lists it under."""
    models = listed.profile.models.items()
    older = {
        f"{model.wire.removesuffix(name)}{alias}": name
        for name, model in models
        for alias in model.aliases
        if model.wire.endswith(name)
    }
    return older | {model.wire: name for name, model in models}


def models_document(listed: ProviderListing) -> dict[str, Any]:
    """Return what ``providers models --json`` prints."""
    names = known_as(listed)
    ids = listed.catalogue.ids if listed.catalogue else ()
    return {
        "schema_version": 1,
        "provider": listed.profile.name,
        "verdict": str(listed.answer.verdict),
        "message": listed.answer.words or None,
        "models": [{"id": name, "known_as": names.get(name)} for name in ids] if listed.catalogue else None,
    }


def price_lines(found: Iterable[PriceRow]) -> list[str]:
    """Return a table of the models and what one image costs."""
    rows = []
    before = None
    for each in found:
        cost = ", ".join(f"{tier} {_charge(charge)}".strip() for tier, charge in each.image.items())
        then = f", then {each.successor}" if each.successor else ""
        ends = f"  (ends {each.ends}{then})" if each.ends else ""
        name = "" if each.provider == before else each.provider
        rows.append([name, each.model, cost + ends, each.tariff.date or ""])
        before = each.provider
    return output.table(rows, ("provider", "model", "one image is about", "as of"))


def _charge(charge: Charge) -> str:
    if charge.usd is None and charge.credits is not None:
        return f"{show_credits(charge.credits)} credits"
    return output.usd(charge.usd)


def prices_document(found: Iterable[PriceRow]) -> dict[str, Any]:
    """Return what ``providers prices --json`` prints: the tariffs as they are, and what they make of one image."""
    return {
        "schema_version": 1,
        "models": [
            {
                "provider": each.provider,
                "model": each.model,
                "deprecated": each.ends,
                "successor": each.successor,
                "tariff": each.tariff.model_dump(mode="json"),
                "image": {
                    tier: {"usd": show_usd(charge.usd), "credits": show_credits(charge.credits)}
                    for tier, charge in each.image.items()
                },
            }
            for each in found
        ],
    }
