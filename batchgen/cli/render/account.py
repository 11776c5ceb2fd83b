"""Keys, balances, models and prices of providers, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ...money import show_credits, show_usd
from .format import count, usd
from .table import Fit, table

if TYPE_CHECKING:
    from ...app.prices import PriceRow
    from ...app.provider_check import CheckCandidate, ProviderCheck, ProviderListing
    from ...providers.account import Balance, Limit
    from ...providers.catalogue import Catalogue
    from ...providers.probe import AccountReport
    from ...task import Charge

_LABELS = {"accepted": "accepted", "refused": "refused", "unreached": "no answer", "untold": "unknown"}
_MISSING = "no key"

Pairs = Iterable[tuple[str, str]]


def check_lines(checks: Iterable[ProviderCheck]) -> list[str]:
    """Return a block for each key: verdict, balance, models, limits, and what the provider does not report."""
    checks = list(checks)
    width = max((len(check.candidate.profile.name) for check in checks), default=0)
    lines = []
    for check in checks:
        name = check.candidate.profile.name
        for number, (label, text) in enumerate(_block(check)):
            lines.append(f"{'' if number else name:<{width}}  {label:<9}  {text}".rstrip())
    return lines


def _block(check: ProviderCheck) -> Pairs:
    account = check.account
    if account is None:
        yield _MISSING, check.candidate.problem
        return
    yield _LABELS[account.verdict], _key_text(check.candidate)
    if account.words:
        status = f" (HTTP {account.status})" if account.status else ""
        yield "because", f"{account.words}{status}"
    if account.balance is not None:
        yield "balance", _balance_text(account.balance)
    if account.catalogue is not None:
        yield "models", _models_text(account.catalogue, check)
    for limit in account.limits:
        yield "limit", _limit_text(limit)
    reasons: dict[str, list[str]] = {}
    for what, why in account.unavailable.items():
        if why not in account.words:
            reasons.setdefault(why, []).append(what)
    for why, things in reasons.items():
        yield "unknown", f"{' and '.join(things)}: {why}"
    if account.out_of_money or account.hint:
        yield "next", "add credit at the provider, or raise its limit" if account.out_of_money else account.hint


def _key_text(candidate: CheckCandidate) -> str:
    if candidate.key is None:
        return "no key needed"
    ends = f", ends in {candidate.ends}" if candidate.ends else ""
    return f"{candidate.key.source}{ends}"


def _balance_text(balance: Balance) -> str:
    parts = [] if balance.account is None else [_amount(balance.account, balance.unit)]
    if balance.key is not None:
        parts.append(f"this key may still spend {_amount(balance.key, balance.unit)}")
    elif balance.unlimited and balance.account is None:
        parts.append("this key has no spending limit")
    if balance.used:
        parts.append(f"{_amount(balance.used, balance.unit)} spent with this key so far")
    return "; ".join(parts) or "nothing spent so far"


def _amount(amount: Decimal, unit: str) -> str:
    if unit != "USD":
        return f"{_plain(amount)} {unit}"
    cents = f"{abs(amount):,.4f}" if 0 < abs(amount) < Decimal("0.01") else f"{abs(amount):,.2f}"
    return f"{'-' if amount < 0 else ''}${cents}"


def _models_text(catalogue: Catalogue, check: ProviderCheck) -> str:
    offers = catalogue.offers(check.candidate.profile)
    missing = [name for name, there in offers.items() if not there]
    listed = count(len(catalogue.ids), "model")
    if missing:
        return f"{listed} listed, without {', '.join(missing)}"
    if not offers:
        return f"{listed} listed"
    return f"{listed} listed, including {'the one' if len(offers) == 1 else f'all {len(offers)}'} that batchgen knows"


def _limit_text(limit: Limit) -> str:
    parts = [] if limit.limit is None else [f"{limit.limit:,} {limit.of}"]
    if limit.remaining is not None:
        parts.append(f"{limit.remaining:,} {'left' if parts else f'{limit.of} left'}")
    if limit.resets is not None:
        parts.append(f"resets in {limit.resets:g} s")
    return ", ".join(parts)


def check_document(checks: Iterable[ProviderCheck]) -> dict[str, Any]:
    """Return what ``providers check --json`` prints."""
    return {"providers": [_check_json(check) for check in checks]}


def _check_json(check: ProviderCheck) -> dict[str, Any]:
    candidate, account = check.candidate, check.account
    key = {"variable": candidate.variable, "source": candidate.key.source if candidate.key else None}
    return {
        "name": candidate.profile.name,
        "preset": candidate.profile.preset,
        "base_url": candidate.profile.base_url,
        "key": key | {"ends": candidate.ends or None} if candidate.key else None,
        **(_account_json(account, check) if account else _missing_json(candidate)),
    }


def _missing_json(candidate: CheckCandidate) -> dict[str, Any]:
    nothing = dict.fromkeys(("hint", "status", "balance", "out_of_money", "models"))
    return {"verdict": "missing", "message": candidate.problem, **nothing, "limits": [], "untold": {}}


def _account_json(account: AccountReport, check: ProviderCheck) -> dict[str, Any]:
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
        "models": catalogue
        and {"listed": len(catalogue.ids), "known": dict(catalogue.offers(check.candidate.profile))},
        "limits": [
            {"of": limit.of, "limit": limit.limit, "remaining": limit.remaining, "resets_seconds": limit.resets}
            for limit in account.limits
        ],
        "untold": dict(account.unavailable),
    }


def _plain(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount.normalize():f}"


def known_as(listing: ProviderListing) -> Mapping[str, str]:
    """Return batchgen's name of each model by the name in the provider's list."""
    models = listing.profile.models.items()
    older = {
        f"{model.wire.removesuffix(name)}{alias}": name
        for name, model in models
        for alias in model.aliases
        if model.wire.endswith(name)
    }
    return older | {model.wire: name for name, model in models}


def models_document(listing: ProviderListing) -> dict[str, Any]:
    """Return what ``providers models --json`` prints."""
    names = known_as(listing)
    ids = listing.catalogue.ids if listing.catalogue else ()
    return {
        "provider": listing.profile.name,
        "verdict": str(listing.answer.verdict),
        "message": listing.answer.words or None,
        "models": [{"id": name, "known_as": names.get(name)} for name in ids] if listing.catalogue else None,
    }


_FACTORS = {Decimal("0.5"): "half"}


def price_lines(prices: Iterable[PriceRow]) -> list[str]:
    """Return a table of the models and what one image costs."""
    rows = []
    previous = None
    for price in prices:
        cost = ", ".join(f"{tier} {_charge(charge)}".strip() for tier, charge in price.image.items())
        then = f", then {price.successor}" if price.successor else ""
        ends = f"  (ends {price.ends}{then})" if price.ends else ""
        name = "" if price.provider == previous else price.provider
        rows.append([name, price.model, cost + _modes(price) + ends, price.tariff.date or ""])
        previous = price.provider
    fit = Fit(least={0: 8, 1: 12, 2: 24}, names=(1,), wrap=(2,), drop=(3,))
    return table(rows, ("provider", "model", "one image is about", "as of"), fit=fit)


def _modes(price: PriceRow) -> str:
    """Return the modes with prices of their own, such as "; flex, batch at half"."""
    factors = dict.fromkeys(price.modes.values())
    named = {factor: ", ".join(mode for mode, each in price.modes.items() if each == factor) for factor in factors}
    return "".join(f"; {modes} at {_FACTORS.get(factor, f'{factor:f} of it')}" for factor, modes in named.items())


def _charge(charge: Charge) -> str:
    if charge.usd is None and charge.credits is not None:
        return f"{show_credits(charge.credits)} credits"
    return usd(charge.usd)


def prices_document(prices: Iterable[PriceRow]) -> dict[str, Any]:
    """Return what ``providers prices --json`` prints: the tariffs, and the price of one image by them."""
    return {
        "models": [
            {
                "provider": price.provider,
                "model": price.model,
                "deprecated": price.ends,
                "successor": price.successor,
                "tariff": price.tariff.model_dump(mode="json"),
                "modes": {mode.value: f"{factor:f}" for mode, factor in price.modes.items()},
                "image": {
                    tier: {"usd": show_usd(charge.usd), "credits": show_credits(charge.credits)}
                    for tier, charge in price.image.items()
                },
            }
            for price in prices
        ],
    }
