"""Key probe: asks a provider about a key without spending. It yields calls and does no I/O.

The questions are the documented ones in ``presets.yaml`` (``checks:``), each a GET that is not billed.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar

from ..fault import Cause, Fault, ProviderError
from .account import Balance, Limit, read_balance, read_limits
from .base import Call, Reply
from .catalogue import Catalogue, read_catalogue
from .error_bodies import clean, has_error, read_error
from .error_mapping import fault_of
from .jsonbody import Json, read_or_none
from .profile import BalanceCheck, Profile

Value = TypeVar("Value")

#: Why a fact is unavailable if the provider has no endpoint for it.
NO_ENDPOINT = "the provider documents no free way to ask"

_CHECK_URL = "is base_url right?"
_LATER = "try again later"

#: Statuses that concern the path and prove nothing about the key.
_NO_SUCH_PATH = (404, 405, 410, 501)
#: OpenAI's answer, with status 401 or 403, to a key that may make images but not list models.
_SCOPES = re.compile(r"missing scopes?\b", re.IGNORECASE)


class KeyVerdict(StrEnum):
    """What is known of a key, most serious first."""

    REFUSED = "refused"
    ACCEPTED = "accepted"
    UNREACHED = "unreached"  #: no answer, or none from this API: the key was not examined
    UNVERIFIED = "untold"  #: no free endpoint can verify it


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The answer to one question."""

    verdict: KeyVerdict
    words: str = ""  #: the provider's own message, or what went wrong on the way
    hint: str = ""
    status: int | None = None
    out_of_money: bool = False
    document: Json = None
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountReport:
    """Everything the provider revealed about one key."""

    verdict: KeyVerdict
    words: str = ""  #: the provider's own message, or what went wrong on the way
    hint: str = ""
    status: int | None = None  #: HTTP status of the answer that decided
    out_of_money: bool = False
    balance: Balance | None = None
    catalogue: Catalogue | None = None
    limits: tuple[Limit, ...] = ()
    unavailable: Mapping[str, str] = field(default_factory=dict)  #: "balance", "models", "limits" -> why


Probe = Generator[Call, Reply, Value]


def check_key(profile: Profile, secret: str = "") -> Probe[AccountReport]:
    """Ask every free question about a key; *secret* is the key, which appears in nothing that is returned.

    The driver throws in a ProviderError if no answer came.
    """
    checks = profile.checks
    if checks.balance is None and checks.models is None:
        return (yield from _check_address(profile, secret))
    balance = (yield from _ask(profile, checks.balance.path, secret)) if checks.balance else None
    if balance is not None and balance.verdict in (KeyVerdict.REFUSED, KeyVerdict.UNREACHED):
        return _report(balance)
    models = (yield from list_models(profile, secret)) if checks.models else None
    proofs = [balance, None if checks.models and checks.models.public else models]
    report = _report(_decisive([answer for answer in proofs if answer], models))
    if report.verdict in (KeyVerdict.REFUSED, KeyVerdict.UNREACHED):
        return report
    return _with_facts(report, profile, balance, models)


def list_models(profile: Profile, secret: str = "") -> Probe[Answer]:
    """Ask for the models; ``read_catalogue`` reads them from an accepted answer's document."""
    if profile.checks.models is None:
        return Answer(verdict=KeyVerdict.UNVERIFIED, words=NO_ENDPOINT)
    return (yield from _ask(profile, profile.checks.models.path, secret))


def _ask(profile: Profile, path: str, secret: str, *, signed: bool = True) -> Probe[Answer]:
    try:
        reply = yield Call(method="GET", url=profile.url_of(path), billed=False, signed=signed)
    except ProviderError as error:
        hint = error.fault.hint if error.fault.cause is Cause.UNREACHED else _LATER
        return Answer(verdict=KeyVerdict.UNREACHED, words=_redacted(error.fault.message, secret), hint=hint)
    return _judge(reply, profile, secret)


def _check_address(profile: Profile, secret: str) -> Probe[AccountReport]:
    """Find out whether the address answers at all, without the key."""
    answer = yield from _ask(profile, "/", secret, signed=False)
    if answer.status is None or answer.status >= 500:
        return AccountReport(verdict=KeyVerdict.UNREACHED, words=answer.words, hint=answer.hint, status=answer.status)
    return AccountReport(
        verdict=KeyVerdict.UNVERIFIED,
        words=f"{NO_ENDPOINT}; its address answers",
        hint="one cheap image shows whether the key works",
        unavailable=dict.fromkeys(("balance", "models", "limits"), NO_ENDPOINT),
    )


def _judge(reply: Reply, profile: Profile, secret: str) -> Answer:
    """Return what the reply to a question proves about the key."""
    limits = read_limits(reply.headers)
    document = _without_secret(secret, read_or_none(reply.body))
    if 200 <= reply.status < 300:
        if document is None:
            page = clean(read_error(None, reply.body).message, 120) or "nothing"
            words = _redacted(f"the server at this address is not this API: {page}", secret)
            return Answer(verdict=KeyVerdict.UNREACHED, words=words, hint=_CHECK_URL, status=reply.status)
        if not has_error(document):
            return Answer(verdict=KeyVerdict.ACCEPTED, status=reply.status, document=document, limits=limits)
    fault = fault_of(reply, profile, document)
    verdict, hint = _verdict(fault, reply.status)
    return Answer(
        verdict=verdict,
        words=_redacted(fault.message, secret),
        hint=hint,
        status=reply.status,
        out_of_money=fault.cause is Cause.MONEY,
        limits=limits,
    )


def _verdict(fault: Fault, status: int) -> tuple[KeyVerdict, str]:
    if fault.cause is Cause.MONEY:
        return KeyVerdict.ACCEPTED, fault.hint  # only a recognized key gets the answer that its account is empty
    if _SCOPES.search(fault.message):
        return KeyVerdict.UNVERIFIED, "the key may not use this endpoint, but it may still make images"
    if status in _NO_SUCH_PATH:
        return KeyVerdict.UNVERIFIED, _CHECK_URL
    if 300 <= status < 400:
        return KeyVerdict.UNREACHED, fault.hint
    if status == 401 or (fault.cause is Cause.DENIED and status not in (407, 421)):
        return KeyVerdict.REFUSED, "create a new key at the provider, or correct this one"
    return (KeyVerdict.UNVERIFIED, _CHECK_URL) if fault.cause is Cause.INVALID else (KeyVerdict.UNREACHED, _LATER)


def _decisive(proofs: list[Answer], models: Answer | None) -> Answer:
    """Return the most serious of *proofs*; without any, a public list of models can only prove an outage."""
    if proofs:
        order = list(KeyVerdict)
        return min(proofs, key=lambda answer: order.index(answer.verdict))
    if models is not None and models.verdict is KeyVerdict.UNREACHED:
        return models
    return Answer(verdict=KeyVerdict.UNVERIFIED, words=NO_ENDPOINT)


def _report(answer: Answer) -> AccountReport:
    return AccountReport(
        verdict=answer.verdict,
        words=answer.words,
        hint=answer.hint,
        status=answer.status,
        out_of_money=answer.out_of_money,
    )


def _with_facts(
    report: AccountReport, profile: Profile, balance_answer: Answer | None, models_answer: Answer | None
) -> AccountReport:
    """Return *report* with what the answers hold, and why the rest is unavailable."""
    balance, no_balance = _balance_of(balance_answer, profile.checks.balance)
    catalogue, no_models = _catalogue_of(models_answer)
    limits = {limit.of: limit for answer in (balance_answer, models_answer) if answer for limit in answer.limits}
    reasons = {"balance": no_balance, "models": no_models, "limits": "" if limits else "no answer states any"}
    left = balance.left if balance else None
    return replace(
        report,
        out_of_money=report.out_of_money or (left is not None and left <= 0),
        balance=balance,
        catalogue=catalogue,
        limits=tuple(limits.values()),
        unavailable={fact: reason for fact, reason in reasons.items() if reason},
    )


def _balance_of(answer: Answer | None, check: BalanceCheck | None) -> tuple[Balance | None, str]:
    """Return the balance in an answer, and why the account's is missing; "" if it is there."""
    if answer is None or check is None:
        return None, NO_ENDPOINT
    balance = read_balance(answer.document, check)
    if balance is not None and balance.account is not None:
        return balance, ""
    return balance, answer.words or check.withheld or "the answer does not hold it"


def _catalogue_of(answer: Answer | None) -> tuple[Catalogue | None, str]:
    """Return the models in an answer, and why there are none; "" if there are."""
    if answer is None:
        return None, NO_ENDPOINT
    catalogue = read_catalogue(answer.document)
    return catalogue, "" if catalogue else answer.words or "the answer lists none"


def _redacted(text: str, secret: str) -> str:
    return text.replace(secret, "*" * 8) if secret else text


def _without_secret(secret: str, document: Json) -> Json:
    """Return *document* with the key redacted, however its JSON spelled it."""
    if isinstance(document, str):
        return _redacted(document, secret)
    if isinstance(document, list):
        return [_without_secret(secret, item) for item in document]
    if isinstance(document, Mapping):
        return {_redacted(name, secret): _without_secret(secret, item) for name, item in document.items()}
    return document
