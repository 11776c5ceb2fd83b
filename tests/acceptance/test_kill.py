"""Killed at any moment, the same command goes on: nothing lost, nothing bought twice in silence."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from decimal import Decimal

import pytest

from tests.timing import patience

from .kit import Witness, check_books, check_files, finish, opened, wait_for

WIDTH = 4
WIDE = {name: {"limits": {"concurrency": WIDTH}} for name in ("openai", "aimlapi")}
JOBS = [
    {"id": f"{provider}-{number}", "provider": provider, "quality": "low", "prompt": f"{provider} {number}"}
    for number in range(16)
    for provider in ("openai", "aimlapi")
]


@pytest.fixture(scope="module")
def latency():
    return "0.15"


def kill(project, manifest, moment: float, *, witness: Witness, arrivals: int) -> int:
    """Start a run, kill it *moment* seconds after so many requests arrived; return how many calls were in flight."""
    process = project.start("run", manifest, "--yes")
    try:
        wait_for(lambda: witness.arrived >= arrivals, process)
        time.sleep(moment)
    finally:
        process.kill()
    finish(process)
    assert process.returncode == -signal.SIGKILL
    for path in project.images():
        opened(path)  # whole, or not there
    [row] = project.rows("select count(*) as n from attempts where state = 'open'")
    return row["n"]


@pytest.mark.parametrize("moment", [0.0, 0.14, 0.17])
def test_killed_once_the_same_command_completes(project, witness, moment):
    manifest = project.manifest(JOBS, providers=WIDE)
    in_flight = kill(project, manifest, moment, witness=witness, arrivals=9 if moment else 1)
    assert 0 < in_flight <= 2 * WIDTH
    last = project.run("run", manifest, "--yes")
    assert last.code == 0, last.err
    assert {job["state"] for job in project.jobs().values()} == {"done"}
    assert len(project.images()) == len(JOBS)
    check_purchases(project, witness, in_flight)


def test_killed_again_and_again_nothing_is_charged_twice_in_silence(project, witness):
    """A job in doubt twice stays ``unknown``: bought again once by itself, a third time only when a person says so."""
    manifest = project.manifest(JOBS, providers=WIDE)
    in_flight = 0
    for moment in (0.0, 0.155, 0.165):
        in_flight += kill(project, manifest, moment, witness=witness, arrivals=witness.arrived + 1)
    last = project.run("run", manifest, "--yes")
    jobs = project.jobs()
    doubtful = {key: job for key, job in jobs.items() if job["state"] == "unknown"}
    assert last.code == (3 if doubtful else 0)
    assert {job["state"] for job in jobs.values()} <= {"done", "unknown"}
    for job in doubtful.values():
        assert [attempt["cause"] for attempt in job["attempts"]].count("unknown") == 2
    assert max(Counter(line["prompt"] for line in witness.charges()).values()) <= 2
    check_purchases(project, witness, in_flight)
    assert project.run("retry", manifest, "--yes", "--status", "unknown").code == 0
    assert {job["state"] for job in project.jobs().values()} == {"done"}
    check_purchases(project, witness, in_flight + len(doubtful))


@pytest.mark.not_on(ray="the workers complete the calls of a run that was cut off")
@pytest.mark.parametrize("policy", ["retry", "hold"])
def test_next_run_reports_the_calls_that_were_in_flight(project, witness, policy):
    quick = [{"id": f"quick-{n}", "provider": "aimlapi", "quality": "low", "prompt": f"Quick {n}"} for n in range(2)]
    slow = [
        {"id": f"slow-{n}", "provider": "openai", "quality": "low", "prompt": f"Slow {n} [sandbox: slow=2]"}
        for n in range(7)
    ]
    wide = {"openai": {"limits": {"concurrency": 7}}}
    manifest = project.manifest([*quick, *slow], providers=wide, on_unknown=policy)
    process = project.start("run", manifest, "--yes")
    done = "select 1 from jobs where state = 'done'"
    wait_for(lambda: witness.arrived >= 9 and len(project.rows(done)) == 2, process)
    process.kill()
    assert "resumed" not in finish(process).err
    opened_ = [key for key, job in project.jobs().items() if job["state"] == "running"]
    assert len(opened_) == 7
    last = project.run("run", manifest, "--yes")
    assert last.code == (0 if policy == "retry" else 3)
    lines = [line for line in last.err.splitlines() if line.startswith("resumed")]
    at_risk = sum(row["at_risk_usd"] for row in project.ledger().values() if row["at_risk_usd"])
    names = "slow-0, slow-1, slow-2, slow-3, slow-4 and 2 more"
    what = "bought again" if policy == "retry" else "not bought again"
    [line] = lines
    assert line.startswith("resumed   the last run was interrupted with 7 calls in flight: 7 unknown (at risk: $0.0")
    assert line.endswith(f"); {what}: {names}")
    kept = max(project.state.glob("runs/*/summary.json"), key=lambda path: path.stat().st_mtime_ns)
    resumed = json.loads(kept.read_text())["run"]["resumed"]
    assert (resumed["calls"], resumed["in_doubt"], resumed["delivered"]) == (7, 7, 0)
    assert sorted(resumed["bought_again" if policy == "retry" else "held"]) == sorted(opened_)
    assert Decimal(resumed["at_risk_usd"]) * 10**9 == at_risk > 0
    again = project.run("run", manifest, "--yes", "--json")
    assert again.json["run"]["resumed"] is None
    assert "resumed" not in again.err


@pytest.mark.not_on(ray="the workers complete the calls of a run that was cut off")
def test_unknown_calls_after_a_kill_count_as_rebuys(project, witness):
    """Two calls are cut off where two may be in flight: a third in doubt is one too many, and says so."""
    slow = [{"id": f"slow-{n}", "provider": "openai", "prompt": f"Slow {n} [sandbox: slow=1]"} for n in range(2)]
    lost = {"id": "lost", "provider": "openai", "prompt": "Lost [sandbox: drop]"}
    wide = {"openai": {"limits": {"concurrency": 2}}}
    manifest = project.manifest([*slow, lost], providers=wide)
    process = project.start("run", manifest, "--yes")
    wait_for(lambda: witness.arrived >= 2, process)
    process.kill()
    finish(process)
    last = project.run("run", manifest, "--yes")
    assert last.code == 3
    assert {key: (job["state"], len(job["attempts"])) for key, job in project.jobs().items()} == {
        "slow-0": ("done", 2), "slow-1": ("done", 2), "lost": ("unknown", 1)
    }  # fmt: skip
    assert (
        "          1 of openai not bought again: a run buys no more unknown jobs again than the provider's" in last.err
    )
    assert (
        "not bought again: this run has bought again as many unknown jobs as it may" in project.run("show", "lost").out
    )


def check_purchases(project, witness, spare: int) -> None:
    """At most *spare* more than the jobs were bought; every charge is an attempt's, and in the books; files whole."""
    charges = witness.charges()
    bought = {line["prompt"] for line in charges}
    assert bought <= {job["prompt"] for job in JOBS}
    assert len(charges) - len(bought) <= spare
    attempts = {row["id"] for row in project.rows("select id from attempts")}
    assert {line["attempt"] for line in witness.arrivals()} <= attempts
    check_books(project, charges)
    check_files(project)


def test_what_a_kill_left_of_a_settled_attempt_is_cleared_away(project):
    jobs = [{"id": f"j{number}", "provider": "openai", "quality": "low", "prompt": f"P{number}"} for number in range(2)]
    assert project.run("run", project.manifest(jobs[:1]), "--yes").code == 0
    [attempt] = project.rows("select id from attempts")
    slot = project.state / "spool" / f"{attempt['id']}.slot"
    slot.write_bytes(b'{"id": "as a run leaves it that dies after its commit"}\n')
    assert project.run("run", project.manifest(jobs), "--yes").code == 0
    assert not slot.exists()


def test_with_hold_nothing_at_all_is_bought_twice(project, witness):
    manifest = project.manifest(JOBS, providers=WIDE, on_unknown="hold")
    in_flight = sum(
        kill(project, manifest, moment, witness=witness, arrivals=witness.arrived + 1) for moment in (0.05, 0.16)
    )
    last = project.run("run", manifest, "--yes", "--json")
    status = last.json
    doubtful = status["jobs"]["unknown"]
    assert last.code == (3 if doubtful else 0)
    assert doubtful <= in_flight
    assert status["jobs"]["done"] == len(JOBS) - doubtful
    bought = Counter(line["prompt"] for line in witness.charges())
    assert max(bought.values()) == 1
    # every charge without a picture is one that batchgen says it does not know about
    silent = {job["prompt"] for job in JOBS} - set(bought)
    assert len(silent) <= doubtful
    if doubtful:
        assert float(status["spend"]["at_risk_usd"]) > 0
    check_books(project, witness.charges())
    check_files(project)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_drains(project, witness, number, code):
    manifest = project.manifest(JOBS, providers=WIDE)
    process = project.start("run", manifest, "--yes")
    wait_for(lambda: witness.arrived >= 3, process)
    process.send_signal(number)
    done = finish(process)
    assert (done.code, done.out) == (code, ""), done.err
    assert done.seconds < patience(5)
    assert "batchgen run" in done.err  # what to type next
    charges = witness.charges()
    assert len(witness.arrivals()) == len(charges) < len(JOBS)
    states = Counter(job["state"] for job in project.jobs().values())
    assert states == {"done": len(charges), "pending": len(JOBS) - len(charges)}
    assert len(project.images()) == len(charges)
    check_files(project)
    assert project.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == len(JOBS)
    check_books(project, witness.charges())


@pytest.mark.not_on(ray="the workers complete the calls of a run that was cut off")
def test_a_second_signal_cuts_calls_off_as_unknown(project, witness):
    slow = [
        {"id": f"slow-{number}", "provider": "openai", "prompt": f"Slow {number} [sandbox: slow=3]"}
        for number in range(2)
    ]
    manifest = project.manifest([{"id": "quick", "provider": "aimlapi", "prompt": "Quick"}, *slow], on_unknown="hold")
    process = project.start("run", manifest, "--yes")
    wait_for(lambda: witness.arrived >= 3 and any(line["event"] == "charge" for line in witness.now()), process)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None  # it waits for what it paid for
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.code == 130, done.err
    assert done.seconds < patience(2)
    states = {key: job["state"] for key, job in project.jobs().items()}
    assert states == {"quick": "done", "slow-0": "unknown", "slow-1": "unknown"}
    check_books(project, witness.charges())
    assert project.run("run", manifest, "--yes").code == 3
    assert len(witness.arrivals()) == 3


@pytest.mark.not_on(ray="the workers complete the calls of a run that was cut off")
def test_the_lock_is_the_kernels(project, witness):
    slow = {"id": "slow", "provider": "openai", "prompt": "Slow [sandbox: slow=12]"}
    manifest = project.manifest([slow], on_unknown="hold")
    first = project.start("run", manifest, "--yes")
    wait_for(lambda: witness.arrived, first)
    look = project.run("status", "--json")
    assert look.json["jobs"]["running"] == 1  # reading takes no lock
    second = project.run("run", manifest, "--yes")
    assert (second.code, second.out) == (11, "")
    assert first.poll() is None  # it did not wait for the first one to end
    assert str(first.pid) in second.err
    assert first.poll() is None
    first.kill()
    finish(first)
    third = project.run("run", manifest, "--yes")
    assert third.code == 3
    assert project.jobs()["slow"]["state"] == "unknown"
    assert witness.arrived == 1


@pytest.mark.not_on(ray="the workers complete the calls of a run that was cut off")
def test_without_a_run_nothing_is_shown_as_running(project, witness):
    jobs = [
        {"id": f"j{n}", "provider": "openai", "quality": "low", "prompt": f"P{n} [sandbox: slow=3]"} for n in range(5)
    ]
    manifest = project.manifest(jobs, providers=WIDE, on_unknown="hold")
    process = project.start("run", manifest, "--yes")
    wait_for(lambda: witness.arrived >= WIDTH, process)
    assert "4 running, 1 pending" in project.run("status").out
    assert "  still running  " in project.run("list", "runs").out
    process.kill()
    finish(process)
    status = project.run("status")
    assert "5 jobs: 4 in flight when a run was cut off, 1 pending" in status.out
    assert "resumes the 5 remaining jobs" in status.out
    assert "running" not in status.out
    assert "  cut off  " in project.run("list", "runs").out
    assert project.run("run", manifest, "--yes").code == 3
    latest, first = project.run("list", "runs").out.splitlines()[1:]
    assert ("  3  " in latest, "  cut off  " in first) == (True, True)


def test_a_second_run_may_wait_for_the_first(project, witness):
    manifest = project.manifest([{"id": "slow", "provider": "openai", "prompt": "Slow [sandbox: slow=1]"}])
    first = project.start("run", manifest, "--yes")
    wait_for(lambda: witness.arrived, first)
    second = project.run("run", manifest, "--yes", "--wait-lock", "20")
    assert (finish(first).code, second.code) == (0, 0)
    assert len(witness.arrivals()) == 1


def test_the_whole_process_group_gets_the_signal_of_a_terminal(bare):
    """Ctrl-C reaches the run's sandbox too, were it not detached: it must go on answering."""
    manifest = bare.manifest(
        [{"id": f"j{n}", "provider": "openai", "prompt": f"P{n}"} for n in range(30)],
        providers={"openai": {"base_url": "https://api.example", "limits": {"concurrency": 2}}},
    )
    manifest.write_text(manifest.read_text().replace("base_url: /", "base_url: https://x.example/"))
    log = bare.state / "sandbox" / "charges.jsonl"
    process = bare.start("run", "--sandbox", "--latency", "0.3", manifest)
    witness = Witness(log)
    wait_for(lambda: witness.arrived >= 2, process)
    os.killpg(process.pid, signal.SIGINT)
    done = finish(process)
    assert done.code == 130, done.err
    assert len(witness.charges()) == len(witness.arrivals()) < 30
