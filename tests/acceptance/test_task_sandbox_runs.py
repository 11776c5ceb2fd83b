"""Sandbox runs with remote tasks: a run and its sandbox are killed, and the next run collects what was submitted."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest
import yaml

from batchgen.sandbox import launch
from batchgen.sandbox.dialects import TASK_DIALECTS
from batchgen.sandbox.log import read_log

from .kit import IMAGES, finish, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def night(bare):
    """Return a project with a job at each provider of remote tasks, each slower than the start of two runs."""
    jobs = [
        {"id": name, "provider": name, "prompt": f"A lighthouse by {name} [sandbox: task-slow=15]"}
        for name in TASK_DIALECTS
    ]
    poll = {"task": {"poll": {"first_wait": 0.2, "max_wait": 0.5}}}
    body = {"name": "night", "providers": dict.fromkeys(TASK_DIALECTS, poll), "jobs": jobs}
    (bare.folder / "night.yaml").write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
    return bare


def lines(project, event):
    return [line for line in read_log(project.state / "sandbox/charges.jsonl") if line["event"] == event]


def start_until_polled(project):
    """Start a run, and return it once every task has been polled: its handle is committed by then."""
    process = project.start("run", "night.yaml", "--sandbox", "--yes", "--latency", "none")
    polled = lambda: {line["provider"] for line in lines(project, "poll")}  # noqa: E731 - a condition
    wait_for(lambda: polled() == set(TASK_DIALECTS), process, seconds=40)
    return process


def assert_each_bought_once(project):
    assert Counter(line["provider"] for line in lines(project, "task")) == dict.fromkeys(TASK_DIALECTS, 1)
    assert Counter(line["provider"] for line in lines(project, "charge")) == dict.fromkeys(TASK_DIALECTS, 1)
    images = [path for path in (project.folder / "sandbox-output/night").iterdir() if path.suffix in IMAGES]
    assert {path.stem for path in images} == set(TASK_DIALECTS)


def test_next_run_collects_after_run_and_sandbox_are_killed(night):
    process = start_until_polled(night)
    process.kill()
    finish(process)
    os.kill(launch.find(night.state / "sandbox").pid, signal.SIGKILL)
    last = night.run("run", "night.yaml", "--sandbox", "--yes", seconds=90)
    assert last.code == 0, last.out + last.err
    assert_each_bought_once(night)


def test_next_run_collects_after_an_interrupt(night):
    process = start_until_polled(night)
    process.send_signal(signal.SIGINT)
    stopped = finish(process)
    assert stopped.code == 130, stopped.err
    status = night.run("status", "--sandbox").out
    assert "at the provider; the next run collects them" in status
    last = night.run("run", "night.yaml", "--sandbox", "--yes", seconds=90)
    assert last.code == 0, last.out + last.err
    assert_each_bought_once(night)
