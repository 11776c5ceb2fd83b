"""A run is steered from beside it: a real job table whose lock and write lock others hold, real settings files."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Timer

import pytest
from anyio import create_task_group, fail_after, sleep, to_thread

from batchgen import manifest
from batchgen.app import control
from batchgen.app.config import settings
from batchgen.app.control import cancel
from batchgen.app.live_limits import follow
from batchgen.app.project import Project
from batchgen.app.supervisor import Supervisor
from batchgen.cli import main
from batchgen.errors import StaleClaim, UsageError
from batchgen.files import lock
from batchgen.job import State
from batchgen.planning.selection import Selection
from batchgen.store import controls, migrate
from batchgen.store.controls import Control
from batchgen.store.reader import Reader
from batchgen.store.writer import Writer
from tests.simulated.night import Night, wishes
from tests.simulated.server import Nature
from tests.store.kit import NOW, claimed, delivery, integrity, loaded, plan

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from batchgen.files.lock import hold
with hold(Path(sys.argv[1]), command="batchgen run night.yaml"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def place(tmp_path: Path) -> Project:
    found = Project.of(tmp_path, None)
    found.state.mkdir()
    migrate.ensure(found.db)
    return found


@contextmanager
def held(place: Project) -> Iterator[int]:
    """Another process works on the job table."""
    command = [sys.executable, "-c", HOLD, str(place.db)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process.pid
        finally:
            process.kill()


# --- what a person says -------------------------------------------------------


def test_where_there_is_no_table_nothing_is_stated(tmp_path):
    assert controls.read(tmp_path / "none.db") == {}
    assert list(tmp_path.iterdir()) == []


def test_controls_hold_until_reset_even_while_locked(place):
    with held(place) as pid:
        first = control.pause(place, "openai")
        assert (first.changed, first.holder and first.holder.pid) == (True, pid)
        again = control.pause(place, "openai")
        assert (again.changed, again.control) == (False, first.control)
        control.limit(place, "openai", ["requests_per_minute=30", "burst=none"])
        control.limit(place, "openai", ["requests_per_minute=20"])
        control.limit(place, "aimlapi", ["concurrency=2"])
        assert controls.read(place.db) == {
            "openai": replace(first.control, limits={"requests_per_minute": 20, "burst": None}),
            "aimlapi": Control(provider="aimlapi", limits={"concurrency": 2}),
        }
        control.resume(place, "openai")
        control.limit(place, "openai", ["spacing=2"], reset=True)
        assert controls.read(place.db)["openai"] == Control(provider="openai", limits={"spacing": 2})
    control.limit(place, "openai", [], reset=True)
    last = control.limit(place, "aimlapi", [], reset=True)
    assert (last.holder, last.changed) == (None, True)
    assert controls.standing(place.db) == {}
    assert integrity(place.db) == "ok"


def test_showing_writes_nothing(tmp_path):
    place = Project.of(tmp_path, None)
    said = control.limit(place, "openai", [])
    assert not said.changed
    assert said.settings is not None
    assert said.limits == said.settings.model_dump(include=set(control.STEERED))
    assert list(tmp_path.iterdir()) == []


def test_before_the_first_run_the_table_is_made(tmp_path):
    place = Project.of(tmp_path, None)
    control.pause(place, "openai")
    assert controls.read(place.db)["openai"].paused_at is not None
    assert place.db.stat().st_mode & 0o777 == 0o600


def test_another_writer_is_waited_for(place):
    writing = sqlite3.connect(place.db, isolation_level=None, check_same_thread=False)
    with closing(writing):
        writing.execute("BEGIN IMMEDIATE")
        release = Timer(0.2, writing.execute, ["COMMIT"])
        release.start()
        control.pause(place, "openai")
        release.join()
    assert "openai" in controls.read(place.db)


async def test_a_provider_that_only_a_manifest_names_is_known_once_it_ran(place):
    with pytest.raises(UsageError, match="unknown provider 'studio'"):
        control.pause(place, "studio")
    with Writer(place.db) as writer:
        await loaded(writer, [plan("cat", provider="studio")])
    said = control.pause(place, "studio")
    assert (said.changed, said.settings, said.limits) == (True, None, {})
    with pytest.raises(UsageError, match="did you mean 'studio'"):
        control.pause(place, "studo")


async def test_a_guest_leaves_the_log_to_the_holder_of_the_lock(place):
    """One connection alone may checkpoint: SQLite before 3.51.3 may damage a log that two reset at once."""
    with closing(sqlite3.connect(place.db)) as reading, Writer(place.db) as run:
        reading.execute("SELECT count(*) FROM jobs").fetchall()  # open, so that no guest is the last to close
        await loaded(run, [plan("cat")])
        before = place.db.stat().st_size
        # beyond the thousand pages at which SQLite would do so by itself
        controls.change(place.db, "openai", lambda said: replace(said, limits={"x" * 5_000_000: 1}), NOW)
        with Writer(place.db, guest=True) as guest, Reader(place.db) as reader:
            await guest.cancel([reader.job(1, "cat")], NOW)
        assert place.db.stat().st_size == before
        await run.open_batch("b", "/other.yaml", "/out", NOW)
        assert place.db.stat().st_size > 5_000_000
    assert integrity(place.db) == "ok"


def test_who_held_the_lock_and_died_holds_it_no_more(place):
    assert lock.holder(place.db) is None
    with held(place) as pid:
        found = lock.holder(place.db)
        assert found is not None
        assert (found.pid, found.command) == (pid, "batchgen run night.yaml")
    assert lock.holder(place.db) is None
    with lock.hold(place.db, command="mine"):
        assert lock.holder(place.db).pid == os.getpid()
    assert lock.holder(place.db) is None


# --- what a run follows -------------------------------------------------------


class RunOutcome:
    """What a run was told; ``holds`` is the last of it by provider."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.holds: dict[str, tuple[object, bool]] = {}
        self.said: list[str] = []

    async def apply(self, provider, limits, paused):
        self.calls.append(provider)
        self.holds[provider] = (limits, paused)

    async def until(self, condition) -> None:
        with fail_after(20):
            while not condition():  # noqa: ASYNC110 - what is waited for lies in files
                await sleep(0.002)


@asynccontextmanager
async def following(place: Project, batch):
    told = RunOutcome()
    async with create_task_group() as tasks:
        await tasks.start(lambda *, task_status: _follow(place, batch, told, task_status))
        yield told
        tasks.cancel_scope.cancel()


async def _follow(place, batch, told, task_status):
    await follow(place, batch, told.apply, told.said.append, every=0.002, task_status=task_status)


MANIFEST = """\
name: night
providers: {aimlapi: {limits: {concurrency: 3}}, openai: {}}
defaults: {provider: openai}
jobs: [{id: cat, prompt: A cat}]
"""
PROJECT = "providers: {openai: {limits: {requests_per_minute: 60}}, aimlapi: {limits: {concurrency: 7, burst: 2}}}\n"


@pytest.fixture
def batch(place):
    (place.root / ".git").mkdir()
    (place.root / "m.yaml").write_text(MANIFEST)
    (place.root / settings.PROJECT_FILE).write_text(PROJECT)
    project = settings.project_settings(place.root)
    return manifest.load(place.root / "m.yaml", providers=project["providers"])


async def test_a_run_is_told_what_held_before_it_began_and_nothing_else(place, batch):
    control.pause(place, "openai")
    control.limit(place, "aimlapi", ["spacing=2"])
    async with following(place, batch) as told:
        assert sorted(told.calls) == ["aimlapi", "openai"]
        assert told.holds["openai"] == (batch.profiles["openai"].limits, True)
        limits, paused = told.holds["aimlapi"]
        assert (limits.spacing, limits.concurrency, limits.burst, paused) == (2, 3, 2, False)
        assert any(
            "openai: paused since" in line and f"batchgen unpause -C {place.root} openai" in line for line in told.said
        )
        assert any(
            "aimlapi: spacing 2" in line and f"limit -C {place.root} aimlapi --reset" in line for line in told.said
        )
        control.resume(place, "openai")
        await told.until(lambda: told.holds["openai"] == (batch.profiles["openai"].limits, False))
        control.limit(place, "aimlapi", [], reset=True)
        await told.until(lambda: told.holds["aimlapi"] == (batch.profiles["aimlapi"].limits, False))
        assert len(told.calls) == 4


async def test_a_width_that_was_set_and_undone_is_as_before(tmp_path):
    night = Night(folder=tmp_path, wishes=wishes(1, "openai"), natures={"openai": Nature()})
    batch = night._batch()
    with Reader(night.place.db) as reader, Writer(night.place.db) as writer:
        batch_id = await loaded(writer, batch.jobs, batch.name)
        runner = night._runner(batch, batch_id, "run", reader, writer)
        [lane] = runner.lanes
        begun = lane.width
        control.limit(night.place, "openai", ["concurrency=1"])
        attendance = Supervisor(
            project=night.place, batch=batch, runner=runner, writer=writer, show_message=lambda _text: None
        )
        async with attendance.around(nullcontext()):
            assert lane.width == 1 < begun
            control.limit(night.place, "openai", [], reset=True)
            with fail_after(10):
                while lane.width != begun:  # noqa: ASYNC110 - a width tells nobody
                    await sleep(0.01)


async def test_a_table_that_cannot_be_read_is_told_once_and_ends_nothing(place, batch):
    aside = place.db.with_name("aside")
    async with following(place, batch) as told:
        place.db.rename(aside)
        place.db.write_bytes(b"no database" * 1000)
        await told.until(lambda: told.said)
        place.db.unlink()
        aside.rename(place.db)
        control.pause(place, "openai")
        await told.until(lambda: told.calls)
        assert len([line for line in told.said if "cannot reach" in line]) == 1


# --- jobs given up beside a run -----------------------------------------------


async def test_jobs_are_cancelled_beside_a_writer_which_completes_what_arrives(place):
    def give_up(selection: Selection):
        return to_thread.run_sync(cancel, place, None, selection)

    with lock.hold(place.db, command="batchgen run m.yaml"), Writer(place.db) as run, Reader(place.db) as reader:
        batch_id = await loaded(run, [plan("cat"), plan("dog"), plan("cow"), plan("done")])
        seen = {job.key: job for job in reader.jobs(batch_id)}
        for key in ("dog", "done"):
            seen[key], attempt = await claimed(run, seen[key])
            if key == "done":
                await run.settle(delivery(attempt), NOW)
            else:
                under_way = attempt
        gone = await give_up(Selection(ids=("*o*", "cat")))
        assert (sorted(gone.keys), gone.in_flight, gone.already_ended) == (["cat", "cow", "dog"], 1, 0)
        assert gone.holder is not None
        with pytest.raises(StaleClaim):
            await claimed(run, seen["cat"])
        await run.settle(delivery(under_way), NOW)
        states = {job.key: job.state for job in reader.jobs(batch_id)}
        assert states == dict.fromkeys(("cat", "cow"), State.CANCELLED) | dict.fromkeys(("dog", "done"), State.DONE)
        assert reader.spent(batch_id=batch_id).usd == 2_000  # the image that arrived all the same is paid, and kept
        [kept] = reader.files_of(seen["dog"].id)
        assert kept.superseded_at is None
        again = await give_up(Selection(providers=("aigate",)))
        assert again.keys == []
    assert integrity(place.db) == "ok"


async def test_what_moved_on_is_looked_at_again(place):
    with Writer(place.db) as run, Reader(place.db) as reader:
        batch_id = await loaded(run, [plan("cat"), plan("dog")])
        cat, dog = reader.jobs(batch_id)
        await claimed(run, cat)
        with Writer(place.db, guest=True) as guest:
            assert await guest.cancel([cat, dog], NOW) == [dog]
        assert {job.key: job.state for job in reader.jobs(batch_id)} == {"cat": State.RUNNING, "dog": State.CANCELLED}


async def test_only_what_the_selection_names_is_given_up(place):
    with Writer(place.db) as run, Reader(place.db) as reader:
        batch_id = await loaded(run, [plan("cat"), plan("dog", provider="openai")])
        cat = reader.job(batch_id, "cat")
        await claimed(run, cat)
        for wanted in (
            Selection(states=("failed",)),
            Selection(causes=("refused",)),
            Selection(providers=("aimlapi",)),
        ):
            assert (await to_thread.run_sync(cancel, place, "b", wanted)).keys == []
        with pytest.raises(UsageError, match="done cannot be cancelled"):
            await to_thread.run_sync(cancel, place, "b", Selection(states=("done", "pending")))
        gone = await to_thread.run_sync(cancel, place, "b", Selection(states=("pending",)))
        assert (gone.keys, gone.in_flight) == (["dog"], 0)


# --- what the commands say ----------------------------------------------------


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Call the command line in this process; return exit code, stdout and stderr."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["batchgen", *words, "-C", str(tmp_path)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return call


def test_what_is_stated_is_shown_until_it_is_taken_back(command, place):
    idle = "no run is in progress; it applies to the next one\n"
    assert command("pause", "opnai") == (2, "", "unknown provider 'opnai'; did you mean 'openai'?\n")
    code, _, said = command("pause", "openai")
    back = f"next      batchgen unpause -C {place.root} openai\n"
    assert (code, said) == (0, f"openai: paused; no new requests, those in flight complete\n{idle}{back}")
    code, _, said = command("limit", "openai", "requests_per_minute=30", "burst=none", "concurrency=2")
    assert (code, said) == (0, f"openai: requests_per_minute 30, burst none, concurrency 2\n{idle}")
    code, shown, _ = command("limit", "openai")
    rows = [line.split() for line in shown.splitlines()]
    assert code == 0
    assert ["concurrency", "2", "limit"] in rows
    assert ["spacing", "none", "settings"] in rows
    assert rows[-2][:2] == ["paused", "since"]
    code, document, _ = command("limit", "openai", "--json")
    found = json.loads(document)
    assert (found["limits"], found["run"]) == ({"requests_per_minute": 30, "burst": None, "concurrency": 2}, None)
    assert found["paused_at"]
    code, _, said = command("limit", "openai", "concurrency=0")
    assert (code, said) == (2, "concurrency takes a whole number from 1 to 5000, not '0'\n")
    assert command("limit", "openai", "--reset") == (0, "", f"openai: limits of the manifest and the settings\n{idle}")
    assert command("unpause", "openai") == (0, "", f"openai: resumed\n{idle}")
    assert command("unpause", "openai") == (0, "", "openai: was not paused\n")


def test_a_command_says_that_a_run_is_on(command, place):
    with held(place) as pid:
        code, _, said = command("pause", "openai")
        assert code == 0
        assert (
            f"a run is in progress (process {pid}: batchgen run night.yaml): takes effect within about a second" in said
        )
        code, document, _ = command("unpause", "openai", "--json")
        assert (code, json.loads(document)["run"]["pid"]) == (0, pid)


def test_broken_settings_keep_nobody_from_a_pause(command, place):
    (place.root / settings.PROJECT_FILE).write_text("providers: [")
    assert command("pause", "openai")[0] == 0
    assert controls.read(place.db)["openai"].paused_at is not None
    code, _, said = command("pause", "studio")
    assert code == 4
    assert "batchgen.yaml" in said


async def test_cancel_wants_to_know_which(command, place):
    code, _, said = await to_thread.run_sync(command, "cancel")
    assert (code, said) == (2, "select jobs with --id, --tag, --provider, --status and so on; or add --all\n")
    assert (await to_thread.run_sync(command, "cancel", "--all"))[0] == 10
    with Writer(place.db) as writer:
        await loaded(writer, [plan("cat"), plan("dog")])
    code, document, _ = await to_thread.run_sync(command, "cancel", "--id", "c*", "--json")
    assert code == 0
    assert json.loads(document) == {
        "schema_version": 1, "batch": "b", "cancelled": ["cat"], "under_way": 0, "late": 0,
        "at_provider": 0, "run": None,
    }  # fmt: skip
    code, _, said = await to_thread.run_sync(command, "cancel", "--all")
    assert (code, said.splitlines()[0]) == (0, "b: 1 job cancelled")
    assert "--status cancelled    requeues them" in said
