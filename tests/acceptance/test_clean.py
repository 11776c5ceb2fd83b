"""clean, db vacuum, help on topics."""

from __future__ import annotations

import os
import re
import time

import pytest

from .kit import ROOT

ONE = {"id": "one", "provider": "openai", "quality": "low", "prompt": "One"}
LONG_AGO = time.time() - 40 * 86400


@pytest.mark.not_on(s3="dates of files on the disk; test_delivered_objects")
def test_clean_shows_first_and_takes_only_what_nobody_needs(project):
    assert project.run("clean").code == 10
    manifest = project.manifest([ONE, ONE | {"id": "two", "prompt": "Two"}])
    assert project.run("run", manifest, "--yes").code == 0
    project.manifest([ONE | {"prompt": "Other"}, ONE | {"id": "two", "prompt": "Two"}])
    assert project.run("run", manifest, "--yes").code == 0
    out, spool = project.folder / "output" / "shop", project.state / "spool"
    [old] = [path for path in (out / ".superseded").rglob("*") if path.suffix == ".png"]
    settled = project.jobs()["two"]["attempts"][0]["id"]
    mine = {
        "part": out / ".bg-0123456789abcdef.part",
        "slot": spool / f"{settled}.slot",
        "kept": spool / "old.kept",
        "log": project.state / "logs" / "a.log",
    }
    stays = [
        out / ".note.1.part",
        spool / ("f" * 32 + ".slot"),
        spool / "new.kept",
        out / "link.part",
        old.with_name("x.txt"),
    ]
    for path in (*mine.values(), *stays):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 10)
    for path in (old, mine["kept"], mine["log"], stays[-1]):
        os.utime(path, (LONG_AGO, LONG_AGO))
    stays += [path for path in out.rglob("*") if path.is_file() and path not in (old, mine["part"])]
    shown = project.run("clean", "--json")
    assert {one["path"] for one in shown.json["files"]} == {str(old), *map(str, mine.values())}
    assert not shown.json["removed"]
    assert old.exists()
    told = project.run("clean", BATCHGEN_YES="1")
    assert "nothing was removed" in told.err
    assert project.run("clean", "--older-than", "30 days").code == 2
    assert project.run("clean", "--older-than", "60d", "--json").json["files"] != shown.json["files"]
    done = project.run("clean", "--yes")
    assert (done.code, done.err.splitlines()[-1]) == (0, "5 files removed")
    assert not any(path.exists() for path in (old, *mine.values()))
    assert all(path.exists() for path in stays)
    assert "nothing to clean" in project.run("clean", "--yes").err
    assert project.run("verify").code == 0


@pytest.mark.not_on(s3="dates of files on the disk; test_delivered_objects")
def test_clean_takes_old_thumbnails_of_pictures_that_are_gone(project):
    manifest = project.manifest([ONE])
    out = project.folder / "output" / "shop"
    assert project.run("run", manifest, "--yes").code == 0
    assert project.run("report").code == 0
    [before] = (out / "report" / "thumbs").iterdir()
    project.manifest([ONE | {"prompt": "Other"}])
    assert project.run("run", manifest, "--yes").code == 0
    assert project.run("report").code == 0
    served = project.state / "serve" / "thumbs" / "0123456789abcdef.webp"
    order = project.state / "serve" / "abc.ids"
    served.parent.mkdir(parents=True)
    for path in (served, order):
        path.write_bytes(b"x")
    for path in (served, order, *(out / "report").rglob("*"), *(out / ".superseded").rglob("*")):
        os.utime(path, (LONG_AGO, LONG_AGO))
    # A report shows the earlier form of a picture, until its file is removed.
    first = {one["what"]: one["path"] for one in project.run("clean", "--yes", "--json").json["files"]}
    assert (first["thumbnail"], first["log"]) == (str(served), str(order))
    assert first["replaced"].endswith(".png")
    assert {one["path"] for one in project.run("clean", "--json").json["files"]} == {str(before)}
    assert project.run("clean", "--yes").code == 0
    assert not before.exists()
    assert len([*(out / "report" / "thumbs").iterdir()]) == 1
    assert project.run("report").code == 0
    assert "nothing to clean" in project.run("clean", "--yes").err


def test_vacuum_keeps_every_row(project):
    manifest = project.manifest([ONE])
    assert project.run("run", manifest, "--yes").code == 0
    before = project.rows("select * from ledger")
    done = project.run("db", "vacuum", "--json")
    assert done.code == 0, done.err
    assert done.json["after"] > 0
    assert project.rows("select * from ledger") == before
    assert project.run("db", "check").code == 0


def test_help_on_topics(project):
    codes = project.run("help", "exit-codes").out
    listed = {int(code) for code in re.findall(r"^\| (\d+) ", codes, re.MULTILINE)}
    readme = (ROOT / "README.md").read_text(encoding="utf-8").split("<!-- batchgen:exit-codes -->")[1].split("<!--")[0]
    rows = re.findall(r"^\| ([\d, ]+) \|", readme, re.MULTILINE)
    assert listed == {int(code) for row in rows for code in row.split(",")}
    assert "BATCHGEN_BUDGET" in project.run("help", "environment").out
    assert "batchgen schedule cron" in project.run("help", "cron").out
    assert "jobs:" in project.run("help", "manifest").out
    assert project.run("help", "run").out.splitlines()[0].startswith("  batchgen run")
    everything = project.run("help").out
    assert everything.startswith(project.run("--help").out)
    assert "exit-codes  " in everything
    wrong = project.run("help", "exit-code")
    assert wrong.code == 2
    assert "'exit-codes'" in wrong.err


def test_every_command_has_examples_and_is_in_the_readme(project):
    listing = project.run("--help").out.split("Make images:")[1].split("Everywhere:")[0]
    names = re.findall(r"^  ([a-z-]+)  ", listing, re.MULTILINE)
    assert len(names) > 25
    commands = (ROOT / "README.md").read_text(encoding="utf-8").split("## Commands")[1].split("\n## ")[0]
    lacking = [name for name in names if f"`{name}" not in commands]
    assert lacking == []
    bare = [name for name in names if not project.run(name, "--help").out.lstrip().startswith(("batchgen ", "eval "))]
    assert bare == []
