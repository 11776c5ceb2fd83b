"""What a command says to type next, typed: it is about the same batch, job table and folder, and buys nothing twice."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import time
from contextlib import closing

import pytest

LOW = {"provider": "openai", "quality": "low", "size": "1024x1024"}


def suggestion(text: str, command: str) -> list[str]:
    """Return the words behind ``batchgen`` of the line that says to type *command*."""
    lines = [re.split("batchgen ", line)[-1] for line in text.splitlines() if f"batchgen {command}" in line]
    return shlex.split(re.split(" {4}|`", lines[0])[0])


def jobs(name: str, count: int = 4, what: str = "") -> list[dict]:
    return [LOW | {"id": f"{name}{number}", "prompt": f"{name} {number}{what}"} for number in range(count)]


@pytest.mark.not_on(postgres="gives --db")
def test_a_run_of_another_table_from_another_folder_goes_on_there(project, witness):
    path = project.manifest(jobs("a"))
    (project.folder / "jobs").mkdir()
    path.rename(project.folder / "jobs" / "m.yaml")
    elsewhere = project.folder / "elsewhere"
    elsewhere.mkdir()
    words = ("-C", project.folder, "--db", "mine.db", "run", "jobs/m.yaml", "--budget", "0.015", "--out", "pics")
    first = project.run(*words, "--concurrency", 1, cwd=elsewhere)
    assert first.code == 7, first.err
    bought = len(witness.charges())
    assert 0 < bought < 4
    again = suggestion(first.err, "run")
    assert again == [
        "run",
        "jobs/m.yaml",
        "-C",
        str(project.folder),
        "--db",
        "mine.db",
        "--budget",
        "0.015",
        "--out",
        "pics",
    ]
    again[again.index("0.015")] = "1"
    assert project.run(*again, cwd=elsewhere).code == 0
    assert len(witness.charges()) == 4
    assert len(list((project.folder / "pics").glob("*.png"))) == 4
    show = project.run("-C", project.folder, "--db", "mine.db", "status", cwd=elsewhere)
    assert (show.code, list(elsewhere.iterdir())) == (0, [])


@pytest.mark.parametrize("command", ["retry", "drop"])
def test_what_is_stated_of_another_batch_is_about_that_batch(project, command):
    doubt = " [sandbox: drop]"
    first = project.manifest(jobs("a", 1, doubt), name="first.yaml", on_unknown="hold")
    second = project.manifest(jobs("b", 1, doubt), name="second.yaml", on_unknown="hold")
    first.write_text(first.read_text().replace("name: shop", "name: first"))
    assert project.run("run", first, "--yes").code == 3
    assert project.run("run", second, "--yes").code == 3
    listed = project.run("unknown", "list", "--batch", "first")
    assert project.run(*suggestion(listed.err, f"unknown {command}")).code == 0
    state = {"retry": "pending", "drop": "cancelled"}[command]
    assert {key: job["state"] for key, job in project.jobs().items()} == {"a0": state, "b0": "unknown"}


def test_verify_and_status_of_another_batch(project):
    first = project.manifest(jobs("a", 2), name="first.yaml")
    first.write_text(first.read_text().replace("name: shop", "name: first"))
    bad = project.manifest(jobs("b", 1, " [sandbox: empty]"), name="second.yaml")
    assert project.run("run", bad, "--yes").code == 3
    assert project.run("run", first, "--yes").code == 0
    assert suggestion(project.run("status", "--batch", "shop").out, "show") == ["show", "--batch", "shop", "b0"]
    next(path for path in project.images() if path.name == "a0.png").unlink()
    assert project.run("run", bad, "--yes").code == 3  # now the other one ran last
    seen = project.run("verify", "--batch", "first")
    assert seen.code == 3
    assert suggestion(seen.err, "verify") == ["verify", "--batch", "first", "--requeue"]
    assert "1 job pending again" in project.run(*suggestion(seen.err, "verify")).err


def test_after_sandbox_run_alone_it_is_named(bare):
    (bare.folder / "r.yaml").write_text('jobs: [{id: only, provider: openai, prompt: "P"}]')
    assert bare.run("run", "r.yaml", "--sandbox", "--latency", "none").code == 0
    done = bare.run("status")
    assert (done.code, "There is a sandbox run of r: batchgen status --sandbox" in done.err) == (10, True)


def test_status_repeats_no_command_that_would_only_stop_again(project, witness):
    path = project.manifest(jobs("a"), budget={"usd": 0.015})
    stopped = project.run("run", path, "-j", "1")
    assert stopped.code == 7
    shown = project.run("status").out
    advice = [line for line in shown.splitlines() if "raise budget.usd at m.yaml:" in line]
    assert len(advice) == 1
    assert advice[0].endswith("above 0.015; then: batchgen run m.yaml")
    document = project.run("run", path, "--json").json
    assert [step["command"] for step in document["next"]] == [None]
    time.sleep(0.01)
    project.manifest(jobs("a"), budget={"usd": 1})  # raised: now the command helps
    assert suggestion(project.run("status").out, "run") == ["run", "m.yaml"]
    assert project.run("pause", "openai").code == 0
    assert "batchgen unpause openai    sends to it again; it is paused" in project.run("status").out
    held = project.run("run", path)
    assert held.code == 8
    assert "batchgen unpause openai; then: batchgen run m.yaml" in held.err
    assert project.run("unpause", "openai").code == 0
    assert suggestion(project.run("status").out, "run") == ["run", "m.yaml"]
    assert "it is paused" not in project.run("status").out
    assert project.run("run", path).code == 0


@pytest.mark.parametrize(
    ("fault", "code", "advice"),
    [
        ("money", 7, "add credit at openai, or raise its spending limit there; then: batchgen run m.yaml"),
        ("denied", 5, "check the key in OPENAI_API_KEY, the model and base_url of openai (batchgen doctor --online)"),
    ],
)
def test_next_line_after_a_refused_account_names_the_remedy(project, fault, code, advice):
    path = project.manifest(jobs("a", 2, f" [sandbox: {fault}]"))
    done = project.run("run", path, "--yes")
    assert done.code == code, done.err
    assert advice in done.err
    lines = [line for line in done.err.splitlines() if "batchgen run" in line]
    assert all("then: batchgen run" in line for line in lines)


def test_hints_leave_out_the_job_database_of_the_variable(project, witness):
    path = project.manifest(jobs("a"))
    done = project.run("run", path, "--yes", "--limit", "1", BATCHGEN_DB="mine.db")
    assert suggestion(done.err, "run") == ["run", "m.yaml"]
    assert suggestion(project.run("status", BATCHGEN_DB="mine.db").out, "run") == ["run", "m.yaml"]
    assert suggestion(project.run("status", "--db", "mine.db").out, "run") == ["run", "m.yaml", "--db", "mine.db"]
    own = project.run("status", "--db", "mine.db", BATCHGEN_STATUS_DB="mine.db", BATCHGEN_DB="other.db")
    assert suggestion(own.out, "run") == ["run", "m.yaml", "--db", "mine.db"]


def test_status_names_the_options_of_the_last_run_that_the_next_one_needs(project, witness):
    path = project.manifest(jobs("a"))
    done = project.run("run", path, "--budget", "1", "--out", "pics", "--shard", "3/3", "--limit", "1")
    assert done.code == 0, done.err
    wanted = ["run", "m.yaml", "--budget", "1", "--out", "pics", "--shard", "3/3"]
    assert suggestion(done.err, "run") == wanted
    assert suggestion(project.run("status").out, "run") == wanted
    rest = project.run(*wanted)
    assert "shard 3/3 is done; the " in rest.err
    assert "batchgen run" not in rest.err
    status = project.run("status").out
    assert "shard 3/3 is done; the " in status
    assert "batchgen run" not in status
    own = len(witness.charges())
    assert 0 < own < 4
    assert project.run("run", path, "--yes", "--out", "pics").code == 0
    assert len(witness.charges()) == 4


#: Options of the latest run: where and how the next one makes the rest of its jobs, and what a redo takes of it.
LATEST = [
    "--budget",
    "1",
    "--out",
    "pics",
    "--backend",
    "ray",
    "--address",
    "h:6379",
    "--workers",
    "4",
    "--shard",
    "1/1",
]
OF_REDO = LATEST[2:-2]


@pytest.fixture
def two_batches(project):
    """Return a project with a job database of its own: batch shop, whose latest run was on a cluster, and a later one.

    Its job a0 is done, but its file is gone; a1 failed, a2 is unknown and a3 is pending.
    """
    entries = jobs("a")
    for entry, fault in ((entries[1], "empty"), (entries[2], "drop")):
        entry["prompt"] += f" [sandbox: {fault}]"
    first = project.manifest(entries, on_unknown="hold")
    other = project.manifest(jobs("b", 1), name="second.yaml")
    other.write_text(other.read_text().replace("name: shop", "name: second"))
    words = ("--budget", "1", "--out", "pics", "--db", "mine.db")
    assert project.run("run", first, *words, "--id", "a[012]").code == 3
    with closing(sqlite3.connect(project.folder / "mine.db")) as database, database:
        command = shlex.join(["batchgen", "run", "m.yaml", *LATEST])
        database.execute("UPDATE runs SET command = ?", [command])  # as if it had been sent by a cluster
    assert project.run("run", other, *words).code == 0
    (project.folder / "pics" / "a0.png").unlink()
    return project


@pytest.mark.not_on(postgres="gives --db")
@pytest.mark.parametrize(
    ("words", "verb", "expected"),
    [
        (["status", "--batch", "shop"], "run", ["run", "m.yaml", "--db", "mine.db", *LATEST]),
        (["status", "--batch", "shop"], "retry", ["retry", "m.yaml", "--db", "mine.db", *LATEST, "--cause", "empty"]),
        (["verify", "--batch", "shop"], "redo", ["redo", "m.yaml", "--db", "mine.db", *OF_REDO, "--missing"]),
        (["verify", "--batch", "shop"], "verify", ["verify", "--db", "mine.db", "--batch", "shop", "--requeue"]),
        (["verify", "--batch", "shop", "--requeue"], "run", ["run", "m.yaml", "--db", "mine.db", *LATEST]),
        (["unknown", "list", "--batch", "shop"], "unknown adopt",
         ["unknown", "adopt", "--db", "mine.db", "--batch", "shop", "a2", "FILE"]),
        (["unknown", "retry", "--batch", "shop"], "run", ["run", "m.yaml", "--db", "mine.db", *LATEST]),
        (["unknown", "settle", "a2", "--not-charged", "--batch", "shop"], "unknown drop",
         ["unknown", "drop", "--db", "mine.db", "--batch", "shop", "--id", "a2"]),
        (["cancel", "--id", "a3", "--batch", "shop"], "retry",
         ["retry", "m.yaml", "--db", "mine.db", *LATEST, "--status", "cancelled"]),
        (["plan", "m.yaml"], "retry", ["retry", "m.yaml", "--db", "mine.db", *LATEST]),
        (["plan", "m.yaml"], "unknown list", ["unknown", "list", "--db", "mine.db", "--batch", "shop"]),
        (["doctor", "m.yaml"], "retry", ["retry", "m.yaml", "--db", "mine.db", *LATEST]),
        (["watch", "--batch", "shop"], "status", ["status", "--db", "mine.db", "--batch", "shop"]),
        (["show", "--batch", "shop", "none"], "list jobs", ["list", "jobs", "--db", "mine.db", "--batch", "shop"]),
        (["list", "--batch", "shop", "--suspect", "tiny"], "verify",
         ["verify", "--deep", "--db", "mine.db", "--batch", "shop"]),
    ],
)  # fmt: skip
def test_suggestions_about_a_batch_repeat_the_options_of_its_latest_run(two_batches, words, verb, expected):
    done = two_batches.run(*words, "--db", "mine.db")
    suggested = suggestion(done.out + done.err, verb)
    assert suggested[: len(expected)] == expected


@pytest.mark.not_on(postgres="gives --db")
def test_a_run_suggests_what_it_was_started_with_and_not_what_an_earlier_one_was(two_batches):
    again = ["--backend", "local", "--shard", "1/1"]
    done = two_batches.run("run", "m.yaml", *again, "--cause", "empty", "--db", "mine.db")
    assert suggestion(done.err, "retry") == ["retry", "m.yaml", "--db", "mine.db", *again, "--cause", "empty"]


@pytest.mark.not_on(postgres="gives --db")
def test_commands_of_the_page_repeat_the_options_of_the_latest_run(two_batches):
    done = two_batches.run("report", "shop", "--db", "mine.db")
    assert done.code == 0, done.err
    text = (two_batches.folder / "pics" / "report" / "index.html").read_text()
    document = json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[0])
    retry = shlex.split(document["commands"]["retry"])
    assert retry == ["batchgen", "retry", "m.yaml", "--db", "mine.db", *LATEST]
    assert shlex.split(document["commands"]["redo"])[3:] == ["--db", "mine.db", *OF_REDO]
    needs = {need["state"]: need["command"] for need in document["needs"]}
    assert shlex.split(needs["failed"])[:-2] == retry
    assert shlex.split(needs["pending"]) == ["batchgen", "run", "m.yaml", "--db", "mine.db", *LATEST]
