"""Delivered files that are gone: a run and ``status`` say so, although nothing is left to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from batchgen.app.presence import Bounds, look
from batchgen.app.project import Project, open_reader

from .kit import Workspace

JOBS = [
    {"id": f"cat-{number}", "provider": "openai", "quality": "low", "prompt": f"Cat {number}"} for number in range(8)
]


@pytest.fixture
def bought(project) -> Path:
    path = project.manifest(JOBS)
    assert project.run("run", path, "--yes").code == 0
    return path


def delete(project: Workspace, number: int) -> None:
    for path in project.images()[:number]:
        path.unlink()


def test_a_run_with_nothing_to_do_says_that_files_are_gone(project, bought, witness):
    assert "gone" not in project.run("run", bought).err
    delete(project, 3)
    done = project.run("run", bought)
    assert done.code == 0
    assert "gone      3 files are gone: deleted, moved or renamed" in done.err
    assert "exit code 0: all done; 3 files are gone" in done.err
    assert "batchgen verify" in done.err
    document = project.run("run", bought, "--json").json
    assert document["files_gone"] == {"gone": 3, "looked_for": 8, "complete": True}
    assert "batchgen verify" in [step["command"] for step in document["next"]]
    assert len(witness.charges()) == 0


def test_status_says_it_too(project, bought):
    assert project.run("status", "--json").json["files_gone"]["gone"] == 0
    delete(project, 1)
    shown = project.run("status")
    assert "1 file is gone" in shown.out
    assert "batchgen verify" in shown.out


def test_files_of_orphaned_jobs_are_not_missed(project, bought):
    project.manifest(JOBS[4:])
    delete(project, 4)
    assert "gone" not in project.run("run", bought).err


def test_a_look_is_bounded(project, bought):
    delete(project, 8)
    place = Project.of(project.folder, None)
    with open_reader(place) as reader:
        [batch] = reader.batches()
        sample = look(place, reader, batch, 8, Bounds(most=4, sample=4, objects=0, seconds=60))
        assert (sample.looked_for, sample.complete) == (4, False)
        assert str(sample) == "at least 4 files are gone"
        assert look(place, reader, batch, 8).gone == 8


def test_from_another_folder_no_file_is_missed(project, bought, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    table = project.state / "batchgen.db"
    seen = project.run("status", "--db", table, "--json", cwd=elsewhere)
    assert seen.json["files_gone"] == {"gone": 0, "looked_for": 8, "complete": True}
    moved = Path(shutil.copy(table, elsewhere / "deep"))
    seen = project.run("status", "--db", moved, "--json", cwd=elsewhere)
    assert seen.json["files_gone"] == {"gone": 0, "looked_for": 0, "complete": False}
