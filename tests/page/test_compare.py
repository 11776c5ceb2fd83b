"""Comparison of two to four pictures: panes, shared zoom, flicker, difference, marks."""

from __future__ import annotations

import pytest

from .looks import FILTER

PANES = ".compare .pane-cell"
BOXES = """() => [...document.querySelectorAll(".compare .pane")].map((pane) => {
  const box = pane.getBoundingClientRect(), stage = pane.parentElement.getBoundingClientRect();
  const place = [(box.x - stage.x) / box.width, (box.y - stage.y) / box.height, box.width];
  return place.map((length) => Math.round(length * 100) / 100);
})"""


@pytest.fixture
def compare(visitor, looks_page):
    """Return a function that opens the page with a comparison."""

    def open_tab(*keys: str, **options):
        tab = visitor.open(looks_page, f"{FILTER}&compare={','.join(keys)}" if keys else FILTER, **options)
        tab.allowed.append("ERR_FILE_NOT_FOUND")  # of the original that is gone
        if keys:
            tab.find(PANES).first.wait_for()
        return tab

    return open_tab


def names(tab) -> list[str]:
    return [pane.get_attribute("aria-label") for pane in tab.find(PANES).all()]


def current(tab) -> str:
    return tab.find(f"{PANES}[aria-current=true]").get_attribute("aria-label")


def marks(tab) -> dict[str, str]:
    return {pane.get_attribute("aria-label"): pane.get_attribute("data-mark") for pane in tab.find(PANES).all()}


def test_comparison_of_a_selection_opens_by_key(compare):
    tab = compare()
    tab.press("Home", "Shift+ArrowRight", "Shift+ArrowRight", "c")
    dialog = tab.role("dialog", "Compare 3")
    dialog.wait_for()
    assert names(tab) == ["edit", "large", "again"]
    tab.wait_hash("compare=edit,large,again")
    tab.press("Escape")
    tab.find(".compare").wait_for(state="hidden")
    assert tab.wait("() => document.activeElement.closest('[data-row]') !== null")


def test_comparison_of_five_takes_the_first_four(compare):
    tab = compare()
    tab.press("Home", *["Shift+ArrowRight"] * 5, "c")
    tab.find(PANES).first.wait_for()
    assert names(tab) == ["edit", "large", "again", "tall"]


def test_comparison_of_one_takes_the_picture_alike(compare):
    tab = compare()
    tab.press("Home", "Enter", *["ArrowRight"] * 6)
    assert tab.find("#full-title").inner_text() == "twin"
    tab.press("c")
    tab.find(PANES).first.wait_for()
    assert names(tab) == ["twin", "edit"]  # its near duplicate
    tab.press("Escape")
    tab.find(".compare").wait_for(state="hidden")


def test_suspect_opens_in_comparison(compare, visitor, looks_page):
    tab = visitor.open(looks_page, f"{FILTER}&open=twin")
    tab.allowed.append("ERR_FILE_NOT_FOUND")
    tab.find(".full .panel .alert").get_by_role("button", name="Compare").click()
    tab.find(PANES).first.wait_for()
    assert names(tab) == ["twin", "edit"]


def test_zoom_and_pan_are_shared(compare):
    tab = compare("edit", "again", "twin")
    stage = tab.find(".compare .stage").nth(1).bounding_box()
    tab.page.mouse.move(stage["x"] + 100, stage["y"] + 300)
    tab.page.mouse.wheel(0, -800)
    tab.wait(f"() => ({BOXES})()[0][2] > {stage['width'] * 2}")
    first, *others = tab.evaluate(BOXES)
    assert all(box == pytest.approx(first, abs=0.02) for box in others)
    tab.press("Shift+ArrowLeft")
    tab.wait(f"() => ({BOXES})()[0][0] > {first[0]}")
    moved, *others = tab.evaluate(BOXES)
    assert all(box == pytest.approx(moved, abs=0.02) for box in others)


def test_arrows_choose_among_panes(compare):
    tab = compare("edit", "large", "again", "tall")
    for key, name in (("ArrowRight", "large"), ("ArrowDown", "tall"), ("ArrowLeft", "again"), ("ArrowUp", "edit")):
        tab.press(key)
        assert current(tab) == name
    tab.press("ArrowLeft")
    assert current(tab) == "tall"


def test_marks_act_on_the_chosen_pane_and_go_on(compare):
    tab = compare("edit", "large", "again")
    tab.press("x", "p", "4", "p")
    assert marks(tab) == {"edit": "reject", "large": "pick", "again": "pick"}
    stars = tab.find(PANES).nth(2).get_by_role("button", name="4 stars")
    assert stars.get_attribute("aria-pressed") == "true"


def test_keep_rejects_the_others_in_one_step_of_undo(compare):
    tab = compare("edit", "large", "again", "tall")
    tab.press("ArrowRight", "k")
    assert marks(tab) == {"edit": "reject", "large": "pick", "again": "reject", "tall": "reject"}
    tab.press("Control+z")
    assert set(marks(tab).values()) == {""}


def test_flicker_shows_one_other_after_the_other(compare):
    tab = compare("edit", "large", "again")
    seen = []
    for _ in range(3):
        tab.page.keyboard.down(" ")
        seen.append(tab.find(f"{PANES} .side-label:visible").inner_text())
        tab.page.keyboard.up(" ")
    assert seen == ["large", "again", "large"]
    assert tab.find(".compare .layer.flicker").count() == 0


def test_difference_is_taken_from_the_chosen_picture(compare):
    tab = compare("edit", "twin")
    tab.press("d")
    blend = "() => getComputedStyle(document.querySelector('.compare .layer.difference')).mixBlendMode"
    assert tab.evaluate(blend) == "difference"
    assert tab.find(PANES).nth(1).get_by_text("Difference from edit").is_visible()
    tab.press("ArrowRight")
    assert tab.find(PANES).nth(0).get_by_text("Difference from twin").is_visible()
    tab.press("d")
    assert tab.find(".compare .layer.difference").count() == 0


def test_partners_are_chosen_from_candidates(compare):
    tab = compare("twin", "large")
    strip = tab.find(".candidates")
    assert strip.get_by_role("button", name="Alike").get_attribute("aria-pressed") == "true"
    strip.get_by_role("button", name="Same source").click()
    strip.get_by_role("button", name="Compare with edit").click()
    tab.wait("() => document.querySelectorAll('.compare .pane-cell').length === 3")
    assert names(tab) == ["twin", "large", "edit"]
    tab.press("ArrowRight", "Delete")
    tab.wait("() => document.querySelectorAll('.compare .pane-cell').length === 2")
    assert names(tab) == ["twin", "edit"]


def test_comparison_keeps_two_pictures(compare):
    tab = compare("edit", "large")
    tab.press("Delete")
    tab.page.get_by_text("A comparison has two pictures at least").wait_for()
    assert names(tab) == ["edit", "large"]


def test_enter_opens_the_chosen_picture(compare):
    tab = compare("edit", "large")
    tab.press("ArrowRight", "Enter")
    tab.role("dialog", "large").wait_for()
    assert not tab.find(".compare").is_visible()


def test_four_panes_fit_a_phone(compare):
    tab = compare("edit", "large", "again", "tall", size="phone", touch=True)
    for pane in tab.find(PANES).all():
        box = pane.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 391
