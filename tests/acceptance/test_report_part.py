"""The page of a part of a batch: beside the page of the whole batch, which it leaves as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_report import page_of

LOW = {"provider": "openai", "quality": "low", "size": "1024x1024"}


@pytest.fixture
def shop(project):
    jobs = [
        LOW | {"id": "cat", "prompt": "Cat", "tags": ["pets"]},
        LOW | {"id": "dog", "prompt": "Dog", "tags": ["pets"]},
        LOW | {"id": "sun", "prompt": "Sun"},
    ]
    assert project.run("run", project.manifest(jobs), "--yes").code == 0
    return project


def written(project, *options: str) -> Path:
    """Write a report and return its page."""
    done = project.run("report", *options, "--json")
    assert done.code == 0, done.err
    return Path(done.json["page"])


@pytest.mark.parametrize("options", [("--tag", "pets"), ("--since", "1h"), ("--marked", "pick")])
def test_part_of_a_batch_leaves_the_whole_page_as_it_is(shop, options):
    files = [written(shop), written(shop, "--single-file")]
    folder = files[0].parent
    files.append(folder / "report.json")
    before = [path.read_bytes() for path in files]
    assert written(shop, *options) == folder / "selection.html"
    assert written(shop, *options, "--single-file") == folder / "shop-selection.html"
    assert [path.read_bytes() for path in files] == before
    assert f"report    {folder.relative_to(shop.folder)}/index.html" in shop.run("status").out
    again = shop.run("report", "--json").json
    assert (again["page"], again["files"]) == (str(folder / "index.html"), [])


def test_part_of_a_batch_before_any_whole_page_is_not_its_report(shop):
    page = written(shop, "--tag", "pets")
    assert page_of(page)["tiles"]["key"] == ["cat", "dog"]
    assert [path.name for path in page.parent.glob("*.html")] == ["selection.html"]
    assert shop.run("status", "--json").json["report"] is None


def test_page_of_one_run_is_a_part(shop):
    whole = written(shop)
    assert shop.run("redo", "--id", "sun", "--yes").code == 0
    [second, _] = shop.run("list", "runs", "--json").json
    page = written(shop, second["id"])
    assert (page.parent, page.name) == (whole.parent, "selection.html")
    assert page_of(page)["tiles"]["key"] == ["sun"]


def test_part_of_a_batch_in_another_folder_is_its_page(shop, tmp_path):
    assert written(shop, "--tag", "pets", "-o", str(tmp_path / "pages")) == tmp_path / "pages" / "index.html"
