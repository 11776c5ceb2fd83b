"""Hostile prompts are text wherever the page shows them, and run nothing."""

from __future__ import annotations

import json

import pytest

from . import batches

#: Whether the details show this text as the prompt.
SHOWS = """(text) => document.querySelector(".panel .prompt, .panel .text")?.textContent.startsWith(text)"""


@pytest.fixture(scope="session")
def project(workspace):
    return batches.hostile(workspace("hostile"))


@pytest.fixture(scope="session")
def hostile_page(project):
    return batches.report(project)


def test_hostile_prompts_are_text(visitor, project, hostile_page):
    """In tiles, in the names for screen readers, and in the full view of each."""
    assert len(batches.HOSTILE) > 50
    tab = visitor.open(hostile_page)
    tab.wait_count(f"{len(batches.HOSTILE)} pictures")
    title = tab.page.title()
    prompts = tab.document["words"]["prompt"]
    stored = [json.loads(row["task"])["prompt"] for row in project.rows("select task from jobs")]
    assert sorted(prompts) == sorted(stored)
    elements = tab.evaluate(
        "() => document.querySelectorAll('script, iframe, object, form, link, base, b, details').length"
    )
    tab.press("Home", "Enter")
    for row, index in enumerate(tab.document["tiles"]["prompt"]):
        tab.wait("(key) => document.querySelector('#full-title').textContent === key", tab.name(row))
        tab.wait(SHOWS, prompts[index][:2900])  # details follow a fast step a little later
        tab.press("ArrowRight")
    tab.press("Escape")
    assert tab.page.title() == title
    after = tab.evaluate(
        "() => document.querySelectorAll('script, iframe, object, form, link, base, b, details').length"
    )
    assert after <= elements + 30


def test_hostile_prompts_are_found_by_search(visitor, hostile_page):
    tab = visitor.open(hostile_page)
    tab.find("#search").fill("<script>document.title='owned'</script>")
    tab.wait("() => location.hash.includes('q=')")
    assert "h00" in tab.tiles()
    assert tab.page.title() != "owned"
    tab.find("#search").fill("__proto__")
    tab.wait_count("1 picture")


def test_page_holds_no_key_and_no_element_of_a_prompt(hostile_page):
    text = hostile_page.read_text(encoding="utf-8")
    assert text.count("<script") == 2  # the data and the program
    assert "sk-canary" not in text
    assert "\u2028" not in text
