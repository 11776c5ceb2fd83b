"""stdout is data, stderr is everything else; neither steers a terminal or a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from decimal import Decimal

import pytest

from tests.forkserver import FORKED, FRESH, Popen

from .kit import PROVIDERS, wait_for
from .terminal import on_terminal

NASTY = "Red\x1b[2J\x9b31m\u202edet\u2066 \u200b=cmd"
PLAIN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b]")
LINE = {"id", "batch", "state", "cause", "kind", "provider", "model", "prompt", "attempts", "usd", "credits", "files"}
FILE = {"path", "sha256", "bytes", "width", "height", "mime"}


def test_plan_is_the_designs_document_and_sends_nothing(project, witness):
    jobs = [
        {"id": name, "provider": name, "quality": "low", "prompt": f"For {name}"}
        for name in PROVIDERS
        if name not in ("gateway", "openrouter")
    ]
    jobs += [{"id": "gateway", "provider": "gateway", "prompt": "For gateway"}]
    manifest = project.manifest(jobs)
    done = project.run("plan", "--json", manifest)
    assert (done.code, done.err) == (0, "")
    document = done.json
    assert set(document) >= {"schema_version", "jobs", "images", "usd", "credits", "seconds", "unpriced"}
    assert document["jobs"] == document["jobs"] | dict.fromkeys(("changed", "pending", "done", "failed", "orphaned"), 0)
    assert (document["jobs"]["total"], document["jobs"]["new"], document["images"]) == (5, 5, 5)
    low, expected, high = (Decimal(document["usd"][name]) for name in ("low", "expected", "high"))
    assert 0 < low <= expected <= high
    assert document["unpriced"] == 2  # gptimageapi's credits and a gateway without a tariff have no price in USD
    assert document["credits"]["gptimageapi"] is not None
    for other in (["estimate", manifest, "--json"], ["run", manifest, "--dry-run", "--json"]):
        # the disk's free space moves by itself
        assert project.run(*other).json | {"disk": None} == document | {"disk": None}
    words = project.run("plan", manifest)
    assert (words.code, words.err) == (0, "")
    assert "5 new" in words.out
    assert not project.state.exists()
    assert witness.arrivals() == []

    assert project.run("run", manifest, "--yes").code == 0
    spent = Decimal(project.run("status", "--json").json["spend"]["usd"])
    gateway = sum(Decimal(line["usd"]) for line in witness.charges() if line["provider"] == "gateway")
    assert low <= spent <= high
    assert spent == sum(Decimal(line["usd"] or 0) for line in witness.charges()) - gateway
    jobs[0]["prompt"] = "Otherwise"
    after = project.run("plan", "--json", project.manifest(jobs[:4])).json["jobs"]
    assert (after["total"], after["changed"], after["done"], after["orphaned"], after["new"]) == (4, 1, 3, 1, 0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, sandbox):
    """A project with a past, for every command that only looks."""
    from .kit import CANARY, Workspace

    folder = tmp_path_factory.mktemp("finished")
    project = Workspace(folder=folder, url=sandbox.url, env={f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS})
    jobs = [
        {"id": "a", "provider": "openai", "quality": "low", "prompt": "=SUM(A1)", "tags": ["x", "y"]},
        {"id": "b", "provider": "aimlapi", "quality": "low", "prompt": '-2+3, "quoted"\nand a line', "tags": ["x"]},
        {"id": "c", "provider": "openai", "prompt": "@C [sandbox: refuse]", "tags": ["z"]},
        {"id": "d", "provider": "openrouter", "prompt": "D [sandbox: empty]"},
        {"id": "owl", "provider": "openai", "quality": "low", "n": 2, "per_request": 2, "prompt": "Owls"},
    ]
    done = project.run("run", project.manifest(jobs), "--yes")
    assert (done.code, done.out) == (3, "")
    return project


def test_export_in_every_form(finished):
    lines = [json.loads(line) for line in finished.run("export").out.splitlines()]
    assert [line["id"] for line in lines] == ["a", "b", "c", "d", "owl"]
    for line in lines:
        assert set(line) >= LINE
        assert all(set(file) >= FILE for file in line["files"])
    by_id = {line["id"]: line for line in lines}
    assert by_id["a"]["prompt"] == "=SUM(A1)"
    assert (by_id["c"]["state"], by_id["c"]["cause"], by_id["c"]["files"]) == ("failed", "refused", [])
    assert by_id["d"]["attempts"] == 3
    assert len(by_id["owl"]["files"]) == 2
    assert all(
        (finished.folder / file["path"]).stat().st_size == file["bytes"] for line in lines for file in line["files"]
    )
    assert finished.run("export", "--format", "json").json == lines
    assert finished.run("export", "--format", "jsonl").out == finished.run("export").out

    done = finished.run("export", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["id"] for row in rows] == ["a", "b", "c", "d", "owl", "owl"]
    assert rows[0]["prompt"] == "'=SUM(A1)"
    assert rows[1]["prompt"].startswith('\'-2+3, "quoted"')
    assert rows[2]["prompt"].startswith("'@C")
    assert rows[0]["path"] == by_id["a"]["files"][0]["path"]


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ("--id a --id o*", "a owl"), ("--tag x", "a b"), ("--tag x --provider openai", "a"), ("--status failed", "c d"),
        ("--cause refused --cause empty", "c d"), ("--kind edit", ""), ("--model gpt-image-2 --status done", "a b owl"),
        ("--provider openrouter --provider aimlapi", "b d"),
    ],
)  # fmt: skip
def test_a_selection(finished, options, ids):
    done = finished.run("list", "--json", *options.split())
    assert (done.code, done.err) == (0, "")
    assert [line["id"] for line in done.json] == ids.split()


def test_what_the_looking_commands_say(finished, tmp_path):
    looks = {
        ("list", "--limit", "1"): "=SUM(A1)", ("list", "runs"): "batchgen run",
        ("show", "d"): "empty", ("usage",): "aimlapi", ("status",): "refused", ("providers", "list"): "gptimageapi",
    }  # fmt: skip
    for words, expected in looks.items():
        done = finished.run(*words)
        assert (done.code, done.err) == (0, ""), words
        assert expected in done.out, words
        assert not PLAIN.search(done.out.replace("\n", "")), words
    [run] = finished.run("list", "runs", "--json").json
    assert run["exit_code"] == 3
    shown = finished.run("show", "d", "--json").json
    assert set(shown) >= LINE
    assert [attempt["cause"] for attempt in shown["attempt_log"]] == ["empty"] * 3
    listed = finished.run("providers", "list", "--json").json
    assert {provider["name"] for provider in listed["providers"]} >= set(PROVIDERS)

    # the folder and the job table may be named before the command, or after
    elsewhere = {"cwd": tmp_path}
    expected = finished.run("status", "--json").json
    table = finished.state / "batchgen.db"
    for words in (
        ["-C", finished.folder, "--json", "status"], ["status", "--json", "-C", finished.folder],
        ["--db", table, "status", "--json"], ["status", "--json", "--db", table],
    ):  # fmt: skip
        assert finished.run(*words, **elsewhere).json == expected
    assert list(tmp_path.iterdir()) == []


def test_run_says_nothing_on_stdout_but_one_document(project):
    manifest = project.manifest([{"id": "a", "provider": "openai", "quality": "low", "prompt": "A"}])
    words = project.run("run", manifest, "--yes")
    assert (words.code, words.out) == (0, "")
    assert "\x1b" not in words.err
    document = project.run("run", manifest, "--yes", "--json")
    assert (document.code, document.err) == (0, "")
    assert (document.json["jobs"]["done"], document.json["exit_code"]) == (1, 0)
    silent = project.run("run", manifest, "--yes", "-q")
    assert (silent.code, silent.out, silent.err) == (0, "", "")


def test_a_prompt_does_not_steer_the_terminal(project, witness):
    """Control characters are no prompt; what else hides or turns text round is shown escaped."""
    refused = project.run("run", project.manifest([{"id": "a", "provider": "openai", "prompt": NASTY}]), "--yes")
    assert refused.code == 4
    assert not PLAIN.search(refused.err.replace("\n", ""))
    tricky = "Red\u202edet\u2066 \u200b"
    fault = {"id": "b", "provider": "openai", "prompt": f"{tricky} [sandbox: refuse]"}
    manifest = project.manifest([{"id": "a", "provider": "openai", "quality": "low", "prompt": tricky}, fault])
    assert project.run("run", manifest, "--yes").code == 3
    assert tricky in [line["prompt"] for line in witness.arrivals()]  # the provider gets it as it is
    for words in (["list"], ["show", "a"], ["show", "b"], ["status"]):
        done = project.run(*words)
        assert not PLAIN.search((done.out + done.err).replace("\n", "")), words
    assert "\\u202e" in project.run("show", "a").out
    assert project.run("show", "a", "--json").json["prompt"] == tricky


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_on_a_terminal_there_is_a_live_table_that_ends_clean(bare, term):
    jobs = [{"id": f"j{n}", "provider": "openai", "quality": "low", "prompt": f"P{n}"} for n in range(12)]
    jobs[3]["prompt"] += " [sandbox: refuse]"
    official = {name: {"base_url": f"https://{name}.example"} for name in PROVIDERS}
    official["openai"]["limits"] = {"concurrency": 4}
    manifest = bare.manifest(jobs, providers=official)
    screen, code = on_terminal(bare, ["run", "--sandbox", "--latency", "0.3", manifest], term)
    assert code == 3
    assert "11 of 12" in screen
    assert "Traceback" not in screen
    if term == "dumb":
        assert "\x1b" not in screen
        return
    assert "in flight" in screen
    assert re.search(r"\b[1-9]\d? of 12 jobs done", screen)  # done/total grows
    assert "refused" in screen
    assert screen.count("\x1b[?25l") == screen.count("\x1b[?25h") > 0  # the cursor is back
    last = screen[screen.rindex("\x1b[?25h") :]
    assert "exit code 3" in last
    assert "waiting for" not in last  # the table is gone, the closing lines stay


def test_a_reader_that_leaves_early_does_no_harm(finished):
    process = Popen(
        [*FRESH, "export", "--format", "csv"],
        cwd=finished.folder, env=finished.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=20)
    assert b"Traceback" not in err
    assert b"Exception ignored" not in err


@pytest.mark.parametrize("program", [(FORKED,), FRESH], ids=["forked", "fresh"])
def test_a_reader_that_has_seen_enough_ends_a_command_with_0(project, program):
    jobs = [{"id": "a", "provider": "openai", "prompt": "Cat " * 30, "repeat": 3000}]
    command = [*program, "plan", str(project.manifest(jobs)), "--full"]
    for read in (1, 200_000, 10):
        process = Popen(
            command, cwd=project.folder, env=project.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.read(read)
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, b"")


def test_status_of_a_run_under_way(project, witness):
    jobs = [{"id": "slow", "provider": "openai", "prompt": "Slow [sandbox: slow=12]"}]
    manifest = project.manifest([*jobs, {"id": "quick", "provider": "aimlapi", "prompt": "Quick"}])
    process = project.start("run", manifest, "--yes")
    wait_for(lambda: any(line["event"] == "charge" for line in witness.now()), process)
    wait_for(lambda: project.rows("select id from artifacts"), process)
    status = project.run("status", "--json").json
    assert (status["jobs"]["running"], status["jobs"]["done"]) == (1, 1)
    status = project.run("status").out
    assert f"a run is in progress (process {process.pid}: " in status
    assert "resumes the" not in status
    assert process.poll() is None
