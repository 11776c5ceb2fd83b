"""Ask a provider about a key without spending: a conversation, without the telephone.  Pure.

The questions are the documented ones of ``presets.yaml`` (``checks:``), every one a GET that nobody bills.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from ..fault import Cause, Fault, ProviderError
from .account import Balance, Catalogue, Limit, read_balance, read_catalogue, read_limits
from .base import Call, Reply
from .error_bodies import clean, has_error, read_error
from .error_mapping import fault_of
from .jsonbody import Json, Unreadable, read
from .profile import Profile, join

Value = TypeVar("Value")

#: Why nothing can be told where the provider documents no endpoint for it.
NO_ENDPOINT = "the provider documents no free way to ask"

_ADDRESS = "is base_url right?"
_LATER = "try again later"

#: Statuses that say something of the path, nothing of the key.
_NO_SUCH_PATH = (404, 405, 410, 501)
#: OpenAI, to a key that may make images and not list models; the status is 403, or 401.
_SCOPES = re.compile(r"missing scopes?\b", re.IGNORECASE)


class KeyVerdict(StrEnum):
    """What is known of a key, the gravest first."""

    REFUSED = "refused"
    ACCEPTED = "accepted"
    UNREACHED = "unreached"  #: no answer, or none by this API: the key was not looked at
    UNVERIFIED = "untold"  #: nothing free can tell


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What one question brought."""

    verdict: KeyVerdict
    words: str = ""  #: the provider's own, or what went wrong on the way
    hint: str = ""
    status: int | None = None
    out_of_money: bool = False  #: it says that there is no money
    document: Json = None
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountReport:
    """All that was told about one key."""

    verdict: KeyVerdict
    words: str = ""  #: the provider's own, or what went wrong on the way
    hint: str = ""
    status: int | None = None  #: HTTP status of the answer that decided
    out_of_money: bool = False  #: nothing is left to spend
    balance: Balance | None = None
    catalogue: Catalogue | None = None
    limits: tuple[Limit, ...] = ()
    unavailable: Mapping[str, str] = field(default_factory=dict)  #: "balance", "models", "limits" -> why not


Probe = Generator[Call, Reply, Value]


def check_key(profile: Profile, secret: str = "") -> Probe[AccountReport]:
    """Ask all that may be asked for free; *secret* is the key, which shows in nothing that comes back.

    A ProviderError thrown in says that no answer came.
    """
    checks = profile.checks
    if checks.balance is None and checks.models is None:
        return (yield from _knock(profile, secret))
    purse = (yield from _ask(profile, checks.balance.path, secret)) if checks.balance else None
    if purse is not None and purse.verdict in (KeyVerdict.REFUSED, KeyVerdict.UNREACHED):
        return _conclusion(purse)
    shelf = (yield from list_models(profile, secret)) if checks.models else None
    proofs = [purse, None if checks.models and checks.models.public else shelf]
    account = _conclusion(_gravest([answer for answer in proofs if answer], shelf))
    if account.verdict in (KeyVerdict.REFUSED, KeyVerdict.UNREACHED):
        return account
    return _filled(account, profile, purse, shelf)


def list_models(profile: Profile, secret: str = "") -> Probe[Answer]:
    """Ask for the models; ``read_catalogue`` reads them from an accepted answer's document."""
    if profile.checks.models is None:
        return Answer(verdict=KeyVerdict.UNVERIFIED, words=NO_ENDPOINT)
    return (yield from _ask(profile, profile.checks.models.path, secret))


def _ask(profile: Profile, path: str, secret: str, *, signed: bool = True) -> Probe[Answer]:
    try:
        reply = yield Call(method="GET", url=join(profile.base_url, path), billed=False, signed=signed)
    except ProviderError as error:
        hint = error.fault.hint if error.fault.cause is Cause.UNREACHED else _LATER
        return Answer(verdict=KeyVerdict.UNREACHED, words=_hidden(error.fault.message, secret), hint=hint)
    return judge(reply, profile, secret)


def _knock(profile: Profile, secret: str) -> Probe[AccountReport]:
    """Find out whether anybody answers there at all, without the key."""
    answer = yield from _ask(profile, "/", secret, signed=False)
    if answer.status is None or answer.status >= 500:
        return AccountReport(verdict=KeyVerdict.UNREACHED, words=answer.words, hint=answer.hint, status=answer.status)
    return AccountReport(
        verdict=KeyVerdict.UNVERIFIED,
        words=f"{NO_ENDPOINT}; its address answers",
        hint="one cheap image shows whether the key works",
        unavailable=dict.fromkeys(("balance", "models", "limits"), NO_ENDPOINT),
    )


def judge(reply: Reply, profile: Profile, secret: str = "") -> Answer:
    """Return what a reply to a question says of the key that came with it."""
    limits = read_limits(reply.headers)
    try:
        document = _without(secret, read(reply.body))
    except Unreadable:
        document = None
    if 200 <= reply.status < 300:
        if document is None:
            page = clean(read_error(None, reply.body).message, 120) or "nothing"
            words = _hidden(f"what answers there is not this API: {page}", secret)
            return Answer(verdict=KeyVerdict.UNREACHED, words=words, hint=_ADDRESS, status=reply.status)
        if not has_error(document):
            return Answer(verdict=KeyVerdict.ACCEPTED, status=reply.status, document=document, limits=limits)
    fault = fault_of(reply, profile, document)
    verdict, hint = _verdict(fault, reply.status)
    return Answer(
        verdict=verdict,
        words=_hidden(fault.message, secret),
        hint=hint,
        status=reply.status,
        out_of_money=fault.cause is Cause.MONEY,
        limits=limits,
    )


def _verdict(fault: Fault, status: int) -> tuple[KeyVerdict, str]:
    if fault.cause is Cause.MONEY:
        return KeyVerdict.ACCEPTED, fault.hint  # who is told that the money is gone was recognised
    if _SCOPES.search(fault.message):
        return KeyVerdict.UNVERIFIED, "the key may not ask this; it may make images all the same"
    if status in _NO_SUCH_PATH:
        return KeyVerdict.UNVERIFIED, _ADDRESS
    if 300 <= status < 400:
        return KeyVerdict.UNREACHED, fault.hint
    if status == 401 or (fault.cause is Cause.DENIED and status not in (407, 421)):
        return KeyVerdict.REFUSED, "make a new key at the provider, or correct this one"
    return (KeyVerdict.UNVERIFIED, _ADDRESS) if fault.cause is Cause.INVALID else (KeyVerdict.UNREACHED, _LATER)


def _gravest(proofs: list[Answer], public: Answer | None) -> Answer:
    """Return the answer that decides; where only a *public* list was asked for, it can at most be out of reach."""
    if proofs:
        order = list(KeyVerdict)
        return min(proofs, key=lambda answer: order.index(answer.verdict))
    if public is not None and public.verdict is KeyVerdict.UNREACHED:
        return public
    return Answer(verdict=KeyVerdict.UNVERIFIED, words=NO_ENDPOINT)


def _conclusion(answer: Answer) -> AccountReport:
    return AccountReport(
        verdict=answer.verdict,
        words=answer.words,
        hint=answer.hint,
        status=answer.status,
        out_of_money=answer.out_of_money,
    )


def _filled(account: AccountReport, profile: Profile, purse: Answer | None, shelf: Answer | None) -> AccountReport:
    """Return *account* with what the answers hold, and why the rest is not told."""
    unavailable: dict[str, str] = {}
    check = profile.checks.balance
    balance = read_balance(purse.document, check) if purse and check else None
    if balance is None or balance.account is None:
        silence = (check.withheld if check else "") or "the answer does not hold it"
        unavailable["balance"] = (purse.words or silence) if purse else NO_ENDPOINT
    catalogue = read_catalogue(shelf.document) if shelf else None
    if catalogue is None:
        unavailable["models"] = (shelf.words or "the answer lists none") if shelf else NO_ENDPOINT
    limits = {limit.of: limit for answer in (purse, shelf) if answer for limit in answer.limits}
    if not limits:
        unavailable["limits"] = "no answer states any"
    left = balance.left if balance else None
    return AccountReport(
        verdict=account.verdict,
        words=account.words,
        hint=account.hint,
        status=account.status,
        out_of_money=account.out_of_money or (left is not None and left <= 0),
        balance=balance,
        catalogue=catalogue,
        limits=tuple(limits.values()),
        unavailable=unavailable,
    )


def _hidden(text: str, secret: str) -> str:
    return text.replace(secret, "*" * 8) if secret else text


def _without(secret: str, document: Json) -> Json:
    """Return *document* without the key, however its JSON spelt it."""
    if isinstance(document, str):
        return _hidden(document, secret)
    if isinstance(document, list):
        return [_without(secret, item) for item in document]
    if isinstance(document, Mapping):
        return {_hidden(name, secret): _without(secret, item) for name, item in document.items()}
    return document
