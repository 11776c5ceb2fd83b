"""``providers check``, ``models`` and ``prices`` as users run them; the key stands nowhere but in its header."""

from __future__ import annotations

from decimal import Decimal

import pytest
import yaml

from batchgen.sandbox.log import read_log

from .kit import CANARY, PROVIDERS, SECRET

ASKED = ("aigate", "aimlapi", "openai", "openrouter")


@pytest.fixture
def project(project):
    (project.folder / ".git").mkdir()
    settings = {name: {"base_url": f"{project.url}/{name}"} for name in PROVIDERS}
    (project.folder / "batchgen.yaml").write_text(yaml.safe_dump({"providers": settings}), encoding="utf-8")
    return project


def keyed(key: str, *names: str) -> dict[str, str]:
    return {f"{name.upper()}_API_KEY": key for name in names}


def assert_unseen(project, *outputs: str) -> None:
    """The key is in no output and in no file under the project's folder."""
    for text in outputs:
        assert SECRET not in text
    for path in project.folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def test_check_shows_each_provider_and_spends_nothing(project, witness):
    done = project.run("providers", "check")
    assert (done.code, done.err) == (0, "")
    blocks = dict(zip(PROVIDERS, _blocks(done.out), strict=True))
    for name in PROVIDERS:
        assert f"the environment variable {name.upper()}_API_KEY, ends in 0000" in blocks[name][0]
    assert blocks["aigate"][0].split()[:2] == ["aigate", "accepted"]
    assert any("balance" in line and "$100.00" in line for line in blocks["aimlapi"])
    assert any("limit" in line and "500 requests" in line for line in blocks["openai"])
    assert any("only a management key" in line for line in blocks["openrouter"])
    for name in ("gptimageapi", "gateway"):
        assert blocks[name][0].split()[:2] == [name, "unknown"]
        assert any("documents no free way to ask" in line for line in blocks[name])
    assert witness.arrivals() == []
    assert witness.charges() == []

    document = project.run("providers", "check", "--json")
    assert (document.code, document.err) == (0, "")
    found = {each["name"]: each for each in document.json["providers"]}
    assert document.json["schema_version"] == 1
    assert {name: each["verdict"] for name, each in found.items()} == dict.fromkeys(ASKED, "accepted") | {
        "gptimageapi": "untold",
        "gateway": "untold",
    }
    assert found["aimlapi"]["balance"] == {
        "unit": "USD",
        "account": "100",
        "key": None,
        "unlimited": False,
        "used": None,
    }
    assert found["openai"]["key"] == {
        "variable": "OPENAI_API_KEY",
        "source": "the environment variable OPENAI_API_KEY",
        "ends": "0000",
    }
    assert found["openai"]["models"]["known"]["gpt-image-2"] is True
    assert found["openai"]["limits"][0]["limit"] == 500
    assert len({frozenset(each) for each in found.values()}) == 1
    assert {line["status"] for line in read_log(witness.log) if line["event"] == "free"} == {200}
    assert_unseen(project, done.out, document.out)


def _blocks(out: str) -> list[list[str]]:
    blocks: list[list[str]] = []
    for line in out.splitlines():
        if not line.startswith(" "):
            blocks.append([])
        blocks[-1].append(line)
    order = [block[0].split()[0] for block in blocks]
    assert sorted(order) == sorted(PROVIDERS)
    return sorted(blocks, key=lambda block: PROVIDERS.index(block[0].split()[0]))


@pytest.mark.parametrize(
    ("key", "code", "verdict", "words"),
    [
        ("bad" + CANARY, 5, "refused", "Incorrect API key"),
        ("revoked" + CANARY, 5, "refused", "Incorrect API key"),
        ("restricted" + CANARY, 0, "unknown", "Missing scopes"),
    ],
    ids=["bad", "revoked", "restricted"],
)
def test_a_key_that_does_not_work_is_told_in_the_providers_words(project, key, code, verdict, words):
    done = project.run("providers", "check", "openai", **keyed(key, "openai"))
    assert (done.code, done.err) == (code, "")
    assert done.out.startswith(f"openai  {verdict}")
    assert words in done.out
    assert "next" in done.out
    assert_unseen(project, done.out)


def test_quiet_shows_only_what_needs_the_user(project):
    wrong = keyed("bad" + CANARY, "openai")
    quiet = project.run("-q", "providers", "check", "aimlapi", "openai", **wrong)
    assert (quiet.code, quiet.err) == (5, "")
    assert [line.split()[:2] for line in quiet.out.splitlines() if not line.startswith(" ")] == [["openai", "refused"]]
    document = project.run("--json", "-q", "providers", "check", "aimlapi", "openai", **wrong)
    assert document.code == 5
    assert [each["verdict"] for each in document.json["providers"]] == ["accepted", "refused"]
    assert "Incorrect API key" in document.json["providers"][1]["message"]
    assert_unseen(project, quiet.out, document.out)


def test_an_empty_account_ends_with_7_and_the_gravest_finding_counts(project):
    poor = project.run("providers", "check", "aigate", **keyed("poor" + CANARY, "aigate"))
    assert poor.code == 7
    assert "$0.00" in poor.out
    assert "add credit" in poor.out
    mixed = keyed("poor" + CANARY, "aigate") | keyed("bad" + CANARY, "openai")
    assert project.run("providers", "check", "aigate", "openai", **mixed).code == 7
    assert project.run("providers", "check", "aimlapi", "openai", **mixed).code == 5
    document = project.run("providers", "check", "aigate", "--json", **mixed).json["providers"][0]
    assert (document["verdict"], document["out_of_money"], document["balance"]["account"]) == ("accepted", True, "0")


def test_a_missing_key_is_named_and_ends_with_5(project, witness):
    del project.env["OPENAI_API_KEY"]
    done = project.run("providers", "check", "openai")
    assert (done.code, done.err) == (5, "")
    assert "no key" in done.out
    assert "set the environment variable OPENAI_API_KEY" in done.out
    document = project.run("providers", "check", "openai", "--json")
    assert document.code == 5
    (found,) = document.json["providers"]
    assert (found["verdict"], found["key"], found["models"]) == ("missing", None, None)
    assert witness.lines() == []
    project.env.clear()
    (project.folder / "batchgen.yaml").unlink()
    nothing = project.run("providers", "check")
    assert (nothing.code, nothing.out) == (5, "")
    assert "no API key is set" in nothing.err


def test_an_absent_provider_ends_with_8(project):
    settings = {"providers": {"studio": {"preset": "openai", "base_url": "http://127.0.0.1:1", "api_key_env": "K"}}}
    (project.folder / "batchgen.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    done = project.run("providers", "check", "studio", K=CANARY)
    assert (done.code, done.err) == (8, "")
    assert done.out.startswith("studio  no answer")
    debug = project.run("--debug", "providers", "check", "studio", K=CANARY)
    assert_unseen(project, done.out, debug.out, debug.err)


def test_an_unknown_name_ends_with_2(project):
    done = project.run("providers", "check", "opnai")
    assert (done.code, done.out) == (2, "")
    assert "did you mean 'openai'?" in done.err


def test_the_balance_falls_by_what_a_run_cost(project, witness):
    def left() -> Decimal:
        return Decimal(
            project.run("providers", "check", "aimlapi", "--json").json["providers"][0]["balance"]["account"]
        )

    before = left()
    manifest = project.manifest([{"id": "cat", "prompt": "A cat", "provider": "aimlapi"}])
    assert project.run("run", manifest, "--yes").code == 0
    paid = sum(Decimal(line["usd"]) for line in witness.charges())
    assert paid > 0
    assert abs(before - left() - paid) < Decimal("0.000001")


def test_sandbox_run_needs_no_key_and_takes_none_along(bare):
    bare.env |= keyed(CANARY, *PROVIDERS)
    done = bare.run("providers", "check", "--sandbox")
    assert (done.code, done.err) == (0, "")
    assert sum(line.startswith(PROVIDERS) for line in done.out.splitlines()) == len(PROVIDERS)
    assert "the sandbox accepts any key" in done.out
    log = read_log(bare.state / "sandbox" / "charges.jsonl")
    assert {line["event"] for line in log} == {"free"}
    assert "0000" not in {line["key_tail"] for line in log}
    listed = bare.run("providers", "models", "openrouter", "--sandbox", "--json")
    assert listed.code == 0
    assert {"id": "google/gemini-2.5-flash-image", "known_as": "gemini-2.5-flash-image"} in listed.json["models"]
    assert_unseen(bare, done.out, listed.out)


def test_models_and_prices(project, witness):
    done = project.run("providers", "models", "openai")
    assert (done.code, done.err) == (0, "")
    assert ["gpt-image-2", "gpt-image-2"] in [line.split() for line in done.out.splitlines()]
    assert ["gpt-5.5"] in [line.split() for line in done.out.splitlines()]
    refused = project.run("providers", "models", "openai", **keyed("bad" + CANARY, "openai"))
    assert (refused.code, refused.out) == (5, "")
    assert "Incorrect API key" in refused.err
    silent = project.run("providers", "models", "gptimageapi")
    assert (silent.code, silent.out) == (0, "")
    assert "documents no free way to ask" in silent.err
    told = len(witness.now())
    prices = project.run("providers", "prices")
    assert (prices.code, prices.err) == (0, "")
    assert "low 2 credits, medium 6 credits, high 12 credits" in prices.out
    document = project.run("providers", "prices", "openai", "aigate", "--json")
    assert {each["provider"] for each in document.json["models"]} == {"openai", "aigate"}
    medium = next(each for each in document.json["models"] if each["model"] == "gpt-image-2")["image"]["medium"]
    assert medium["usd"].startswith("0.0530")
    assert len(witness.now()) == told
    assert_unseen(project, done.out, refused.err, silent.err, prices.out, document.out)


def test_list_is_what_providers_does_without_a_word(project):
    bare_word, listed = project.run("providers"), project.run("providers", "list")
    assert (bare_word.code, bare_word.out) == (0, listed.out)
    assert "the environment variable OPENAI_API_KEY" in listed.out
    for arguments in (("providers", "--json"), ("providers", "list", "--json"), ("--json", "providers")):
        document = project.run(*arguments).json
        assert {each["name"] for each in document["providers"]} >= set(PROVIDERS)
    assert project.run("providers", "lost").code == 2
    assert_unseen(project, listed.out)


# --- lists of models -----------------------------------------------------------------------------------------------


def test_models_are_compared_with_the_lists_and_remembered(project, witness):
    done = project.run("providers", "check", "--models")
    assert (done.code, done.err) == (0, "")
    blocks = dict(zip(PROVIDERS, _blocks(done.out), strict=True))
    assert "models of batchgen as listed" in blocks["openrouter"][0]
    ends = [line for line in blocks["openai"] if "gpt-image-1.5" in line]
    assert ends
    assert "2026-12-01; write model: gpt-image-2" in ends[0]
    assert witness.charges() == []
    state = project.folder / ".batchgen" / "models.json"
    assert state.stat().st_mode & 0o777 == 0o600
    document = project.run("providers", "check", "openai", "--models", "--json").json
    [openai] = document["providers"]
    assert openai["gone"] == openai["new"] == openai["price"] == []
    assert {each["model"] for each in openai["ends"]} == {"gpt-image-1.5", "chatgpt-image-latest", "gpt-image-1-mini"}
    assert openai["listed"] > 5
    doctor = project.run("doctor", "--json")
    models = [each["says"] for each in doctor.json["findings"] if each["about"] == "models"]
    assert any(text.startswith("openrouter: all are listed (read on ") for text in models)
    assert_unseen(project, done.out)


def test_model_that_the_list_lacks_is_a_warning_of_plan_and_validate(project):
    (project.folder / "shop.yaml").write_text("jobs: [{id: a, provider: studio, model: gpt-image-9, prompt: x}]\n")
    settings = yaml.safe_load((project.folder / "batchgen.yaml").read_text())
    settings["providers"]["studio"] = {
        "preset": "openai",
        "base_url": f"{project.url}/openai",
        "models": {"gpt-image-9": {"tariff": {"usd_per_image": 0.05}}},
        "default_model": "gpt-image-9",
    }
    (project.folder / "batchgen.yaml").write_text(yaml.safe_dump(settings))
    assert "gpt-image-9" not in project.run("validate", "shop.yaml").err
    checked = project.run("providers", "check", "--models", "studio")
    assert checked.code == 4  # the default model is not listed
    assert "gone    gpt-image-9: gpt-image-9 is not listed; write model: gpt-image-" in checked.out
    for command in ("validate", "plan"):
        done = project.run(command, "shop.yaml")
        assert done.code == 0
        assert "studio did not list gpt-image-9 on 20" in done.out + done.err
    doctor = project.run("doctor")
    assert "studio: gpt-image-9: gpt-image-9 is not listed" in doctor.out
