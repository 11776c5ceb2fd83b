"""The overview of a real night: figures, needs, costs, the night itself, sheets, theme; by mouse and by keyboard."""

from __future__ import annotations

import csv
import re

import pytest

PROMPTS = re.compile(r"prompts as CSV")


@pytest.fixture
def tab(visitor, night_page):
    return visitor.open(night_page)


def test_sentence_and_figures(tab):
    assert tab.role("heading", level=1).text_content() == "17 of 24 done, 4 failed, 1 unknown"
    assert "gptimageapi" in tab.find(".lede").text_content()
    assert tab.page.title().startswith("17 of 24 done")
    assert "$5.00" in tab.find(".block.money").text_content()


@pytest.mark.parametrize(("figure", "state"), [("Failed", "failed"), ("Unknown", "unknown"), ("Pending", "pending")])
def test_figures_are_filters(tab, figure, state):
    tab.find("button.figure", has_text=figure).click()
    tab.wait_hash(f"state={state}")


def test_needs_name_cause_money_and_command(tab):
    needs = tab.find("article.need")
    texts = needs.all_text_contents()
    assert [
        any(word in text for text in texts) for word in ("Refused", "Empty", "Error", "Unknown", "Insufficient credits")
    ]
    assert tab.role("heading", "Refused", level=3, exact=True).is_visible()
    refused = tab.find("article.need", has_text="Refused")
    assert "wolf-refused" in refused.text_content()
    assert "safety system" in refused.text_content()
    unknown = tab.find("article.need", has_text="cloud-unknown")
    assert "at risk" in unknown.text_content()


def test_id_of_a_need_opens_its_job(tab):
    tab.role("button", "boat-error", exact=True).click()
    tab.wait_hash("open=boat-error")
    dialog = tab.role("dialog", "boat-error")
    dialog.wait_for()
    assert "Internal server error" in dialog.text_content()
    tab.press("Escape")
    dialog.wait_for(state="hidden")


def test_command_is_copied(tab):
    box = tab.find("article.need .cmd", has_text="--cause empty").first
    command = box.locator("pre").text_content()
    box.get_by_role("button").click()
    tab.toast("Copied the command")
    assert tab.pasted() == command
    assert command == "batchgen retry night.yaml --budget 5 --cause empty"


def test_refused_prompts_are_a_csv_to_edit(tab, tmp_path):
    with tab.page.expect_download() as download:
        tab.role("button", PROMPTS).click()
    path = tmp_path / "prompts.csv"
    download.value.save_as(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = {row["id"]: row["prompt"] for row in csv.DictReader(file)}
    assert rows["wolf-refused"] == "A wolf [sandbox: refuse]"
    assert rows["bear-refused"] == "'=A bear [sandbox: refuse]"  # a spreadsheet would compute it


def test_costs_by_every_column_and_bars_filter(tab):
    card = tab.find("section.card", has_text="Cost")
    for name in ("Provider", "Model", "Tag", "Kind", "Day"):
        card.get_by_role("tab", name=name).or_(card.get_by_role("button", name=name, exact=True)).first.click()
        assert card.locator(":text-matches('\\\\$[0-9]')").count() > 0, name
    card.get_by_role("tab", name="Tag").or_(card.get_by_role("button", name="Tag", exact=True)).first.click()
    card.get_by_text("animals").click()
    tab.wait_hash("tag=animals")


def test_night_filters_by_keyboard(tab):
    chart = tab.role("slider", "Time of the night")
    chart.focus()
    tab.press("ArrowRight", "Shift+ArrowRight", "Enter")
    tab.wait_hash(re.compile(r"time=\d+-\d+"))
    chart.focus()
    tab.press("Escape")
    tab.wait("() => !location.hash.includes('time=')")


def test_night_filters_by_mouse(tab):
    box = tab.role("slider", "Time of the night").bounding_box()
    mouse = tab.page.mouse
    mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 40)
    mouse.down()
    mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 40, steps=4)
    mouse.up()
    tab.wait_hash(re.compile(r"time=\d+-\d+"))


def test_help_opens_by_key_and_gives_the_focus_back(tab):
    tab.press("?")
    sheet = tab.role("dialog", "Keys and signs")
    sheet.wait_for()
    assert "Pick, and go to the next" in sheet.text_content()
    tab.press("Escape")
    sheet.wait_for(state="hidden")
    tab.role("button", "Help").or_(tab.find(".help")).first.click()
    sheet.wait_for()
    tab.press("?")
    sheet.wait_for(state="hidden")


def test_theme_follows_the_system_and_is_kept(visitor, night_page):
    profile = visitor.profile(theme="dark")
    tab = visitor.open(night_page, profile=profile)
    dark = tab.evaluate("() => getComputedStyle(document.body).backgroundColor")
    tab.find(".theme").click()
    light = tab.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert light != dark
    again = visitor.open(night_page, profile=profile)
    assert again.evaluate("() => getComputedStyle(document.body).backgroundColor") == light
