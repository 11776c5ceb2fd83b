"""One sitting: mark on the page, save, import, redo the rejects, look at the page again; the charge log is witness."""

from __future__ import annotations

import csv
import json
import shlex

import pytest

from tests.acceptance.kit import Witness

from . import batches

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def project(workspace):
    return batches.shop(workspace("sitting"))


def download(tab, button, folder):
    """Save a file from an open sheet or section, as the browser names it; return its path."""
    with tab.page.expect_download() as saved:
        button.click()
    path = folder / saved.value.suggested_filename
    saved.value.save_as(path)
    return path


def typed(command, **replaced):
    """Return the arguments of a command that the page shows."""
    words = shlex.split(command)
    assert words[0] == "batchgen"
    return [replaced.get(word, word) for word in words[1:]]


def test_from_reject_to_replaced_picture(visitor, project, providers):
    tab = visitor.open(batches.report(project))
    tab.wait_count("6 pictures")
    tab.press("p", "x")  # cat: pick, cat-2: reject
    tab.press("End", "n")
    tab.page.keyboard.type("the handle is missing")
    tab.press("Escape", "x", "Escape")
    tab.wait_marks({"cat": "pick", "cat-2": "reject", "mug": "reject 'the handle is missing'"})
    tab.press("s")
    sheet = tab.role("dialog")
    marks = download(tab, sheet.get_by_role("button", name="marks.json"), project.folder)
    commands = sheet.locator("pre").all_text_contents()
    [take] = [command for command in commands if "marks import" in command]
    [redo] = [command for command in commands if "redo" in command]
    [export] = [command for command in commands if "export" in command]

    taken = project.run(*typed(take), "--json")
    assert taken.code == 0, taken.err
    picked = project.run(*typed(export))
    assert picked.code == 0, picked.err
    before = json.loads(project.run("show", "cat-2", "--json").out)
    witness = Witness(providers.log)
    done = project.run(*typed(redo), "--with", "quality=high", "--yes", seconds=90)
    assert done.code == 3, done.err  # the wolf is still refused
    arrived = witness.arrivals()
    assert sorted(line["prompt"] for line in arrived) == ["A cat on a sofa", "The same mug in autumn light"]
    again = project.run(*typed(redo), "--with", "quality=high", "--yes", seconds=90)
    assert len(witness.arrivals()) == 2, again.err  # the replaced pictures are no longer rejected

    tab = visitor.open(batches.report(project))
    tab.wait_count("6 pictures")
    tiles = tab.document["tiles"]
    row = tab.row("cat-2")
    assert tiles["sha"][row] != marks_of(marks)["cat-2"]["sha256"][:16]
    assert [form["sha"] for form in tiles["earlier"][str(row)]] == [marks_of(marks)["cat-2"]["sha256"][:16]]
    assert "picked" in tab.tile("cat").get_attribute("aria-label")
    assert "rejected" not in tab.tile("cat-2").get_attribute("aria-label")
    tab.tile("cat-2").dblclick()
    tab.press("v")
    tab.wait("() => document.querySelector('.layer.before img')?.naturalWidth > 0")
    panel = tab.role("complementary", "Details")
    panel.get_by_text("Earlier").first.wait_for()
    assert "high" in panel.text_content()
    assert before["schema_version"] == 1


def marks_of(path):
    return {mark["id"]: mark for mark in json.loads(path.read_text(encoding="utf-8"))["marks"]}


def test_refused_prompts_leave_as_csv_and_come_back_edited(visitor, project, providers):
    tab = visitor.open(batches.report(project))
    need = tab.find("article.need", has_text="Refused")
    path = download(tab, need.get_by_role("button", name="CSV"), project.folder)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["wolf"]
    rows[0]["prompt"] = "A wolf in a meadow"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    [command] = [text for text in need.locator("pre").all_text_contents() if "--prompts" in text]
    witness = Witness(providers.log)
    done = project.run(*typed(command), "--yes", seconds=90)
    assert done.code == 0, done.err
    assert [line["prompt"] for line in witness.arrivals()] == ["A wolf in a meadow"]
    tab = visitor.open(batches.report(project))
    tab.wait_count("7 pictures")
    assert tab.tile("wolf").get_attribute("aria-label").startswith("A wolf in a meadow")


def test_marks_of_a_sandbox_page_never_touch_real_jobs(visitor, project, tmp_path):
    project.run("run", "shop.yaml", "--sandbox", "--yes", seconds=90)
    try:
        written = json.loads(project.run("report", "--sandbox", "--json", seconds=90).out)
        tab = visitor.open(project.folder / written["page"])
        tab.wait_count("6 pictures")
        assert "Sandbox" in tab.find(".over").text_content()
        tab.press("x", "s")
        path = download(tab, tab.role("dialog").get_by_role("button", name="marks.json"), tmp_path)
        refused = project.run("marks", "import", path)
        assert refused.code == 2
        assert "--sandbox" in refused.err
        assert project.run("marks", "import", path, "--sandbox").code == 0
        assert project.rows("select * from marks") == []
        real = visitor.open(batches.report(project))
        real.wait_count("6 pictures")
        assert real.marks() == {}
    finally:
        batches.stop_sandbox(project)
