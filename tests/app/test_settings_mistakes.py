"""Mistakes in batchgen.yaml: all of them come at once, each at its place."""

from __future__ import annotations

import pytest

from batchgen.app.config import settings
from batchgen.errors import SettingsError

WRONG = """\
provders: {}
confirm_above: x
budget: {usd: 3, per_day: {usd: -1}}
providers:
  openai: {limits: {concurrency: 0, foo: 1}, base_url: 3, foo: 3}
  mine: {preset: nope}
  other: 3
"""


@pytest.fixture
def mistakes(tmp_path, monkeypatch):
    monkeypatch.setenv("BATCHGEN_CONFIG", str(tmp_path / "config.yaml"))

    def found(text: str, users: str = "{}\n") -> list[str]:
        (tmp_path / "batchgen.yaml").write_text(text, encoding="utf-8")
        (tmp_path / "config.yaml").write_text(users, encoding="utf-8")
        try:
            settings.check_providers(tmp_path)
        except SettingsError as error:
            return [" ".join(line.split(": ")[:2]).removeprefix(f"{tmp_path}/") for line in str(error).splitlines()]
        return []

    return found


def test_all_mistakes_of_a_file_come_at_once(mistakes):
    found = mistakes(WRONG)
    assert [line.split(":", 1)[0] for line in found] == ["batchgen.yaml"] * len(found)
    assert [line.split()[1] for line in found] == [
        "provders", "confirm_above", "budget.usd", "budget.per_day.usd",
        "providers.openai.limits.concurrency", "providers.openai.limits.foo", "providers.openai.base_url",
        "providers.openai.foo", "providers.mine.preset", "providers.other",
    ]  # fmt: skip


def test_mistakes_of_providers_alone_come_at_once(mistakes):
    found = mistakes("providers:\n  openai: {retry: {attempts: 0}, limits: {foo: 1}}\n  a: {preset: opnai}\n")
    assert [line.split()[1] for line in found] == [
        "providers.openai.retry.attempts", "providers.openai.limits.foo", "providers.a.preset",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "providers: {studio: {preset: gateway}}", "providers: {gateway: {}}", "{}",
        "providers: {openai: {limits: {concurrency: 3}}, own: {api_key_env: X}}",
    ],
)  # fmt: skip
def test_what_a_manifest_may_still_state_is_no_mistake(mistakes, text):
    assert mistakes(f"{text}\n") == []


def test_a_mistake_is_placed_in_the_file_that_has_it(mistakes):
    found = mistakes("providers: {a: {preset: openai}}\n", "providers: {a: {limits: {foo: 1}}}\n")
    assert found == ["config.yaml:1:31 providers.a.limits.foo"]
