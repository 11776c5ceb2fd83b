"""Keys checked over real sockets: at the sandbox, whose log is the witness, and at servers that misbehave."""

from __future__ import annotations

import asyncio
import gzip
import time
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
import yaml

from batchgen.app import provider_check as use_case
from batchgen.app.prices import prices
from batchgen.app.project import Project
from batchgen.app.provider_check import ProviderCheck, check, exit_code_of, list_provider_models
from batchgen.errors import KeyMissing, SettingsError, UsageError
from batchgen.fault import ProviderError
from batchgen.providers.base import Call
from batchgen.providers.presets import profile
from batchgen.providers.probe import KeyVerdict
from batchgen.sandbox import launch
from batchgen.sandbox.log import read_log, totals
from batchgen.transport import Transport, response
from tests.rawserver import Behaviour, answer, closed_port, hold, refuse_to_speak, says, serve

KEY = "sk-canary-Zq8vT3xW9pL5mK2rB7nD4hJ6-0000"
PROVIDERS = ("aigate", "gptimageapi", "aimlapi", "gateway", "openai", "openrouter")
VARIABLES = [f"{name.upper()}_API_KEY" for name in PROVIDERS]
MODELS = b'{"object": "list", "data": [{"id": "gpt-image-2"}]}'


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sandbox")
    with launch.start(folder, latency="none", idle_exit=60, extra=["--draw", "small"]) as running:
        yield running


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Leave no key and no proxy of the developer's in the environment."""
    for name in [*VARIABLES, "STUDIO_KEY", "SECOND_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"]:
        for variable in (name, f"{name}_FILE", f"{name}_COMMAND", name.lower()):
            monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def place(tmp_path):
    (tmp_path / ".git").mkdir()  # settings are looked for no further up
    return Project.of(tmp_path, None)


def configure(place: Project, **providers: dict) -> None:
    (place.root / "batchgen.yaml").write_text(yaml.safe_dump({"providers": providers}), encoding="utf-8")


def at(sandbox: launch.Sandbox, *names: str) -> dict[str, dict]:
    return {name: {"base_url": sandbox.base_url(name)} for name in names}


def log_since(sandbox: launch.Sandbox, seen: int) -> list[dict]:
    return read_log(sandbox.log)[seen:]


def by_name(found: tuple[ProviderCheck, ...]) -> dict[str, ProviderCheck]:
    return {each.candidate.profile.name: each for each in found}


# --- the sandbox ---------------------------------------------------------------------------------------------------


def test_check_of_every_provider_makes_no_paid_call(place, sandbox, monkeypatch):
    configure(place, **at(sandbox, *PROVIDERS))
    for variable in VARIABLES:
        monkeypatch.setenv(variable, KEY)
    seen = len(read_log(sandbox.log))
    found = by_name(check(place))
    assert {name: each.account.verdict for name, each in found.items()} == {
        "aigate": KeyVerdict.ACCEPTED,
        "aimlapi": KeyVerdict.ACCEPTED,
        "gateway": KeyVerdict.UNVERIFIED,
        "gptimageapi": KeyVerdict.UNVERIFIED,
        "openai": KeyVerdict.ACCEPTED,
        "openrouter": KeyVerdict.ACCEPTED,
    }
    assert {each.exit_code for each in found.values()} == {0}
    for name, each in found.items():
        assert (each.candidate.variable, each.candidate.ends) == (f"{name.upper()}_API_KEY", "0000")
        assert KEY not in f"{each.candidate!r} {each.account!r}"
        if each.account.catalogue is not None:
            assert all(each.account.catalogue.offers(each.candidate.profile).values())
    assert {name for name, each in found.items() if each.account.catalogue} == {
        "aigate",
        "aimlapi",
        "openai",
        "openrouter",
    }
    (limit,) = found["openai"].account.limits
    assert (limit.of, limit.limit, limit.remaining) == ("requests", 500, 499)
    lines = log_since(sandbox, seen)
    assert {(line["event"], line["kind"], line["status"]) for line in lines} == {("free", "free", 200)}
    assert sorted((line["provider"], line["path"].partition("/")[2], line["key_tail"]) for line in lines) == [
        ("aigate", "aigate/v1/balance", "0000"),
        ("aigate", "aigate/v1/models", "0000"),
        ("aimlapi", "aimlapi/v1/models", "0000"),
        ("aimlapi", "aimlapi/v2/billing", "0000"),
        ("openai", "openai/v1/models", "0000"),
        ("openrouter", "openrouter/api/v1/key", "0000"),
        ("openrouter", "openrouter/api/v1/models", "0000"),
    ]


def test_this_machines_clock_is_held_against_every_answer(place, sandbox, monkeypatch):
    configure(place, **at(sandbox, "openrouter"))
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    (found,) = check(place, now=lambda: time.time() + 400)
    assert len(found.skews) == 2  # balance and models
    assert all(skew.low <= 400 <= skew.high for skew in found.skews)
    (without,) = check(place, ["openai"])
    assert (without.account, without.skews) == (None, [])


@pytest.mark.parametrize("name", ["aigate", "aimlapi", "openrouter"])
def test_the_balance_falls_by_what_was_charged(place, sandbox, monkeypatch, name):
    configure(place, **at(sandbox, name))
    monkeypatch.setenv(f"{name.upper()}_API_KEY", "capped-key-of-a-simulated-account" if name == "openrouter" else KEY)
    before = check(place, [name])[0].account.balance
    charged = totals(sandbox.log).get(name, {"usd": Decimal(0)})["usd"]
    buy(sandbox, name)
    after = check(place, [name])[0].account.balance
    paid = totals(sandbox.log)[name]["usd"] - charged
    assert paid > 0
    assert abs(before.left - after.left - paid) < Decimal("0.000002")
    if before.used is not None:
        assert abs(after.used - before.used - paid) < Decimal("0.000002")


def buy(sandbox: launch.Sandbox, name: str) -> None:
    body = {"model": "openai/gpt-image-2", "prompt": "A cat", "quality": "high"}
    path = "v1/images/generations"
    if name == "openrouter":
        body = {"model": "google/gemini-3-pro-image-preview", "modalities": ["image", "text"]}
        body["messages"] = [{"role": "user", "content": "A cat"}]
        path = "api/v1/chat/completions"
    headers = {"Authorization": f"Bearer {KEY}"}
    httpx.post(
        f"{sandbox.base_url(name)}/{path}", json=body, headers=headers, trust_env=False, timeout=20
    ).raise_for_status()


def test_a_capped_key_is_distinguished_from_its_account(place, sandbox, monkeypatch):
    configure(place, **at(sandbox, "aigate", "openrouter"))
    for variable in ("AIGATE_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.setenv(variable, "capped-key-of-a-simulated-account")
    found = by_name(check(place))
    aigate, openrouter = (found[name].account.balance for name in ("aigate", "openrouter"))
    assert aigate.key == aigate.left <= 5 < 90 < aigate.account
    assert (openrouter.account, openrouter.unlimited) == (None, False)
    assert 0 < openrouter.key <= 5


@pytest.mark.parametrize(
    ("key", "code", "verdicts"),
    [
        ("bad-key-of-nobody-known-here", 5, {KeyVerdict.REFUSED}),
        ("revoked-key-of-somebody-once", 5, {KeyVerdict.REFUSED}),
        ("poor-key-without-any-money-left", 7, {KeyVerdict.ACCEPTED}),
        ("restricted-key-for-images-only", 0, {KeyVerdict.ACCEPTED, KeyVerdict.UNVERIFIED}),
    ],
    ids=["bad", "revoked", "poor", "restricted"],
)
def test_keys_that_do_not_work(place, sandbox, monkeypatch, key, code, verdicts):
    names = ("aigate", "aimlapi", "openai", "openrouter")
    configure(place, **at(sandbox, *names))
    for name in names:
        monkeypatch.setenv(f"{name.upper()}_API_KEY", key)
    found = check(place)
    assert exit_code_of([each.exit_code for each in found]) == code
    assert {each.account.verdict for each in found} == verdicts
    for each in found:
        if each.account.verdict is not KeyVerdict.ACCEPTED:
            assert each.account.words
            assert key not in repr(each.account)
    if key.startswith("restricted"):
        openai = by_name(found)["openai"].account
        assert (openai.verdict, openai.status) == (KeyVerdict.UNVERIFIED, 403)
        assert "may still make images" in openai.hint


def test_sandbox_run_asks_the_sandbox_and_leaves_the_keys_at_home(tmp_path, monkeypatch):
    for variable in VARIABLES:
        monkeypatch.setenv(variable, KEY)
    place = Project.of(tmp_path, None, sandbox=True)
    with launch.start(place.state, latency="none", idle_exit=30) as running:
        found = by_name(check(place))
        assert set(found) >= set(PROVIDERS)
        assert found["aigate"].account.balance.left == 100
        assert {line["key_tail"] for line in read_log(running.log)} == {"rsal"}
        assert list_provider_models(place, "openai").catalogue is not None
        assert launch.find(place.state) is not None  # it was there before: another sandbox run may be using it
    assert {each.exit_code for each in check(place, ["aimlapi", "gateway"])} == {0}
    assert launch.find(place.state) is None


# --- which keys ----------------------------------------------------------------------------------------------------


def test_every_key_of_a_provider_is_checked(place, sandbox, monkeypatch):
    configure(place, openai={"base_url": sandbox.base_url("openai"), "api_key_env": ["STUDIO_KEY", "SECOND_KEY"]})
    monkeypatch.setenv("SECOND_KEY", "bad-key-of-nobody-known-here")
    (second,) = check(place)
    assert (second.candidate.variable, second.exit_code) == ("SECOND_KEY", 5)
    monkeypatch.setenv("STUDIO_KEY", KEY)
    assert [(each.candidate.variable, each.exit_code) for each in check(place)] == [
        ("STUDIO_KEY", 0),
        ("SECOND_KEY", 5),
    ]


def test_without_a_name_those_with_a_key_or_settings_are_checked(place, sandbox, monkeypatch):
    with pytest.raises(KeyMissing, match=r"no API key is set.*OPENAI_API_KEY"):
        check(place)
    configure(place, openai={"limits": {"concurrency": 2}})
    (lacking,) = check(place)
    assert (lacking.candidate.profile.name, lacking.account, lacking.exit_code) == ("openai", None, 5)
    assert "OPENAI_API_KEY_FILE" in lacking.candidate.problem
    configure(place, **at(sandbox, "aimlapi"))
    monkeypatch.setenv("AIMLAPI_API_KEY", KEY)
    assert list(by_name(check(place))) == ["aimlapi"]
    assert list(by_name(check(place, ["openrouter"]))) == ["openrouter"]


def test_impossible_key_counts_as_missing_and_others_are_checked(place, sandbox, monkeypatch, tmp_path):
    configure(place, **at(sandbox, "aigate", "openai"))
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o644)
    monkeypatch.setenv("AIGATE_API_KEY_FILE", str(file))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    found = by_name(check(place))
    assert "chmod 600" in found["aigate"].candidate.problem
    assert {name: each.exit_code for name, each in found.items()} == {"aigate": 5, "openai": 0}
    file.chmod(0o600)
    again = by_name(check(place))["aigate"]
    assert (again.exit_code, again.candidate.variable) == (0, "AIGATE_API_KEY")
    assert str(file) in again.candidate.key.source


def test_a_short_key_shows_no_end(place, sandbox, monkeypatch):
    configure(place, **at(sandbox, "openai"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-short-0000")
    assert check(place)[0].candidate.ends == ""


def test_who_needs_no_key_is_asked_without_one(place, sandbox):
    configure(place, mine={"preset": "openai", "base_url": sandbox.base_url("openai"), "api_key_env": []})
    (mine,) = check(place)
    assert (mine.candidate.key, mine.candidate.problem) == (None, "")
    assert mine.account.verdict is KeyVerdict.REFUSED  # the sandbox does want one


def test_own_provider_without_an_account_page_is_not_refused(place, sandbox, monkeypatch):
    configure(place, mine={"dialect": "gemini_chat", "base_url": sandbox.base_url("gptimageapi")})
    monkeypatch.setenv("MINE_API_KEY", KEY)
    (mine,) = check(place)
    assert (mine.account.verdict, mine.exit_code) == (KeyVerdict.UNVERIFIED, 0)


def test_names_are_known_or_suggested(place):
    with pytest.raises(UsageError, match="did you mean 'openai'"):
        check(place, ["opnai"])
    with pytest.raises(SettingsError, match="base_url is missing"):
        check(place, ["gateway"])


def test_models_need_a_key_only_where_the_list_is_not_public(place, sandbox):
    configure(place, **at(sandbox, "aimlapi", "openai", "gateway"))
    public = list_provider_models(place, "aimlapi")
    assert (public.exit_code, public.catalogue.ids) == (0, ("deepgram/aura-2", "openai/gpt-image-2"))
    with pytest.raises(KeyMissing, match="OPENAI_API_KEY"):
        list_provider_models(place, "openai")
    silent = list_provider_models(place, "gateway")
    assert (silent.exit_code, silent.catalogue, silent.answer.verdict) == (0, None, KeyVerdict.UNVERIFIED)


def test_prices_are_those_of_the_tariffs(place):
    configure(
        place, studio={"preset": "gateway", "base_url": "https://gw.example.com", "tariff": {"usd_per_image": 0.05}}
    )
    found = {(each.provider, each.model): each for each in prices(place)}
    assert found["studio", "gpt-image-2"].image[""].usd == 50_000_000
    assert {tier: one.credits for tier, one in found["gptimageapi", "gpt-image-2"].image.items()} == {
        "low": 2000,
        "medium": 6000,
        "high": 12_000,
    }
    medium = found["openai", "gpt-image-2"].image["medium"]
    assert 53_000_000 <= medium.usd <= 53_100_000  # 1767 tokens at 30 USD a million
    assert found["openai", "gpt-image-1.5"].ends == "2026-12-01"
    assert found["openai", "gpt-image-1.5"].successor == "gpt-image-2"
    assert [each.model for each in prices(place, ["aimlapi"])] == ["gpt-image-2"]


# --- the way there -------------------------------------------------------------------------------------------------


async def checked_at(place: Project, behaviour: Behaviour, monkeypatch, preset: str = "openai"):
    """Check one key at a server of raw bytes; return what was found, and the server."""
    monkeypatch.setenv("STUDIO_KEY", KEY)
    async with serve(behaviour) as server:
        configure(place, studio={"preset": preset, "base_url": server.url, "api_key_env": "STUDIO_KEY"})
        (found,) = await asyncio.to_thread(check, place, ["studio"])
        return found, server


async def test_a_question_is_one_get_with_the_key_in_one_header(place, monkeypatch):
    found, server = await checked_at(place, answer(MODELS), monkeypatch)
    assert (found.account.verdict, found.exit_code) == (KeyVerdict.ACCEPTED, 0)
    (request,) = server.requests
    assert (request.method, request.target, request.body) == ("GET", "/v1/models", b"")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.head.count(KEY.encode()) == 1


async def test_a_knock_goes_without_the_key(place, monkeypatch):
    found, server = await checked_at(place, answer(b"<p>Welcome</p>"), monkeypatch, preset="gateway")
    assert (found.account.verdict, found.exit_code) == (KeyVerdict.UNVERIFIED, 0)
    (request,) = server.requests
    assert (request.method, request.target) == ("GET", "/")
    assert KEY.encode() not in request.head


async def test_a_redirect_is_not_followed(place, monkeypatch):
    async with serve(answer(MODELS)) as elsewhere:
        moved = answer(b"", "302 Found", {"Location": f"{elsewhere.url}/v1/models"})
        found, _ = await checked_at(place, moved, monkeypatch)
    assert (found.account.verdict, found.exit_code) == (KeyVerdict.UNREACHED, 8)
    assert "base_url" in found.account.hint
    assert elsewhere.connections == 0


@pytest.mark.parametrize(
    ("behaviour", "patience", "words"),
    [
        (refuse_to_speak, 0.2, "no answer within 0.2 s"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", then=hold), 2, "broke off after 1 bytes"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), 20, "broke off after 1 bytes"),
        (says(b"220 mail ESMTP\r\n"), 20, "the answer is not HTTP"),
    ],
    ids=["silent", "stalls", "breaks-off", "mail"],
)
async def test_whoever_does_not_answer_whole_is_out_of_reach(place, monkeypatch, behaviour, patience, words):
    monkeypatch.setattr(use_case, "PATIENCE", patience)
    found, _ = await checked_at(place, behaviour, monkeypatch)
    assert (found.account.verdict, found.exit_code) == (KeyVerdict.UNREACHED, 8)
    assert words in found.account.words


async def test_an_endless_answer_is_cut(place, monkeypatch):
    monkeypatch.setattr("batchgen.transport.client.MAX_ANSWER", 1000)
    found, _ = await checked_at(place, answer(b" " * 2000), monkeypatch)
    assert found.account.verdict is KeyVerdict.UNREACHED
    assert "larger than 1000 bytes" in found.account.words
    assert response.MAX_BODY > 1_000_000  # of a paid answer nothing is cut


@pytest.mark.parametrize("preset", ["openai", "gateway"])
def test_an_absent_provider_is_out_of_reach(place, monkeypatch, preset):
    monkeypatch.setenv("STUDIO_KEY", KEY)
    url = f"http://127.0.0.1:{closed_port()}"
    configure(place, studio={"preset": preset, "base_url": url, "api_key_env": "STUDIO_KEY"})
    (found,) = check(place)
    assert (found.account.verdict, found.exit_code) == (KeyVerdict.UNREACHED, 8)
    assert "base_url" in found.account.hint


async def test_a_provider_that_repeats_the_key_is_not_quoted(place, monkeypatch):
    body = f'{{"error": {{"message": "unknown key {KEY}", "code": "invalid_api_key"}}}}'.encode()
    found, _ = await checked_at(place, answer(body, "401 Unauthorized"), monkeypatch)
    assert "unknown key" in found.account.words
    assert KEY not in repr(found.account)


@pytest.mark.parametrize(
    "call",
    [
        Call(method="POST", url="http://127.0.0.1:9/v1/images/generations", json={}, billed=False),
        Call(method="GET", url="http://127.0.0.1:9/v1/models"),
    ],
    ids=["post", "billed"],
)
async def test_the_line_asks_nothing_that_may_cost(call):
    studio = profile("studio", {"preset": "gateway", "base_url": "http://127.0.0.1:9"})
    async with Transport({"studio": studio}, {"studio": KEY}) as transport:
        with pytest.raises(ValueError, match="is not free"):
            await transport.client("studio").ask(call, 5)


async def test_a_compressed_answer_is_read(place, monkeypatch):
    zipped = gzip.compress(MODELS, mtime=0)
    found, _ = await checked_at(place, answer(zipped, headers={"Content-Encoding": "gzip"}), monkeypatch)
    assert found.account.catalogue.ids == ("gpt-image-2",)


def test_nothing_is_written_but_by_sandbox_run(place, sandbox, monkeypatch):
    configure(place, **at(sandbox, "openai"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    check(place)
    assert sorted(path.name for path in Path(place.root).rglob("*")) == [".git", "batchgen.yaml"]


def test_the_gravest_finding_decides():
    assert [exit_code_of(codes) for codes in ([], [0, 0], [0, 8], [8, 5], [5, 7, 8])] == [0, 0, 8, 5, 7]


def test_a_fault_of_the_way_says_nothing_of_money():
    # a free question that went unanswered is no reason to look through the provider's bills
    async def ask() -> str:
        async with serve(refuse_to_speak) as server:
            studio = profile("studio", {"preset": "gateway", "base_url": server.url})
            async with Transport({"studio": studio}, {"studio": KEY}) as transport:
                question = Call(method="GET", url=f"{server.url}/", billed=False)
                with pytest.raises(ProviderError) as caught:
                    await transport.client("studio").ask(question, 0.2)
        return f"{caught.value.fault.message} {caught.value.fault.charged}"

    assert asyncio.run(ask()) == "no answer within 0.2 s no"
