"""Marks on the page: kept in the browser, between tabs, as files out and in; where the storage is full."""

from __future__ import annotations

import csv
import json

import pytest


@pytest.fixture
def tab(visitor, night_page):
    tab = visitor.open(night_page)
    tab.wait_count("19 pictures")
    return tab


def saved(tab, name, tmp_path):
    """Save the marks by the sheet; return the file."""
    tab.press("s")
    with tab.page.expect_download() as download:
        tab.role("dialog").get_by_role("button", name=name).click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    tab.press("Escape")
    return path


def mark_some(tab):
    tab.press("p", "x", "4", "n")
    tab.page.keyboard.type("=warmer, please")
    tab.press("Escape", "Escape")
    tab.wait_marks({"fox": "pick", "fox-2": "reject", "fox-3": "4 '=warmer, please'"})


def test_marks_are_kept(visitor, night_page):
    profile = visitor.profile()
    tab = visitor.open(night_page, profile=profile)
    tab.wait_count("19 pictures")
    mark_some(tab)
    tab.page.close()
    again = visitor.open(night_page, profile=profile)
    again.wait_count("19 pictures")
    assert "picked" in again.tile("fox").get_attribute("aria-label")
    assert again.find(".tally .x").text_content() == "1"


def test_foreign_values_in_the_storage_are_left_out(visitor, night_page):
    profile = visitor.profile()
    tab = visitor.open(night_page, profile=profile)
    tab.wait_count("19 pictures")
    sha = tab.document["tiles"]["sha"][0]
    good = {"mark": "pick", "stars": 0, "note": "", "at": "2026-11-30T05:00:00Z", "sha": sha}
    values = [None, 7, "x", [], {}, good | {"sha": None}, good | {"stars": "5"}, good | {"mark": {}}, good | {"at": 1}]
    stored = {f"1 fox-{number}": value for number, value in enumerate(values, 2)} | {"1 fox": good, "__proto__": good}
    key = f"batchgen:{tab.document['database']}:{tab.document['batch']}"
    tab.page.evaluate("([key, text]) => localStorage.setItem(key, text)", [key, json.dumps(stored)])
    tab.page.close()
    again = visitor.open(night_page, profile=profile)
    again.wait_count("19 pictures")
    assert "picked" in again.tile("fox").get_attribute("aria-label")
    assert again.find(".tally .p").text_content() == "1"
    again.press("End", "x")
    again.wait("() => document.querySelector('.tally .x').textContent === '1'")


def test_tabs_keep_in_step(visitor, night_page):
    profile = visitor.profile()
    one, two = (visitor.open(night_page, profile=profile) for _ in range(2))
    for tab in (one, two):
        tab.wait_count("19 pictures")
    one.page.bring_to_front()
    one.press("p")
    two.wait("() => document.querySelector('.tally .p').textContent === '1'")
    two.page.bring_to_front()
    two.press("End", "x")
    one.wait("() => document.querySelector('.tally .x').textContent === '1'")
    one.wait_marks({"fox": "pick", "lamp-throttled": "reject"})


def test_marks_leave_as_json(tab, tmp_path):
    mark_some(tab)
    document = json.loads(saved(tab, "marks.json", tmp_path).read_text(encoding="utf-8"))
    page = tab.document
    assert (document["schema_version"], document["database"], document["batch"]) == (1, page["database"], "shop")
    assert document["sandbox"] is False
    marks = {mark["id"]: mark for mark in document["marks"]}
    assert set(marks) == {"fox", "fox-2", "fox-3"}
    assert marks["fox"]["sha256"] == page["tiles"]["sha"][0]
    assert (marks["fox"]["picture"], marks["fox"]["mark"], marks["fox"]["at"][-1]) == (1, "pick", "Z")
    assert (marks["fox-3"]["mark"], marks["fox-3"]["stars"], marks["fox-3"]["note"]) == (None, 4, "=warmer, please")


def test_marks_leave_as_csv(tab, tmp_path):
    mark_some(tab)
    with saved(tab, "CSV", tmp_path).open(encoding="utf-8-sig", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert rows["fox-2"]["mark"] == "reject"
    assert rows["fox-3"]["note"] == "'=warmer, please"


@pytest.mark.parametrize("name", ["marks.json", "CSV"])
def test_marks_come_in_from_a_file(tab, visitor, night_page, tmp_path, name):
    mark_some(tab)
    path = saved(tab, name, tmp_path)
    other = visitor.open(night_page)
    other.wait_count("19 pictures")
    drop(other, path.name, path.read_text(encoding="utf-8"))
    other.wait_marks(tab.marks())


def test_files_of_other_pages_are_refused(tab):
    mark = {
        "id": "fox",
        "picture": 1,
        "sha256": "",
        "mark": "pick",
        "stars": 0,
        "note": "",
        "at": "2026-11-30T05:00:00Z",
    }
    page = {
        "schema_version": 1,
        "database": tab.document["database"],
        "batch": "shop",
        "sandbox": False,
        "marks": [mark],
    }
    for change, words in (
        ({"database": "0" * 32}, "another job database"),
        ({"batch": "other"}, "marks of batch other"),
        ({"marks": 1}, "not a file of marks"),
    ):
        drop(tab, "marks.json", json.dumps(page | change))
        tab.toast(words)
        tab.wait_marks({})
    drop(tab, "marks.json", "<script>")
    tab.wait_marks({})


DROP = """([name, text]) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([text], name));
  for (const type of ["dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
}"""


def drop(tab, name, text):
    """Drop a file on the page."""
    tab.evaluate(DROP, [name, text])


def test_full_storage_is_a_message(tab):
    """Marks stay on the page, and a file is offered."""
    tab.evaluate("""() => { let text = "x".repeat(2 ** 20), number = 0;
      for (;;) try { localStorage.setItem(`filler${number++}`, text); }
      catch { if (text.length < 2) break; text = text.slice(0, text.length >> 1); } }""")
    tab.press("p")
    tab.toast("does not keep the marks")
    assert "picked" in tab.tile("fox").get_attribute("aria-label")
    with tab.page.expect_download() as download:
        tab.find(".toasts").get_by_role("button", name="Save").click()
    assert download.value.suggested_filename.endswith(".json")


def test_storage_that_is_off_does_no_harm(visitor, night_page):
    profile = visitor.profile()
    profile.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('off') }})")
    tab = visitor.open(night_page, profile=profile)
    tab.wait_count("19 pictures")
    tab.press("x")
    assert "rejected" in tab.tile("fox").get_attribute("aria-label")


def test_send_back_names_the_commands(tab):
    tab.press("s")
    sheet = tab.role("dialog")
    assert "Nothing is rejected yet" in sheet.text_content()
    tab.press("Escape", "x", "p", "s")
    text = tab.role("dialog").text_content()
    for part in (
        "Send back 1 reject",
        "batchgen marks import",
        "batchgen redo night.yaml --marked reject",
        "--marked pick",
    ):
        assert part in text, part
