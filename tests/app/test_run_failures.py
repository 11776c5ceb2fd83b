"""A bug in one place, or a job that somebody deletes under way: what was bought elsewhere ends as it would have."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import pytest

from batchgen.app import plan, run
from batchgen.app.project import Project
from batchgen.app.run import Follow
from batchgen.cli.render.live import follower
from batchgen.engine import attempts, exchange
from batchgen.engine.lane import Lane
from batchgen.engine.runner import Runner
from batchgen.errors import BatchgenError, SettingsError, StoreError, UnreadableAnswer
from batchgen.files.spool import Spool
from batchgen.store.reader import Reader
from batchgen.store.writer import Writer
from tests.faults import kit
from tests.faults.kit import NANO, Site, Stage, after, drawing, fails, in_order, shows, site
from tests.rawserver import Behaviour, Connection


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Site]:
    with site(tmp_path, monkeypatch) as made:
        yield made


def two_lanes(folder: Site) -> tuple[Stage, Stage]:
    """Write a manifest with a job for a quick provider and three for one that takes its time."""
    quick, slow = folder.serve(after(0.3, shows())), folder.serve(after(0.6, shows()))
    providers = {
        "quick": kit.studio(quick),
        "slow": kit.studio(slow, limits={"concurrency": 3}),
    }
    jobs = [{"id": "bad", "prompt": "p", "provider": "quick"}]
    jobs += [{"id": f"good{number}", "prompt": "p", "provider": "slow"} for number in range(3)]
    folder.write(jobs, providers)
    return quick, slow


async def arrived(stage: Stage, calls: int) -> None:
    """Wait until a provider has received so many calls."""
    with anyio.fail_after(30):
        while len(stage.posts) < calls:  # noqa: ASYNC110 - a server in another thread
            await anyio.sleep(0.01)


def carry_out(folder: Site, follow: Follow | None = None) -> tuple[run.RunResult, list[str]]:
    """Run the manifest; return its end and what a person was told meanwhile."""
    place, told = Project.of(folder.folder, None), list[str]()
    batch = plan.read_manifest(place, folder.folder / "m.yaml")
    ended = run.run(
        place, batch, run.RunOptions(), lambda _batch, _plan: None, follow or follower("none"), show_message=told.append
    )
    return ended, told


def assert_only_the_bad_one_is_open(folder: Site) -> None:
    states = {row["key"]: row["state"] for row in folder.rows("select key, state from jobs")}
    assert states == {"bad": "running"} | dict.fromkeys(("good0", "good1", "good2"), "done")
    assert len(folder.images()) == 4  # its image is published, and not booked yet


def assert_the_next_run_finishes(folder: Site, *stages: Stage) -> None:
    ended, _ = carry_out(folder)
    folder.check()
    assert (ended.exit_code, ended.status.counts.done) == (0, 4)
    assert [len(stage.posts) for stage in stages] == [1, 3]  # nothing was bought again
    assert {row["usd"] for row in folder.ledger().values()} == {NANO}


@pytest.mark.parametrize("where", ["judge", "listener", "record_outcome", "record_settlement"])
def test_a_bug_in_one_attempt_lets_those_of_other_lanes_end(folder: Site, monkeypatch, caplog, where):
    quick, slow = two_lanes(folder)

    def stumbles(*args: object, **_: object) -> object:
        if getattr(args[0], "key", None) == "bad" or getattr(args[0], "provider", None) == "quick":
            raise ZeroDivisionError("no such thing")
        return real(*args, **_)

    if where.startswith("record"):
        real = getattr(Lane, where)
        monkeypatch.setattr(Lane, where, stumbles)
    elif where == "listener":
        real = attempts.AttemptRunner._notify

        def tells(self: attempts.AttemptRunner, lane: Lane, *rest: object) -> None:
            if lane.provider == "quick" and rest[-1] is not None:
                raise ZeroDivisionError("no such thing")
            real(self, lane, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(attempts.AttemptRunner, "_notify", tells)
    else:
        real = getattr(attempts, where)
        monkeypatch.setattr(attempts, where, stumbles)
    with pytest.raises(BatchgenError, match=r"batchgen has a bug \(ZeroDivisionError: no such thing\)") as caught:
        carry_out(folder)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.exit_code == 1
    (bug,) = [line for line in caplog.records if line.msg == "bug"]
    assert bug.fields["error"] == "ZeroDivisionError: no such thing"
    assert "attempts.py:" in bug.fields["where"]
    assert "/" not in bug.fields["where"]
    if where in ("judge", "record_outcome"):
        assert_only_the_bad_one_is_open(folder)
        assert len(list((folder.state / "spool").glob("*"))) == 1
    monkeypatch.undo()
    monkeypatch.setenv(kit.KEY_ENV, kit.CANARY)
    assert_the_next_run_finishes(folder, quick, slow)


def test_a_bug_in_choosing_the_next_job_lets_what_is_in_flight_end(folder: Site, monkeypatch):
    quick, slow = two_lanes(folder)
    real = Runner._next

    async def stumbles(self: Runner, lane: Lane) -> object:
        if lane.provider == "quick":
            await arrived(slow, 3)
            raise KeyError("no such lane")
        return await real(self, lane)

    monkeypatch.setattr(Runner, "_next", stumbles)
    with pytest.raises(BatchgenError, match="batchgen has a bug"):
        carry_out(folder)
    assert (len(quick.posts), len(slow.posts), len(folder.images())) == (0, 3, 3)
    folder.check()


def test_a_bug_in_the_display_lets_what_is_in_flight_end(folder: Site):
    quick, slow = two_lanes(folder)

    @asynccontextmanager
    async def display(_runner: Runner, _reader: Reader) -> AsyncIterator[None]:
        async def shows_it() -> None:
            await arrived(slow, 3)
            await arrived(quick, 1)
            raise IndexError("off the screen")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shows_it)
            yield
            tasks.cancel_scope.cancel()

    with pytest.raises(BatchgenError, match=r"batchgen has a bug \(IndexError: off the screen\)"):
        carry_out(folder, display)
    assert (len(slow.posts), len(folder.images())) == (3, 4)
    folder.check()


# --- a job that somebody deletes while it is sent ----------------------------------------------------------------


def deletes(folder: Site, *statements: str) -> Behaviour:
    """Answer well, but change the job table first, as a person with another program does."""

    async def behave(connection: Connection) -> None:
        heard = await connection.request()
        if kit.prompt_of(heard) == "gone":
            with closing(sqlite3.connect(folder.state / "batchgen.db")) as table:
                for statement in statements:
                    table.execute(statement)
                table.commit()
        await shows()(kit._Heard(connection, heard))

    return behave


JOB = "DELETE FROM jobs WHERE key = 'gone'"
ATTEMPT = "DELETE FROM attempts WHERE job_id = (SELECT id FROM jobs WHERE key = 'gone')"


def test_job_deleted_while_sent_is_booked_and_the_run_continues(folder: Site):
    stage = folder.serve(deletes(folder, JOB))
    folder.write(["a", "gone", "b", "c"], {"studio": kit.studio(stage)})
    ended, told = carry_out(folder)
    folder.check()
    assert (ended.exit_code, ended.status.counts.done, len(stage.posts)) == (0, 3, 4)
    assert [row["usd"] for row in folder.ledger().values()] == [NANO] * 4
    (line,) = told
    assert line.startswith("The job database no longer has job gone")
    assert line.endswith("Its cost is in the ledger")
    assert len(folder.kept()) == 1  # its answer, for whoever deleted it


def test_where_nothing_is_left_of_it_the_run_goes_on_and_says_so(folder: Site):
    stage = folder.serve(deletes(folder, ATTEMPT, JOB))
    folder.write(["a", "gone", "b", "c"], {"studio": kit.studio(stage)})
    ended, told = carry_out(folder)
    assert (ended.exit_code, ended.status.counts.done, len(stage.posts)) == (0, 3, 4)
    assert [line.rpartition(". ")[2] for line in told] == ["Its cost could not be booked"]
    assert len(folder.kept()) == 1


# --- what an earlier run left in the spool -----------------------------------------------------------------------


@pytest.mark.parametrize("error", [MemoryError(), SettingsError("there is no dialect 'mine'")])
@pytest.mark.parametrize("where", ["find", "dialect"])
def test_unreadable_spool_answer_is_not_rebought(folder: Site, monkeypatch, where, error):
    stage = folder.serve(shows())
    folder.write(["a"], {"studio": kit.studio(stage)})
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "settle", raising(StoreError("the disk is full")))
        with pytest.raises(StoreError):
            carry_out(folder)
    with monkeypatch.context() as patch:
        patch.setattr(*{"find": (Spool, "find"), "dialect": (exchange, "dialect")}[where], raising(error))
        with pytest.raises(UnreadableAnswer, match="job a: "):
            carry_out(folder)
    assert len(list((folder.state / "spool").glob("*.slot"))) == 1
    ended, _ = carry_out(folder)
    folder.check()
    assert (ended.exit_code, ended.status.counts.done, len(stage.posts)) == (0, 1, 1)


def raising(error: Exception) -> Callable[..., object]:
    def fails(*_: object, **__: object) -> object:
        raise error

    return fails


# --- a call that goes out again under its key --------------------------------------------------------------------


@pytest.mark.parametrize(
    "second", [fails("429 Too Many Requests"), fails("422 Unprocessable"), fails("401 Unauthorized")]
)
def test_refused_second_call_says_nothing_about_the_first(folder: Site, second):
    stage = folder.serve(in_order(vanishes, second, shows()))
    told = folder.run_all(stage, "a", idempotency_header="Idempotency-Key", top={"on_unknown": "hold"})
    assert (told.code, len(stage.posts), folder.states()) == (3, 2, {"a": ("unknown", "unknown")})
    assert folder.bill() == [("maybe", None, NANO)]


def test_unreachable_second_call_says_nothing_about_the_first(folder: Site):
    async def takes_it_and_closes(connection: Connection) -> None:
        await connection.request()
        stage.deafen()
        connection.writer.transport.abort()

    stage = folder.serve(takes_it_and_closes)
    told = folder.run_all(stage, "a", idempotency_header="Idempotency-Key", top={"on_unknown": "hold"})
    assert (told.code, len(stage.posts), folder.states()) == (3, 1, {"a": ("unknown", "unknown")})
    assert folder.bill() == [("maybe", None, NANO)]


async def vanishes(connection: Connection) -> None:
    """Take the request, and close the connection without an answer."""
    await connection.request()
    connection.writer.transport.abort()


# --- several pictures in one answer ------------------------------------------------------------------------------


def test_image_of_unknown_format_is_kept_and_not_rebought(folder: Site):
    odd = b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(range(256)) * 4
    stage = folder.serve(shows(drawing(), odd))
    told = folder.run_all(stage, {"id": "a", "prompt": "p", "n": 2, "per_request": 2}, preset="openai")
    assert (told.code, len(stage.posts), folder.states()) == (3, 1, {"a": ("failed", "spoiled")})
    message = folder.job()["message"]
    assert message.startswith("1 of 2 images came; ")
    kept = Path(message.partition("it is kept as ")[2])
    assert kept.read_bytes() == odd
    assert len(folder.images()) == 1
