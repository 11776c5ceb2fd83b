"""A forked batchgen is what a fresh one is: what other tests see of the one holds for the other."""

from __future__ import annotations

import os
import re

import pytest

from tests.forkserver import FRESH

from .kit import CANARY, finish, wait_for

JOBS = [{"id": "owl", "provider": "openai", "quality": "low", "prompt": "An owl \N{OWL}"}]


@pytest.mark.slow
def test_forked_and_fresh_say_the_same(project, witness):
    manifest = project.manifest(JOBS)
    forked = project.program
    outputs = {}
    for project.program in (forked, FRESH):
        ways = (["--help"], ["plan", manifest], ["run", "nowhere.yaml"], ["show", "owl", "--nonsense"], ["status"])
        ended = [project.run(*words) for words in ways]
        # other tests fill the disk meanwhile
        outputs[project.program] = [(done.code, re.sub(r"[\d.]+ GB free", "", done.out), done.err) for done in ended]
    assert outputs[forked] == outputs[FRESH]
    assert [code for code, _, _ in outputs[forked]] == [0, 0, 4, 2, 10]


def test_a_forked_process_has_its_own_place_and_environment(project, witness):
    slow = [job | {"prompt": "Slow [sandbox: slow=9]"} for job in JOBS]
    process = project.start("run", project.manifest(slow), "--yes")
    wait_for(lambda: witness.arrived, process)
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    process.kill()
    assert finish(process).code == -9
    other = project.folder / "other"
    other.mkdir()
    assert f"{other}/.batchgen" in project.run("status", cwd=other).err
    del project.env["OPENAI_API_KEY"]
    run = ["run", project.manifest(JOBS), "--yes"]
    assert project.run(*run, cwd=other).code == 5
    assert project.run(*run, cwd=other, OPENAI_API_KEY=CANARY).code == 0


def test_forked_process_obeys_variables_read_at_start(project):
    plain, bare = (project.run("plan", "nö.yaml", PYTHONIOENCODING=encoding).err for encoding in ("utf-8", "ascii"))
    assert "nö.yaml" in plain
    assert r"n\xf6.yaml" in bare
