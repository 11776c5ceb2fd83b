"""R1 - R21: what can happen to the process, and to time."""

# ruff: noqa: N802 - a case's id stands first in the name of its test

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from batchgen.store.migrate import HEAD
from tests.acceptance.kit import check_files, finish, wait_for
from tests.timing import patience

from . import local_kit as kit
from .local_kit import job
from .test_database import later_program, upgraded

sandbox, witness, place = kit.sandbox_fixture, kit.witness_fixture, kit.place_fixture

NARROW = {"openai": {"limits": {"concurrency": 2}}}


def states(place) -> dict[str, str]:
    return {row["key"]: row["state"] for row in place.rows("select key, state from jobs")}


def charged(witness) -> int:
    return sum(line["event"] == "charge" for line in witness.now())


# --- signals ----------------------------------------------------------------------------------------------------------


def drains(place, witness, number: int, code: int) -> str:
    """A signal lets the calls under way end and starts none; nothing is in doubt."""
    manifest = place.batch(*(job(f"j{n}", sandbox="slow=0.4") for n in range(5)), providers=NARROW)
    run = place.go("run", manifest, "--yes", "--progress", "plain", hook=talkative)
    wait_for(lambda: witness.arrived == 2)
    run.send_signal(number)
    done = run.wait()
    assert (done.code, done.out) == (code, ""), done.err
    assert "batchgen run" in done.err  # what to type next
    assert len(witness.arrivals()) == 2
    assert sorted(states(place).values()) == ["done"] * 2 + ["pending"] * 3
    place.again(manifest, witness, 5)
    return done.err


def talkative() -> None:
    from batchgen.cli.render import live

    live.PLAIN_LEAST = live.PLAIN_MOST = 0.1


def test_R1_an_interrupt_lets_calls_end_and_starts_none(place, witness):
    assert "again to cut them off" in drains(place, witness, signal.SIGINT, 130)


def test_R4_a_service_manager_stops_in_the_same_way(place, witness):
    drains(place, witness, signal.SIGTERM, 143)


def test_R5_a_closed_terminal_stops_in_the_same_way(place, witness):
    drains(place, witness, signal.SIGHUP, 143)


def cut_off_soon() -> None:
    from batchgen.app import shutdown

    shutdown.GRACE = 0.3


def test_R4_a_service_manager_is_not_kept_waiting(place, witness):
    manifest = place.batch(job(sandbox="slow=5"), on_unknown="hold")
    run = place.go("run", manifest, "--yes", hook=cut_off_soon)
    wait_for(lambda: witness.arrived)
    run.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert run.wait().code == 143
    assert 0.2 < time.monotonic() - began < patience(2)
    assert states(place) == {"a": "unknown"}


def cuts_off(place, witness, times: int) -> None:
    """``saved`` has begun to arrive when it is cut off; ``lost`` has not."""
    jobs = [job("saved", sandbox="trickle=1"), job("lost", sandbox="slow=8"), job("never")]
    manifest = place.batch(*jobs, on_unknown="hold", providers=NARROW)
    run = place.go("run", manifest, "--yes")
    wait_for(lambda: witness.arrived == 2 and charged(witness))
    time.sleep(0.3)
    for _ in range(times):
        run.send_signal(signal.SIGINT)
        time.sleep(0.05)
    began = time.monotonic()
    done = run.wait()
    assert (done.code, done.out) == (130, ""), done.err
    assert time.monotonic() - began < patience(2)
    assert states(place) == {"saved": "done", "lost": "unknown", "never": "pending"}
    assert place.do("run", manifest, "--yes").code == 3
    assert sum("saved" in line["prompt"] for line in witness.now() if line["event"] == "arrival") == 1
    check_files(place)


def test_R2_a_second_interrupt_cuts_off_and_saves_what_arrives(place, witness):
    cuts_off(place, witness, 2)


def test_R3_a_third_interrupt_changes_nothing(place, witness):
    cuts_off(place, witness, 3)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_R5_a_reader_that_leaves_does_not_end_the_run(place, witness, stream):
    manifest = place.batch(*(job(f"j{n}", sandbox="slow=0.2") for n in range(4)), providers=NARROW)
    # stdout: each line is written at once, as a long one would be; stderr: as a user has it
    place.env["PYTHONUNBUFFERED"] = "1" if stream == "stdout" else ""
    process = place.start("run", manifest, "--yes", "--progress", "plain", *(["--json"] if stream == "stdout" else []))
    pipe = getattr(process, stream)
    wait_for(lambda: witness.arrived, process)
    pipe.close()
    process.wait(patience(20))
    other = process.stderr if stream == "stdout" else process.stdout
    said = other.read().decode()
    other.close()
    assert (process.returncode, "Traceback" in said) == (0, False), said
    place.settled(witness, 4)


# --- killed -----------------------------------------------------------------------------------------------------------


def test_R6_killed_under_way_is_unknown_not_lost(place, witness):
    manifest = place.batch(job("a", sandbox="slow=0.5 x1"), job("b"), on_unknown="hold")
    run = place.go("run", manifest, "--yes")
    wait_for(lambda: witness.arrived == 2 and place.images())
    run.send_signal(signal.SIGKILL)
    assert run.wait().code == -9
    assert place.do("run", manifest, "--yes").code == 3
    assert states(place) == {"a": "unknown", "b": "done"}
    assert len(witness.arrivals()) == 2
    assert place.do("retry", manifest, "--yes", "--status", "unknown").code == 0
    place.settled(witness, 3)


def test_R7_killed_while_decoding_the_answer_is_delivered_later(place, witness):
    """As the kernel does where memory runs out: the answer lies in the spool and is delivered without paying."""
    manifest = place.batch()
    assert place.do("run", manifest, "--yes", hook=kit.die_in_examine).code == -9
    assert len(place.slots()) == 1
    place.again(manifest, witness, 1)


def test_R8_killed_again_while_recovering(place, witness):
    manifest = place.batch()
    for hook in (kit.die_in_examine, kit.die_in_examine, kit.die_after_publishing):
        assert place.do("run", manifest, "--yes", hook=hook).code == -9
        assert len(place.slots()) == 1
    place.again(manifest, witness, 1)


def test_R7_a_large_answer_takes_little_memory(place, witness):
    manifest = place.batch(*(job(f"j{n}", sandbox="big=20") for n in range(4)), providers=NARROW)
    run = place.go("run", manifest, "--yes")
    assert run.wait().code == 0
    small = place.go("run", place.batch(job("small")), "--yes")
    assert small.wait().code == 0
    # two in flight, each a few times over while it is decoded
    assert run.peak - small.peak < 12 * 20_000_000
    assert len(witness.charges()) == 5


# --- time -------------------------------------------------------------------------------------------------------------


def clock_jumps(seconds: float) -> None:
    """Set this machine's clock while the run is under way; no monotonic clock feels it."""
    import datetime as dt

    from batchgen.app import run

    began = time.monotonic()

    class Jumping(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            jumped = seconds if time.monotonic() - began > 0.3 else 0
            return dt.datetime.now(tz) + dt.timedelta(seconds=jumped)

    run.datetime = Jumping


@pytest.mark.parametrize("jump", [-7200, 3600, 10 * 365 * 86400], ids=["back 2 h", "DST", "forward 10 y"])
def test_R9_a_clock_that_jumps_makes_no_lane_wait(place, witness, jump):
    jobs = [
        job("a", sandbox="error500 x1"),
        job("b", sandbox="throttle x1 retry-after=0.5"),
        job("c", sandbox="slow=0.5"),
    ]
    manifest = place.batch(*jobs, retry={"first_wait": 0.5, "max_wait": 0.5})
    done = place.go("run", manifest, "--yes", hook=clock_jumps, arguments=(jump,)).wait()
    assert done.code == 0, done.err
    assert done.seconds < patience(5)
    place.settled(witness, 3)


def test_R10_a_machine_that_sleeps(place, witness):
    """Deadlines that passed meanwhile make the calls unknown once; the limits know no burst afterwards."""
    limits = {"openai": {"limits": {"requests_per_second": 8, "concurrency": 16}, "timeout": {"total": 1}}}
    manifest = place.batch(*(job(f"j{n}") for n in range(10)), job("slow", sandbox="slow=1.3 x1"), providers=limits)
    run = place.go("run", manifest, "--yes")
    wait_for(lambda: witness.arrived >= 3)
    run.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    run.send_signal(signal.SIGCONT)
    done = run.wait()
    assert done.code == 0, done.err
    times = sorted(line["at"] for line in witness.arrivals())
    # eight a second; a busy machine may be late to see one, but four at once would be a burst
    assert all(later - earlier > 0.15 for earlier, later in zip(times, times[3:], strict=False)), times
    assert 11 <= len(times) <= 14
    assert set(states(place).values()) == {"done"}
    check_files(place)


# --- one at a time ----------------------------------------------------------------------------------------------------


@pytest.fixture
def busy(place, witness):
    """A manifest whose run is under way; nobody else writes a thing."""
    manifest = place.batch(job(sandbox=f"slow={patience(1):g}"))
    run = place.go("run", manifest, "--yes")
    wait_for(lambda: witness.arrived)
    before = place.rows("select * from runs")
    yield manifest
    assert run.poll() is None
    assert place.rows("select * from runs") == before
    assert run.wait().code == 0
    place.settled(witness, 1)


def test_R11_a_second_run_is_kept_out_at_once(place, busy):
    second = place.do("run", busy, "--yes")
    assert (second.code, second.out) == (11, "")
    assert second.seconds < patience(1)
    assert f"process {place.runs[0].pid}" in second.err


def test_R13_a_deleted_lock_file_admits_no_run(place, busy):
    (place.state / "batchgen.db.lock").unlink()
    second = place.do("run", busy, "--yes")
    assert (second.code, second.out) == (11, "")
    assert "deleted" in second.err


def test_R15_from_cron_a_run_that_finds_another_at_work_says_nothing(place, busy):
    second = place.do("-q", "run", busy, "--yes")
    assert (second.code, second.out, second.err) == (11, "", "")


def test_R12_a_killed_run_leaves_no_lock(place, witness):
    manifest = place.batch(job(sandbox="slow=0.6 x1"), on_unknown="hold")
    run = place.go("run", manifest, "--yes")
    wait_for(lambda: witness.arrived)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert (place.state / "batchgen.db.lock").read_text().startswith("{")
    assert place.do("run", manifest, "--yes").code == 3


def test_R14_a_program_that_the_run_started_does_not_keep_the_lock(place, witness):
    """The command that prints a key leaves a process behind; the run is killed; the lock is free all the same."""
    del place.env["OPENAI_API_KEY"]
    pid = place.folder / "pid"
    command = f"sleep 20 >/dev/null 2>&1 & echo $! > {pid}; echo {kit.CANARY}"
    manifest = place.batch(job(sandbox="slow=0.6 x1"), on_unknown="hold")
    run = place.go("run", manifest, "--yes", OPENAI_API_KEY_COMMAND=f"sh -c '{command}'")
    wait_for(lambda: witness.arrived)
    left = int(pid.read_text())
    try:
        run.send_signal(signal.SIGKILL)
        run.wait()
        os.kill(left, 0)
        with (place.state / "batchgen.db.lock").open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.kill(left, signal.SIGKILL)
    assert place.do("run", manifest, "--yes", OPENAI_API_KEY=kit.CANARY).code == 3


# --- faults inside ----------------------------------------------------------------------------------------------------


def broken_for(word: str) -> None:
    """A bug that shows with one job's request."""
    from batchgen.engine import executor

    converse = executor.Executor._request

    async def request(self, talk):
        if word in talk.attempt.task.prompt:
            raise RuntimeError("a bug of ours")
        return await converse(self, talk)

    executor.Executor._request = request


def test_R16_a_bug_in_one_worker_costs_one_job(place, witness):
    jobs = [job(f"j{n}", sandbox="slow=0.2") for n in range(4)]
    manifest = place.batch(*jobs, job("bad"))
    done = place.do("run", manifest, "--yes", hook=broken_for, arguments=("bad",))
    assert done.code == 3, done.err
    assert "bug of ours" in done.err
    assert states(place) == dict.fromkeys(["j0", "j1", "j2", "j3"], "done") | {"bad": "failed"}
    assert place.do("retry", manifest, "--yes").code == 0
    assert len(witness.charges()) == 5
    check_files(place)


def broken_decoder() -> None:
    from batchgen.engine import publication

    def examine(_data: bytes) -> None:
        raise RuntimeError("a bug in the decoder")

    publication.examine = examine


def test_R17_a_bug_in_the_decoder_costs_no_second_purchase(place, witness):
    """The answer stays in the spool; a mended program delivers it without paying."""
    manifest = place.batch(job("a"), job("b"))
    done = place.do("run", manifest, "--yes", hook=broken_decoder)
    assert done.code in (1, 3), done.err
    assert "bug in the decoder" in done.err
    assert len(witness.charges()) == 2
    place.do("retry", manifest, "--yes")
    place.again(manifest, witness, 2)


def dying_writer(verb: str) -> None:
    """The writer's thread dies when it is asked to *verb* something."""
    from batchgen.store.committer import Committer
    from batchgen.store.writer import Writer

    call = getattr(Writer, verb)
    carry_out = Committer._execute
    asked = threading.Event()

    async def noted(*arguments: object, **named: object):
        asked.set()
        return await call(*arguments, **named)

    def die(self: Committer, connection: object) -> None:
        if asked.is_set():
            raise SystemError("the thread of the writer died")
        carry_out(self, connection)

    setattr(Writer, verb, noted)
    Committer._execute = die


@pytest.mark.parametrize("verb", ["claim", "settle"])
def test_R18_without_a_writer_nothing_goes_on(place, witness, verb):
    manifest = place.batch(*(job(f"j{n}") for n in range(8)), providers={"openai": {"limits": {"concurrency": 1}}})
    done = place.do("run", manifest, "--yes", hook=dying_writer, arguments=(verb,))
    assert (done.code, done.out) == (1, ""), done.err
    assert "batchgen.db" in done.err
    assert len(witness.charges()) <= 2
    place.again(manifest, witness, 8)


def test_R19_a_bare_environment(place, witness):
    manifest = place.batch(job("a", prompt="Ein Käse \N{CHEESE WEDGE} für 5 €"))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(kit.ROOT), "OPENAI_API_KEY": kit.CANARY}
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'exec "$0" -m batchgen run m.yaml --yes --json <&-', sys.executable],
        cwd=place.folder,
        env=environment | {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TERM": "dumb"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.project = place
    done = finish(process)
    assert done.code == 0, done.err
    assert done.json["jobs"]["done"] == 1
    place.settled(witness, 1)
    [line] = witness.arrivals()
    assert "\N{CHEESE WEDGE}" in line["prompt"]
    assert "\N{CHEESE WEDGE}" in (place.folder / "output" / "shop" / "a.png.json").read_text(encoding="utf-8")
    assert place.do("export").json["prompt"].endswith("5 €")
    assert manifest.exists()


def slow_decoder(seconds: float) -> None:
    from batchgen.engine import publication

    examine = publication.examine

    def decode(data: bytes):
        assert threading.current_thread() is not threading.main_thread()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        return examine(data)

    publication.examine = decode


def test_R20_decoding_does_not_make_deadlines_late(place, witness):
    jobs = [*(job(f"j{n}") for n in range(4)), job("stalled", sandbox="stall=5")]
    manifest = place.batch(*jobs, providers={"openai": {"timeout": {"total": 1}}}, on_unknown="hold")
    done = place.do("run", manifest, "--yes", hook=slow_decoder, arguments=(0.4,))
    assert done.code == 3, done.err
    [row] = place.rows("select a.ended_at - a.started_at as took from attempts a where a.state != 'delivered'")
    assert 0.9e6 < row["took"] < 2e6
    assert states(place)["stalled"] == "unknown"
    assert len([state for state in states(place).values() if state == "done"]) == 4


def test_R21_an_upgrade_between_stop_and_resume(place, witness, tmp_path_factory):
    """What the former program left in the spool is delivered by the next one, with its new table."""
    scripts = later_program(tmp_path_factory.mktemp("next"))
    assert place.do("run", place.batch(job("a")), "--yes", hook=kit.die_in_examine).code == -9
    place.again(place.batch(job("a"), job("b")), witness, 2, hook=upgraded, arguments=(scripts,))
    assert Path(place.state / f"batchgen.db.before-{HEAD}").exists()


ELSEWHERE: dict[str, str] = {}

NOT_HERE: dict[str, str] = {}
