"""Facets, search and the URL: values of one facet add up, facets narrow, all of it is a link."""

from __future__ import annotations

import pytest


@pytest.fixture
def tab(visitor, night_page):
    tab = visitor.open(night_page)
    tab.wait_count("19 pictures")
    return tab


def option(tab, facet, name):
    return (
        tab.role("navigation", "Filters").get_by_role("region", name=facet, exact=True).get_by_role("button", name=name)
    )


def count(tab, facet, name):
    return int(option(tab, facet, name).locator(".c").text_content())


def test_counts_beside_values(tab):
    assert (count(tab, "State", "Done"), count(tab, "State", "Failed"), count(tab, "State", "Pending")) == (19, 4, 2)
    assert count(tab, "Kind", "Edits") == 4
    assert count(tab, "Provider", "openai") == 7
    assert count(tab, "Tag", "animals") == 6


def test_values_add_up_and_facets_narrow(tab):
    option(tab, "Tag", "animals").click()
    tab.wait_count("6 pictures")
    option(tab, "Tag", "kitchen").click()
    tab.wait_count("8 pictures")
    option(tab, "Provider", "gateway").click()
    tab.wait_count("2 pictures")
    assert count(tab, "Provider", "openai") == 3  # a facet leaves itself out of its counts
    assert count(tab, "Tag", "seasons") == 0
    tab.role("button", "Remove Tag: kitchen").click()
    assert tab.find(".empty").is_visible()
    tab.find(".empty").get_by_role("button").click()
    tab.wait_count("19 pictures, 7 jobs without")


def test_filters_are_pressed_buttons(tab):
    button = option(tab, "Provider", "openrouter")
    button.focus()
    tab.press("Enter")
    tab.wait_count("3 pictures")
    assert button.get_attribute("aria-pressed") == "true"
    tab.press("Space")
    tab.wait_count("19 pictures")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("owl", ["owl", "owl:2", "owl:3"]),
        ("OWL fence", ["owl", "owl:2", "owl:3"]),
        ("side view", ["kettle", "teapot"]),
        ('"side view"', ["kettle", "teapot"]),
        ("side -blue", ["kettle", "mug-two"]),
        ("mug-w", ["mug-winter"]),
        ("nothing like it", []),
    ],
)  # fmt: skip
def test_search(tab, query, names):
    tab.press("/")
    tab.page.keyboard.type(query)
    tab.wait("(query) => decodeURIComponent(location.hash).includes(query)", query)
    if names:
        tab.wait_count("1 picture" if len(names) == 1 else f"{len(names)} pictures")
        assert sorted(tab.tiles()) == names
    else:
        tab.find(".empty", has_text="Nothing matches").wait_for()


def test_state_is_a_link(tab, visitor, night_page):
    option(tab, "Tag", "animals").click()
    option(tab, "Provider", "aigate").click()
    tab.role("combobox", "Sort").select_option("id")
    tab.role("combobox", "Group").select_option("provider")
    tab.press("/")
    tab.page.keyboard.type("snow")
    tab.wait_hash("q=snow")
    tab.press("Escape")
    tab.wait_count("3 pictures")
    again = visitor.open(night_page, tab.hash)
    again.wait_count("3 pictures")
    assert again.tiles() == tab.tiles()
    assert again.find("#search").input_value() == "snow"
    assert again.role("combobox", "Group").input_value() == "provider"
    assert option(again, "Provider", "aigate").get_attribute("aria-pressed") == "true"


def test_back_and_forward_go_through_filters(tab):
    option(tab, "Tag", "animals").click()
    tab.wait_count("6 pictures")
    option(tab, "Provider", "aigate").click()
    tab.wait_count("3 pictures")
    tab.page.go_back()
    tab.wait_count("6 pictures")
    tab.page.go_back()
    tab.wait_count("19 pictures")
    tab.page.go_forward()
    tab.wait_count("6 pictures")


def test_marks_are_a_facet(tab):
    tab.press("p", "p", "x", "4")
    tab.wait_marks({"fox": "pick", "fox-2": "pick", "fox-3": "reject", "owl": "4"})
    assert count(tab, "Mark", "Picked") == 2
    option(tab, "Mark", "Picked").click()
    tab.wait_count("2 pictures")
    tab.press("Home", "u")
    tab.wait_count("1 picture")
    assert tab.tiles() == ["fox-2"]
    tab.wait_cursor("fox-2")


def test_cursor_is_kept_where_its_tile_stays(tab):
    tab.tile("teapot").click()
    option(tab, "Tag", "kitchen").click()
    tab.wait_count("2 pictures")
    tab.wait_cursor("teapot")
    option(tab, "Tag", "kitchen").click()
    tab.wait_count("19 pictures")
    tab.wait_cursor("teapot")


@pytest.mark.parametrize(
    "fragment", ["state=", "state=nonsense", "tile=x&sort=y&group=z", "open=nothing", "%E0%A4%A", "compare=a,b", "q=%"]
)
def test_broken_links_open_the_page(visitor, night_page, fragment):
    tab = visitor.open(night_page, fragment)
    tab.find("div.bar").wait_for()
    assert tab.role("heading", level=1).is_visible()


def test_facets_are_a_sheet_on_a_phone(visitor, night_page):
    tab = visitor.open(night_page, size="phone", touch=True)
    tab.wait_count("19 pictures")
    tab.find("div.bar").scroll_into_view_if_needed()
    tab.role("button", "Filter", exact=True).tap()
    sheet = tab.role("dialog", "Filters")
    sheet.get_by_role("button", name="animals").tap()
    sheet.get_by_role("button", name="Show 6").tap()
    sheet.wait_for(state="hidden")
    tab.wait_count("6 pictures")
