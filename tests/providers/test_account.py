"""Free questions about a key, and the providers' own answers to them: plain values on both sides."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from batchgen.fault import Cause, Fault, ProviderError
from batchgen.providers.account import Balance, Limit, read_balance, read_limits
from batchgen.providers.base import Call, Reply
from batchgen.providers.catalogue import read_catalogue
from batchgen.providers.presets import PRESET_NAMES, profile
from batchgen.providers.probe import NO_ENDPOINT, AccountReport, KeyVerdict, check_key, list_models
from batchgen.providers.profile import BalanceCheck, Checks, ModelsCheck, Profile

KEY = "sk-canary-Zq8vT3xW9pL5mK2rB7nD4hJ6-0000"
MODELS = {"object": "list", "data": [{"id": "gpt-image-2", "object": "model"}]}

#: As the providers' documents show them.
AIGATE = {
    "object": "balance",
    "currency": "USD",
    "balance": 12.5,
    "used": 3.42,
    "total": 15.92,
    "balance_quota": 6250000,
    "token": {"id": 17, "remaining": 10.0, "used": 1.8, "total": 11.8, "unlimited_quota": False, "expires_at": 0},
}
AIMLAPI = {"current_balance": 123.45, "currency": "USD"}
OPENROUTER = {
    "data": {
        "label": "sk-or-v1-au7...890",
        "limit": 100,
        "limit_remaining": 74.5,
        "limit_reset": "monthly",
        "usage": 25.5,
        "is_free_tier": False,
        "rate_limit": {"requests": 1000, "interval": "1h", "note": "This field is deprecated and safe to ignore."},
    }
}


def known(name: str) -> Profile:
    return profile(name, {"base_url": "https://gw.example.com"} if name in ("gateway", "azure") else None)


def told(body: object, status: int = 200, **headers: str) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status=status, body=raw, headers={name.replace("_", "-"): text for name, text in headers.items()})


def play(facts: Profile, *replies: Reply | ProviderError, secret: str = KEY) -> tuple[list[Call], AccountReport]:
    """Answer each question with the next reply; all of them must be wanted."""
    asking, calls, left = check_key(facts, secret), [], list(replies)
    try:
        call = next(asking)
        while True:
            calls.append(call)
            reply = left.pop(0)
            call = asking.throw(reply) if isinstance(reply, ProviderError) else asking.send(reply)
    except StopIteration as end:
        assert left == []
        return calls, end.value


def without(path: str, value: Any = ...) -> dict[str, Any]:
    """Return aigate's answer with one field changed or taken out."""
    changed = json.loads(json.dumps(AIGATE))
    *way, last = path.split(".")
    holder = changed
    for step in way:
        holder = holder[step]
    if value is ...:
        del holder[last]
    else:
        holder[last] = value
    return changed


# --- what is asked -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_only_free_questions_are_asked(name):
    facts = known(name)
    calls, account = play(facts, *[told(AIGATE), told(MODELS)][: _questions(facts)])
    operations = [rules for model in facts.models.values() for rules in (model.generate, model.edit) if rules]
    paid = {facts.url(rules.path) for rules in operations}
    for call in calls:
        assert (call.method, call.billed, call.json, call.form, call.files) == ("GET", False, None, (), ())
        assert call.url.startswith(facts.base_url)
        assert call.url.partition("?")[0] not in paid
        assert KEY not in repr(call)
    assert account.verdict in (KeyVerdict.ACCEPTED, KeyVerdict.UNVERIFIED)


def _questions(facts: Profile) -> int:
    return max(1, sum(check is not None for check in (facts.checks.balance, facts.checks.models)))


def test_which_questions_each_provider_documents():
    asked = {
        name: [check.path for check in (facts.checks.balance, facts.checks.models) if check]
        for name in PRESET_NAMES
        if (facts := known(name))
    }
    assert asked == {
        "aigate": ["/v1/balance", "/v1/models"],
        "gptimageapi": [],
        "aimlapi": ["/v2/billing", "/v1/models"],
        "gemini": ["/v1beta/models?pageSize=1000"],
        "gateway": [],
        "openai": ["/v1/models"],
        "openrouter": ["/api/v1/key", "/api/v1/models?output_modalities=image"],
        "sandbox": [],
        "fal": [],
        "azure": ["/openai/v1/models"],
        "xai": ["/v1/image-generation-models"],
        "recraft": ["/v1/users/me"],
        "ark": ["/api/v3/models"],
        "bfl": ["/v1/credits"],
        "dashscope": [],
        "higgsfield": [],
        "kie": ["/api/v1/chat/credit"],
        "replicate": [],
        "wavespeed": ["/api/v3/balance"],
    }


def test_who_documents_nothing_is_only_knocked_at_without_the_key():
    (call,), account = play(known("gateway"), told({"error": {"message": "no such page"}}, 404))
    assert (call.url, call.signed) == ("https://gw.example.com/", False)
    assert account.verdict is KeyVerdict.UNVERIFIED
    assert NO_ENDPOINT in account.words
    assert set(account.unavailable.values()) == {NO_ENDPOINT}
    _, silent = play(known("gateway"), told(b"<title>502 Bad Gateway</title>", 502))
    assert (silent.verdict, silent.status) == (KeyVerdict.UNREACHED, 502)


# --- balances ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "body", "balance", "left"),
    [
        ("aigate", AIGATE, Balance(unit="USD", account=Decimal("12.5"), key=Decimal(10), used=Decimal("1.8")), "10"),
        (
            "aigate",
            without("token.unlimited_quota", True),
            Balance(unit="USD", account=Decimal("12.5"), unlimited=True, used=Decimal("1.8")),
            "12.5",
        ),
        ("aimlapi", AIMLAPI, Balance(unit="USD", account=Decimal("123.45")), "123.45"),
        ("openrouter", OPENROUTER, Balance(unit="USD", key=Decimal("74.5"), used=Decimal("25.5")), "74.5"),
        (
            "openrouter",
            {"data": {"limit_remaining": None, "usage": 0}},
            Balance(unit="USD", unlimited=True, used=Decimal(0)),
            None,
        ),
    ],
    ids=["aigate", "aigate-unlimited", "aimlapi", "openrouter", "openrouter-unlimited"],
)
def test_balances_as_documented(name, body, balance, left):
    _, account = play(known(name), told(body), told(MODELS))
    assert (account.verdict, account.status, account.out_of_money) == (KeyVerdict.ACCEPTED, 200, False)
    assert account.balance == balance
    assert account.balance.left == (None if left is None else Decimal(left))
    assert ("balance" in account.unavailable) == (name == "openrouter")


def test_key_without_a_limit_explains_hidden_credits():
    _, account = play(known("openrouter"), told({"data": {"limit_remaining": None, "usage": 1}}), told(MODELS))
    assert account.unavailable["balance"] == "only a management key may see the account's credits"


@pytest.mark.parametrize(
    ("body", "broke"),
    [
        (without("balance", 0), True),
        (without("balance", -0.25), True),
        (without("token.remaining", 0), True),
        (without("balance", 0.0000001), False),
    ],
    ids=["empty", "in-debt", "key-spent", "nearly"],
)
def test_an_empty_purse_is_seen(body, broke):
    _, account = play(known("aigate"), told(body), told(MODELS))
    assert (account.verdict, account.out_of_money) == (KeyVerdict.ACCEPTED, broke)


@pytest.mark.parametrize(
    "value", [None, True, "much", "NaN", "Infinity", [], {}, 10**13, "1e400"], ids=lambda value: repr(value)[:12]
)
def test_what_is_no_amount_is_not_told(value):
    check = BalanceCheck(path="/b", account="left")
    assert read_balance({"left": value}, check) is None
    assert read_balance({"left": "0.10"}, check).account == Decimal("0.10")
    body = without("balance", value) | {"token": {}}
    _, account = play(known("aigate"), told(body), told(MODELS))
    assert (account.verdict, account.balance) == (KeyVerdict.ACCEPTED, None)
    assert account.unavailable["balance"] == "the answer does not hold it"


# --- keys ----------------------------------------------------------------------------------------------------------


def openai_error(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


SCOPES = openai_error("You have insufficient permissions for this operation. Missing scopes: api.model.read.")
NEST = {"message": "Invalid API key.", "path": "/v2/billing", "requestId": "r", "statusCode": "401", "timestamp": "t"}
NEW_API = {"error": {"message": "user quota is not enough", "type": "new_api_error", "code": "insufficient_user_quota"}}


@pytest.mark.parametrize(
    ("name", "reply", "verdict", "words"),
    [
        (
            "openai",
            told(openai_error("Incorrect API key provided: ****0000.", "invalid_api_key"), 401),
            KeyVerdict.REFUSED,
            "Incorrect API key",
        ),
        ("openai", told(openai_error("Country not supported"), 403), KeyVerdict.REFUSED, "Country not supported"),
        ("openai", told(SCOPES, 403), KeyVerdict.UNVERIFIED, "Missing scopes"),
        ("openai", told(SCOPES, 401), KeyVerdict.UNVERIFIED, "Missing scopes"),
        ("openai", told(openai_error("Invalid URL (GET /v2/models)"), 404), KeyVerdict.UNVERIFIED, "Invalid URL"),
        ("openai", told(openai_error("Rate limit reached", "rate_limit_exceeded"), 429), KeyVerdict.UNREACHED, "Rate"),
        ("openai", told(openai_error("The server had an error"), 500), KeyVerdict.UNREACHED, "server had an error"),
        ("openai", told(b"<title>Just a moment...</title>", 200), KeyVerdict.UNREACHED, "not this API: Just a moment"),
        ("openai", told(b"", 307, location="https://x.example/"), KeyVerdict.UNREACHED, "307"),
        ("openai", told({"error": {"message": "bad", "code": "invalid_api_key"}}), KeyVerdict.REFUSED, "bad"),
        ("aimlapi", told(NEST, 401), KeyVerdict.REFUSED, "Invalid API key."),
        (
            "openrouter",
            told({"error": {"code": 401, "message": "User not found."}}, 401),
            KeyVerdict.REFUSED,
            "not found",
        ),
        (
            "aigate",
            told({"error": {"message": "Invalid token", "type": "new_api_error"}}, 401),
            KeyVerdict.REFUSED,
            "tok",
        ),
        ("aigate", told(b"proxy wants a password", 407), KeyVerdict.UNREACHED, "password"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else None,
)
def test_what_an_answer_says_of_the_key(name, reply, verdict, words):
    facts = known(name)
    goes_on = verdict is KeyVerdict.UNVERIFIED and facts.checks.balance is not None
    calls, account = play(facts, reply, *([told(MODELS)] if goes_on else []))
    assert (account.verdict, account.status) == (verdict, reply.status)
    assert words in account.words
    assert len(calls) == 1 + goes_on
    assert account.hint or verdict is KeyVerdict.ACCEPTED


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("aigate", told(NEW_API, 403)),
        ("openrouter", told({"error": {"code": 402, "message": "Insufficient credits"}}, 402)),
        ("aimlapi", told({**NEST, "message": "You've run out of credits.", "statusCode": 403}, 403)),
    ],
    ids=["aigate", "openrouter", "aimlapi"],
)
def test_a_key_without_money_was_recognised(name, reply):
    _, account = play(known(name), reply, told(MODELS))
    assert (account.verdict, account.out_of_money, account.balance) == (KeyVerdict.ACCEPTED, True, None)
    assert account.words


def test_no_answer_ends_the_questions():
    gone = ProviderError(Fault(cause=Cause.UNREACHED, message="refused", hint="is base_url right?"))
    calls, account = play(known("aigate"), gone)
    assert len(calls) == 1
    assert (account.verdict, account.words, account.hint) == (KeyVerdict.UNREACHED, "refused", "is base_url right?")
    late = ProviderError(Fault(cause=Cause.UNKNOWN, message="no answer", hint="it may have been charged"))
    assert play(known("openai"), late)[1].hint == "try again later"
    # the balance proved the key; a list that nobody hands out changes nothing
    _, account = play(known("aigate"), told(AIGATE), late)
    assert (account.verdict, account.unavailable["models"]) == (KeyVerdict.ACCEPTED, "no answer")


def test_a_public_list_proves_nothing():
    listed = ModelsCheck(path="/v1/models", public=True)
    facts = known("gateway").model_copy(update={"checks": Checks(models=listed)})
    _, account = play(facts, told(MODELS))
    assert (account.verdict, account.catalogue.ids) == (KeyVerdict.UNVERIFIED, ("gpt-image-2",))
    _, account = play(known("aigate"), told({"error": {"message": "nothing here"}}, 404), told(MODELS))
    assert (account.verdict, account.catalogue.ids) == (KeyVerdict.UNVERIFIED, ("gpt-image-2",))


@pytest.mark.parametrize("status", [200, 401, 404, 500])
@pytest.mark.parametrize("escaped", [False, True], ids=["plain", "escaped"])
def test_a_key_that_is_repeated_is_not_shown(status, escaped):
    spelt = KEY.replace("-", "\\u002d") if escaped else KEY
    body = f'{{"message": "no {spelt}", "data": [{{"id": "{spelt}", "aliases": ["{spelt}"]}}]}}'.encode()
    _, account = play(known("openai"), told(body, status))
    assert KEY not in repr(account)
    page = told(f"<p>hello {KEY}</p>".encode(), status)
    assert KEY not in repr(play(known("openai"), page)[1])


# --- models and limits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "ids", "names"),
    [
        (MODELS, ("gpt-image-2",), {"gpt-image-2"}),
        ([{"id": "b"}, {"id": "a"}, {"id": "b"}], ("a", "b"), {"a", "b"}),
        ({"data": [{"id": "x/y", "aliases": ["y", None, 3]}, {"id": "z", "aliases": None}]}, ("x/y", "z"), {"y"}),
        ({"data": [None, 3, {}, {"id": ""}, {"id": 5}, {"id": "a"}]}, ("a",), {"a"}),
    ],
    ids=["openai", "bare", "aliases", "rubbish"],
)
def test_catalogues(document, ids, names):
    found = read_catalogue(document)
    assert found.ids == ids
    assert found.names == {*ids, *names}


@pytest.mark.parametrize("document", [None, {}, [], {"data": None}, {"data": {}}, {"data": [{}]}, "x"], ids=repr)
def test_what_lists_no_models(document):
    assert read_catalogue(document) is None


def test_known_models_are_looked_up_by_every_name():
    facts = known("aimlapi")
    other_name = {"data": [{"id": "gpt-image-2-2026", "aliases": ["openai/gpt-image-2"]}]}
    assert read_catalogue(other_name).offers(facts) == {"gpt-image-2": True}
    assert read_catalogue(MODELS).offers(facts) == {"gpt-image-2": False}


def test_models_may_be_asked_for_alone():
    asking = list_models(known("aimlapi"))
    assert next(asking).url == "https://api.aimlapi.com/v1/models"
    with pytest.raises(StopIteration) as end:
        asking.send(told(MODELS))
    assert read_catalogue(end.value.value.document).ids == ("gpt-image-2",)
    with pytest.raises(StopIteration) as end:
        next(list_models(known("gateway")))
    assert (end.value.value.verdict, end.value.value.words) == (KeyVerdict.UNVERIFIED, NO_ENDPOINT)


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        ({}, []),
        (
            {
                "x-ratelimit-limit-requests": "500",
                "x-ratelimit-remaining-requests": "499",
                "x-ratelimit-reset-requests": "120ms",
                "x-ratelimit-limit-tokens": "100000",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            [
                Limit(of="requests", limit=500, remaining=499, resets=0.12),
                Limit(of="tokens", limit=100_000, resets=360.0),
            ],
        ),
        ({"x-ratelimit-limit": "20", "x-ratelimit-reset": "1780000000000"}, [Limit(of="requests", limit=20)]),
        ({"ratelimit-limit": "100, 100;w=60", "ratelimit-reset": "7"}, [Limit(of="requests", limit=100, resets=7.0)]),
        ({"x-ratelimit-limit-requests": "lots", "x-ratelimit-reset-requests": "1s"}, []),
        ({"x-ratelimit-limit-requests": "-1"}, []),
        ({"x-ratelimit-remaining-images": "0"}, [Limit(of="images", remaining=0)]),
    ],
    ids=["none", "openai", "epoch", "draft", "words", "negative", "remaining-alone"],
)
def test_limits_in_headers(headers, limits):
    assert read_limits(headers) == tuple(limits)


def test_limits_of_all_answers_are_reported_together():
    one, two = {"x_ratelimit_limit_requests": "500"}, {"x_ratelimit_limit_images": "5"}
    _, account = play(known("aigate"), told(AIGATE, **one), told(MODELS, **two))
    assert [(limit.of, limit.limit) for limit in account.limits] == [("requests", 500), ("images", 5)]
    assert "limits" not in account.unavailable
    _, account = play(known("aigate"), told(AIGATE), told(MODELS))
    assert account.unavailable["limits"] == "no answer states any"
