"""A night in all modes, by the page: what is at providers, what is reserved for it, and what the modes saved."""

from __future__ import annotations

from decimal import Decimal

import pytest

from batchgen.sandbox.log import read_log
from tests.acceptance.kit import wait_for
from tests.app.page_types import mistakes

from . import batches


@pytest.fixture(scope="module")
def project(workspace, providers):
    project = batches.modes(workspace("modes"))
    yield project
    batches.steer(project, hold=False, release=True)


@pytest.fixture(scope="module")
def during(project):
    return batches.report(project, "-o", "during")


@pytest.fixture(scope="module")
def after(project, during, providers):
    """Return the page after the batch was collected; both tasks are still at their provider."""
    batches.steer(project, hold=False, release=True)
    wait_for(lambda: sum(line["event"] == "batch-row" for line in read_log(providers.log)) == 4)
    collected = project.run("collect", "modes.yaml", seconds=90)
    assert collected.code == 9, collected.err
    return batches.report(project, "-o", "after")


def test_jobs_at_providers_are_counted_apart_with_place_and_price(visitor, during):
    tab = visitor.open(during)
    figure = tab.find("button.figure", has_text="At the provider")
    assert figure.text_content() == "At the provider6"
    assert tab.find(".figure", has_text="Running").count() == 0
    need = tab.find("article.need", has_text="At the provider")
    [reserved] = [need["reserved_usd"] for need in tab.document["needs"] if need["state"] == "at_provider"]
    assert Decimal(reserved) > Decimal("0.16")  # that of the two tasks, and of the batch
    assert need.locator(".money").text_content() == "$0.172 reserved"
    tasks, batch = sorted(need.locator(".places li").all_text_contents())
    assert tasks.startswith("fal, remote tasks: 2 jobs since ")
    assert batch.startswith("openai, batch batch_")
    assert ": 4 jobs since " in batch
    assert "; ends by " in batch
    assert need.locator("pre").text_content() == "batchgen collect modes.yaml"
    assert "$0.172 reserved for what is at the provider" in tab.find(".block.money").text_content()
    assert "of $5.00 budget" in tab.find(".block.money").text_content()
    figure.click()
    tab.wait_hash("state=at_provider")
    tab.wait_count("6 jobs")
    assert tab.tile("night-0").text_content().startswith("At the provider")


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_of_all_modes_fits(visitor, during, size, theme):
    tab = visitor.open(during, size=size, theme=theme)
    assert tab.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    tab.screenshot(f"modes-{size}-{theme}")


def test_documents_are_what_the_page_expects(visitor, during, after):
    for page in (during, after):
        assert mistakes(visitor.open(page).document, "PageDocument") == []


def test_details_name_mode_and_place(visitor, during):
    tab = visitor.open(during, "open=night-0")
    attempt = tab.find(".attempt").text_content()
    assert "At the provider$0.00313 reserved" in attempt
    assert " · batch" in attempt
    assert "Batch batch_" in attempt
    assert "batchgen collect modes.yaml" in tab.find(".full").text_content()


def test_costs_before_the_batch_is_collected_are_pale(visitor, during):
    tab = visitor.open(during)
    bar = tab.find(".bars button", has_text="fal")
    assert bar.text_content() == "fal$0.16 reserved, 0 images: show them"
    assert bar.locator(".bar.reserved").count() == 1
    assert "No price is set" not in tab.find(".costs").text_content()


def test_savings_are_what_the_provider_did_not_charge(visitor, after, providers):
    """The simulated providers halve the price of a batch and of flex, so that what was saved is what was paid."""
    document = visitor.open(after).document
    cheap = [line for line in read_log(providers.log) if line["event"] == "charge" and is_cheap(line)]
    assert len(cheap) == 6
    saved = sum(Decimal(line["usd"]) for line in cheap)
    assert Decimal(document["savings"]["usd"]) == saved
    assert document["savings"] | {"usd": None} == {"usd": None, "calls": 7, "unknown": 0, "modes": ["flex", "batch"]}
    by_mode = {bar["name"]: bar["images"] for bar in document["costs"]["mode"]}
    assert by_mode == {"batch": 4, "flex": 3, "standard": 1}


def is_cheap(line):
    """Return whether a charge is one of the batch, or of a flex call that was carried out as such."""
    return any(line["prompt"].startswith(words) for words in ("A cat by night", "A dog, "))


def test_mode_is_a_facet_and_a_bar(visitor, after):
    tab = visitor.open(after)
    assert "Saved by flex and batch: $0.146 against the standard price of 7 calls." in tab.find(".costs").text_content()
    tab.role("tab", "Mode", exact=True).click()
    tab.find(".bars button", has_text="batch").click()
    tab.wait_hash("purchase=batch")
    tab.wait_count("4 pictures")
    tab.role("region", "Mode", exact=True).get_by_role("button", name="Flex").click()
    tab.wait_count("7 pictures")


@pytest.mark.parametrize(
    ("key", "words"), [("day-a", "flex, confirmed by the answer"), ("dear", "flex, carried out as standard")]
)
def test_details_state_what_the_answer_confirmed(visitor, after, key, words):
    tab = visitor.open(after, f"open={key}")
    assert words in tab.find(".attempt").text_content()


def test_page_without_modes_has_no_column_of_them(visitor, night_page):
    tab = visitor.open(night_page)
    assert "mode" not in tab.document["tiles"]
    assert tab.role("region", "Mode", exact=True).count() == 0
    assert tab.role("tab", "Mode", exact=True).count() == 0


def test_mode_of_the_view_is_no_filter(visitor, after):
    tab = visitor.open(after, "mode=before")
    tab.wait_count("8 pictures")
