"""The report command: the page of a batch on disk, in a zip and as a contact sheet."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from PIL import Image

from batchgen.app.project import Project
from batchgen.app.report import document
from batchgen.app.report.write import write
from batchgen.planning.selection import Selection
from tests.app.page_types import mistakes

from .kit import SECRET, wait_for

LOW = {"provider": "openai", "quality": "low", "size": "1024x1024"}
JOBS = [
    LOW | {"id": "cat", "prompt": "Cat </script><script>alert(1)</script>", "tags": ["pets", "small"]},
    LOW | {"id": "dog", "prompt": "Dog", "tags": ["pets"], "n": 2, "per_request": 2},
    LOW | {"id": "hat", "prompt": "Hat on it", "images": ["photo.png"], "mask": "mask.png"},
    {"id": "sun", "prompt": "Sun", "provider": "aimlapi", "model": "gpt-image-2"},
    LOW | {"id": "bad", "prompt": "Bad [sandbox: refuse]"},
]


@pytest.fixture
def shop(project):
    Image.new("RGB", (320, 200), "#336699").save(project.folder / "photo.png")
    Image.new("RGBA", (320, 200), (0, 0, 0, 0)).save(project.folder / "mask.png")
    assert project.run("run", project.manifest(JOBS), "--yes").code == 3
    return project


def page_of(path: Path) -> dict:
    """Return the document in a page."""
    text = path.read_text(encoding="utf-8")
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(data)


def report(project, *arguments) -> dict:
    """Write a report and return its document."""
    done = project.run("report", *arguments, "--json")
    assert done.code == 0, done.err
    return page_of(Path(done.json["page"]))


def links(page: dict, folder: Path) -> list[Path]:
    """Return the files that a page in *folder* links to."""
    inside, paths = page["folder"], filter(None, page["tiles"]["path"])
    delivered = [folder / page["folder_url"] / path.removeprefix(inside) for path in paths]
    return delivered + [folder / unquote(source["url"]) for source in page["words"]["source"]]


def test_page_shows_every_picture_and_failure(shop):
    done = shop.run("report")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "report    output/shop/report/index.html    5 pictures, 1 failed"
    assert lines[1].startswith("suspect ")  # the pictures of this sandbox are tiny
    assert lines[2].startswith("next      batchgen list --batch shop --suspect ")
    folder = shop.folder / "output/shop/report"
    page = page_of(folder / "index.html")
    tiles = page["tiles"]
    assert tiles["key"] == ["cat", "dog", "dog", "hat", "sun", "bad"]
    assert (tiles["ordinal"], tiles["job"]) == ([0, 0, 1, 0, 0, -1], [0, 1, 1, 2, 3, 4])
    assert [page["words"]["state"][number] for number in tiles["state"]] == ["done"] * 5 + ["failed"]
    assert len(page["details"]) == len(JOBS)
    assert all(path.is_file() for path in links(page, folder))
    assert all((folder / "thumbs" / f"{sha}.webp").is_file() for sha in filter(None, tiles["sha"]))
    assert (tiles["no_thumb"], tiles["gone"]) == ([], [])
    [need] = page["needs"]
    assert (need["cause"], need["ids"]) == ("refused", ["bad"])
    assert need["prompts"][0]["prompt"] == "Bad [sandbox: refuse]"
    assert page["head"]["jobs"] == {
        "total": 5, "pending": 0, "running": 0, "done": 4, "failed": 1, "unknown": 0, "cancelled": 0,
        "at_provider": 0,
    }  # fmt: skip


def test_page_states_what_usage_states(shop):
    page, usage = report(shop), shop.run("usage", "--json").json
    assert page["head"]["usd"] == usage["totals"]["usd"]
    assert page["head"]["attempts"] == usage["totals"]["attempts"]
    assert page["head"]["credits"] == usage["totals"]["credits"]
    by_provider = {bar["name"]: bar["images"] for bar in page["costs"]["provider"]}
    assert by_provider == {line["provider"]: line["images"] for line in usage["by"]}
    assert sum(page["night"]["bars"]) == 5


def test_prompt_of_a_job_cannot_end_its_script(shop):
    report(shop)
    text = (shop.folder / "output/shop/report/index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert text.count("</script>") == 2


def test_no_key_is_in_a_report(shop):
    shop.run("report")
    folder = shop.folder / "output/shop/report"
    assert [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []


def test_second_report_of_an_unchanged_batch_writes_nothing(shop):
    report(shop)
    folder = shop.folder / "output/shop/report"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    again = shop.run("report", "--json").json
    assert (again["files"], again["thumbnails"]["made"]) == ([], 0)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_report_that_was_deleted_is_written_again(shop):
    first = report(shop)
    for path in sorted((shop.folder / "output/shop/report").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert report(shop)["tiles"] == first["tiles"]


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (("--id", "d*"), ["dog", "dog"]),
        (("--tag", "pets", "--limit", 1), ["cat"]),
        (("--provider", "aimlapi"), ["sun"]),
        (("--model", "gpt-image-2", "--sample", 1, "--seed", 3), None),
        (("--kind", "edit"), ["hat"]),
        (("--status", "failed", "--cause", "refused"), ["bad"]),
        (("--shard", "1/1", "--ids-from", "ids.txt"), ["sun"]),
        (("--since", "2020-01-01"), ["cat", "dog", "dog", "hat", "sun", "bad"]),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_options_select_what_the_page_shows(shop, options, keys):
    (shop.folder / "ids.txt").write_text("sun\n", encoding="utf-8")
    done = shop.run("report", *options, "--json")
    found = page_of(Path(done.json["page"]))["tiles"]["key"]
    assert len(set(found)) == 1 if keys is None else found == keys


def test_mark_selects_single_pictures(shop):
    report(shop)
    with closing(sqlite3.connect(shop.state / "batchgen.db")) as database, database:
        [(batch, job, artifact, sha)] = database.execute(
            "SELECT batch_id, jobs.id, artifacts.id, sha256 FROM jobs JOIN artifacts ON job_id = jobs.id "
            "WHERE key = 'dog' AND ordinal = 1"
        )
        values = (batch, job, artifact, sha)
        database.execute("INSERT INTO marks VALUES (NULL, ?, ?, 1, ?, ?, 'reject', 0, 'blurred', 0)", values)
    page = page_of(Path(shop.run("report", "--marked", "reject", "--json").json["page"]))
    assert (page["tiles"]["key"], page["tiles"]["ordinal"]) == (["dog"], [1])
    [mark] = page["tiles"]["marks"].values()
    assert (mark["mark"], mark["note"], mark["sha"]) == ("reject", "blurred", sha[:16])


@pytest.mark.parametrize(("option", "hint"), [("--tag=birds", False), ("--marked=reject", True)])
def test_selection_that_matches_nothing_is_a_warning(shop, option, hint):
    done = shop.run("report", option)
    assert f"the page is empty, because nothing matched {option.replace('=', ' ')}" in done.err
    assert ("marks import --batch shop FILE" in done.err) is hint


def test_suspect_selects_pictures_in_the_first_report_of_all(shop):
    page = page_of(Path(shop.run("report", "--suspect", "tiny", "--tag", "pets", "--json").json["page"]))
    assert page["tiles"]["key"] == ["cat", "dog", "dog"]
    assert set(page["tiles"]["suspects"]) == {"0", "1", "2"}


def test_report_of_one_run_has_only_its_pictures(shop):
    [first] = shop.run("list", "runs", "--json").json
    assert shop.run("redo", "--id", "sun", "--yes").code == 3  # by the failure of another job
    second = shop.run("list", "runs", "--json").json[0]
    assert report(shop, second["id"])["tiles"]["key"] == ["sun"]
    assert report(shop, "--since", second["id"])["tiles"]["key"] == ["sun"]
    assert "sun" not in report(shop, first["id"])["tiles"]["key"]
    assert shop.run("report", "20200101-000000-abcdef").code == 10


def test_earlier_form_of_a_picture_is_shown_beside_it(shop):
    before = report(shop)["tiles"]
    assert shop.run("redo", "--id", "sun", "--with", "quality=high", "--yes").code == 3
    page = report(shop)
    [forms] = page["tiles"]["earlier"].values()
    assert forms[0]["sha"] == before["sha"][4]
    assert (shop.folder / forms[0]["path"]).is_file()
    assert (shop.folder / "output/shop/report/thumbs" / f"{forms[0]['sha']}.webp").is_file()


def test_zip_shows_everything_wherever_it_is_unpacked(shop, tmp_path_factory):
    done = shop.run("report", "--zip", "--json")
    assert Path(done.json["zip"]["path"]) == shop.folder / "output/shop.zip"
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with zipfile.ZipFile(done.json["zip"]["path"]) as archive:
        assert archive.testzip() is None
        archive.extractall(elsewhere)
    folder = elsewhere / "shop/report"
    page = page_of(folder / "index.html")
    assert len(links(page, folder)) == 7
    for path in links(page, folder):
        assert path.resolve().is_relative_to(elsewhere)
        assert path.is_file()
    shas = [*filter(None, page["tiles"]["sha"]), *(source["sha"] for source in page["words"]["source"])]
    assert all((folder / "thumbs" / f"{sha}.webp").is_file() for sha in shas)
    assert (elsewhere / "shop/cat.png.json").is_file()


def test_zip_has_the_name_that_is_given(shop):
    assert shop.run("report", "shop", "--zip", "hand/over.zip").code == 1
    assert shop.run("report", "shop", "--zip", "over.zip").code == 0
    assert zipfile.is_zipfile(shop.folder / "over.zip")
    wrong = shop.run("report", "--zip", "shop")
    assert wrong.code == 2
    assert "report BATCH --zip" in wrong.err


def test_single_file_has_its_thumbnails_inside(shop):
    done = shop.run("report", "--single-file", "--json").json
    page = page_of(Path(done["page"]))
    assert Path(done["page"]).name == "shop.html"
    assert set(filter(None, page["tiles"]["sha"])) <= set(page["inline"])


@pytest.mark.parametrize("name", ["sheet.pdf", "sheet.png"])
def test_contact_sheet_has_every_picture(shop, name):
    done = shop.run("report", "--contact-sheet", name, "--json").json
    assert done["contact_sheet"] == {"files": [str(shop.folder / name)], "pages": 1}
    head = (shop.folder / name).read_bytes()[:5]
    assert head == (b"%PDF-" if name.endswith("pdf") else b"\x89PNG\r")


def test_contact_sheet_of_another_kind_is_refused(shop):
    done = shop.run("report", "--contact-sheet", "sheet.docx")
    assert done.code == 2
    assert ".pdf or .png" in done.err


def test_other_folder_has_links_that_work(shop):
    done = shop.run("report", "--out", "web/page", "--json").json
    folder = shop.folder / "web/page"
    assert Path(done["page"]) == folder / "index.html"
    assert all(path.is_file() for path in links(page_of(folder / "index.html"), folder))


def test_open_shows_the_page(shop):
    opener = shop.folder / "opener"
    opener.write_text(f"#!{sys.executable}\nimport sys\nopen('opened', 'w').write(sys.argv[1])\n", encoding="utf-8")
    opener.chmod(0o755)
    assert shop.run("report", "--open", BATCHGEN_OPENER=str(opener)).code == 0
    wait_for((shop.folder / "opened").exists)
    wait_for(lambda: (shop.folder / "opened").read_text() == str(shop.folder / "output/shop/report/index.html"))


def test_two_batches_of_one_folder_have_reports_of_their_own(project):
    for name in ("spring", "autumn"):
        jobs = [LOW | {"id": f"{name}-cat", "prompt": "Cat"}]
        manifest = yaml.safe_load(project.manifest(jobs, output={"dir": "shared"}).read_text(encoding="utf-8"))
        (project.folder / f"{name}.yaml").write_text(yaml.safe_dump(manifest | {"name": name}), encoding="utf-8")
        assert project.run("run", f"{name}.yaml", "--yes").code == 0
    assert report(project, "--batch", "spring")["batch"] == "spring"
    assert report(project, "autumn")["batch"] == "autumn"
    pages = {path.parent.name: page_of(path) for path in (project.folder / "shared").glob("report*/index.html")}
    assert {name: page["batch"] for name, page in pages.items()} == {"report": "spring", "report-autumn": "autumn"}


def test_batch_that_delivered_nothing_has_a_report(project):
    jobs = [LOW | {"id": "bad", "prompt": "Bad [sandbox: refuse]"}]
    assert project.run("run", project.manifest(jobs), "--yes").code in (3, 5)
    page = report(project)
    assert (page["head"]["images"], page["tiles"]["path"]) == (0, [""])
    assert page["words"]["source"] == []


def test_file_that_is_gone_is_shown_as_gone(shop):
    report(shop)
    (shop.folder / "output/shop/cat.png").unlink()
    page = report(shop)
    assert page["tiles"]["gone"] == [0]


def test_without_a_batch_it_ends_with_10(project):
    assert project.run("report").code == 10
    assert project.run("report", "--sandbox").code == 10


def test_folder_that_cannot_be_written_is_named(shop):
    (shop.folder / "blocked").write_text("a file", encoding="utf-8")
    done = shop.run("report", "-o", "blocked/page")
    assert done.code == 1
    assert "blocked/page" in done.err
    assert "batchgen report --batch shop -o DIR" in done.err


def test_project_that_was_moved_gets_no_report_at_its_old_place(shop):
    new = shop.folder.with_name("elsewhere")
    shop.folder.rename(new)
    done = shop.run("-C", new, "report", cwd=new)
    assert done.code == 1, done.err
    assert "If the project was moved, a run finds both again: batchgen run MANIFEST" in done.err
    assert not shop.folder.exists()
    assert shop.run("-C", new, "run", new / "m.yaml", "--yes", cwd=new).code == 3
    assert shop.run("-C", new, "report", cwd=new).code == 0
    assert (new / "output" / "shop" / "report" / "index.html").exists()


def test_file_named_report_keeps_its_place(shop):
    (shop.folder / "output/shop/report").write_text("notes of the user", encoding="utf-8")
    assert Path(shop.run("report", "--json").json["page"]) == shop.folder / "output/shop/report-shop/index.html"
    assert (shop.folder / "output/shop/report").read_text(encoding="utf-8") == "notes of the user"


def test_document_has_the_shape_that_the_page_expects(shop):
    assert shop.run("redo", "--id", "sun", "--yes").code == 3
    page = report(shop)
    assert mistakes(page, "PageDocument") == []
    page["tiles"].pop("sha")
    page["head"]["images"] = "5"
    assert len(mistakes(page, "PageDocument")) == 2


def test_key_in_a_prompt_is_not_in_the_report(project):
    key = "correct horse battery"  # the key of no provider here, so that the run does not know it
    jobs = [LOW | {"id": "cat", "prompt": f"A cat named {key}"}]
    assert project.run("run", project.manifest(jobs), "--yes").code == 0
    page = page_of(Path(project.run("report", "--json", SHOP_API_KEY=key).json["page"]))
    assert page["words"]["prompt"] == ["A cat named [hidden]"]
    assert key not in json.dumps(page)


def test_status_names_the_report_and_whether_it_is_old(shop):
    assert shop.run("status", "--json").json["report"] is None
    page = shop.run("report", "--json").json["page"]
    assert shop.run("status", "--json").json["report"] == page
    assert "report    output/shop/report/index.html\n" in shop.run("status").out
    for text in (shop.run("redo", "--id", "sun", "--yes").err, shop.run("status").out):
        assert "index.html    older than the last run: batchgen report writes it again" in text


def test_details_of_many_pictures_are_in_files_of_their_own(shop, monkeypatch):
    monkeypatch.setattr(document, "INLINE", 3)
    monkeypatch.setattr(document, "PAGE", 2)
    monkeypatch.chdir(shop.folder)
    project = Project.of(shop.folder, None)
    page = write(project, None).page
    content = page_of(page)
    assert ("details" in content, content["chunk"]) == (False, 2)
    chunks = sorted((page.parent / "data").glob("*.js"))
    assert [path.name for path in chunks] == ["0000.js", "0001.js", "0002.js"]
    matches = [re.fullmatch(r"batchgenDetails\((\d+),(.*)\);\n", path.read_text(encoding="utf-8")) for path in chunks]
    details = [entry for match in matches for entry in json.loads(match[2])]
    assert [entry["parameters"]["n"] for entry in details] == [1, 2, 1, 1, 1]
    assert "'self' file:" in page.read_text(encoding="utf-8")
    part = page_of(write(project, None, Selection(ids=("cat", "dog", "hat"))).page)
    assert [entry["parameters"]["n"] for entry in part["details"]] == [1, 2, 1]
    assert sorted((page.parent / "data").glob("*.js")) == chunks
    monkeypatch.setattr(document, "PAGE", 4)
    write(project, None)
    assert [path.name for path in (page.parent / "data").glob("*.js")] == ["0000.js", "0001.js"]
