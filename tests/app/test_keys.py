"""The keys of a run: one for a provider or several, from variables, files and commands; never shown."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from batchgen.app.config.keys import SANDBOX_KEY, ApiKeys, load_keys, sandbox_keys
from batchgen.errors import KeyMissing
from batchgen.providers.presets import profile

FIRST, SECOND, THIRD = "sk-canary-one", "sk-canary-two", "sk-canary-three"
PROFILES = {
    "openai": profile("openai", {"api_key_env": ["OPENAI_ONE", "OPENAI_TWO", "OPENAI_THREE"]}),
    "aigate": profile("aigate"),
    "aimlapi": profile("aimlapi"),
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if "API_KEY" in name or name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)


def key_file(folder: Path, key: str) -> str:
    file = folder / f"{len(list(folder.iterdir()))}.key"
    file.write_text(f"{key}\n")
    file.chmod(0o600)
    return str(file)


def printing(key: str) -> str:
    return shlex.join([sys.executable, "-S", "-c", f"print({key!r})"])


def test_one_key_is_the_only_account(monkeypatch):
    monkeypatch.setenv("AIGATE_API_KEY", FIRST)
    found = load_keys(PROFILES, ["aigate"], [])
    assert found.keys == {"aigate": {"AIGATE_API_KEY": FIRST}}
    assert found.accounts(PROFILES["aigate"]) == (None,)
    assert found.first == {"aigate": FIRST}


def test_each_key_is_an_account_named_by_its_variable(monkeypatch):
    monkeypatch.setenv("OPENAI_ONE", FIRST)
    monkeypatch.setenv("OPENAI_TWO", SECOND)
    monkeypatch.setenv("OPENAI_THREE", THIRD)
    found = load_keys(PROFILES, ["openai"], [])
    assert found.accounts(PROFILES["openai"]) == ("OPENAI_ONE", "OPENAI_TWO", "OPENAI_THREE")
    assert found.first == {"openai": FIRST}


def test_missing_key_is_skipped_and_others_keep_their_names(monkeypatch):
    monkeypatch.setenv("OPENAI_ONE", FIRST)
    monkeypatch.setenv("OPENAI_THREE", THIRD)
    assert load_keys(PROFILES, ["openai"], []).accounts(PROFILES["openai"]) == ("OPENAI_ONE", "OPENAI_THREE")
    monkeypatch.delenv("OPENAI_ONE")
    found = load_keys(PROFILES, ["openai"], [])
    assert found.accounts(PROFILES["openai"]) == ("OPENAI_THREE",)
    assert found.first == {"openai": THIRD}


def test_keys_come_from_variables_files_and_commands_alike(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_ONE", FIRST)
    monkeypatch.setenv("OPENAI_TWO_FILE", key_file(tmp_path, SECOND))
    monkeypatch.setenv("OPENAI_THREE_COMMAND", printing(THIRD))
    found = load_keys(PROFILES, ["openai"], [])
    assert found.keys["openai"] == {"OPENAI_ONE": FIRST, "OPENAI_TWO": SECOND, "OPENAI_THREE": THIRD}


def test_the_same_key_under_two_names_is_one_account(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_ONE", FIRST)
    monkeypatch.setenv("OPENAI_TWO_FILE", key_file(tmp_path, FIRST))
    monkeypatch.setenv("OPENAI_THREE", SECOND)
    found = load_keys(PROFILES, ["openai"], [])
    assert found.keys["openai"] == {"OPENAI_ONE": FIRST, "OPENAI_THREE": SECOND}
    monkeypatch.delenv("OPENAI_THREE")
    assert load_keys(PROFILES, ["openai"], []).accounts(PROFILES["openai"]) == ("OPENAI_ONE",)


def test_every_provider_that_lacks_its_key_is_reported_at_once():
    with pytest.raises(KeyMissing) as caught:
        load_keys(PROFILES, ["openai", "aigate"], ["aimlapi"])
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        "no API key for openai: set the environment variable OPENAI_ONE (or OPENAI_TWO, OPENAI_THREE), in the"
        " shell or in .env, or OPENAI_ONE_FILE, or OPENAI_ONE_COMMAND"
    )
    assert lines[1].startswith(
        "no API key for aigate: set the environment variable AIGATE_API_KEY, in the shell or in .env, or"
    )
    assert lines[2] == "Nothing was sent. A sandbox run needs no key: add --sandbox"
    assert "aimlapi" not in str(caught.value)


def test_a_provider_that_is_only_welcome_may_lack_its_key(monkeypatch):
    monkeypatch.setenv("AIGATE_API_KEY", FIRST)
    monkeypatch.setenv("OPENAI_ONE", SECOND)
    found = load_keys(PROFILES, ["aigate"], ["openai", "aimlapi", "aigate"])
    assert found.without_key == ("aimlapi",)
    assert found.first == {"aigate": FIRST, "openai": SECOND}
    assert found.accounts(PROFILES["aimlapi"]) == (None,)


def test_provider_without_keys_has_one_account():
    known = {"own": profile("own", {"preset": "gateway", "base_url": "http://127.0.0.1:9", "api_key_env": []})}
    found = load_keys(known, ["own"], [])
    assert found.accounts(known["own"]) == (None,)
    assert (found.first, found.without_key) == ({}, ())


def test_a_key_that_cannot_be_one_is_refused_without_showing_it(monkeypatch):
    monkeypatch.setenv("OPENAI_ONE", FIRST)
    monkeypatch.setenv("OPENAI_TWO", f"{SECOND} with a blank")
    with pytest.raises(KeyMissing, match="OPENAI_TWO does not contain an API key") as caught:
        load_keys(PROFILES, ["openai"], [])
    assert "canary" not in str(caught.value)


def test_no_key_shows_in_a_repr(monkeypatch):
    monkeypatch.setenv("OPENAI_ONE", FIRST)
    monkeypatch.setenv("OPENAI_TWO", SECOND)
    found = load_keys(PROFILES, ["openai"], ["aimlapi"])
    assert "canary" not in f"{found!r} {found} {[found]}"
    assert "aimlapi" in repr(found)


def test_sandbox_run_opens_nothing_but_the_sandbox(monkeypatch):
    monkeypatch.setenv("OPENAI_ONE", FIRST)
    found = sandbox_keys(PROFILES)
    assert set(found.first.values()) == {SANDBOX_KEY}
    assert {found.accounts(known) for known in PROFILES.values()} == {(None,)}
    assert ApiKeys().first == {}
