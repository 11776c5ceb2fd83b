"""Marks: from what was rejected to new pictures, each bought once; files of other places never mark anything."""

from __future__ import annotations

import csv
import json
import signal
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest

from batchgen.sandbox import launch

from .kit import Witness, Workspace, check_books, check_files, finish, wait_for

AT = "2026-03-01T06:30:00.000Z"


def job(key: str, **fields: Any) -> dict[str, Any]:
    return {"id": key, "provider": "openai", "quality": "low", "prompt": f"P {key}"} | fields


@pytest.fixture
def shop(project: Workspace) -> str:
    """A batch of three done jobs, one of them with two pictures, and a refused one."""
    jobs = [job("cat"), job("dog"), job("pair", n=2, per_request=2), job("lost", prompt="[sandbox: refuse] P lost")]
    manifest = project.manifest(jobs)
    assert project.run("run", manifest, "--yes").code == 3
    return manifest


def entry(key: str, picture: int, mark: str | None, **fields: Any) -> dict[str, Any]:
    return {"id": key, "picture": picture, "mark": mark, "stars": 0, "note": "", "at": AT} | fields


def saved(project: Workspace, *entries: dict[str, Any], **changes: Any) -> str:
    """Write what the page would save: the marks with the hashes that the pictures have now."""
    document = project.run("marks", "list", "--json").json
    hashes = {
        (row["id"], file["picture"]): file["sha256"][:16]
        for row in project.run("list", "--json").json
        for file in row["files"]
    }
    marks = [{"sha256": hashes.get((each["id"], each["picture"]), "")} | each for each in entries]
    text = json.dumps(document | {"marks": marks} | changes)
    (project.folder / "marks.json").write_text(text, encoding="utf-8")
    return "marks.json"


def marked(project: Workspace) -> dict[str, str]:
    rows = project.run("marks", "list", "--json").json["marks"]
    return {f"{row['id']}/{row['picture']}": row["mark"] or row["note"] for row in rows}


def test_sitting_from_reject_to_new_picture(project, shop, witness):
    rejects = [
        entry("dog", 1, "reject", note="the tail is cut off"),
        entry("pair", 2, "reject", stars=1, note="=1+1"),
    ]
    others = [entry("cat", 1, "pick", stars=4), entry("pair", 1, "pick"), entry("lost", 0, None, note="ask anew")]
    done = project.run("marks", "import", saved(project, *rejects, *others))
    assert done.code == 0, done.err
    assert "5 marks from marks.json: 2 pick, 2 reject, 2 with stars, 3 with a note" in done.out
    assert "batchgen export --batch shop --marked pick --files DIR" in done.out
    assert "batchgen redo m.yaml --marked reject" in done.out
    before = {path.name: path.read_bytes() for path in project.images()}

    exported = project.run("export", "--marked", "pick", "--files", "picked")
    lines = [json.loads(line) for line in exported.out.splitlines()]
    assert [(line["id"], len(line["files"]), line["marks"][0]["mark"]) for line in lines] == [
        ("cat", 1, "pick"), ("pair", 1, "pick"),
    ]  # fmt: skip
    picked = {path.name: path.read_bytes() for path in (project.folder / "picked").iterdir()}
    assert len(picked) == 2
    assert set(picked.values()) < set(before.values())

    redone = project.run("redo", shop, "--marked", "reject", "--with", "quality=high", "--yes")
    assert "2 with the note of the mark" in redone.err
    assert witness.prompts() == ["P dog", "P pair"]
    qualities = {row["id"]: project.run("show", row["id"], "--json").json["task"]["quality"]
                 for row in project.run("list", "--json").json}  # fmt: skip
    assert qualities == {"cat": "low", "dog": "high", "pair": "high", "lost": "low"}
    assert marked(project) == {"cat/1": "pick", "lost/0": "ask anew"}
    notes = {path.name: json.loads(path.with_name(f"{path.name}.json").read_text()).get("note")
             for path in project.images()}  # fmt: skip
    assert notes["dog.png"] == "the tail is cut off"
    assert notes["cat.png"] is None
    assert set(notes.values()) == {None, "the tail is cut off", "2: =1+1"}

    # The same commands again buy nothing: the rejected pictures are gone, and their marks are not taken again.
    again = project.run("marks", "import", "marks.json")
    assert "2 here already; 3 of pictures that were replaced since: skipped" in again.out
    assert project.run("redo", shop, "--marked", "reject", "--with", "quality=high", "--yes").code == 3
    assert len(witness.arrivals()) == 2
    check_files(project)


def test_marks_are_shown_by_list_show_and_export(project, shop):
    project.run("marks", "import", saved(project, entry("pair", 2, "reject", stars=3, note="=cmd"),
                                         entry("cat", 1, "pick")))  # fmt: skip
    listed = project.run("list")
    assert "mark" in listed.out.splitlines()[0]
    assert "2: reject, 3 stars" in listed.out
    assert [row["id"] for row in project.run("list", "--marked", "3", "--json").json] == ["pair"]
    assert {row["id"] for row in project.run("list", "--marked", "none", "--json").json} == {"dog", "pair"}
    shown = project.run("show", "pair")
    assert "mark      picture 2: reject, 3 stars: =cmd" in shown.out
    assert project.run("show", "pair", "--json").json["marks"] == [
        {"picture": 2, "mark": "reject", "stars": 3, "note": "=cmd", "at": AT,
         "sha256": project.run("show", "pair", "--json").json["files"][1]["sha256"]},
    ]  # fmt: skip
    rows = list(csv.DictReader(StringIO(project.run("export", "--format", "csv", "--marked", "reject").out)))
    assert [(row["id"], row["mark"], row["stars"], row["note"]) for row in rows] == [("pair", "reject", "3", "'=cmd")]
    assert "nothing matched" not in project.run("verify", "--marked", "pick").err
    assert project.run("verify", "--marked", "pick", "--json").json["checked"] == 1


def test_table_of_marks_goes_out_and_comes_back(project, shop):
    project.run(
        "marks", "import", saved(project, entry("cat", 1, "pick", note="-5 degrees"), entry("dog", 1, "reject"))
    )
    table = project.run("marks", "list", "--csv").out
    assert "'-5 degrees" in table
    cleared = project.run("marks", "clear", "--marked", "pick")
    assert "cleared 1 mark: 1 pick, 1 with a note" in cleared.err
    assert marked(project) == {"dog/1": "reject"}
    [undo] = (project.state / "marks").glob("cleared-*.json")
    assert f"batchgen marks import {undo.relative_to(project.folder)}" in cleared.err
    assert project.run("marks", "clear", "--batch", "shop").code == 0
    assert marked(project) == {}
    (project.folder / "edited.csv").write_text(table.replace("reject", "pick"), encoding="utf-8")
    done = project.run("marks", "import", "edited.csv")
    assert "a table does not name its job database" in done.out
    assert marked(project) == {"cat/1": "pick", "dog/1": "pick"}
    assert (
        project.run("marks", "list", "--json", "--marked", "pick", "--id", "c*").json["marks"][0]["note"]
        == "-5 degrees"
    )


def test_later_mark_of_two_people_counts(project, shop):
    late = (datetime.fromisoformat(AT) + timedelta(minutes=5)).astimezone(UTC).isoformat()
    project.run("marks", "import", saved(project, entry("cat", 1, "reject", at=late), entry("dog", 1, "pick")))
    (project.folder / "marks.json").rename(project.folder / "ada.json")
    saved(project, entry("cat", 1, "pick"), entry("dog", 1, "reject", at=late))
    done = project.run("marks", "import", "ada.json", "marks.json")
    assert "1 mark from marks.json: 1 reject" in done.out
    assert "1 older than those here, which stay" in done.out
    assert marked(project) == {"cat/1": "reject", "dog/1": "reject"}
    document = project.run("marks", "import", "ada.json", "--json").json
    assert (document["files"][0]["same"], document["files"][0]["older"], document["files"][0]["set"]) == (1, 1, 0)


def test_missing_file_is_looked_for_among_the_downloads(project, shop):
    home = project.folder / "home"
    done = project.run("marks", "import", "marks.json", HOME=str(home))
    assert (done.code, "usually ~/Downloads" in done.err) == (2, True)
    (home / "Downloads").mkdir(parents=True)
    (home / "Downloads/marks.json").write_text("{}")
    done = project.run("marks", "import", "marks.json", HOME=str(home))
    assert f"There is one in your downloads: {home / 'Downloads/marks.json'}" in done.err


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"sandbox": True}, 2, "marks.json has marks of a sandbox run, and cannot mark real jobs"),
        ({"batch": "winter"}, 2, "marks of batch winter, which this job database does not have. There are: shop"),
        ({"database": "0" * 32, "marks": [entry("cat", 1, "pick", sha256="0" * 16)]}, 2, "another job database"),
        ({"marks": [entry("cta", 1, "pick", sha256="0" * 16)]}, 10, "cta (marks.json:1, did you mean 'cat'?)"),
        ({"marks": [entry("cat", 1, "best", sha256="0" * 16)]}, 2, "entry 1: mark must be pick, reject or null"),
        ({"schema_version": 2}, 2, "Upgrade batchgen"),
    ],
)
def test_file_that_does_not_fit_changes_nothing(project, shop, changes, code, message):
    name = saved(project, entry("cat", 1, "pick"), **changes)
    done = project.run("marks", "import", name)
    assert (done.code, message in done.err, "Nothing was changed" in done.err) == (code, True, True), done.err
    assert marked(project) == {}


def test_file_of_another_batch_is_refused(project, shop):
    saved(project, entry("cat", 1, "pick"))
    (project.folder / "other.yaml").write_text((project.folder / shop).read_text().replace("name: shop", "name: other"))
    done = project.run("marks", "import", "marks.json", "--batch", "other")
    assert (done.code, "batchgen marks import marks.json --batch shop" in done.err) == (2, True), done.err
    table = "id,picture,sha256,mark\ncat,1,0000000000000000,reject\n"
    (project.folder / "m.csv").write_text(table)
    done = project.run("marks", "import", "m.csv")
    assert (done.code, "none of its 1 marks is of a picture that shop has now" in done.err) == (2, True), done.err
    assert project.run("marks", "import", "gone.json").code == 2


def test_rebuilt_job_database_takes_marks_of_its_pictures(project, shop):
    saved(project, entry("cat", 1, "pick"), entry("pair", 2, "reject"))
    project.lose_database()
    assert project.run("db", "recover", shop).code == 0
    done = project.run("marks", "import", "marks.json")
    assert "another job database, which had the same pictures" in done.out, done.err
    assert marked(project) == {"cat/1": "pick", "pair/2": "reject"}


def test_suspects_select_only_once_they_were_looked_for(project, shop, witness):
    for command in ("list --suspect tiny", f"redo {shop} --suspect tiny --yes", f"retry {shop} --suspect tiny --yes",
                    "export --suspect tiny", "verify --suspect tiny", "marks list --suspect tiny",
                    "marks clear --suspect tiny"):  # fmt: skip
        done = project.run(*command.split())
        assert (done.code, "`batchgen report`, or `batchgen verify --deep`" in done.err) == (2, True), done.err
    assert witness.arrivals() == []


def test_redo_of_suspects_buys_each_once(project, shop, witness):
    assert project.run("verify", "--deep").code == 0
    [suspect] = project.run("show", "cat", "--json").json["suspects"][:1]
    assert "suspect   " in project.run("show", "cat").out
    kind = suspect["kind"]
    assert "cat" in {row["id"] for row in project.run("list", "--suspect", kind, "--json").json}
    for _ in range(2):  # what was made again has not been examined yet, and is not made again by the same command
        assert project.run("redo", shop, "--suspect", kind, "--id", "cat", "--yes").code in (0, 3)
        assert witness.prompts() == ["P cat"]
    assert "cat" not in {row["id"] for row in project.run("list", "--suspect", kind, "--json").json}


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    with launch.start(
        tmp_path_factory.mktemp("slow"), latency="0.4", idle_exit=90, extra=["--draw", "small"]
    ) as running:
        yield running


@pytest.fixture
def eight(tmp_path, slow, project) -> tuple[Workspace, str]:
    """A batch of eight jobs at a slow sandbox."""
    return at_slow_sandbox(tmp_path / "eight", slow, project, jobs=8)


@pytest.fixture
def forty(tmp_path, slow, project) -> tuple[Workspace, str]:
    """A batch whose run lasts longer than some commands beside it."""
    return at_slow_sandbox(tmp_path / "forty", slow, project, jobs=40)


def at_slow_sandbox(folder, slow, project, *, jobs) -> tuple[Workspace, str]:
    shop = Workspace(folder=folder, url=slow.url, env=project.env)
    shop.folder.mkdir()
    limits = {"openai": {"limits": {"concurrency": 2}}}
    return shop, shop.manifest([job(f"k{number}") for number in range(jobs)], providers=limits)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [[], ["--with", "quality=high"]], ids=["same", "high"])
def test_redo_of_rejects_that_is_killed_buys_nothing_twice(eight, slow, changes):
    shop, manifest = eight
    witness = Witness(slow.log)
    assert shop.run("run", manifest, "--yes").code == 0
    shop.run("marks", "import", saved(shop, *(entry(f"k{number}", 1, "reject") for number in range(6))))
    process = shop.start("redo", manifest, "--marked", "reject", "--yes", *changes)
    wait_for(lambda: witness.arrived >= 8 + 3, process)
    process.kill()
    assert finish(process).code == -signal.SIGKILL
    for _ in range(3):  # what waits is finished first, then the rest, then nothing is left
        done = shop.run("redo", manifest, "--marked", "reject", "--yes", *changes)
        assert done.code == 0, done.err
    assert marked(shop) == {}
    bought = [line for line in witness.charges() if line["attempt"]]
    # Calls that were cut off may be charged again: each is in the ledger as unknown.
    rows = shop.rows("select cause from attempts where cause = 'unknown'")
    assert 14 <= len(bought) <= 14 + len(rows) <= 16
    check_books(shop, bought)
    check_files(shop)


@pytest.mark.slow
def test_marks_are_imported_and_cleared_during_a_run(forty, slow):
    shop, manifest = forty
    witness = Witness(slow.log)
    process = shop.start("run", manifest, "--yes")

    def delivered():
        listing = shop.run("list", "--status", "done", "--json")
        return listing.code == 0 and listing.json

    wait_for(delivered, process)
    [first, *_] = shop.run("list", "--status", "done", "--json").json
    for mark in ("pick", "reject"):
        name = saved(shop, entry(first["id"], 1, mark, at=datetime.now(UTC).isoformat()))
        done = shop.run("marks", "import", name)
        assert done.code == 0, done.err
        assert marked(shop) == {f"{first['id']}/1": mark}
    assert shop.run("marks", "clear").code == 0
    assert shop.run("marks", "import", "marks.json").code == 0
    assert process.poll() is None, "the run ended before the marks were made"
    assert finish(process).code == 0
    assert marked(shop) == {f"{first['id']}/1": "reject"}
    assert len(witness.charges()) == 40
    check_books(shop, [line for line in witness.charges() if line["attempt"]])


def test_marks_of_orphaned_jobs_stay(project, shop):
    project.run("marks", "import", saved(project, entry("cat", 1, "reject"), entry("dog", 1, "reject")))
    project.manifest([job("cat")])
    assert project.run("run", shop, "--yes").code == 0
    assert marked(project) == {"cat/1": "reject", "dog/1": "reject"}
    assert [row["id"] for row in project.run("list", "--marked", "reject", "--json").json] == ["cat"]
    done = project.run("redo", shop, "--marked", "reject", "--dry-run", "--json")
    assert done.json["requeued"] == ["cat"]


def test_retry_takes_failed_jobs_by_their_mark(project, shop, witness):
    project.run("marks", "import", saved(project, entry("lost", 0, "reject", note="softer")))
    done = project.run("retry", shop, "--marked", "reject", "--with", "prompt=A safe one", "--yes")
    assert done.code == 0, done.err
    assert witness.prompts() == ["A safe one"]
    assert project.run("show", "lost", "--json").json["note"] == "softer"
    assert marked(project) == {}


def test_redo_with_prompts_makes_rejected_and_refused_jobs(project, shop, witness):
    (project.folder / "edited.csv").write_text("id,prompt,message\nlost,'-5 degrees,refused\ndog,A brown dog,\n")
    done = project.run("redo", shop, "--prompts", "edited.csv", "--yes")
    assert done.code == 0, done.err
    assert witness.prompts() == ["-5 degrees", "A brown dog"]
    again = project.run("redo", shop, "--prompts", "edited.csv", "--yes")
    assert "2 with the prompt in the file already" in again.err
    assert len(witness.charges()) == 2
