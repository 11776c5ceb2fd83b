"""Model lists compared with the presets: what is gone, ends, costs something else, or is new."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from batchgen.providers.catalogue import FRESH_DAYS, Catalogue, SeenCatalogue, read_catalogue
from batchgen.providers.model_changes import ChangeKind, ModelChange, model_changes
from batchgen.providers.presets import profile

BEFORE, AFTER = date(2026, 11, 30), date(2026, 12, 1)
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)

#: As OpenRouter answers GET /api/v1/models?output_modalities=image (its SDK 1.3.84, components/model.py).
FLASH: dict[str, Any] = {
    "id": "google/gemini-3.1-flash-image",
    "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["image", "text"]},
    "pricing": {"prompt": "0.0000005", "completion": "0.000003", "image_output": "0.00006", "web_search": "0.014"},
    "expiration_date": None,
}
#: As Gemini answers GET /v1beta/models.
GEMINI = {"models": [{"name": "models/gemini-3-pro-image"}, {"name": "models/gemini-embedding-001"}]}


def openai_list(*ids: str, **more: Any) -> Catalogue:
    found = read_catalogue({"object": "list", "data": [{"id": name, "object": "model"} for name in ids], **more})
    assert found is not None
    return found


def openrouter_list(*entries: dict[str, Any]) -> Catalogue:
    known = [{"id": model.wire} for model in profile("openrouter").models.values() if model.wire != FLASH["id"]]
    found = read_catalogue({"data": [*entries, *known]})
    assert found is not None
    return found


def changes(name: str, catalogue: Catalogue, today: date = BEFORE) -> dict[tuple[ChangeKind, str], ModelChange]:
    return {(each.kind, each.model): each for each in model_changes(profile(name), catalogue, today)}


# --- reading -------------------------------------------------------------------------------------------------------


def test_catalogue_states_prices_and_end_of_openrouter():
    entry = FLASH | {"expiration_date": "2027-05-28"}
    (model,) = read_catalogue({"data": [entry]}).models
    rates = {"text_in": Decimal("0.5"), "text_out": Decimal(3), "image_out": Decimal(60)}
    assert (model.ends, model.rates, model.makes_images) == ("2027-05-28", rates, True)


def test_catalogue_reads_gemini_names():
    found = read_catalogue(GEMINI)
    assert found.ids == ("gemini-3-pro-image", "gemini-embedding-001")
    assert [model.makes_images for model in found.models] == [True, False]


@pytest.mark.parametrize("more", [{"has_more": True}, {"nextPageToken": "x"}, {"next": "https://x/2"}], ids=str)
def test_catalogue_of_one_page_proves_no_model_missing(more):
    found = openai_list("gpt-image-2", **more)
    assert not found.is_complete
    assert not [kind for kind, _ in changes("openai", found) if kind is ChangeKind.GONE]


@pytest.mark.parametrize(
    "pricing",
    [None, [], {"prompt": None}, {"prompt": "-1"}, {"prompt": "NaN"}, {"image_output": "0.04"}, {"prompt": "free"}],
    ids=repr,
)
def test_catalogue_ignores_prices_that_are_not_per_token(pricing):
    (model,) = read_catalogue({"data": [FLASH | {"pricing": pricing}]}).models
    assert model.rates == {}


@pytest.mark.parametrize("day", ["soon", "2026-13-01", 20261201, "", None], ids=repr)
def test_catalogue_ignores_what_is_not_a_day(day):
    (model,) = read_catalogue({"data": [FLASH | {"expiration_date": day}]}).models
    assert model.ends is None


def test_catalogue_is_stored_and_read_again_as_it_was():
    entry = FLASH | {"expiration_date": "2027-05-28T00:00:00Z", "aliases": ["flash"]}
    found = openrouter_list(entry, {"id": "acme/talker", "architecture": {"output_modalities": ["text"]}})
    assert Catalogue.of_json(found.as_json()) == found


# --- comparing -----------------------------------------------------------------------------------------------------


def test_model_that_is_not_listed_is_gone_and_its_successor_named():
    names = [model.wire for model in profile("openai").models.values()]
    found = changes("openai", openai_list(*(name for name in names if name != "gpt-image-1.5")))
    gone = found[ChangeKind.GONE, "gpt-image-1.5"]
    assert gone.message == "gpt-image-1.5 is not listed, and was to end on 2026-12-01"
    assert (gone.hint, gone.is_over) == ("write model: gpt-image-2", True)


def test_model_that_is_gone_without_successor_names_the_nearest():
    found = changes("aimlapi", openai_list("openai/gpt-image-2-pro", "deepgram/aura-2"))
    assert found[ChangeKind.GONE, "gpt-image-2"].hint == "write model: openai/gpt-image-2-pro"


@pytest.mark.parametrize(("today", "message", "over"), [(BEFORE, "ends on", False), (AFTER, "ended on", True)])
def test_end_date_of_preset(today, message, over):
    names = [model.wire for model in profile("openai").models.values()]
    found = changes("openai", openai_list(*names), today)[ChangeKind.ENDS, "gpt-image-1-mini"]
    assert (found.message, found.hint) == (f"{message} 2026-12-01", "write model: gpt-image-2")
    assert found.is_over is over


def test_end_date_of_list_outranks_that_of_preset():
    names = [{"id": model.wire} for model in profile("openai").models.values() if model.wire != "gpt-image-1.5"]
    catalogue = read_catalogue({"data": [*names, {"id": "gpt-image-1.5", "expiration_date": "2027-01-31"}]})
    found = changes("openai", catalogue, AFTER)[ChangeKind.ENDS, "gpt-image-1.5"]
    assert found.message == "ends on 2027-01-31 (batchgen has 2026-12-01)"


def test_prices_that_agree_are_no_change():
    assert changes("openrouter", openrouter_list(FLASH)) == {}


def test_price_that_differs_is_shown_with_the_setting_that_takes_it():
    dear = FLASH | {"pricing": FLASH["pricing"] | {"image_output": "0.000075", "prompt": "0.000000501"}}
    found = changes("openrouter", openrouter_list(dear))
    change = found[ChangeKind.PRICE, "gemini-3.1-flash-image"]
    assert change.message == "USD per million tokens: image_out 75 in the list, 60 here"
    assert change.hint == (
        "to use those of the list: providers: {openrouter: {models: {gemini-3.1-flash-image: "
        "{tariff: {usd_per_million_tokens: {image_out: 75}}}}}}"
    )


def test_setting_that_a_price_change_suggests_takes_the_price():
    settings = {"models": {"gemini-3.1-flash-image": {"tariff": {"usd_per_million_tokens": {"image_out": 75}}}}}
    dear = FLASH | {"pricing": FLASH["pricing"] | {"image_output": "0.000075"}}
    assert model_changes(profile("openrouter", settings), openrouter_list(dear), BEFORE) == ()


def test_new_models_are_those_that_make_images():
    names = [model.wire for model in profile("openai").models.values()]
    more = ["gpt-image-3", "gpt-image-2-2026-04-21", "gpt-5.5", "text-embedding-3-small"]
    found = changes("openai", openai_list(*names, *more))
    assert [model for kind, model in found if kind is ChangeKind.NEW] == ["gpt-image-3"]


def test_older_names_of_known_models_are_not_new():
    preview = FLASH | {"id": "google/gemini-3-pro-image-preview"}
    assert changes("openrouter", openrouter_list(FLASH, preview)) == {}


# --- lists that were seen ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "names"), [(0, {"gpt-image-2"}), (FRESH_DAYS, {"gpt-image-2"}), (FRESH_DAYS + 1, set())]
)
def test_seen_list_counts_for_some_days(days, names):
    seen = SeenCatalogue(at=NOON, base_url="https://api.aimlapi.com", catalogue=openai_list("openai/gpt-image-3"))
    assert seen.unlisted(profile("aimlapi"), NOON.date() + timedelta(days=days)) == names


def test_seen_list_of_another_address_does_not_count():
    seen = SeenCatalogue(at=NOON, base_url="https://other.example", catalogue=openai_list("openai/gpt-image-3"))
    assert seen.unlisted(profile("aimlapi"), NOON.date()) == frozenset()
    assert seen.dated(profile("aimlapi")) == profile("aimlapi")


def test_seen_list_dates_only_models_without_an_end():
    entries = [{"id": name, "expiration_date": "2027-01-31"} for name in ("gpt-image-2", "gpt-image-1.5")]
    catalogue = read_catalogue({"data": entries})
    seen = SeenCatalogue(at=NOON, base_url="", catalogue=catalogue)
    dated = seen.dated(profile("openai")).models
    assert (dated["gpt-image-2"].ends, dated["gpt-image-1.5"].ends) == ("2027-01-31", "2026-12-01")
