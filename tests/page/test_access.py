"""Access for all: axe finds nothing serious in any view and theme; small screens under the thumb."""

from __future__ import annotations

import pytest

axe = pytest.importorskip("axe_playwright_python.sync_playwright")

#: Views by name: the state in the URL, then keys.
VIEWS = {
    "grid": ("", ()),
    "failed": ("state=all", ()),
    "groups": ("group=tag", ()),
    "selection": ("", ("Shift+ArrowRight", "Shift+ArrowRight")),
    "empty": ("q=nothinglikeit", ()),
    "full": ("open=fox", ()),
    "edit": ("open=mug-night&mode=slider", ("m",)),
    "sides": ("open=mug-two&mode=sides", ()),
    "job": ("state=all&open=boat-error", ()),
    "compare": ("compare=fox,fox-2,fox-3", ()),
    "help": ("", ("?",)),
    "send-back": ("", ("x", "x", "p", "s")),
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_nothing_serious_is_wrong(visitor, night_page, view, theme):
    fragment, keys = VIEWS[view]
    tab = visitor.open(night_page, fragment, theme=theme)
    tab.find(".tally").wait_for(state="attached")
    tab.press(*keys)
    tab.page.wait_for_timeout(300)
    tab.screenshot(f"{view}-desktop-{theme}")
    found = axe.Axe().run(tab.page).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert not serious, [(each["id"], [node["target"] for node in each["nodes"]][:4]) for each in serious]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", ["tablet", "phone"])
@pytest.mark.parametrize("view", ["grid", "full", "edit", "compare", "send-back"])
def test_small_screens_hold_the_page(visitor, night_page, view, size, theme):
    """Nothing is wider than the screen, and pick and reject are large enough for a thumb."""
    fragment, keys = VIEWS[view]
    tab = visitor.open(night_page, fragment, size=size, theme=theme, touch=True)
    tab.find(".tally").wait_for(state="attached")
    tab.press(*keys)
    tab.page.wait_for_timeout(300)
    tab.screenshot(f"{view}-{size}-{theme}")
    assert tab.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    if view in ("full", "edit") and size == "phone":
        for name in ("Pick", "Reject"):
            box = tab.find(".full-foot").get_by_role("button", name=name).bounding_box()
            assert box["height"] >= 44, name
            assert box["y"] + box["height"] <= 844, name
