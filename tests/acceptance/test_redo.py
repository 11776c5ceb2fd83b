"""Redo: done pictures are made again, each bought exactly once, and no old one is lost before the new one is there."""

from __future__ import annotations

import json
import signal

import pytest

from batchgen.sandbox import launch

from .kit import Witness, Workspace, check_books, check_files, finish, wait_for
from .test_budget import at_a_terminal


def job(key, **fields):
    return {"id": key, "provider": "openai", "quality": "low", "prompt": f"P {key}"} | fields


@pytest.fixture
def shop(project):
    """A batch of three done jobs."""
    manifest = project.manifest([job("cat-1"), job("cat-2"), job("dog-1", tags=["hero"])])
    assert project.run("run", manifest, "--yes").code == 0
    return manifest


def states(project):
    return {key: row["state"] for key, row in project.jobs().items()}


def superseded(project):
    project.files()  # fetches those of an object store
    return sorted(path.name.partition(".")[0] for path in (project.folder / "output/shop/.superseded").rglob("*.png"))


def test_redo_buys_the_selected_jobs_once_and_keeps_the_old_files(project, shop, witness):
    before = {path.name: path.read_bytes() for path in project.images()}
    plan = project.run("redo", shop, "--id", "cat-*", "--dry-run")
    assert plan.code == 0
    assert "requeued  2 jobs that had ended" in plan.out
    assert "the present files move to output/shop/.superseded/" in plan.out
    assert project.run("redo", shop, "--id", "cat-*").code == 6
    assert witness.charges() == []
    done = project.run("redo", "--id", "cat-*", "--yes")
    assert done.code == 0, done.err
    assert sorted(witness.prompts()) == ["P cat-1", "P cat-2"]
    assert superseded(project) == ["cat-1", "cat-2"]
    kept = {path.read_bytes() for path in (project.folder / "output/shop/.superseded").glob("*.png")}
    assert kept == {before["cat-1.png"], before["cat-2.png"]}
    assert project.run("run", shop, "--yes").code == 0
    assert len(witness.charges()) == 2
    check_files(project)


@pytest.mark.parametrize(("answer", "made"), [("n", 0), ("1", 1), ("y", 2)])
def test_redo_asks_at_a_terminal(project, witness, answer, made):
    manifest = project.manifest([job("a"), job("b"), job("c")], confirm_above=0)
    assert project.run("run", manifest, "--yes").code == 0
    done = at_a_terminal(project, "redo", manifest, "--id", "[ab]", answers=(answer,))
    assert "Spend about" in done.err
    assert (len(witness.charges()), superseded(project)) == (3 + made, ["a", "b"][:made])
    assert states(project) == dict.fromkeys("abc", "done")


def test_redo_document_names_the_requeued_jobs(project, shop):
    document = project.run("redo", shop, "--tag", "hero", "--note", " too\n dark ", "--dry-run", "--json").json
    assert (document["requeued"], document["note"], document["notices"]) == (["dog-1"], "too dark", [])
    assert document["requests"] == 1


def test_redo_note_is_in_the_sidecar_until_the_next_redo(project, shop, witness):
    def sidecar():
        return json.loads((project.folder / "output/shop/cat-1.png.json").read_text())

    assert "note" not in sidecar()
    assert project.run("redo", shop, "--id", "cat-1", "--note", "ear, “cut” off", "--yes").code == 0
    assert sidecar()["note"] == "ear, “cut” off"
    assert "note      ear, “cut” off" in project.run("show", "cat-1").out
    assert project.run("show", "cat-1", "--json").json["note"] == "ear, “cut” off"
    assert project.run("run", shop, "--yes").code == 0
    assert project.run("redo", shop, "--id", "cat-1", "--yes").code == 0
    assert "note" not in sidecar()
    assert len(witness.charges()) == 2
    assert project.run("redo", shop, "--id", "cat-1", "--note", "x" * 1001).code == 2


def test_redo_with_parameters_stays_until_the_manifest_changes(project, shop, witness):
    done = project.run("redo", shop, "--id", "cat-1", "--with", "quality=high", "--note", "finer", "--yes")
    assert "with      quality=high, for 1 job; the manifest stays" in done.err
    assert project.run("show", "cat-1", "--json").json["task"]["quality"] == "high"
    assert project.run("run", shop, "--yes").code == 0
    assert len(witness.charges()) == 1
    edited = project.manifest([job("cat-1", prompt="Q"), job("cat-2"), job("dog-1", tags=["hero"])])
    assert project.run("run", edited, "--yes").code == 0
    task = project.run("show", "cat-1", "--json").json
    assert (task["task"]["prompt"], task["task"]["quality"], task["note"]) == ("Q", "low", None)
    assert superseded(project) == ["cat-1", "cat-1"]


PROMPTS = {
    "header, BOM, CRLF and quotes": (
        "p.csv",
        b'\xef\xbb\xbfID;Prompt\r\ncat-1;"A ""red"" cat; on\r\na mat"\r\ncat-2;P cat-2 \r\n',
    ),
    "no header": ("p.csv", b'cat-1,"A ""red"" cat; on\na mat"\ncat-2,P cat-2\n'),
    "tabs, more columns": ("p.tsv", b"prompt\tshop\tid\nA red cat\t1\tcat-1\nP cat-2\t2\tcat-2\n"),
    "jsonl": ("p.jsonl", b'{"id": "cat-1", "prompt": "A red cat"}\n{"id": "cat-2", "prompt": "P cat-2"}\n'),
}


@pytest.mark.parametrize("case", PROMPTS)
def test_redo_takes_edited_prompts_from_a_file(project, shop, witness, case):
    name, content = PROMPTS[case]
    (project.folder / name).write_bytes(content)
    done = project.run("redo", shop, "--prompts", name, "--yes")
    assert done.code == 0, done.err
    assert "note      1 with the prompt in the file already" in done.err
    prompt = 'A "red" cat; on\na mat' if name == "p.csv" else "A red cat"
    assert witness.prompts() == [prompt]
    # the same again, and a plain run, buy nothing
    again = project.run("redo", shop, "--prompts", name, "--yes")
    assert (again.code, "2 with the prompt in the file already" in again.err) == (0, True), again.err
    assert project.run("run", shop, "--yes").code == 0
    assert len(witness.charges()) == 1


BAD_PROMPTS = {
    "unknown id": (b"id,prompt\ncat-1,A\ncat-11,B\n", 10, "cat-11 (p.csv:3, did you mean 'cat-1'?)"),
    "other header": (b"Name,New\ncat-1,A\n", 10, "Name (p.csv:1, a header names this column id)"),
    "empty prompt": (b"id,prompt\ncat-1,A\ncat-2, \n", 2, "p.csv:3:1: the prompt of cat-2 is empty"),
    "twice": (b"id,prompt\ncat-1,A\ncat-1,B\n", 2, "p.csv:3:1: the id cat-1 is in line 2 already"),
    "control character": (b"id,prompt\ncat-1,A\x1bB\n", 2, "U+001B"),
    "three cells": (b"id,prompt\ncat-1,A, B\n", 2, "p.csv:2:9: the row has 3 cells"),
    "three cells without a header": (b"cat-2,A\ncat-1,A, B\n", 2, "p.csv:2:1: the row has 3 cells"),
    "other columns": (
        b"sku,text,price\ncat-1,A,3\n",
        2,
        "needs the columns id and prompt; its columns: sku, text, price",
    ),
    "one column": (b"id\ncat-1\n", 2, "needs the columns id and prompt"),
    "nothing": (b"id,prompt\n", 2, "contains no prompt"),
    "UTF-16": ("id,prompt\ncat-1,A\n".encode("utf-16"), 2, "UTF-16"),
    "too long": (b"id,prompt\ncat-1," + b"x" * 40_000 + b"\n", 2, "job cat-1"),
}


@pytest.mark.parametrize("case", BAD_PROMPTS)
def test_redo_refuses_bad_prompts_before_it_buys(project, shop, witness, case):
    content, code, message = BAD_PROMPTS[case]
    (project.folder / "p.csv").write_bytes(content)
    done = project.run("redo", shop, "--prompts", "p.csv", "--yes")
    assert (done.code, message in done.err) == (code, True), done.err
    assert set(states(project).values()) == {"done"}
    assert witness.arrivals() == []


def test_redo_refuses_what_it_cannot_do(project, shop, witness):
    (project.folder / "p.csv").write_text("cat-1,A\n")
    for arguments, message in (
        ([], "redo needs a selection"),
        (["--limit", "1"], "redo needs a selection"),
        (["--status", "failed"], "batchgen retry m.yaml --status failed"),
        (["--cause", "refused", "--id", "cat-1"], "batchgen retry m.yaml --cause refused"),
        (["--prompts", "p.csv", "--with", "prompt=B"], "exclude each other"),
        (["--prompts", "gone.csv"], "gone.csv"),
        (["--prompts", "p.csv", "--id", "dog-*", "--with", "colour=red"], "there is no 'colour'"),
    ):
        done = project.run("redo", shop, "--yes", *arguments)
        assert (done.code, message in done.err) == (2, True), done.err
    none = project.run("redo", shop, "--prompts", "p.csv", "--id", "dog-*", "--yes")
    assert (none.code, "nothing matched --id 'dog-*' --prompts p.csv" in none.err) == (0, True)
    assert witness.arrivals() == []


def test_redo_of_a_batch_that_never_ran_says_so(project):
    manifest = project.manifest([job("a")])
    assert project.run("redo", manifest, "--id", "a").code == 10


def test_redo_names_the_selected_jobs_that_are_not_done(project, witness):
    jobs = [job("a"), job("b", prompt="[sandbox: refuse] b"), job("c")]
    manifest = project.manifest(jobs)
    assert project.run("run", manifest, "--yes", "--id", "[ab]").code == 3
    assert project.run("cancel", "--id", "c").code == 0
    manifest = project.manifest([*jobs, job("d")])
    assert project.run("run", manifest, "--yes", "--id", "a").code == 3
    done = project.run("redo", manifest, "--id", "?", "--yes")
    assert "note      1 failed: not made again; use retry in place of redo" in done.err
    assert "1 pending: not made again; run makes them" in done.err
    assert "1 cancelled: not made again; use retry --status cancelled in place of redo" in done.err
    assert sorted(witness.prompts()) == ["P a", "P a", "[sandbox: refuse] b"]


def test_redo_that_fails_leaves_the_old_picture_in_place(project, shop, witness):
    before = {path: path.read_bytes() for path in project.files()}
    done = project.run("redo", shop, "--id", "cat-1", "--with", "prompt=[sandbox: refuse] x", "--yes")
    assert done.code == 3
    assert states(project)["cat-1"] == "failed"
    assert {path: path.read_bytes() for path in project.files()} == before
    assert "jobs whose redo failed keep their files. To accept one: batchgen unknown adopt JOB FILE" in done.err
    assert project.run("clean", "--yes", "--older-than", "0h").code == 0
    assert project.run("unknown", "adopt", "cat-1", "output/shop/cat-1.png").code == 0
    assert states(project)["cat-1"] == "done"
    assert before[project.folder / "output/shop/cat-1.png"] == (project.folder / "output/shop/cat-1.png").read_bytes()
    assert project.run("verify").code == 0
    assert witness.charges() == []


def test_redo_stops_at_the_budget_and_the_same_command_finishes_it(project, shop, witness):
    cost = project.run("redo", shop, "--status", "done", "--dry-run", "--json").json["lanes"][0]["usd"]["high"]
    budget = float(cost) / 3 * 1.5
    stopped = project.run("redo", shop, "--status", "done", "--budget", f"{budget:.6f}")
    assert stopped.code == 7
    first = len(witness.charges())
    assert 0 < first < 3
    assert len(project.images()) == 3
    again = project.run("redo", shop, "--status", "done", "--yes")
    assert (again.code, len(witness.charges())) == (0, 3), again.err
    assert "of an earlier redo that did not finish: only these are sent now" in again.err
    assert sorted(witness.prompts()) == ["P cat-1", "P cat-2", "P dog-1"]
    check_files(project)


def test_redo_replaces_all_files_of_a_job_whatever_their_names(project, witness):
    manifest = project.manifest([job("pair", n=2, per_request=2), job("one")])
    assert project.run("run", manifest, "--yes").code == 0
    (project.folder / "output/shop/pair-2.png").unlink()
    done = project.run("redo", manifest, "--missing", "--yes", "--json")
    assert (done.code, done.json["run"]["images"]) == (0, 2)
    assert superseded(project) == ["pair-1"]
    assert project.run("redo", manifest, "--id", "*", "--with", "output_format=webp", "--yes").code == 0
    assert sorted(path.name for path in project.images()) == ["one.webp", "pair-1.webp", "pair-2.webp"]
    assert superseded(project) == ["one", "pair-1", "pair-1", "pair-2"]
    assert len(witness.arrivals()) == 5
    check_files(project)


def test_redo_survives_the_loss_of_the_job_database(project, shop, witness):
    (project.folder / "p.csv").write_text("cat-1,A red cat\n")
    assert project.run("redo", shop, "--prompts", "p.csv", "--note", "redder", "--yes").code == 0
    assert project.run("redo", shop, "--id", "cat-2", "--note", "again", "--yes").code == 0
    project.lose_database()
    assert project.run("run", shop, "--yes").code == 0
    assert set(states(project).values()) == {"done"}
    sidecar = json.loads((project.folder / "output/shop/cat-1.png.json").read_text())
    assert (sidecar["note"], sidecar["asked"]["prompt"]) == ("redder", "A red cat")
    assert len(witness.charges()) == 2
    check_files(project)


def test_redo_of_missing_files_makes_only_those(project, shop, witness):
    (project.folder / "output/shop/cat-2.png").unlink()
    done = project.run("redo", shop, "--missing", "--yes")
    assert (done.code, witness.prompts()) == (0, ["P cat-2"]), done.err
    none = project.run("redo", shop, "--missing", "--yes")
    assert (none.code, "nothing matched --missing" in none.err) == (0, True)
    check_files(project)


def test_redo_limit_counts_the_jobs_that_are_made_again(project, witness):
    jobs = [job("a", prompt="[sandbox: refuse] a"), job("b"), job("c")]
    manifest = project.manifest(jobs)
    assert project.run("run", manifest, "--yes").code == 3
    assert project.run("redo", manifest, "--id", "*", "--limit", "1", "--yes").code == 3
    assert sorted(witness.prompts()) == ["P b", "P b", "P c", "[sandbox: refuse] a"]


def test_retry_takes_prompts_and_names_done_jobs(project, witness):
    manifest = project.manifest([job("a", prompt="[sandbox: refuse] a"), job("b")])
    assert project.run("run", manifest, "--yes").code == 3
    (project.folder / "p.csv").write_text("a,A safe a\nb,Another b\n")
    done = project.run("retry", manifest, "--prompts", "p.csv", "--note", "softer", "--yes")
    assert done.code == 0, done.err
    assert "note      1 done: left as they are; redo makes them again" in done.err
    assert witness.prompts() == ["A safe a", "P b", "[sandbox: refuse] a"]
    assert json.loads((project.folder / "output/shop/a.png.json").read_text())["note"] == "softer"


IDS = {
    "lines": ("ids.txt", b"\xef\xbb\xbfcat-1\r\n\r\n  dog-1\r\ncat-1\r\n"),
    "heading": ("ids.txt", b"id\ncat-1\ndog-1\n"),
    "csv": ("ids.csv", b"price;Id\n3;cat-1\n4;dog-1\n"),
    "csv of one column": ("ids.csv", b"cat-1\ndog-1\n"),
    "jsonl": ("ids.jsonl", b'{"id": "cat-1"}\n{"id": "dog-1", "x": 1}\n'),
}


@pytest.mark.parametrize("case", IDS)
def test_ids_from_a_file_select_in_every_command(project, shop, witness, case):
    name, content = IDS[case]
    (project.folder / name).write_bytes(content)
    listed = project.run("list", "--ids-from", name, "--json").json
    assert [row["id"] for row in listed] == ["cat-1", "dog-1"]
    exported = project.run("export", "--ids-from", name).out.splitlines()
    assert [json.loads(line)["id"] for line in exported] == ["cat-1", "dog-1"]
    plan = project.run("plan", shop, "--ids-from", name, "--full")
    assert ("cat-1" in plan.out, "cat-2" in plan.out) == (True, False)
    assert project.run("redo", shop, "--ids-from", name, "--id", "cat-*", "--yes").code == 0
    assert witness.prompts() == ["P cat-1"]


def test_ids_from_refuses_unknown_ids(project, shop, witness):
    (project.folder / "ids.txt").write_text("cat-1\ncat-11\n")
    (project.folder / "none.txt").write_text("\n")
    for command in (["redo", shop, "--yes"], ["retry", shop, "--yes"], ["run", shop, "--yes"], ["list"], ["export"]):
        done = project.run(*command, "--ids-from", "ids.txt")
        assert (done.code, "cat-11 (ids.txt:2, did you mean 'cat-1'?)" in done.err) == (10, True), done.err
    for name in ("none.txt", "gone.txt"):
        assert project.run("redo", shop, "--ids-from", name, "--yes").code == 2
    assert witness.arrivals() == []


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    with launch.start(
        tmp_path_factory.mktemp("slow"), latency="0.4", idle_exit=90, extra=["--draw", "small"]
    ) as running:
        yield running


OTHER = ["--with", "background=opaque", "--note", "again"]


@pytest.mark.parametrize(("options", "command"), [([], "redo"), (OTHER, "redo"), ([], "run"), (OTHER, "run")])
def test_redo_that_is_killed_buys_nothing_twice(tmp_path, slow, project, options, command):
    witness, shop = Witness(slow.log), Workspace(folder=tmp_path / "killed", url=slow.url, env=project.env)
    shop.folder.mkdir()
    keys = [f"k{number}" for number in range(8)]
    manifest = shop.manifest([job(key) for key in keys], providers={"openai": {"limits": {"concurrency": 2}}})
    assert shop.run("run", manifest, "--yes").code == 0
    old = {path.name: path.read_bytes() for path in shop.images()}
    process = shop.start("redo", manifest, "--id", "k*", "--yes", *options)
    wait_for(lambda: witness.arrived >= 8 + 5, process)
    process.kill()
    assert finish(process).code == -signal.SIGKILL
    assert {path.name for path in shop.images()} == set(old)
    assert shop.run(command, manifest, "--id", "k*", "--yes", *(options if command == "redo" else [])).code == 0
    assert set(states(shop).values()) == {"done"}
    bought = [line for line in witness.charges() if line["attempt"]]
    # Calls that were cut off may be charged again: each is in the ledger as unknown.
    rows = shop.rows("select cause from attempts where cause = 'unknown'")
    assert 16 <= len(bought) <= 16 + len(rows) <= 18
    check_books(shop, bought)
    check_files(shop)
    assert shop.run("run", manifest, "--yes").code == 0
    assert len([line for line in witness.charges() if line["attempt"]]) == len(bought)
    if options:
        sidecars = [json.loads(path.with_name(f"{path.name}.json").read_text()) for path in shop.images()]
        assert {note.get("note") for note in sidecars} == {"again"}
        assert {note["asked"].get("background") for note in sidecars} == {"opaque"}
