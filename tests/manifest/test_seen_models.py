"""Models that a provider listed last, in the check of a manifest: warnings with places, and errors after an end."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from batchgen.errors import ManifestError
from batchgen.manifest.load import load
from batchgen.providers.catalogue import SeenCatalogue, read_catalogue

NOON, TODAY, LATER = datetime(2026, 11, 30, 12, tzinfo=UTC), date(2026, 12, 2), date(2027, 2, 1)
ADDRESS = "https://api.aimlapi.com"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text("jobs:\n  - {id: a, provider: aimlapi, prompt: x}\n  - {id: b, provider: aimlapi, prompt: y}\n")
    return path


def seen(*entries: dict, base_url: str = ADDRESS) -> dict[str, SeenCatalogue]:
    return {"aimlapi": SeenCatalogue(at=NOON, base_url=base_url, catalogue=read_catalogue({"data": list(entries)}))}


def test_model_that_was_not_listed_is_one_warning_with_a_hint(path):
    [warning] = load(path, today=TODAY, seen=seen({"id": "openai/gpt-image-2.5"})).warnings
    assert (warning.line, warning.code) == (2, "unlisted_model")
    assert warning.message == "aimlapi did not list openai/gpt-image-2 on 2026-11-30"
    assert warning.hint == (
        "did you mean model: openai/gpt-image-2.5? `batchgen providers check --models aimlapi` reads the list again"
    )


@pytest.mark.parametrize(
    "listed",
    [{}, seen({"id": "openai/gpt-image-2"}), seen({"id": "x"}, base_url="https://gw.example.com")],
    ids=["no list", "listed", "another address"],
)
def test_models_are_not_warned_of_without_reason(path, listed):
    assert load(path, today=TODAY, seen=listed).warnings == ()


def test_old_list_warns_of_nothing(path):
    assert [each.code for each in load(path, today=LATER, seen=seen({"id": "x"})).warnings] == []


def test_end_in_the_list_is_a_warning_before_and_an_error_after(path):
    listed = seen({"id": "openai/gpt-image-2", "expiration_date": "2027-01-31"})
    [warning] = load(path, today=TODAY, seen=listed).warnings
    assert (warning.line, warning.code) == (2, "deprecated_model")
    assert warning.message == "aimlapi switches gpt-image-2 off on 2027-01-31"
    with pytest.raises(ManifestError) as caught:
        load(path, today=LATER, seen=listed)
    assert [problem.line for problem in caught.value.problems] == [2, 3]
    assert caught.value.problems[0].message == "aimlapi has not offered gpt-image-2 since 2027-01-31"


def test_recalled_check_is_made_again_when_the_list_changes(tmp_path):
    rows = "".join(f"item {number}, {'x' * 200}\n" for number in range(500))
    (tmp_path / "items.csv").write_text(f"name,text\n{rows}")
    path = tmp_path / "shop.yaml"
    path.write_text("jobs: [{from: items.csv, provider: aimlapi, prompt: '{{ name }}'}]\n")
    first = load(path, today=TODAY)
    record = first.inputs.identity, {"findings": first.inputs.findings.as_json()}
    same = load(path, today=TODAY, recall=lambda _name: record)
    assert same.inputs.is_recalled
    changed = load(path, today=TODAY, recall=lambda _name: record, seen=seen({"id": "x"}))
    assert not changed.inputs.is_recalled
    assert [each.code for each in changed.warnings] == ["unlisted_model"]
