"""Full view of pictures of all shapes: loading, zoom, partners of other shapes, suspects, touch."""

from __future__ import annotations

import re

import pytest

from .looks import FILTER, MOST_ATTEMPTS, failed_key

#: The middle of the picture's box on the stage, and its width.
BOX = "() => { const box = document.querySelector('.full .main .pane').getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2, box.width]; }"  # noqa: E501
READY = "() => document.querySelectorAll('.full .main .layer.after .original').length === 1"


@pytest.fixture
def show(visitor, looks_page):
    """Return a function that opens the page with a picture in full view."""

    def open_tab(key: str = "", mode: str = "", **options):
        fragment = "&".join([FILTER, *([f"open={key}"] if key else []), *([f"mode={mode}"] if mode else [])])
        tab = visitor.open(looks_page, fragment, **options)
        tab.allowed.append("ERR_FILE_NOT_FOUND")  # of the original that is gone
        if key:
            tab.find(".full:not([hidden])").wait_for()
        return tab

    return open_tab


def title(tab) -> str:
    return tab.find("#full-title").inner_text()


def percent(tab) -> int:
    return int(tab.find(".full .percent").inner_text().split()[0])


def test_full_view_opens_from_the_grid_and_gives_the_focus_back(show):
    tab = show()
    tab.press("Home", "Enter")
    dialog = tab.role("dialog", "edit")
    assert dialog.is_visible()
    tab.wait_hash("open=edit")
    assert tab.evaluate("() => document.querySelector('main').inert")
    tab.press("Escape")
    dialog.wait_for(state="hidden")
    tab.wait_without_hash("open=")
    assert tab.wait("() => document.activeElement.closest('[data-row]')?.dataset.row ?? ''")
    assert not tab.evaluate("() => document.querySelector('main').inert")


def test_details_state_that_a_file_is_gone(show):
    tab = show("gone")
    tab.find(".panel dd:has-text('not on the disk any more')").wait_for()


def test_note_is_as_long_as_an_import_takes(show):
    tab = show("edit")
    tab.press("n")
    tab.page.keyboard.insert_text("x" * 1200)
    assert len(tab.find("textarea.note").input_value()) == 1000


def test_original_takes_the_place_of_the_thumbnail(show):
    tab = show("large")
    tab.wait(READY)
    tab.wait("() => document.querySelector('.full .layer.after .thumb') === null")
    assert tab.evaluate("() => document.querySelector('.full .layer.after .original').naturalWidth") == 4000


def test_neighbours_are_decoded_ahead(show):
    tab = show("again")
    tab.wait(READY)
    for name in ("tall.png", "large.png"):
        tab.until(lambda name=name: any(url.endswith(f"/sample/{name}") for url in tab.requests))


def test_job_without_picture_shows_its_cause_and_command(show):
    key = failed_key()
    tab = show(key.replace("/", "%2F"))
    words = tab.find(".full .absence").inner_text()
    assert "The job failed" in words
    assert f"batchgen retry jobs/sample.yaml --sandbox --id {key}" in words
    own = tab.wait("() => document.querySelector('.full .absence .message:not([hidden])')?.textContent")
    assert own in tab.find(".full .panel").inner_text()
    assert not tab.find(".full .percent").is_visible()


def test_transparency_has_a_checkerboard(show):
    tab = show("clear")
    assert tab.find(".full .layer.after .picture.checker").count() == 1
    tab.press("ArrowRight")
    tab.wait("() => document.querySelector('.full .picture.checker') === null")


# --- zoom -------------------------------------------------------------------------------------------------------


def test_zoom_by_wheel_keeps_the_point_under_the_pointer(show):
    tab = show("large")
    tab.wait(READY)
    before = tab.find(".full .main .pane").bounding_box()
    x, y = before["x"] + before["width"] * 0.25, before["y"] + before["height"] * 0.75
    tab.page.mouse.move(x, y)
    tab.page.mouse.wheel(0, -600)
    tab.wait(f"() => ({BOX})()[2] > {before['width'] * 2}")
    after = tab.find(".full .main .pane").bounding_box()
    assert (x - after["x"]) / after["width"] == pytest.approx(0.25, abs=0.01)
    assert (y - after["y"]) / after["height"] == pytest.approx(0.75, abs=0.01)


def test_arrows_and_drag_pan_a_zoomed_picture(show):
    tab = show("large")
    tab.press("z")
    tab.wait(f"() => ({BOX})()[2] > 3999")
    start = tab.evaluate(BOX)
    tab.press("ArrowRight")
    tab.wait(f"() => ({BOX})()[0] < {start[0] - 70}")
    assert title(tab) == "large"
    tab.page.mouse.move(400, 400)
    tab.page.mouse.down()
    tab.page.mouse.move(500, 430, steps=4)
    tab.page.mouse.up()
    tab.wait(f"() => Math.abs(({BOX})()[0] - {start[0] - 80 + 100}) < 2")
    tab.press("l")
    assert title(tab) == "again"


def test_double_click_zooms_to_the_point(show):
    tab = show("large")
    tab.page.mouse.dblclick(300, 300)
    tab.wait("() => document.querySelector('.full .percent').innerText === '100 %'")
    tab.page.mouse.dblclick(300, 300)
    tab.wait("() => document.querySelector('.full .percent').innerText !== '100 %'")


def test_zoom_stays_between_pictures_of_one_size_only(show):
    tab = show("large")
    tab.press("z", "PageDown")
    tab.wait("() => document.querySelector('.full .percent').innerText !== '100 %'")  # another size
    tab.press("Home", "z")
    tab.wait("() => document.querySelector('.full .percent').innerText === '100 %'")
    tab.press("v")
    tab.find(".full .knob").wait_for()
    assert percent(tab) == 100


def test_tiny_picture_is_drawn_in_pixels(show):
    tab = show("tiny")
    assert percent(tab) == 800
    assert tab.find(".full .stage.pixels").count() == 1


# --- before and after ---------------------------------------------------------------------------------------------


def test_inputs_of_an_edit_are_chosen_one_by_one(show):
    tab = show("edit")
    tab.role("button", "Input 2: upright.png", exact=True).click()
    assert tab.find(".full .side-label.left").inner_text() == "Input 2"
    shapes = tab.role("group", "Before and after have different shapes")
    assert shapes.is_visible()
    whole = tab.find(".full .layer.before .picture").bounding_box()
    shapes.get_by_text("Fill").click()
    filled = tab.find(".full .layer.before .picture").bounding_box()
    assert filled["width"] > whole["width"]
    assert filled["width"] == pytest.approx(tab.find(".full .main .pane").bounding_box()["width"], abs=1)


def test_overlay_fades_and_difference_blends(show):
    tab = show("edit", "slider")
    tab.role("button", "Overlay").click()
    tab.press("]")
    assert tab.evaluate("() => document.querySelector('.full .layer.after').style.opacity") == "0.45"
    tab.press("d")
    blend = tab.evaluate("() => getComputedStyle(document.querySelector('.full .layer.after')).mixBlendMode")
    assert blend == "difference"
    assert not tab.find(".full .knob").is_visible()


def test_earlier_form_is_compared_as_now_and_earlier(show):
    tab = show("again", "slider")
    labels = [tab.find(f".full .side-label.{side}").inner_text() for side in ("left", "right")]
    assert labels == ["Earlier", "Now"]
    assert tab.find(".full .panel").get_by_text("again-1.png").is_visible()


# --- marks ---------------------------------------------------------------------------------------------------------


def test_marks_go_on_where_a_filter_takes_the_picture_away(show, visitor, looks_page):
    tab = visitor.open(looks_page, f"{FILTER}&mark=none&open=edit")
    tab.find(".full:not([hidden])").wait_for()
    tab.press("x")
    assert title(tab) == "large"
    tab.press("Shift+X")
    assert title(tab) == "large"
    assert tab.find(".full .who .muted").inner_text() == "not among those shown"
    tab.press("ArrowRight")
    assert title(tab) == "again"


def test_marks_are_announced(show):
    tab = show("edit")
    tab.press("Shift+X")
    words = tab.find(".full > [role=status]").inner_text()
    assert re.fullmatch(r"1 of \d+, edit, rejected", words)


# --- details -------------------------------------------------------------------------------------------------------


def test_details_name_attempts_files_and_parameters(show):
    tab = show("large")
    panel = tab.find(".full .panel")
    panel.get_by_text(f"{MOST_ATTEMPTS} attempts").wait_for()
    assert panel.locator(".attempt").count() == MOST_ATTEMPTS
    assert panel.get_by_text("1024x1024").first.is_visible()
    tab.press("i")
    assert not panel.is_visible()


def test_details_do_not_overflow(show):
    tab = show("large")
    panel = tab.find(".full .panel")
    panel.locator(".hash").first.wait_for()
    right = "(element) => element.getBoundingClientRect().right"
    edge = panel.evaluate(right)
    for selector in (".hash", ".parameters dt", ".parameters dd", ".attempt"):
        assert panel.locator(selector).first.evaluate(right) <= edge, selector
    assert panel.evaluate("(element) => element.scrollWidth <= element.clientWidth")
    name, value = (panel.locator(each).first.bounding_box() for each in ("dl dt", "dl dd"))
    assert name["y"] == pytest.approx(value["y"], abs=4)


def test_grid_fills_a_wide_screen(show):
    tab = show()
    tab.page.set_viewport_size({"width": 2560, "height": 1300})
    tab.wait("() => document.querySelector('[role=grid]').getBoundingClientRect().right > 2500")


def test_suspect_leads_to_the_other_picture(show):
    tab = show("twin")
    alert = tab.find(".full .panel .alert").first
    assert "Looks nearly like another picture." in alert.inner_text()
    alert.get_by_role("button", name="edit").click()
    assert title(tab) == "edit"


# --- touch ---------------------------------------------------------------------------------------------------------

SWIPE = """([from, to]) => {
  const stage = document.querySelector(".full .main"), y = innerHeight / 2;
  const send = (type, x) => stage.dispatchEvent(new PointerEvent(type,
    { pointerId: 7, pointerType: "touch", isPrimary: true, bubbles: true, cancelable: true, clientX: x, clientY: y }));
  stage.setPointerCapture = () => {};
  send("pointerdown", from); send("pointermove", (from + to) / 2); send("pointermove", to); send("pointerup", to);
}"""


def test_swipe_moves_on_a_phone(show):
    tab = show("edit", size="phone", touch=True)
    tab.evaluate(SWIPE, [300, 100])
    assert title(tab) == "large"
    tab.evaluate(SWIPE, [100, 300])
    assert title(tab) == "edit"


def test_thumbs_reach_the_marks_of_a_phone(show):
    tab = show("edit", size="phone", touch=True)
    for name in ("Pick", "Reject"):
        box = tab.find(".full .marker").get_by_role("button", name=name, exact=True).bounding_box()
        assert box["height"] >= 46
        assert box["y"] > 844 * 0.8
    assert not tab.find(".full .panel").is_visible()
    assert tab.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_sides_share_a_phone(show):
    tab = show("edit", "sides", size="phone", touch=True)
    panes = [pane.bounding_box() for pane in tab.find(".full .pane").all()]
    assert len(panes) == 2
    assert panes[0]["width"] == pytest.approx(panes[1]["width"], abs=1)
    assert panes[0]["width"] > 300
    assert panes[1]["y"] > panes[0]["y"] + panes[0]["height"]
