"""What a person looks up: causes of failure, and how the sandbox misbehaves; and words that mean nothing."""

from __future__ import annotations

import re

import pytest

from batchgen.fault import Cause
from batchgen.sandbox.faults import ALIASES, KINDS


def test_help_pages_name_every_cause_and_every_fault(project):
    causes = project.run("help", "causes").out
    assert re.findall(r"^- `(\w+)`: ", causes, re.MULTILINE) == [*Cause]
    faults = project.run("help", "sandbox-faults").out
    assert all(f"- `{kind}`: " in faults for kind in KINDS)
    assert all(f"`{name}` (" in " ".join(faults.split()) for name in ALIASES)
    assert max(map(len, faults.splitlines() + causes.splitlines())) <= 120
    assert "batchgen help sandbox-faults" in project.run("sandbox", "--help").out


def test_help_on_an_unknown_topic_suggests_and_lists(project):
    far = project.run("help", "foo")
    assert far.code == 2
    assert all(name in far.err for name in ("exit-codes", "causes", "environment", "manifest", "cron"))
    assert "Did you mean 'causes'?" in project.run("help", "cause").err


@pytest.mark.parametrize("command", [("list",), ("retry",), ("export",), ("cancel",)])
def test_a_cause_that_there_is_not_is_refused(project, command):
    near = project.run(*command, "--cause", "thottled")
    assert near.code == 2
    assert "unknown cause 'thottled': did you mean 'throttled'?" in near.err
    far = project.run(*command, "--cause", "nosuch")
    assert "there are: throttled, unreached, money" in far.err


def test_a_fault_that_there_is_not_is_reported(project):
    for options, text in {
        ("--fault", "eror500=0.5"): "unknown fault 'eror500'; did you mean 'error500'? (batchgen help sandbox-faults)",
        ("--fault", "error500=2"): "a rate must be between 0 and 1",
        ("--throttle", "openai=9"): "is not a limit such as 60/m",
        ("--latency", "soon"): "--latency soon: ",
    }.items():
        done = project.run("sandbox", "--port", "0", *options)
        assert (done.code, done.out) == (2, "")
        assert text in done.err
        assert "usage:" not in done.err
    jobs = [
        {"id": "a", "provider": "openai", "prompt": "A [sandbox: drop x1] [sandbox: eror500 x1]"},
        {"id": "b", "provider": "openai", "prompt": "B [sandbox: {{ row }}] [sandbox: slow=2]"},
    ]
    done = project.run("validate", project.manifest(jobs))
    assert done.code == 0
    [warning] = [line for line in done.err.splitlines() if "is sent to" not in line]
    assert "did you mean 'error500'? (batchgen help sandbox-faults)" in warning
    line, column = map(int, warning.split(":")[2:4])
    assert (project.folder / "m.yaml").read_text().splitlines()[line - 1][column - 1 :].startswith("[sandbox: eror500")
