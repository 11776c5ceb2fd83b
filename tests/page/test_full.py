"""The full view of a picture: going on, marks, notes, details, zoom; by keyboard and by mouse."""

from __future__ import annotations

import re
import shutil

import pytest

SHOWN = 19  # pictures of the night
PERCENT = "parseInt(document.querySelector('.full .percent').textContent)"


@pytest.fixture
def tab(visitor, night_page):
    return visitor.open(night_page, "open=fox")


def title(tab):
    return tab.find("#full-title").text_content()


def wait_title(tab, text):
    tab.wait("(text) => document.querySelector('#full-title').textContent === text", text)


def percent(tab):
    return int(re.sub(r"\D", "", tab.find(".full .percent").text_content()))


def test_keys_go_through_the_pictures(tab):
    dialog = tab.role("dialog", "fox", exact=True)
    dialog.wait_for()
    assert f"1 of {SHOWN}" in dialog.text_content()
    for key, name in (("ArrowRight", "fox-2"), ("ArrowDown", "fox-3"), ("h", "fox-2"), ("l", "fox-3"), ("Home", "fox")):
        tab.press(key)
        wait_title(tab, name)
    tab.press("ArrowLeft")
    tab.toast("This is the first picture")
    tab.press("End", "ArrowRight")
    tab.toast("This is the last picture")
    tab.press("Escape")
    dialog.wait_for(state="hidden")
    tab.wait_without_hash("open=")


def test_back_closes_the_full_view(visitor, night_page):
    tab = visitor.open(night_page)
    tab.role("button", "boat-error", exact=True).click()
    tab.wait_hash("open=boat-error")
    tab.press("ArrowRight")
    tab.page.go_back()
    tab.wait("() => !location.hash.includes('open=')")
    assert tab.find(".full").is_hidden()
    tab.page.go_forward()
    tab.wait_hash("open=")
    assert tab.find(".full").is_visible()


def test_marks_go_on_to_the_next(tab):
    tab.press("p")
    wait_title(tab, "fox-2")
    tab.press("x")
    wait_title(tab, "fox-3")
    tab.press("Shift+p", "4")
    assert title(tab) == "fox-3"
    tab.wait_marks({"fox": "pick", "fox-2": "reject", "fox-3": "pick 4"})
    tab.press("u")
    tab.wait_marks({"fox": "pick", "fox-2": "reject"})
    tab.press("Control+z")
    tab.wait_marks({"fox": "pick", "fox-2": "reject", "fox-3": "pick 4"})


def test_marks_stay_where_auto_advance_is_off(tab):
    tab.press("a", "x")
    tab.wait_marks({"fox": "reject"})
    assert title(tab) == "fox"
    tab.role("switch", "Auto-advance").click()
    tab.press("x")
    wait_title(tab, "fox-2")


def test_marks_by_mouse(tab):
    full = tab.find(".full")
    full.get_by_role("button", name="3 stars").click()
    full.get_by_role("button", name="Pick", exact=True).click()
    wait_title(tab, "fox-2")
    full.get_by_role("button", name="Reject", exact=True).click()
    tab.wait_marks({"fox": "pick 3", "fox-2": "reject"})


def test_note_keeps_its_keys(tab):
    tab.press("n")
    tab.page.keyboard.type("xp a little darker")
    tab.press("Escape")
    tab.wait_marks({"fox": "'xp a little darker'"})
    assert title(tab) == "fox"
    tab.press("ArrowRight", "ArrowLeft")
    tab.wait("(text) => document.querySelector('textarea.note').value === text", "xp a little darker")


def test_details_name_everything(visitor, night_page):
    tab = visitor.open(night_page, "state=all&open=mug-night")
    panel = tab.role("complementary", "Details")
    panel.get_by_text("1 attempt").wait_for()
    text = panel.text_content()
    for part in (
        "A night sky above the mug",
        "photos/mug.jpg",
        "photos/top.png",
        "gpt-image-2",
        "sha256",
        "mug-night.png",
        "quality",
    ):
        assert part in text, part
    assert panel.get_by_role("link", name="sidecar").get_attribute("href").endswith("mug-night.png.json")
    tab.press("i")
    panel.wait_for(state="hidden")


def test_details_of_a_failed_job_name_its_attempts(visitor, night_page):
    tab = visitor.open(night_page, "state=all&open=boat-error")
    panel = tab.role("complementary", "Details")
    panel.get_by_text("3 attempts").wait_for()
    assert panel.get_by_text("Internal server error").count() >= 3
    instead = tab.find(".full-main").text_content()
    assert "The job failed: error" in instead
    assert "batchgen retry night.yaml --budget 5 --id boat-error" in instead


@pytest.mark.parametrize(
    ("button", "text"),
    [
        ("Copy the prompt", "A fox in fresh snow"),
        ("Id", "fox"),
        ("Path", "output/shop/fox.png"),
        ("Redo command", "batchgen redo night.yaml --id fox"),
        ("Show command", "batchgen show --batch shop fox"),
    ],
)
def test_copies(tab, button, text):
    tab.find(".panel").get_by_role("button", name=button, exact=True).click()
    tab.toast("copied")
    tab.press("n", "Control+v")
    assert text in tab.find("textarea.note").input_value()


def test_original_is_shown_and_zoomed(tab):
    tab.wait("() => [...document.querySelectorAll('.layer.after img')].some((image) => image.naturalWidth === 1024)")
    fitted = percent(tab)
    for key, wanted in (("z", 100), ("+", 140), ("-", 100), ("z", fitted)):
        tab.press(key)
        tab.wait(f"(wanted) => {PERCENT} === wanted", wanted)
    stage = tab.find(".full-main").bounding_box()
    tab.page.mouse.move(stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2)
    tab.page.mouse.wheel(0, -400)
    tab.wait(f"(fitted) => {PERCENT} > fitted", fitted)
    before = tab.find(".layer.after").bounding_box()
    tab.page.mouse.down()
    tab.page.mouse.move(stage["x"] + stage["width"] / 2 - 60, stage["y"] + stage["height"] / 2 - 40, steps=3)
    tab.page.mouse.up()
    assert tab.find(".layer.after").bounding_box()["x"] < before["x"]


def test_missing_original_keeps_the_thumbnail(visitor, night_project, night_page, tmp_path):
    copy = tmp_path / "shop"
    shutil.copytree(night_page.parents[1], copy)
    (copy / "fox.png").unlink()
    tab = visitor.open(copy / "report" / "index.html", "open=fox")
    tab.allowed.append("ERR_FILE_NOT_FOUND")
    tab.find(".full-main", has_text=re.compile("original|file", re.IGNORECASE)).wait_for()
    assert tab.wait("() => document.querySelector('.layer.after img.thumb')?.naturalWidth > 0")


def test_focus_stays_within_the_view(tab):
    """Between the last control and the first one the focus is with the browser itself."""
    within = "() => document.activeElement === document.body || document.activeElement.closest('.full') !== null"
    for _ in range(60):
        tab.press("Tab")
        assert tab.evaluate(within)


def test_filmstrip_goes_there(tab):
    tab.find(".film button").nth(3).click()
    assert title(tab) != "fox"
    assert tab.find(".film").get_by_role("button").count() <= 40
