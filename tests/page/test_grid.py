"""The grid: cursor, selection, marks for many, sizes, groups, order; by keyboard and by mouse."""

from __future__ import annotations

import pytest

NAMES = ["fox", "fox-2", "fox-3", "owl", "owl:2", "owl:3", "banner", "portrait", "leaf", "icon", "kettle", "teapot"]


@pytest.fixture
def tab(visitor, night_page):
    tab = visitor.open(night_page)
    tab.wait_count("19 pictures")
    return tab


def columns(tab):
    return int(tab.role("grid").get_attribute("aria-colcount"))


def selected(tab):
    return tab.find(".grid [aria-selected=true]").count()


def test_tiles_are_in_the_order_of_the_manifest(tab):
    assert tab.tiles()[: len(NAMES)] == NAMES


def test_tiles_have_names_for_screen_readers(tab):
    name = tab.tile("owl:2").get_attribute("aria-label")
    assert name.startswith("An owl on a fence post, owl picture 2, Done")
    assert tab.role("grid", "Pictures").get_attribute("aria-rowcount")
    assert tab.tile("fox-2").get_attribute("aria-colindex") == "2"


def test_pictures_are_contained_and_never_cropped(tab):
    """Wide, tall and square pictures keep their shape within square wells."""
    for name, ratio in (("fox", 1), ("banner", 1.5), ("portrait", 2 / 3)):
        image = tab.tile(name).locator("img")
        image.scroll_into_view_if_needed()
        box, well = image.bounding_box(), tab.tile(name).locator(".frame").bounding_box()
        assert box["width"] / box["height"] == pytest.approx(ratio, rel=0.02), name
        assert box["width"] <= well["width"] + 1
        assert box["height"] <= well["height"] + 1
        assert well["width"] == pytest.approx(well["height"], abs=2)


def test_checkerboard_lies_under_transparent_pictures_only(tab):
    checkered = tab.evaluate("""() => [...document.querySelectorAll("[data-row] img")]
      .filter((image) => getComputedStyle(image).backgroundImage !== "none")
      .map((image) => Number(image.closest("[data-row]").dataset.row))""")
    assert sorted(tab.name(row) for row in checkered) == ["icon", "leaf"]


def test_arrows_work_whatever_was_clicked(tab):
    tab.find("button.figure", has_text="Done").click()
    tab.press("ArrowRight")
    tab.wait_cursor("fox-2")
    tab.press("ArrowLeft", "ArrowDown")
    tab.wait_cursor(tab.tiles()[columns(tab)])
    tab.press("Home", "l", "l", "h")
    tab.wait_cursor("fox-2")
    tab.press("End")
    tab.wait_cursor("lamp-throttled")
    tab.press("j", "ArrowRight")
    assert tab.cursor == "lamp-throttled"


def test_cursor_has_the_focus_and_stays_in_sight(tab):
    tab.press("+", "+", "+", "+", "End")
    tab.wait_cursor("lamp-throttled")
    box = tab.tile("lamp-throttled").bounding_box()
    assert box["y"] > 0
    assert box["y"] + box["height"] <= 900
    assert tab.evaluate("() => document.activeElement.dataset.row") == str(tab.row("lamp-throttled"))


def test_click_moves_the_cursor_and_double_click_opens(tab):
    tab.tile("owl").click()
    tab.wait_cursor("owl")
    tab.tile("banner").dblclick()
    tab.wait_hash("open=banner")
    tab.press("Escape")
    tab.wait("() => !location.hash.includes('open')")
    tab.wait_cursor("banner")
    tab.press("Enter")
    tab.wait_hash("open=banner")


def test_focus_returns_to_the_tile(tab):
    tab.press("ArrowRight", "e", "ArrowRight", "Escape")
    tab.wait("() => !location.hash.includes('open')")
    tab.wait_cursor("fox-3")
    tab.wait("(row) => document.activeElement.dataset.row === row", str(tab.row("fox-3")))


def test_mark_goes_on_and_undo_takes_it_back(tab):
    tab.press("p", "x", "Shift+x")
    tab.wait_cursor("fox-3")
    tab.wait_marks({"fox": "pick", "fox-2": "reject", "fox-3": "reject"})
    assert tab.find(".tally .p").text_content() == "1"
    assert tab.find(".tally .x").text_content() == "2"
    assert "picked" in tab.tile("fox").get_attribute("aria-label")
    tab.press("Control+z", "Control+z")
    tab.wait_marks({"fox": "pick"})
    tab.find(".toasts").get_by_role("button", name="Undo").or_(tab.find(".toasts")).first.wait_for()


def test_stars_and_clearing(tab):
    tab.press("5")
    tab.wait_marks({"fox": "5"})
    tab.press("0")
    tab.wait_marks({})
    tab.press("3", "Shift+p", "u")
    tab.wait_marks({})


def test_range_is_marked_at_once_and_undone_at_once(tab):
    tab.press("Shift+ArrowRight", "Shift+ArrowRight", "x")
    tab.wait_marks(dict.fromkeys(["fox", "fox-2", "fox-3"], "reject"))
    assert selected(tab) == 3
    tab.press("Control+z")
    tab.wait_marks({})


def test_selection_by_mouse(tab):
    tab.tile("fox").click()
    tab.tile("owl").click(modifiers=["Shift"])
    assert selected(tab) == 4
    tab.tile("fox-2").click(modifiers=["Control"])
    assert selected(tab) == 3
    tools = tab.role("toolbar", "Selection")
    assert "3 selected" in tools.text_content()
    tools.get_by_role("button", name="Pick").click()
    tab.wait_marks({"fox": "pick", "fox-3": "pick", "owl": "pick"})
    tools.get_by_role("button", name="Deselect").click()
    assert tools.is_hidden()


def test_all_that_is_shown_is_selected(tab):
    tab.press("Control+a", "4", "Escape")
    assert selected(tab) == 0
    tab.wait_marks(
        {tab.name(row): "4" for row in range(tab.document["tiles"]["count"]) if tab.document["tiles"]["sha"][row]}
    )


def test_size_by_key_and_by_slider(tab):
    before = columns(tab)
    tab.press("-", "-", "-")
    tab.wait("(before) => Number(document.querySelector('[role=grid]').ariaColCount) > before", before)
    tab.wait_hash("tile=")
    slider = tab.role("slider", "Size of pictures")
    slider.fill("420")
    tab.wait("() => Number(document.querySelector('[role=grid]').ariaColCount) <= 3")
    assert columns(tab) <= 3


def test_space_shows_what_an_edit_was_made_from(tab):
    tab.find("#search").fill("mug-autumn")
    tab.wait_count("1 picture")
    tab.find("#search").press("Enter")
    image = tab.tile("mug-autumn").locator("img")
    after = image.get_attribute("src")
    tab.page.keyboard.down(" ")
    tab.wait("(after) => document.querySelector('.tile.cur img').getAttribute('src') !== after", after)
    tab.page.keyboard.up(" ")
    tab.wait("(after) => document.querySelector('.tile.cur img').getAttribute('src') === after", after)


def column(tab, name):
    """Return a column of the page's data for the tiles, in the order in which they are shown."""
    rows = [tab.row(tile) for tile in tab.tiles()]
    return [tab.document["tiles"][name][row] for row in rows]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("newest", lambda tab: [-at for at in column(tab, "at")]),
        ("oldest", lambda tab: column(tab, "at")),
        ("dearest", lambda tab: [-(usd or 0) for usd in column(tab, "usd")]),
        ("cheapest", lambda tab: [usd for usd in column(tab, "usd") if usd is not None]),
        ("id", lambda tab: [key.casefold() for key in column(tab, "key")]),
        (
            "largest",
            lambda tab: [
                -width * height for width, height in zip(column(tab, "width"), column(tab, "height"), strict=True)
            ],
        ),
        ("slowest", lambda tab: [-seconds for seconds in column(tab, "seconds")]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_order(tab, sort, order):
    for _ in range(4):
        tab.press("-")  # until all tiles are in the document
    tab.role("combobox", "Sort").select_option(sort)
    tab.wait_hash(f"sort={sort}")
    assert len(tab.tiles()) == 19
    assert order(tab) == sorted(order(tab))


@pytest.mark.parametrize(
    ("group", "title"), [("tag", "animals"), ("provider", "openai"), ("model", "gpt-image-2"), ("prompt", "A fox")]
)
def test_groups(tab, group, title):
    tab.role("combobox", "Group").select_option(group)
    tab.wait_hash(f"group={group}")
    titles = tab.role("rowheader").all_text_contents()
    assert any(title in each for each in titles), titles
    tab.press("Home", "ArrowDown")
    assert tab.cursor


def test_jobs_without_a_picture_name_their_cause(visitor, night_page):
    tab = visitor.open(night_page, "state=failed")
    tab.wait_count("4 jobs")
    assert "Refused" in tab.tile("wolf-refused").text_content()
    assert "Internal" in tab.tile("boat-error").text_content() or "Error" in tab.tile("boat-error").text_content()
