"""The page carried elsewhere: in a zip, as a single file, on paper; a part of the batch."""

from __future__ import annotations

import zipfile

from PIL import Image

from . import batches


def naturals(tab):
    """Return how many pictures of the grid are there, and how many are shown."""
    tab.wait("() => [...document.querySelectorAll('[data-row] img')].every((image) => image.complete)")
    return tab.evaluate("""() => { const all = [...document.querySelectorAll("[data-row] img")];
      return [all.length, all.filter((image) => image.naturalWidth > 0).length]; }""")


def test_zip_opens_elsewhere(visitor, night_project, tmp_path):
    done = night_project.run("report", "--zip", tmp_path / "night.zip", seconds=90)
    assert done.code == 0, done.err
    with zipfile.ZipFile(tmp_path / "night.zip") as file:
        file.extractall(tmp_path / "elsewhere")
    [index] = (tmp_path / "elsewhere").rglob("index.html")
    tab = visitor.open(index, "open=mug-night&mode=before")
    tab.wait("() => [...document.querySelectorAll('.layer.before img')].some((image) => image.naturalWidth > 384)")
    tab.press("v")
    tab.wait("() => [...document.querySelectorAll('.layer.after img')].some((image) => image.naturalWidth === 1024)")
    tab.press("Escape")
    there, shown = naturals(tab)
    assert there == shown > 5
    outside = [url for url in tab.requests if not url.startswith((tmp_path.as_uri(), "data:", "blob:"))]
    assert outside == []


def test_single_file_needs_nothing_beside_it(visitor, night_project, tmp_path):
    done = night_project.run("report", "--single-file", "-o", tmp_path / "out", "--json", seconds=90)
    assert done.code == 0, done.err
    [page] = (tmp_path / "out").rglob("*.html")
    alone = tmp_path / "alone.html"
    alone.write_bytes(page.read_bytes())
    tab = visitor.open(alone)
    tab.wait_count("19 pictures")
    there, shown = naturals(tab)
    assert there == shown > 5
    assert [url for url in tab.requests if url.startswith("file:")] == [alone.as_uri()]


def test_print_is_a_contact_sheet(visitor, night_page, tmp_path):
    tab = visitor.open(night_page)
    tab.wait_count("19 pictures")
    tab.press("p")
    path = tmp_path / "page.pdf"
    tab.page.pdf(path=path, format="A4")
    assert path.read_bytes().startswith(b"%PDF")
    tab.page.emulate_media(media="print")
    tab.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    figures = tab.find(".contact-sheet figure")
    assert figures.count() == 19
    assert "fox" in figures.first.text_content()
    assert "✓" in figures.first.text_content()
    tab.screenshot("print")
    tab.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert figures.count() == 0


def test_part_of_a_batch_is_named_as_such(visitor, night_project, tmp_path):
    batches.report(night_project)
    done = night_project.run("report", "--tag", "animals", "-o", tmp_path / "part", "--json", seconds=90)
    assert done.code == 0, done.err
    [page] = (tmp_path / "part").rglob("index.html")
    tab = visitor.open(page)
    tab.wait_count("6 pictures")
    there, shown = naturals(tab)
    assert there == shown == 6


def test_contact_sheet_holds_every_picture(night_project, tmp_path):
    done = night_project.run("report", "--contact-sheet", tmp_path / "sheet.png", seconds=90)
    assert done.code == 0, done.err
    with Image.open(tmp_path / "sheet.png") as sheet:
        sheet.load()
        assert sheet.width > 800
        assert sheet.height > 800
