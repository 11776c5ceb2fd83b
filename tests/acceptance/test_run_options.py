"""What is typed for one run alone: how fast, how often, where to, what counts as a failure, and for whom it speaks."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.forkserver import FRESH
from tests.timing import patience

from .kit import CANARY, check_books, finish, wait_for
from .terminal import on_terminal

OPENAI = {"provider": "openai", "quality": "low", "size": "1024x1024"}
REFUSED = OPENAI | {"id": "bad", "prompt": "Bad [sandbox: refuse]"}


def jobs(count: int) -> list[dict]:
    return [OPENAI | {"id": f"j{number}", "prompt": f"P{number}"} for number in range(count)]


def test_a_rate_holds_for_this_run_and_goes_before_the_manifest(project, witness):
    path = project.manifest(jobs(6), providers={"openai": {"limits": {"requests_per_second": 100}}})
    done = project.run("run", path, "--yes", "--rate", "openai=2/s")
    assert done.code == 0, done.err
    at = sorted(line["at"] for line in witness.arrivals())
    assert at[-1] - at[0] > 1.5  # 2.5 where nothing holds up the first


def test_a_rate_a_day_bounds_the_run(project, witness):
    path = project.manifest(jobs(4))
    done = project.run("run", path, "--yes", "--rate", "openai=3/d", "--max-time", "3s")
    assert done.code == 8, done.err
    assert len(witness.arrivals()) == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("openai=60", "openai=60/m, 2/s or 5000/d, not 'openai=60'"),
        ("openai=0/m", "not 'openai=0/m'"),
        (f"openai={'9' * 400}/m", "not 'openai=999"),
        (f"openai={'9' * 5000}/d", "not 'openai=999"),
        ("openai=1.5/d", "expected a whole number of requests per day"),
        ("opena=60/m", "no provider opena; did you mean 'openai'?"),
    ],
)
def test_a_rate_that_makes_no_sense_is_refused(project, witness, text, why):
    done = project.run("run", project.manifest(jobs(1)), "--yes", "--rate", text)
    assert done.code == 2
    assert why in done.err
    assert witness.arrivals() == []


def test_so_many_attempts_and_no_more(project, witness):
    path = project.manifest([OPENAI | {"id": "x", "prompt": "X [sandbox: error500]"}])
    assert project.run("run", path, "--yes", "--max-attempts", 2).code == 3
    assert len(witness.arrivals()) == 2
    assert project.run("run", path, "--yes", "--max-attempts", 51).code == 2


def test_so_many_at_once(project, witness):
    path = project.manifest(jobs(5))
    assert project.run("run", path, "--yes", "--concurrency", 1).code == 0
    going, most = 0, 0
    for line in witness.lines():
        going += (line["event"] == "arrival") - (line["event"] == "answer")
        most = max(most, going)
    assert most == 1


def test_images_go_to_out_and_are_not_made_again_elsewhere(project, witness):
    path = project.manifest(jobs(2))
    assert project.run("run", path, "--yes", "--out", "elsewhere", "--limit", 1).code == 0
    assert [file.name for file in (project.folder / "elsewhere").glob("*.png")] == ["j0.png"]
    assert project.run("run", path, "--yes").code == 0
    assert [file.name for file in project.images()] == ["j1.png"]
    assert len(witness.charges()) == 2
    assert project.run("verify").code == 0


@pytest.mark.not_on(s3="gives --out")
def test_sandbox_run_with_out_marks_no_real_job_done(project, witness):
    path = project.manifest(jobs(2))
    rehearsed = project.run("run", path, "--sandbox", "--latency", "none", "--out", "output/shop", "--limit", 1)
    assert (rehearsed.code, len(project.images())) == (0, 1), rehearsed.err
    done = project.run("run", path, "--yes")
    assert done.code == 0, done.err
    assert len(witness.charges()) == 2
    check_books(project, witness.charges())
    assert project.run("verify").code == 0


@pytest.mark.parametrize("command", ["run", "resume"])
def test_failed_jobs_are_put_back_beside_what_is_pending(project, witness, command):
    path = project.manifest([*jobs(2), REFUSED])
    extra = ("--retry-failed", "--yes")
    assert project.run("run", path, "--limit", 0, *extra).code == 2
    if command == "run":
        assert project.run("run", path, "--dry-run", "--json", *extra).json["jobs"]["new"] == 3
        assert project.run("run", path, *extra, "--id", "bad").code == 3  # its first run: nothing to put back
    else:
        assert project.run("run", path, "--yes", "--id", "bad").code == 3
    which = path if command == "run" else "shop"
    plan = project.run(command, which, "--dry-run", "--json", "--retry-failed").json
    assert (plan["jobs"]["failed"], [lane["requests"] for lane in plan["lanes"]]) == (0, [3])
    assert project.jobs()["bad"]["state"] == "failed"
    assert project.run(command, which, *extra).code == 3
    assert sorted(witness.prompts()) == [*[REFUSED["prompt"]] * 2, "P0", "P1"]
    assert project.run(command, which, "--yes").code == 3  # without it, nothing is sent again
    assert len(witness.arrivals()) == 4
    again = project.run(command, which, *extra, "--cause", "refused")
    assert (again.code, len(witness.arrivals())) == (3, 5)
    assert project.run(command, which, *extra, "--cause", "invalid").code == 3
    assert len(witness.arrivals()) == 5


@pytest.mark.parametrize(
    ("fail_on", "made", "code"), [("any", 1, 3), ("all", 1, 0), ("all", 0, 3), ("never", 1, 0), ("never", 0, 0)]
)
def test_which_failures_end_a_run_with_3(project, witness, fail_on, made, code):
    done = project.run("run", project.manifest([*jobs(made), REFUSED]), "--yes", "--fail-on", fail_on)
    assert done.code == code
    assert "failed    1 refused" in done.err
    lets_pass = f"exit code 0: some jobs failed or are unknown, ignored by --fail-on {fail_on}"
    assert (lets_pass in done.err) == (code == 0)
    assert [run["exit_code"] for run in project.run("list", "runs", "--json").json] == [code]
    assert len(witness.arrivals()) == made + 1


def test_nobody_is_asked_where_nobody_is_to_be(project, witness):
    path = project.manifest(jobs(2), confirm_above=0)
    shown, code = on_terminal(project, ("run", path, "--no-input"), "dumb")
    assert (code, "--no-input forbids to ask" in shown) == (6, True)
    assert witness.arrivals() == []
    assert project.run("run", path, "--no-input", "--yes").code == 0


def test_a_run_as_json_lines(project, witness):
    path = project.manifest([*jobs(2), REFUSED])
    done = project.run("run", path, "--yes", "--progress", "json")
    assert done.code == 3
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["type"] for line in lines] == ["start", "job", "job", "job", "progress", "summary"]
    assert lines[0]["jobs"] == {"total": 3, "done": 0, "left": 3}
    ends = {line["job"]: line for line in lines if line["type"] == "job"}
    assert {name: line["event"] for name, line in ends.items()} == {
        "j0": "delivered",
        "j1": "delivered",
        "bad": "failed",
    }
    assert (ends["bad"]["cause"], ends["bad"]["usd"]) == ("refused", "0")
    assert all((project.folder / file).is_file() for name in ("j0", "j1") for file in ends[name]["files"])
    assert {line["attempt"] for line in ends.values()} == {line["attempt"] for line in witness.arrivals()}
    summary = lines[-1]
    kept = (project.state / "runs" / lines[0]["run"] / "summary.json").read_text()
    assert {name: value for name, value in summary.items() if name != "type"} == json.loads(project.axis.text(kept))
    assert CANARY not in done.out + done.err
    check_books(project, witness.charges())


def test_what_ends_a_run_before_its_first_line_is_json_too(project):
    (project.folder / "batchgen.yaml").write_text("options: {resume: {progress: json}}\n")
    ways = (
        (("run", "nothing.yaml", "--yes", "--progress=json"), {}, 4),
        (("run", "nothing.yaml", "--yes"), {"BATCHGEN_RUN_PROGRESS": "json"}, 4),
        (("resume",), {}, 10),
    )
    for words, env, code in ways:
        done = project.run(*words, **env)
        assert (done.code, done.out) == (code, "")
        assert json.loads(done.err)["type"] == "exit_error"


def test_the_variable_asks_for_json_lines_too(project):
    path = project.manifest([OPENAI | {"id": "x", "prompt": "X [sandbox: money]"}])
    done = project.run("run", path, "--yes", BATCHGEN_PROGRESS="json")
    assert done.code == 7
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert lines[-1]["run"]["lanes"][0]["closed"] == "money"


def test_lines_without_a_reader_yet_hold_up_no_call(project, witness):
    path = project.manifest(jobs(40))
    process = project.start("run", path, "--yes", "--progress", "json")
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)  # less than twenty lines
    wait_for(lambda: witness.arrived == 40, process)
    done = finish(process)
    assert done.code == 0
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert sum(line["type"] == "job" for line in lines) == 40
    assert lines[-1]["type"] == "summary"


def test_lines_that_nobody_reads_keep_no_signal_from_ending_the_run(project, witness):
    path = project.manifest(jobs(40), providers={"openai": {"limits": {"requests_per_second": 20}}})
    process = project.start("run", path, "--yes", "--progress", "json")
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    wait_for(lambda: witness.arrived > 30, process)
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: project.rows("select exit_code from runs") == [{"exit_code": 143}], process)
    finish(process)


def test_stdout_on_a_full_disk_does_not_end_the_run(project, witness):
    path = project.manifest(jobs(3))
    with Path("/dev/full").open("wb") as full:
        process = project.start("run", path, "--yes", "--progress", "json", stdout=full)
        with process.stderr as stderr:
            text = stderr.read().decode()
        assert process.wait(patience(30)) == 0
    assert "stdout cannot be written: No space left on device" in text
    assert "Traceback" not in text
    assert len(witness.charges()) == 3
    check_books(project, witness.charges())


@pytest.mark.parametrize("mode", ["json", "plain"])
def test_a_run_that_begins_without_any_stream_is_a_run(project, witness, mode):
    words = [*FRESH, "run", str(project.manifest(jobs(2))), "--yes", "--progress", mode]
    closed = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *words]
    done = subprocess.run(closed, cwd=project.folder, env=project.environment(), check=False)
    assert done.returncode == 0
    check_books(project, witness.charges())
