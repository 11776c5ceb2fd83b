"""A phone: tap, long press, swipe."""

from __future__ import annotations

import re

import pytest


@pytest.fixture
def tab(visitor, night_page):
    tab = visitor.open(night_page, size="phone", touch=True)
    tab.wait_count("19 pictures")
    tab.tile("fox").scroll_into_view_if_needed()
    tab.page.wait_for_timeout(400)  # until the page has come to rest under the finger
    return tab


def finger(tab, kind, x, y):
    """Send a touch of one finger, as the screen reports it."""
    points = [] if kind == "touchEnd" else [{"x": x, "y": y}]
    tab.session = getattr(tab, "session", None) or tab.page.context.new_cdp_session(tab.page)
    tab.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def middle(box):
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_tap_opens_and_swipe_goes_on(tab):
    tab.tile("fox").tap()
    tab.find(".layer.after img").first.wait_for()
    x, y = middle(tab.find(".full-main").bounding_box())
    finger(tab, "touchStart", x + 100, y)
    for step in range(1, 9):
        finger(tab, "touchMove", x + 100 - 25 * step, y)
    tab.page.wait_for_timeout(150)  # a finger that leaves in full motion flings, and the next tap only stops that
    finger(tab, "touchEnd", 0, 0)
    tab.wait_hash("open=fox-2")
    tab.find(".full-foot").get_by_role("button", name="Pick").tap()
    tab.wait_hash("open=fox-3")
    tab.wait_marks({"fox-2": "pick"})


def test_long_press_selects_and_taps_add(tab):
    x, y = middle(tab.tile("fox").bounding_box())
    finger(tab, "touchStart", x, y)
    tab.role("toolbar", "Selection").wait_for()
    finger(tab, "touchEnd", x, y)
    tab.tile("fox-2").tap()
    tools = tab.role("toolbar", "Selection")
    tab.wait("() => document.querySelector('[role=toolbar]').textContent.startsWith('2 ')")
    tools.get_by_role("button", name="Reject").tap()
    tab.wait_marks({"fox": "reject", "fox-2": "reject"})
    tab.wait_without_hash("open")


def test_pinch_zooms(tab):
    tab.tile("fox").tap()
    tab.wait_hash("open=fox")
    tab.wait("() => parseInt(document.querySelector('.full .percent')?.textContent) > 0")
    percent = "parseInt(document.querySelector('.full .percent').textContent)"
    before = tab.evaluate(f"() => {percent}")
    x, y = middle(tab.find(".full-main").bounding_box())
    session = tab.page.context.new_cdp_session(tab.page)

    def fingers(kind, apart):
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}] if apart else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", 30)
    for apart in range(40, 120, 10):
        fingers("touchMove", apart)
    fingers("touchEnd", 0)
    tab.wait(f"(before) => {percent} > before", before)


def test_full_view_has_a_switch_for_auto_advance(tab):
    tab.tile("fox").tap()
    switch = tab.role("switch", "Auto-advance")
    switch.tap()
    assert switch.get_attribute("aria-checked") == "false"
    tab.find(".full-foot").get_by_role("button", name="Pick").tap()
    tab.wait_marks({"fox": "pick"})
    tab.wait_hash(re.compile("open=fox(&|$)"))
