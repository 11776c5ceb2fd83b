"""A low limit of open files: fewer calls at once, or one sentence before anything is sent."""

from __future__ import annotations

import sys

import pytest
from PIL import Image

from batchgen.app.preflight import BASE_FILES, FILES_PER_CALL

from .kit import check_books, check_files

JOBS = [{"id": f"j{number}", "provider": "openai", "quality": "low", "prompt": f"P{number}"} for number in range(6)]


def limited(project, number: int):
    """Let batchgen run under ``ulimit -n``, soft and hard."""
    script = f'ulimit -n {number}; exec "$@"'
    project.program = ("sh", "-c", script, "sh", sys.executable, "-m", "batchgen")
    return project


def test_run_with_thirty_open_files_makes_all(project, witness):
    manifest = project.manifest(JOBS)
    for command in (("plan", manifest), ("run", manifest, "--yes"), ("status",)):
        assert limited(project, 30).run(*command).code == 0
    assert len(witness.charges()) == 6
    check_books(project, witness.charges())
    check_files(project)


def test_calls_in_flight_need_no_more_open_files_than_reckoned(project, witness):
    Image.effect_noise((64, 64), 90).save(project.folder / "cat.png")
    width = 60
    half = [{"id": f"g{number}", "prompt": f"G{number} [sandbox: slow=2]"} for number in range(width // 2)]
    edits = [job | {"id": f"e{number}", "images": ["cat.png"]} for number, job in enumerate(half)]
    manifest = project.manifest([*half, *edits], defaults={"provider": "openai", "quality": "low"})
    done = limited(project, BASE_FILES + FILES_PER_CALL * width).run("run", manifest, "--yes", "-j", width)
    assert done.code == 0, done.err
    assert "concurrency" not in done.err  # it was not lowered
    assert len(project.rows("select * from attempts")) == len(witness.charges()) == width


@pytest.mark.parametrize("number", [20, 12])
def test_run_with_too_few_open_files_ends_with_one_sentence(project, witness, number):
    manifest = project.manifest(JOBS)
    done = limited(project, number).run("run", manifest, "--yes")
    assert done.code == 1
    assert len(done.err.strip().splitlines()) == 1
    assert f"the limit is {number}, and this run needs at least 2" in done.err
    assert "Nothing was sent. To raise it: ulimit -n 256" in done.err
    assert limited(project, number).run("plan", manifest).code == 0
    doctor = limited(project, number).run("doctor")
    assert "a run needs at least 23: ulimit -n 256" in doctor.out
    assert witness.arrivals() == []
    assert limited(project, 256).run("run", manifest, "--yes").code == 0


def test_lanes_of_several_providers_need_more_open_files(project, witness):
    jobs = [{"id": name, "provider": name, "prompt": "P"} for name in ("openai", "aigate", "aimlapi", "openrouter")]
    done = limited(project, 28).run("run", project.manifest(jobs), "--yes")
    assert done.code == 1
    assert "this run needs at least 3" in done.err.splitlines()[-1]
    assert witness.arrivals() == []
    assert project.rows("select * from attempts") == []
