"""D1 - D14: what can happen to the job table."""

# ruff: noqa: N802 - a case's id stands first in the name of its test

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from batchgen.store.migrate import HEAD
from tests.acceptance.kit import wait_for
from tests.store.test_migrate import newer_scripts
from tests.timing import patience

from . import local_kit as kit
from .local_kit import job

sandbox, witness, place = kit.sandbox_fixture, kit.witness_fixture, kit.place_fixture


def table(place) -> Path:
    return place.state / "batchgen.db"


def change(place, *statements: str) -> None:
    with closing(sqlite3.connect(table(place), isolation_level=None)) as dbapi:
        for statement in statements:
            dbapi.execute(statement)
        dbapi.execute("pragma wal_checkpoint(truncate)")


@contextmanager
def locked(place):
    with closing(sqlite3.connect(table(place), isolation_level=None, timeout=10)) as dbapi:
        dbapi.execute("begin immediate")
        yield
        dbapi.execute("rollback")


def refused(done, *words: str, code: int = 1) -> None:
    assert (done.code, done.out) == (code, ""), done.err
    for word in ("batchgen.db", *words):
        assert word in done.err


# --- D1 ---------------------------------------------------------------------------------------------------------------


def impatient() -> None:
    """Wait for a locked table a fraction of a second, not two minutes."""
    from batchgen.store import committer, connection

    connection.BUSY_MS = 50
    committer.Committer.__init__.__kwdefaults__["patience"] = 0.2
    from batchgen.store import writer

    writer.Writer.__init__.__kwdefaults__["patience"] = 0.2


def test_D1_locked_before_sending_stops_the_run_safely(place, witness):
    manifest = place.batch(job("a"))
    place.again(manifest, witness, 1)
    manifest = place.batch(job("a"), job("b"))
    with locked(place):
        refused(place.do("run", manifest, "--yes", hook=impatient), "locked", "end that program")
    place.again(manifest, witness, 2)


def test_D1_locked_for_a_while_is_waited_for(place, witness):
    manifest = place.batch(job("a"))
    place.again(manifest, witness, 1)
    manifest = place.batch(job("a"), job("b"))
    with locked(place):
        run = place.go("run", manifest, "--yes")
        time.sleep(0.5)
        assert run.poll() is None
    assert run.wait().code == 0
    place.settled(witness, 2)


@pytest.mark.parametrize("released", [True, False])
def test_D1_locked_while_the_answer_arrives_keeps_it(place, witness, released):
    manifest = place.batch(job(sandbox="slow=0.4"))
    run = place.go("run", manifest, "--yes", hook=None if released else impatient)
    wait_for(lambda: witness.arrived)
    with locked(place):
        if released:
            wait_for(place.images)
            time.sleep(0.2)
            assert run.poll() is None
        else:
            refused(run.wait(), "locked")
    assert run.wait().code == (0 if released else 1)
    place.again(manifest, witness, 1)


# --- D2 - D4 ----------------------------------------------------------------------------------------------------------


def test_D2_a_read_only_table_is_found_at_the_start(place, witness):
    disk = place.disk(".batchgen", like=("opmf", ".batchgen"))
    place.again(place.batch(job("a")), witness, 1)
    disk.protect()
    manifest = place.batch(job("a"), job("b"))
    refused(place.do("run", manifest, "--yes"), "ead-only")
    assert len(witness.arrivals()) == 1
    disk.mend()
    place.again(manifest, witness, 2)


DAMAGE = {
    "text": lambda data: b"not a database at all, just text\n" * 400,
    "header only": lambda data: data[:100] + bytes(len(data) - 100),
    "cut in half": lambda data: data[: len(data) // 2],
    "cut to a page": lambda data: data[:4096],
    "overwritten": lambda data: data[:4096] + os.urandom(len(data) - 4096),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_D3_a_damaged_table_is_refused_untouched(place, witness, how):
    place.again(place.batch(job("a")), witness, 1)
    change(place)
    table(place).write_bytes(DAMAGE[how](table(place).read_bytes()))
    before = table(place).read_bytes()
    refused(
        place.do("run", place.batch(job("a"), job("b")), "--yes"), "db recover" if how != "text" else "another file"
    )
    assert table(place).read_bytes() == before
    assert len(witness.arrivals()) == 1


def test_D4_a_newer_table_is_refused_untouched(place, witness):
    place.again(place.batch(job("a")), witness, 1)
    change(place, "update alembic_version set version_num = 'ffff'")
    before = table(place).read_bytes()
    refused(place.do("run", place.batch(job("a"), job("b")), "--yes"), "newer", "Upgrade batchgen", code=12)
    assert table(place).read_bytes() == before
    assert len(witness.arrivals()) == 1


# --- D5 - D7 ----------------------------------------------------------------------------------------------------------


def upgraded(scripts: str) -> None:
    """Be a later program, with one more revision of the table."""
    from batchgen.store import migrate

    migrate.HEAD = "9999"
    migrate.scripts = lambda: Path(scripts)


def later_program(folder: Path) -> str:
    """Return the migrations of a program with one more revision."""
    scripts = newer_scripts(folder)
    following = scripts / "versions" / "9999_next.py"
    following.write_text(following.read_text().replace('print("half", flush=True)', "pass"))
    return str(scripts)


@pytest.mark.parametrize("kind", ["done", "under way"])
def test_D5_an_older_table_is_backed_up_upgraded_and_gone_on_with(place, witness, kind, tmp_path_factory):
    hook = {"hook": upgraded, "arguments": (later_program(tmp_path_factory.mktemp("next")),)}
    ended = place.do("run", place.batch(job("a")), "--yes", hook=kit.die_in_examine if kind == "under way" else None)
    assert ended.code == (-9 if kind == "under way" else 0)
    place.again(place.batch(job("a"), job("b")), witness, 2, **hook)
    assert place.rows("select version_num from alembic_version") == [{"version_num": "9999"}]
    with closing(sqlite3.connect(place.state / f"batchgen.db.before-{HEAD}")) as backup:
        assert backup.execute("select version_num from alembic_version").fetchall() == [(HEAD,)]
        assert backup.execute("select count(*) from jobs").fetchall() == [(1,)]


def test_D7_no_space_for_a_new_table(place, witness):
    disk = place.disk(".batchgen", size="48k", like=("p", "batchgen.db"))
    manifest = place.batch(job("a"))
    done = place.do("run", manifest, "--yes")
    assert (done.code in (1, 12), done.out) == (True, ""), done.err
    assert "full" in done.err
    assert witness.arrivals() == []
    disk.mend()
    place.again(manifest, witness, 1)


def test_D7_no_space_for_an_upgrade_leaves_the_old_table(place, witness, tmp_path_factory):
    hook = {"hook": upgraded, "arguments": (later_program(tmp_path_factory.mktemp("next")),)}
    disk = place.disk(".batchgen", size="16m", like=("p", f"before-{HEAD}"))
    place.again(place.batch(job("a")), witness, 1)
    disk.fill()
    manifest = place.batch(job("a"), job("b"))
    done = place.do("run", manifest, "--yes", **hook)
    assert (done.code in (1, 12), done.out) == (True, ""), done.err  # 1: so full that it cannot be read either
    assert "batchgen.db" in done.err
    assert len(witness.arrivals()) == 1
    disk.mend()
    place.again(manifest, witness, 2)  # by the old program


# --- D8, D9 -----------------------------------------------------------------------------------------------------------


def rolled_back(place, how: str) -> None:
    """Lose what the table knew, in one of the ways in which that happens."""
    if how == "log deleted":
        for tail in ("-wal", "-shm"):
            Path(f"{table(place)}{tail}").unlink()
    else:
        for tail in ("-wal", "-shm"):
            Path(f"{table(place)}{tail}").unlink(missing_ok=True)
        shutil.copy(place.folder / "backup.db", table(place))


def test_D8_a_table_that_lost_its_log_buys_nothing_again_in_silence(place, witness):
    """Two jobs are done, the log with them is deleted by hand: their files and what they cost are still known."""
    first = place.batch(job("a"))
    place.again(first, witness, 1)
    manifest = place.batch(job("a"), job("b"), job("c", sandbox="slow=3"), on_unknown="hold")
    run = place.go("run", manifest, "--yes")
    wait_for(lambda: place.rows("select key from jobs where key = 'b' and state = 'done'"))
    run.send_signal(9)
    run.wait()
    rolled_back(place, "log deleted")
    place.do("run", manifest, "--yes")
    assert sum("Picture b" in line["prompt"] for line in witness.charges()) == 1


def test_D9_a_restored_old_backup_buys_no_existing_file_again(place, witness):
    place.again(place.batch(job("a")), witness, 1)
    change(place)
    shutil.copy(table(place), place.folder / "backup.db")
    manifest = place.batch(job("a"), job("b"), job("c"))
    place.again(manifest, witness, 3)
    rolled_back(place, "old backup")
    assert place.do("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == 3


def test_D9_an_answer_in_the_spool_outlives_a_restored_backup(place, witness):
    disk = place.disk("output", size="64k", like=("w", "output"))
    place.again(place.batch(job("a")), witness, 1)
    change(place)
    shutil.copy(table(place), place.folder / "backup.db")
    manifest = place.batch(job("a"), job("b"))
    disk.fill()
    assert place.do("run", manifest, "--yes").code == 1
    disk.mend()
    assert len(place.slots()) == 1
    rolled_back(place, "old backup")
    assert place.do("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == 2


# --- D10 - D14 --------------------------------------------------------------------------------------------------------


def fail_from(verb: str, order: str) -> None:
    """Let the disk fail from the moment at which the writer is asked to *verb*."""
    from batchgen.store.writer import Writer

    call = getattr(Writer, verb)

    async def failing(*arguments: object, **named: object):
        kit.arm(order)
        return await call(*arguments, **named)

    setattr(Writer, verb, failing)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("ops", ["p", "d"], ids=["write", "sync"])
@pytest.mark.parametrize("verb", ["claim", "settle"])
def test_D10_a_disk_error_at_a_commit(place, witness, verb, ops, lasting):
    """In whichever of two states the row is left: the next run completes, and buys nothing again."""
    manifest = place.batch(job("a"))
    order = place.fault(ops, errno.EIO, part="batchgen.db", lasting=lasting)
    refused(place.do("run", manifest, "--yes", hook=fail_from, arguments=(verb, order)), "disk failed", "run again")
    assert len(witness.charges()) == (verb == "settle")
    place.again(manifest, witness, 1)


def test_D11_a_long_reader_holds_up_nothing(place, witness):
    place.again(place.batch(job("a")), witness, 1)
    jobs = [job(f"j{number}") for number in range(40)]
    manifest = place.batch(job("a"), *jobs)
    with closing(sqlite3.connect(table(place), isolation_level=None)) as reader:
        reader.execute("begin")
        assert reader.execute("select count(*) from jobs").fetchone() == (1,)
        assert place.again(manifest, witness, 41).seconds < patience(6)
        assert place.do("status").code == 0
        assert Path(f"{table(place)}-wal").stat().st_size < 8_000_000
        reader.execute("rollback")
    assert place.do("run", place.batch(job("a"), *jobs), "--yes").code == 0
    log = Path(f"{table(place)}-wal")
    assert not log.exists() or log.stat().st_size == 0


def test_D12_another_version_at_work_keeps_this_one_out(place, witness, tmp_path_factory):
    """The lock comes before the upgrade: a later program waits until the older one is done."""
    place.again(place.batch(job("a")), witness, 1)
    change(place)
    before = table(place).read_bytes()
    scripts = later_program(tmp_path_factory.mktemp("next"))
    with (place.state / "batchgen.db.lock").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = place.do("run", place.batch(job("a"), job("b")), "--yes", hook=upgraded, arguments=(scripts,))
    assert (done.code, done.out) == (11, "")
    assert table(place).read_bytes() == before
    assert not (place.state / f"batchgen.db.before-{HEAD}").exists()
    assert len(witness.arrivals()) == 1


MANY = 200_000


def test_D13_a_large_table_starts_fast_and_in_little_memory(place, witness):
    place.again(place.batch(job("a")), witness, 1)
    with closing(sqlite3.connect(table(place))) as dbapi:
        names = [row[1] for row in dbapi.execute("pragma table_info(jobs)") if row[1] != "id"]
        made = {"key": "'k' || n", "position": "n", "state": "'pending'", "delivered": "0", "output": "'k' || n"}
        values = ", ".join(made.get(name, name) for name in names)
        dbapi.execute(
            f"with recursive c(n) as (select 2 union all select n + 1 from c where n <= {MANY}) "
            f"insert into jobs ({', '.join(names)}) select {values} from jobs, c where key = 'a'"
        )
        dbapi.commit()
    run = place.go("status", "--json")
    done = run.wait()
    assert done.json["jobs"]["total"] == MANY + 1
    assert done.seconds < patience(5)
    assert run.peak < 250_000_000
    run = place.go("list", "--id", "k777")
    assert "k777" in run.wait().out
    assert run.peak < 250_000_000


@pytest.mark.parametrize(
    "statements",
    [
        ["create trigger t after insert on jobs begin delete from ledger; end"],
        [
            "create view v as select * from ledger",
            "create trigger t instead of insert on v begin delete from jobs; end",
        ],
        ["alter table ledger rename to book", "create view ledger as select * from book"],
    ],
    ids=["trigger", "trigger of a view", "view for a table"],
)
def test_D14_a_hostile_table_is_refused(place, witness, statements):
    place.again(place.batch(job("a")), witness, 1)
    change(place, *statements)
    refused(place.do("run", place.batch(job("a"), job("b")), "--yes"))
    assert len(witness.arrivals()) == 1


ELSEWHERE = {
    "D6": "tests/store/test_migrate.py::test_kill_9_in_mid_migration_leaves_the_old_or_the_new",
}

NOT_HERE: dict[str, str] = {}
