"""kill -9 at every step of a batch: one batch for each submission, nothing lost, nothing bought twice."""

from __future__ import annotations

import random
import sqlite3
import time
from collections import Counter
from contextlib import closing, suppress

import pytest

from tests.timing import patience

from .kit import check_books, check_files
from .test_batches import events, nightly

#: How often a run is killed at each step.
TIMES = 10
JOBS = 4


def _state(wanted):
    return lambda project, witness: wanted in _stored(project)


def _event(kind):
    return lambda project, witness: bool(events(witness, kind))


def _files(count):
    return lambda project, witness: len(list((project.folder / "output").rglob("*.png"))) >= count


#: The steps after which a run is killed, and how each is seen from outside.
STEPS = {
    "building": _state("building"),
    "file-at-provider": _event("file"),
    "submitting": _state("submitting"),
    "batch-at-provider": _event("batch"),
    "submitted": _state("submitted"),
    "carried-out": _event("batch-row"),
    "download": _event("download"),
    "downloaded": _state("downloaded"),
    "first-file": _files(1),
    "half-of-the-files": _files(JOBS // 2),
    "collected": _state("collected"),
}


def _stored(project):
    """Return the states of submissions by now; none before there is a job database."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(project.state / "batchgen.db", timeout=1)) as database:
        return {row[0] for row in database.execute("select state from submissions")}
    return set()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.not_on(postgres="the test reads the file of the job database")
@pytest.mark.parametrize("step", STEPS)
def test_kill_after_each_step_neither_loses_nor_repeats_anything(project, witness, sandbox, step, tmp_path):
    chance = random.Random(step)
    for number in range(TIMES):
        folder = tmp_path / f"{step}-{number}"
        folder.mkdir()
        project.move_to(folder)
        witness = type(witness)(sandbox.log)
        path = nightly(project, *(f" of {step} {number}" for _ in range(JOBS)))
        run = project.start("run", path, "--yes")
        end = time.monotonic() + patience(30)
        while run.poll() is None and not STEPS[step](project, witness):
            assert time.monotonic() < end
            time.sleep(0.001)
        time.sleep(chance.choice((0, 0.001, 0.01, 0.03)))
        run.kill()
        run.communicate()
        done = project.run("run", path, "--yes")
        assert done.code == 0, done.err
        _check(project, witness)


def _check(project, witness):
    charges, made = events(witness, "charge"), events(witness, "batch")
    assert Counter(line["prompt"] for line in charges) == {line["prompt"]: 1 for line in charges}
    assert len(charges) == JOBS
    of_submission = Counter(line["metadata"]["batchgen"] for line in made)
    assert set(of_submission.values()) == {1}, "a submission has two batches"
    check_books(project, charges)
    check_files(project)
    assert len(project.images()) == JOBS
