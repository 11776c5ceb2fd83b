"""What a run leaves in its log: every call with its ids, every lane, every signal, and no key."""

from __future__ import annotations

import json
import os
import re
import signal

from .kit import CANARY, SECRET, Line, Workspace, wait_for


def log(project: Workspace) -> list[Line]:
    return [json.loads(line) for line in (project.state / "logs" / "batchgen.jsonl").read_text("ascii").splitlines()]


def of(lines: list[Line], event: str) -> list[Line]:
    return [line for line in lines if line["event"] == event]


def test_every_call_is_in_the_log_with_its_ids(project):
    jobs = [
        {"id": "fine", "provider": "openai", "quality": "low", "prompt": "A"},
        {"id": "no", "provider": "openai", "prompt": "B [sandbox: refuse]"},
        {"id": "none", "provider": "openrouter", "prompt": "C [sandbox: empty]"},
        {"id": "broke", "provider": "aimlapi", "prompt": "D [sandbox: money]"},
    ]
    done = project.run("run", project.manifest(jobs), "--yes", "-v")
    lines = log(project)
    [run] = project.rows("select * from runs")
    assert {(line["batch"], line["run"]) for line in lines if line["event"] not in ("notice", "library")} == {
        ("shop", run["id"])
    }
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert line["level"] in ("debug", "info", "warning", "error")
    attempts = {row["id"]: key for key, job in project.jobs().items() for row in job["attempts"]}
    assert {line["attempt"]: line["job"] for line in of(lines, "claimed")} == attempts
    ends = [line for line in lines if "attempt" in line and line["event"] != "claimed"]
    assert {line["attempt"]: line["job"] for line in ends} == attempts
    assert all(line["provider"] and line["model"] for line in ends)
    ids = {row["id"]: row["request_id"] for row in project.rows("select id, request_id from attempts")}
    assert all(line["request_id"] == (ids[line["attempt"]] or line["attempt"]) for line in ends if "cause" in line)
    assert {line["job"] for line in of(lines, "failed")} == {"no", "none"}
    sent = {(line["variable"], line["host"]) for line in of(lines, "key_sent")}
    host = project.url.removeprefix("http://")
    assert sent == {(f"{name}_API_KEY", host) for name in ("OPENAI", "OPENROUTER", "AIMLAPI")}
    [closed] = of(lines, "lane_closed")
    assert (closed["provider"], closed["why"], closed["level"]) == ("aimlapi", "money", "warning")
    [ended] = of(lines, "ended")
    assert (ended["exit_code"], done.code) == (7, 7)
    assert lines[-1] == ended
    assert re.search(r"^\d\d:\d\d:\d\d failed job=no ", done.err, re.MULTILINE)
    assert " claimed " not in done.err

    assert project.run("run", "m.yaml", "--yes", "--log-file", "own.log", "--log-format", "text").code == 7
    assert (project.folder / "own.log").read_text().split()[1:3] == ["info", "begun"]
    for file in [project.folder / "own.log", *project.state.rglob("*")]:
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def test_a_refused_key_closes_its_lane_and_is_not_written(project):
    jobs = [{"id": "a", "provider": "openai", "prompt": "A [sandbox: denied]"}]
    wrong = project.run("run", project.manifest(jobs), "--yes", "-vv")
    assert wrong.code == 5
    assert of(log(project), "lane_closed")[0]["why"] == "denied"
    assert CANARY not in wrong.err + (project.state / "logs" / "batchgen.jsonl").read_text()


def test_a_signal_and_what_the_next_run_finds(project, witness):
    jobs = [{"id": f"j{n}", "provider": "openai", "prompt": f"Slow {n} [sandbox: slow=2]"} for n in range(3)]
    process = project.start("run", project.manifest(jobs), "--yes", "-j", "1")
    wait_for(lambda: witness.arrived, process)
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    lines = log(project)
    assert [line["signal"] for line in of(lines, "signal")] == ["SIGTERM"]
    assert len(of(lines, "draining")) == 1
    assert [line["exit_code"] for line in of(lines, "ended")] == [143]


def test_what_is_refused_before_it_begins_leaves_no_log(project):
    jobs = [{"id": "a", "provider": "openai", "prompt": "A"}]
    assert project.run("run", project.manifest([*jobs, {"id": "b"}])).code == 4
    assert not project.state.exists()
    assert project.run("run", project.manifest(jobs)).code == 6
    assert [line["exit_code"] for line in of(log(project), "exit_error")] == [6]
