"""The sheets of the page: send back, help; the theme and the toasts."""

from __future__ import annotations

import json

import pytest

from .sample import write
from .sample_document import document


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    page = document(40)
    base = "batchgen {} jobs/sample.yaml"
    page["commands"] |= {verb: base.format(verb) for verb in ("redo", "retry", "export")}
    page["commands"]["marks_import"] = "batchgen marks import"
    return write(tmp_path_factory.mktemp("sheets"), page)


@pytest.fixture
def tab(visitor, index):
    return visitor.open(index)


def commands(tab) -> list[str]:
    return tab.find("dialog .cmd pre").all_text_contents()


def test_send_back_without_marks_names_the_keys(tab):
    tab.press("s")
    assert tab.role("dialog", "Send back rejects").is_visible()
    assert tab.page.get_by_text("Nothing is rejected yet").is_visible()


@pytest.mark.parametrize("keys", [("3",), ("n", "a", "Escape", "Escape")])
def test_send_back_saves_stars_and_notes_alone(tab, keys):
    tab.press(*keys, "s")
    assert tab.role("dialog", "Save stars and notes").is_visible()
    assert commands(tab) == ["batchgen marks import marks.json"]
    assert tab.role("button", "marks.json").is_visible()


def test_send_back_lists_rejects_and_the_commands(tab):
    tab.press("x", "x", "p", "s")
    assert tab.role("dialog", "Send back 2 rejects").is_visible()
    assert tab.find(".minis button").count() == 2
    assert commands(tab)[0] == "batchgen marks import marks.json"
    assert commands(tab)[1] == "batchgen redo jobs/sample.yaml --marked reject"
    assert commands(tab)[2] == "batchgen export jobs/sample.yaml --marked pick --files picks"


def test_changes_become_options_that_a_shell_takes(tab):
    tab.press("x", "s")
    tab.page.get_by_label("Quality").select_option("high")
    tab.role("textbox", "Size").fill("1536x1024")
    tab.page.get_by_label("Note, kept with the new pictures").fill("the shadow's too hard; $(rm -rf /)")
    expected = r"--with quality=high --with size=1536x1024 --note 'the shadow'\''s too hard; $(rm -rf /)'"
    assert commands(tab)[1] == f"batchgen redo jobs/sample.yaml --marked reject {expected}"


def test_changes_stay_while_a_reject_is_looked_at(tab):
    tab.press("x", "s")
    tab.page.get_by_label("Quality").select_option("low")
    tab.find(".minis button").click()
    tab.wait("() => !document.querySelector('dialog[open]') && location.hash.includes('open')")
    tab.press("Escape")
    tab.press("s")
    assert "--with quality=low" in commands(tab)[1]


def test_prompts_of_rejects_leave_as_a_table_and_join_the_command(tab):
    tab.press("x", "s")
    with tab.page.expect_download() as download:
        tab.page.get_by_label("Edit their prompts").check()
    name = download.value.suggested_filename
    assert commands(tab)[1].endswith(f"--prompts {name}")
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    assert lines[0] == "id,prompt"


def test_marks_are_saved_from_the_sheet(tab):
    tab.press("x", "p", "s")
    with tab.page.expect_download() as download:
        tab.role("button", "marks.json").click()
    marks = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert sorted(entry["mark"] for entry in marks["marks"]) == ["pick", "reject"]


def test_jobs_with_other_pictures_are_made_again_as_a_whole(visitor, index):
    tiles = document(40)["tiles"]
    row = next(row for row in range(40) if tiles["job"].count(tiles["job"][row]) > 1)
    tab = visitor.open(index)
    for _ in range(row):
        tab.press("ArrowRight")
    tab.press("x", "s")
    others = tiles["job"].count(tiles["job"][row]) - 1
    assert tab.page.get_by_text(f"Other pictures of these jobs that are replaced too: {others}.").is_visible()


def test_sheet_closes_by_escape_and_beside_it(tab):
    tab.find(".send").focus()
    tab.press("Enter")
    assert tab.role("dialog").is_visible()
    tab.press("Escape")
    assert tab.role("dialog").count() == 0
    assert tab.find(".send").evaluate("(button) => button === document.activeElement")
    tab.press("?")
    tab.page.mouse.click(5, 500)
    tab.wait("() => !document.querySelector('dialog')")


def test_sheet_keeps_its_keys_from_the_grid(tab):
    tab.press("?", "x", "p", "ArrowRight", "Escape")
    assert tab.find(".tally .x").text_content() == "0"


def test_help_names_every_key_of_the_grid_and_the_full_view(tab):
    tab.press("?")
    keys = set(tab.find("dialog kbd").all_text_contents())
    assert keys >= {"P", "X", "U", "N", "C", "K", "V", "M", "Z", "I", "A", "S", "/", "Space", "Enter", "Esc"}
    tab.press("?")
    assert tab.role("dialog").count() == 0


def test_marks_of_another_browser_are_read_in(tab, tmp_path):
    tab.press("x", "?")
    page = document(40)
    entry = {"id": page["tiles"]["key"][0], "picture": 1, "sha256": page["tiles"]["sha"][0], "mark": "pick", "stars": 5}
    whole = {"schema_version": 1, "database": page["database"], "batch": page["batch"], "sandbox": page["sandbox"]}
    path = tmp_path / "marks.json"
    marks = [entry | {"note": "", "at": "2099-01-01T00:00:00Z"}]
    path.write_text(json.dumps(whole | {"exported_at": "2026-11-30T00:00:00Z", "marks": marks}), encoding="utf-8")
    with tab.page.expect_file_chooser() as chooser:
        tab.role("button", "Read a marks file").click()
    chooser.value.set_files(path)
    tab.wait("() => document.querySelector('.tally .p').textContent === '1'")
    assert tab.find(".tally .x").text_content() == "0"


def test_theme_is_the_systems_until_it_is_switched(visitor, index):
    profile = visitor.profile(theme="dark")
    tab = visitor.open(index, profile=profile)
    ground = "() => getComputedStyle(document.body).backgroundColor"
    dark = tab.evaluate(ground)
    tab.role("button", "Switch to light").click()
    light = tab.evaluate(ground)
    assert light != dark
    # Chromium writes what a page stores a moment later.
    tab.until(lambda: visitor.open(index, profile=profile).evaluate(ground) == light)
    again = visitor.open(index, profile=profile)
    again.role("button", "Switch to dark").click()
    assert again.evaluate("() => localStorage.getItem('batchgen:theme')") is None
    assert again.evaluate(ground) == dark


def test_toast_offers_undo_and_goes_with_it(tab):
    tab.press("x")
    tab.role("button", "Undo").click()
    assert tab.find(".tally .x").text_content() == "0"
    assert "Undone" in tab.find(".toast").text_content()


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_sheets_fit_every_size(visitor, index, size, theme):
    tab = visitor.open(index, size=size, theme=theme)
    tab.press("x", "x", "p", "s")
    tab.screenshot(f"send-back-{size}-{theme}")
    assert tab.evaluate(
        "() => { const b = document.querySelector('dialog .body'); return b.scrollWidth <= b.clientWidth; }"
    )
    tab.press("Escape", "?")
    tab.screenshot(f"help-{size}-{theme}")
    assert tab.evaluate(
        "() => { const b = document.querySelector('dialog .body'); return b.scrollWidth <= b.clientWidth; }"
    )


def test_page_bears_large_text(visitor, index):
    tab = visitor.open(index)
    tab.evaluate("() => { document.documentElement.style.fontSize = '200%'; dispatchEvent(new Event('resize')); }")
    tab.screenshot("large-text")
    assert tab.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
