"""Before and after: modes, slider, flicker, mask, inputs; the zoom is shared."""

from __future__ import annotations

import pytest

EDIT = "open=mug-night"


@pytest.fixture
def tab(visitor, night_page):
    tab = visitor.open(night_page, EDIT)
    tab.find(".stages").wait_for()
    return tab


def pressed(tab):
    return tab.find(".modes [aria-pressed=true]").text_content()


def visible(tab, layer):
    """Tell whether a layer can be seen at all."""
    look = "checkVisibility({opacityProperty: true, visibilityProperty: true})"
    return tab.evaluate(f"() => document.querySelector('.layer.{layer}')?.{look} ?? false")


def test_modes_by_key_and_by_button(tab):
    modes = tab.find(".modes").get_by_role("button").all_text_contents()
    assert len(modes) == 4
    seen = [pressed(tab)]
    for _ in range(3):
        tab.press("v")
        tab.wait("(last) => document.querySelector('.modes [aria-pressed=true]').textContent !== last", seen[-1])
        seen.append(pressed(tab))
    assert seen == modes
    tab.press("Shift+v")
    tab.wait("(mode) => document.querySelector('.modes [aria-pressed=true]').textContent === mode", modes[2])
    tab.find(".modes").get_by_role("button", name=modes[1]).click()
    tab.wait_hash("mode=slider")


def test_mode_is_in_the_url(visitor, night_page):
    tab = visitor.open(night_page, f"{EDIT}&mode=sides")
    assert tab.find(".stage").count() == 2
    tab.press("ArrowLeft")
    tab.wait("() => document.querySelector('#full-title').textContent === 'mug-winter'")
    assert tab.find(".stage").count() == 2


def test_slider_by_key_and_by_mouse(tab):
    tab.press("v")
    knob = tab.find(".knob")
    knob.wait_for()
    start = int(knob.get_attribute("aria-valuenow"))
    tab.press("]", "]", "[")
    assert int(knob.get_attribute("aria-valuenow")) == start + 5
    knob.focus()
    tab.press("Home")
    assert knob.get_attribute("aria-valuenow") == "0"
    tab.press("ArrowRight")
    assert knob.get_attribute("aria-valuenow") == "2"
    stage, box = tab.find(".stage.main").bounding_box(), knob.bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.page.mouse.down()
    tab.page.mouse.move(stage["x"] + stage["width"] / 2, box["y"], steps=5)
    tab.page.mouse.up()
    assert 45 <= int(knob.get_attribute("aria-valuenow")) <= 55


def test_before_while_space_is_held(tab):
    assert visible(tab, "after")
    tab.page.keyboard.down(" ")
    tab.wait("() => document.querySelector('.stages').classList.contains('shows-before')")
    assert not visible(tab, "after") or visible(tab, "before")
    tab.page.keyboard.up(" ")
    tab.wait("() => !document.querySelector('.stages').classList.contains('shows-before')")


def test_mask_over_before_and_after(tab):
    tab.press("m")
    tab.wait("() => document.querySelector('.stages').classList.contains('masked')")
    assert visible(tab, "mask")
    tab.press("v", "v", "v")
    assert visible(tab, "mask")
    tab.press("m")
    tab.wait("() => !document.querySelector('.stages').classList.contains('masked')")


def test_before_lines_up_with_after(tab):
    """Both lie in the same box, so that the slider divides one motif."""
    tab.press("v")
    boxes = tab.evaluate("""() => ["before", "after"].map((name) => {
      const {x, y, width, height} = document.querySelector(`.layer.${name}`).getBoundingClientRect();
      return [x, y, width, height].map(Math.round); })""")
    assert boxes[0] == boxes[1]


def test_all_inputs_can_be_chosen(visitor, night_page):
    tab = visitor.open(night_page, "open=mug-two&mode=before")
    inputs = tab.find(".inputs").get_by_role("button")
    assert inputs.count() == 2
    inputs.nth(1).click()
    tab.wait("() => [...document.querySelectorAll('.layer.before img')].some((i) => i.src.includes('red'))")
    assert inputs.nth(1).get_attribute("aria-pressed") == "true"


def test_difference(tab):
    tab.press("d")
    tab.wait("() => document.querySelector('.stages').classList.contains('difference')")
    tab.press("d")
    tab.wait("() => !document.querySelector('.stages').classList.contains('difference')")


def test_zoom_is_kept_between_before_and_after(tab):
    percent = "parseInt(document.querySelector('.full .percent').textContent)"
    tab.press("z")
    tab.wait(f"() => {percent} === 100")
    tab.press("v")
    tab.wait_hash("mode=slider")
    assert tab.evaluate(f"() => {percent}") == 100
    tab.press("v")
    tab.wait("() => document.querySelectorAll('.stage').length === 2")
    layers = "[...document.querySelectorAll('.stage .layer')]"
    widths = f"{layers}.map((layer) => Math.round(layer.getBoundingClientRect().width))"
    tab.wait(f"() => {widths}.every((width) => width > 1)")  # a picture has a width once it is decoded
    sizes = tab.evaluate(f"() => {widths}")
    assert len(set(sizes)) == 1


def test_picture_without_a_source_has_no_modes(visitor, night_page):
    tab = visitor.open(night_page, "open=fox&mode=slider")
    tab.find(".full").wait_for()
    assert tab.find(".modes").is_hidden()
    assert tab.find(".knob").is_hidden()
