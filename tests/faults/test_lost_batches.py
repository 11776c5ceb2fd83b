"""A job database that is lost or older while a batch is at its provider: nothing is bought again.

Each test has a sandbox of its own, whose log is the witness: every batch in it is one of the test.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batchgen.sandbox import launch
from batchgen.sandbox.log import read_log
from tests.torture.batch_points import POINTS, die_at, hasten
from tests.torture.remote_suites import KEY, SUITES

from . import local_kit as kit

pytestmark = pytest.mark.timeout(400)
place = kit.place_fixture
SUITE = SUITES["batches"]
ENV = {SUITE.key: KEY}


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[launch.Sandbox]:
    folder = tmp_path_factory.mktemp("sandbox")
    with launch.start(folder, latency="none", idle_exit=90, extra=["--draw", "small"]) as running:
        yield running


def manifest(place: kit.Place, name: str, number: int = 2) -> Path:
    return SUITE.manifest(place, dict(SUITE.jobs(name, number)))


def events(sandbox: launch.Sandbox, kind: str) -> list[dict]:
    return [line for line in read_log(sandbox.log) if line["event"] == kind]


def check(place: kit.Place, sandbox: launch.Sandbox, *, jobs: int = 2, batches: int = 1, replaced: int = 0) -> None:
    """Assert that each job was bought once, is delivered and booked, and that nothing of its submission is left."""
    made, charges = events(sandbox, "batch"), events(sandbox, "charge")
    assert set(Counter(line["metadata"]["batchgen"] for line in made).values()) == {1}, "a submission has two batches"
    assert len(made) == batches
    assert Counter(line["prompt"] for line in charges) == {line["prompt"]: 1 for line in charges}
    assert len(charges) == jobs
    kit.check_books(place, charges)
    kit.check_files(place)
    assert len(place.images()) == jobs - replaced
    assert place.rows("select id from attempts where state = 'open'") == []
    assert [path for path in place.state.glob("submissions/*") if not path.name.endswith("requests.jsonl")] == []


def test_requests_of_a_submission_that_was_never_created_are_removed_after_a_day(place, sandbox, request):
    batch = manifest(place, request.node.name)
    assert place.do("run", batch, "--yes", hook=die_at, arguments=("uploaded",), **ENV).code == -9
    [requests] = place.state.glob("submissions/*")
    place.lose_database()
    assert place.do("run", batch, "--yes", hook=hasten, **ENV).code == 0
    assert [*place.state.glob("submissions/*")] == [requests]  # another job database may have it in hand
    yesterday = time.time() - 86_401
    os.utime(requests, (yesterday, yesterday))
    assert place.do("run", batch, "--yes", **ENV).code == 0
    assert [*place.state.glob("submissions/*")] == []
    check(place, sandbox)


@pytest.mark.parametrize("point", POINTS)
def test_lost_job_database_finds_its_batch_again(place, sandbox, point, request):
    batch = manifest(place, request.node.name)
    assert place.do("run", batch, "--yes", hook=die_at, arguments=(point,), **ENV).code == -9
    place.lose_database()
    done = place.do("run", batch, "--yes", hook=hasten, **ENV)
    assert done.code == 0, done.err
    check(place, sandbox)


def die_while_taking_in(step: str) -> None:
    """Hook: be killed after a step of the recovery of a submission."""
    from batchgen.store import lost_submissions
    from tests.torture import deaths

    deaths.after(lost_submissions, step)


@pytest.mark.parametrize("step", ["begin", "add_calls", "complete"])
def test_recovery_that_is_killed_is_repeated(place, sandbox, step, request):
    batch = manifest(place, request.node.name)
    assert place.do("run", batch, "--yes", hook=die_at, arguments=("submitted",), **ENV).code == -9
    place.lose_database()
    assert place.do("run", batch, "--yes", hook=die_while_taking_in, arguments=(step,), **ENV).code == -9
    done = place.do("run", batch, "--yes", hook=hasten, **ENV)
    assert done.code == 0, done.err
    check(place, sandbox)


def test_batch_is_not_created_before_its_note_is_on_disk(place, sandbox, request):
    batch = manifest(place, request.node.name)
    full = place.fault("w", errno.ENOSPC, part=".note.jsonl", lasting=True)
    stopped = place.do("run", batch, "--yes", fault=full, **ENV)
    assert stopped.code == 1, stopped.err
    assert "Nothing of it was sent" in stopped.err
    assert events(sandbox, "batch") == []
    done = place.do("run", batch, "--yes", hook=hasten, **ENV)
    assert done.code == 0, done.err
    check(place, sandbox)


# --- a copy of the job database takes its place -----------------------------------------------------------------------

COPY = "copy.db"
#: Steps of a submission after which a copy is made, with a later point at which the run is killed.
COPIES = [
    ("building", "submitting"),
    ("building", "created"),
    ("building", "submitted"),
    ("building", "in slot"),
    ("building", "settled"),
    ("building", "collected"),
    ("submitting", "created"),
    ("submitting", "settled"),
    ("submitting", "collected"),
    ("submitted", "downloaded"),
    ("submitted", "settled"),
    ("submitted", "collected"),
    ("downloaded", "settled"),
    ("downloaded", "collected"),
]


def copy_database() -> None:
    with closing(sqlite3.connect(".batchgen/batchgen.db")) as source, closing(sqlite3.connect(COPY)) as target:
        source.backup(target)


def put_back_copy(place: kit.Place) -> None:
    place.lose_database()
    (place.folder / COPY).rename(place.state / "batchgen.db")


def copy_at(state: str) -> None:
    """Hook: copy the job database once a submission is in *state*, and go on, without long waits."""
    from batchgen.engine.batches import steps

    claim_all, step = steps.claim_all, steps.Steps._step

    async def claim_and_copy(*arguments: object) -> object:
        claimed = await claim_all(*arguments)
        copy_database()
        return claimed

    async def step_and_copy(self: object, *arguments: object, **changes: object) -> object:
        after = await step(self, *arguments, **changes)
        if changes.get("state") == state:
            copy_database()
        return after

    if state == "building":
        steps.claim_all = claim_and_copy
    else:
        steps.Steps._step = step_and_copy
    hasten()


def copy_and_die_at(state: str, point: str) -> None:
    """Hook: copy the job database once a submission is in *state*, and be killed at *point*."""
    copy_at(state)
    die_at(point)


def test_plan_states_which_batches_a_run_takes_in(place, sandbox, request):
    batch = manifest(place, request.node.name)
    assert place.do("run", batch, "--yes", hook=die_at, arguments=("submitted",), **ENV).code == -9
    place.lose_database()
    planned = place.do("plan", batch)
    assert planned.code == 0, planned.err
    assert "recover   1 batch of calls is at the provider and not in this job database" in planned.out
    assert place.do("run", batch, "--yes", hook=hasten, **ENV).code == 0
    assert "recover   " not in place.do("plan", batch).out
    check(place, sandbox)


@pytest.mark.parametrize(("state", "point"), COPIES)
def test_older_copy_of_the_job_database_finds_its_batch_again(place, sandbox, state, point, request):
    batch = manifest(place, request.node.name)
    assert place.do("run", batch, "--yes", hook=copy_and_die_at, arguments=(state, point), **ENV).code == -9
    put_back_copy(place)
    done = place.do("run", batch, "--yes", hook=hasten, **ENV)
    assert done.code == 0, done.err
    check(place, sandbox)


@pytest.mark.parametrize("point", ["created", "submitted", "downloaded", "in slot", "settled", "collected"])
def test_copy_from_before_a_submission_finds_its_batch(place, sandbox, point, request):
    name = request.node.name
    assert place.do("run", manifest(place, name, 1), "--yes", hook=hasten, **ENV).code == 0
    copy = place.folder / COPY
    with closing(sqlite3.connect(place.state / "batchgen.db")) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    batch = manifest(place, name, 4)
    assert place.do("run", batch, "--yes", hook=die_at, arguments=(point,), **ENV).code == -9
    put_back_copy(place)
    done = place.do("run", batch, "--yes", hook=hasten, **ENV)
    assert done.code == 0, done.err
    check(place, sandbox, jobs=4, batches=2)


@pytest.mark.parametrize("state", ["building", "submitting", "submitted", "downloaded"])
def test_older_copy_put_back_after_a_run_that_ended_well_buys_nothing(place, sandbox, state, request):
    batch = manifest(place, request.node.name)
    assert place.do("run", batch, "--yes", hook=copy_at, arguments=(state,), **ENV).code == 0
    assert len(events(sandbox, "delete")) == 1
    put_back_copy(place)
    done = place.do("run", batch, "--yes", hook=hasten, **ENV)
    assert done.code == 0, done.err
    check(place, sandbox)


# --- jobs that are not as they were sent ------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["created", "submitted", "in slot", "published", "settled", "collected"])
def test_calls_of_jobs_that_were_changed_or_removed_are_collected(place, sandbox, point, request):
    """They are booked and delivered as what was sent; the changed job is bought as it is now by the run after."""
    jobs = dict(SUITE.jobs(request.node.name, 3))
    batch = SUITE.manifest(place, jobs)
    assert place.do("run", batch, "--yes", hook=die_at, arguments=(point,), **ENV).code == -9
    place.lose_database()
    SUITE.manifest(place, {"j0": jobs["j0"], "j1": f"{jobs['j1']} in blue"})
    for _ in range(2):
        done = place.do("run", batch, "--yes", hook=hasten, **ENV)
        assert done.code == 0, done.err
    check(place, sandbox, jobs=4, batches=2, replaced=1)
    assert Counter(row["state"] for row in place.rows("select state from jobs")) == {"done": 3}
    assert len(place.rows("select id from ledger")) == 4


def lose_and_run(place: kit.Place, batch: Path, code: int = 0) -> None:
    place.lose_database()
    done = place.do("run", batch, "--yes", hook=hasten, **ENV)
    assert done.code == code, done.err


def die_in_second_batch(point: str) -> None:
    """Hook: be killed at *point* of the second batch."""
    from batchgen.engine.batches import steps
    from tests.torture import deaths

    hasten()
    if point == "created":
        deaths.after_awaiting(steps.Steps, "_create", 2)
    else:
        deaths.after_awaiting(steps.Steps, "_collect", 2)


def orders(place: kit.Place, *jobs: dict, **top: object) -> Path:
    settings = SUITE.settings | {"base_url": f"{place.url}/{SUITE.provider}"}
    made = [{"provider": SUITE.provider} | SUITE.fields | job for job in jobs]
    return place.batch(*made, providers={SUITE.provider: settings}, on_unknown="hold", **top)


@pytest.mark.parametrize("point", ["created", "in slot", "published", "settled", "collected"])
def test_jobs_without_sidecars_are_delivered_once(place, sandbox, point):
    batch = orders(place, *({"id": name, "prompt": f"A {name}"} for name in ("cat", "dog")), output={"sidecar": False})
    assert place.do("run", batch, "--yes", hook=die_at, arguments=(point,), **ENV).code == -9
    lose_and_run(place, batch)
    charges = events(sandbox, "charge")
    assert (len(events(sandbox, "batch")), len(charges)) == (1, 2)
    kit.check_books(place, charges)
    assert [path.name for path in place.files()] == ["cat.png", "dog.png"]
    assert len(place.rows("select id from artifacts where superseded_at is null")) == 2


@pytest.mark.parametrize("point", ["created", "in slot", "published", "settled", "collected"])
def test_redo_in_a_batch_replaces_the_image_once(place, sandbox, point):
    batch = orders(place, {"id": "cat", "prompt": "A cat"})
    assert place.do("run", batch, "--yes", hook=hasten, **ENV).code == 0
    [before] = [path.read_bytes() for path in place.images()]
    redone = place.do("redo", batch, "--id", "cat", "--yes", hook=die_at, arguments=(point,), **ENV)
    assert redone.code == -9, redone.err
    lose_and_run(place, batch)
    charges = events(sandbox, "charge")
    assert (len(events(sandbox, "batch")), len(charges)) == (2, 2)
    kit.check_books(place, charges)
    kit.check_files(place)
    [image] = place.images()
    assert image.read_bytes() != before


@pytest.mark.parametrize("point", ["created", "collected"])
def test_batch_for_the_rest_of_a_job_is_found_again(place, sandbox, point):
    """Of two images the first batch has brought one, whose file is known by its sidecar."""
    batch = orders(place, {"id": "cat", "prompt": "A cat [sandbox: short x1]", "n": 2, "per_request": 2})
    killed = place.do("run", batch, "--yes", hook=die_in_second_batch, arguments=(point,), **ENV)
    assert killed.code == -9, killed.err
    lose_and_run(place, batch)
    assert len(events(sandbox, "batch")) == 2
    kit.check_books(place, events(sandbox, "charge"))
    kit.check_files(place)
    assert sorted(path.name for path in place.images()) == ["cat-1.png", "cat-2.png"]


@pytest.mark.parametrize("point", ["created", "in slot", "settled", "delivered", "collected"])
def test_free_and_refused_calls_are_booked_as_such_again(place, sandbox, point, request):
    name = request.node.name
    texts = {"good": f"{name} 1", "refused": f"{name} 2 [sandbox: refuse]", "empty": f"{name} 3 [sandbox: empty]"}
    batch = orders(place, *({"id": key, "prompt": text} for key, text in texts.items()), retry={"attempts": 1})
    assert place.do("run", batch, "--yes", hook=die_at, arguments=(point,), **ENV).code == -9
    lose_and_run(place, batch, code=3)
    states = {row["key"]: row["state"] for row in place.rows("select key, state from jobs")}
    assert states == {"good": "done", "refused": "failed", "empty": "failed"}
    assert len(events(sandbox, "batch")) == 1
    kit.check_books(place, events(sandbox, "charge"))


@pytest.mark.parametrize("point", ["created", "delivered", "collected"])
def test_calls_of_an_expired_batch_are_bought_in_the_next_one(place, sandbox, point, request):
    name = request.node.name
    batch = orders(place, *({"id": f"j{n}", "prompt": f"{name} {n} [sandbox: batch-expire=1 x1]"} for n in range(3)))
    assert place.do("run", batch, "--yes", hook=die_at, arguments=(point,), **ENV).code == -9
    lose_and_run(place, batch)
    check(place, sandbox, jobs=3, batches=len(events(sandbox, "batch")))
