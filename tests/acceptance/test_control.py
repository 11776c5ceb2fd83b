"""Steering from another terminal, as people do it: a command beside a run, and what that makes of it."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from tests.timing import patience

from .kit import CANARY, finish, wait_for


@pytest.fixture(scope="module")
def latency():
    return "0.1"


def test_jobs_are_cancelled_while_a_run_is_on(project, witness):
    jobs = [{"id": f"cat-{number}", "prompt": f"Cat {number}"} for number in range(5)]
    slow = {"id": "slow", "prompt": "Slow [sandbox: slow=8]", "priority": 9}
    one_at_a_time = {"openai": {"limits": {"concurrency": 1}}}
    defaults = {"provider": "openai", "quality": "low"}
    manifest = project.manifest([*jobs, slow], providers=one_at_a_time, defaults=defaults)
    process = project.start("run", manifest, "--yes")
    wait_for(lambda: witness.arrived >= 1, process)
    gone = project.run("cancel", "--id", "cat-[34]", "--id", "slow")
    assert gone.code == 0, gone.err
    assert gone.err.splitlines()[:2] == [
        "shop: 3 jobs cancelled",
        "1 request in flight will still be paid for and booked; an image that arrives completes its job",
    ]
    assert f"a run is in progress (process {process.pid}: " in gone.err
    ended = finish(process)
    assert ended.code == 0, ended.err
    assert "cancelled 2 jobs" in ended.err
    assert "exit code 0: all done except 2 cancelled" in ended.err
    states = {key: job["state"] for key, job in project.jobs().items()}
    cancelled = dict.fromkeys(("cat-3", "cat-4"), "cancelled")
    # What was in flight is paid for, and its image arrived.
    assert states == dict.fromkeys((job["id"] for job in (*jobs, slow)), "done") | cancelled
    assert len(witness.charges()) == 4
    assert len(project.ledger()) == 4
    assert sum(row["usd"] > 0 for row in project.ledger().values()) == 4


def test_a_run_follows_commands_from_another_terminal(project, witness):
    jobs = [{"id": f"j{number:02}", "prompt": f"a hare, number {number} [sandbox: slow=0.3]"} for number in range(14)]
    path = project.manifest(jobs, defaults={"provider": "openai", "quality": "low"})
    run = project.start("run", path, "--yes", "-j", "2")
    wait_for(lambda: witness.arrived >= 2, run)
    assert project.run("pause", "openai").code == 0
    time.sleep(patience(0.7))  # the run looks once a second
    wait_for(lambda: project.rows("select 1 from attempts where state = 'open'") == [], run)
    paused_at = witness.arrived
    assert 2 <= paused_at < 14
    assert project.run("cancel", "--id", "j13").code == 0
    assert project.run("limit", "openai", "concurrency=1").code == 0
    shown = next(line for line in project.run("status").out.splitlines() if line.startswith("in force  "))
    assert "openai: paused since" in shown
    assert "concurrency 1 (batchgen limit openai --reset)" in shown
    assert witness.arrived == paused_at
    assert project.run("unpause", "openai").code == 0
    done = finish(run)
    assert done.code == 0, done.err
    assert "openai: paused since" in done.err
    assert "openai: resumed" in done.err
    assert len(witness.charges()) == 13
    states = Counter(row["state"] for row in project.jobs().values())
    assert states == {"done": 13, "cancelled": 1}


def test_forgotten_pause_ends_a_run_and_is_shown_everywhere(project, witness):
    jobs = [{"id": "there", "provider": "openai", "prompt": "there"}, {"id": "here", "provider": "aimlapi",
            "prompt": "here [sandbox: slow=1]", "size": "1024x1024"}]  # fmt: skip
    path = project.manifest(jobs, defaults={"quality": "low"})
    assert project.run("pause", "openai").code == 0
    assert project.run("limit", "aimlapi", "burst=2").code == 0
    done = project.run("run", path, "--yes", "-q")
    assert done.code == 8, done.err
    assert [line for line in done.err.splitlines() if line.startswith("stopped")] == [
        "stopped   the remaining jobs wait for a decision: openai is paused (to resume it: batchgen unpause openai)"
    ]
    assert {key: job["state"] for key, job in project.jobs().items()} == {"there": "pending", "here": "done"}
    assert len(witness.charges()) == 1
    quiet = project.run("run", path, "--yes", "-q")
    assert (quiet.code, quiet.err) == (8, "")  # the run before said so, and this one added nothing
    shown = (project.run("status"), project.run("doctor"), project.run("plan", path),
             project.run("schedule", "cron", path, "--", "--budget", "1"))  # fmt: skip
    for done in shown:
        assert "openai: paused since " in done.out + done.err
        assert "(batchgen unpause openai)" in done.out + done.err
        assert "aimlapi: burst 2 (batchgen limit aimlapi --reset)" in done.out + done.err
    for command in (("status",), ("plan", path)):
        told = {one["provider"]: one for one in project.run(*command, "--json").json["controls"]}
        assert told["openai"]["paused_at"] is not None
        assert (told["aimlapi"]["paused_at"], told["aimlapi"]["limits"]) == (None, {"burst": 2})
    assert project.run("resume-lane", "openai").code == 0
    assert project.run("run", path, "--yes").code == 0


def test_a_pause_leaves_a_run_to_who_takes_the_jobs_over(project, witness):
    jobs = [{"id": name, "provider": ["openai", "aimlapi"], "size": "1024x1024", "prompt": name} for name in "abc"]
    path = project.manifest(jobs, defaults={"quality": "low"})
    assert project.run("pause", "openai").code == 0
    done = project.run("run", path, "--yes")
    assert done.code == 0, done.err
    assert {line["provider"] for line in witness.charges()} == {"aimlapi"}


def test_a_lane_that_closed_tries_again_when_asked_to(project, witness):
    project.env["AIMLAPI_API_KEY"] = f"poor-{CANARY}"
    jobs = [{"id": "first", "prompt": "A hare", "provider": "aimlapi"}]
    jobs += [
        {"id": f"j{n}", "prompt": f"A hare {n} [sandbox: slow={patience(2):g}]", "provider": "openai"} for n in range(1)
    ]
    path = project.manifest(jobs, defaults={"quality": "low"})
    run = project.start("run", path, "--yes")
    wait_for(lambda: sum(line["provider"] == "aimlapi" for line in witness.now()) >= 2, run)
    time.sleep(patience(0.5))  # the run looks once a second
    assert project.run("resume-lane", "aimlapi").code == 0
    done = finish(run)
    assert "aimlapi: resumed" in done.err
    assert sum(line["provider"] == "aimlapi" for line in witness.arrivals()) == 2
