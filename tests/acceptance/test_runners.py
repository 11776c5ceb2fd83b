"""Runners that share a job database on PostgreSQL: whatever happens to them, nothing is bought twice in silence, and
budgets and limits hold for all of them together, by the log of the simulated providers.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from bisect import bisect_left
from collections import Counter
from decimal import Decimal

import pytest

from batchgen.files.output import digest
from batchgen.planning.selection import shard_of
from tests.servers.gate import gate

from .kit import Witness, check_books, finish, wait_for

SHARDS = 3
#: Of the account, together for all runners.
PER_SECOND, PER_MINUTE = 8, 240
LIMITS = {"aigate": {"limits": {"requests_per_second": PER_SECOND, "requests_per_minute": PER_MINUTE}}}
LEASE = 15.0


@pytest.fixture(scope="module")
def latency():
    return "0.6"


@pytest.fixture
def shared(project, postgres_database):
    """A project whose job database is on PostgreSQL."""
    project.env["BATCHGEN_DB"] = postgres_database.url
    project.rows = postgres_database.rows
    return project


def jobs(count: int, name: str = "j") -> list[dict[str, object]]:
    return [
        {"id": f"{name}{number:03}", "provider": "aigate", "quality": "low", "prompt": f"{name} number {number}"}
        for number in range(count)
    ]


def start_shard(project, manifest, number: int):
    return project.start("run", manifest, "--yes", "--shard", f"{number}/{SHARDS}")


def fullest(times: list[float], seconds: float) -> int:
    """Return the most requests in any window."""
    times = sorted(times)
    return max(bisect_left(times, at + seconds) - number for number, at in enumerate(times))


def check_limits(witness: Witness) -> None:
    times = [line["at"] for line in witness.arrivals()]
    # The sandbox notes a request when it reads it: on a busy machine up to so much later than another one.
    jitter = 0.25
    assert fullest(times, 1.0 - jitter) <= PER_SECOND
    assert fullest(times, 60.0 - jitter) <= PER_MINUTE


def check_purchases(witness: Witness) -> None:
    """Assert that no job was bought twice."""
    bought = Counter(line["prompt"] for line in witness.charges())
    assert {prompt: number for prompt, number in bought.items() if number > 1} == {}


def test_three_shards_share_limits_and_complete_their_batch(shared, witness):
    manifest = shared.manifest(jobs(60), providers=LIMITS, on_unknown="hold")
    runs = [start_shard(shared, manifest, number) for number in (1, 2, 3)]
    ended = [finish(run, 120) for run in runs]
    assert [end.code for end in ended] == [0, 0, 0], [end.err for end in ended]
    assert {row["state"] for row in shared.rows("select state from jobs")} == {"done"}
    assert len({row["run_id"] for row in shared.rows("select run_id from attempts")}) == SHARDS
    check_purchases(witness)
    check_limits(witness)
    check_books(shared, witness.charges())
    assert shared.rows("select * from runners") == []
    assert len(shared.images()) == 60


def per_second(shared) -> int:
    """Return how many requests a second all runners together hold, by what they have reported."""
    limits = [json.loads(row["limits"]) for row in shared.rows("select limits from shares")]
    return sum(max(limit["requests/1"]) for limit in limits)


def test_pause_and_limit_reach_all_runners(shared, witness):
    manifest = shared.manifest(jobs(60), providers=LIMITS)
    runs = [start_shard(shared, manifest, number) for number in (1, 2, 3)]
    wait_for(lambda: len({line["prompt"] for line in witness.now()}) > 6, seconds=60)
    shown = json.loads(shared.run("status", "--json").out)["runners"]
    assert {(each["shard"], each["silent"]) for each in shown} == {(f"{number}/3", False) for number in (1, 2, 3)}
    shared.run("limit", "aigate", "requests_per_second=2")
    shared.run("pause", "aigate")
    wait_for(lambda: per_second(shared) <= 2, seconds=60)
    seen = witness.arrived
    time.sleep(2)
    assert witness.arrived == seen < 60
    shared.run("unpause", "aigate")
    limited = len(witness.now())
    for run in runs:
        end = finish(run, 180)
        assert end.code == 0, end.err
    times = [line["at"] for line in witness.now()[limited:] if line["event"] == "arrival"]
    assert fullest(times, 0.75) <= 2
    check_purchases(witness)


def test_three_batches_never_exceed_the_budget_of_the_day(shared, witness):
    limit = Decimal("0.20")
    (shared.folder / "batchgen.yaml").write_text(f"budget: {{per_day: {{usd: {limit}}}}}\n")
    manifests = []
    for name in ("a", "b", "c"):
        manifests.append(shared.manifest(jobs(25, name), name=f"{name}.yaml"))
        manifests[-1].write_text(manifests[-1].read_text().replace("name: shop", f"name: {name}"))
    ended = [finish(run, 120) for run in [shared.start("run", manifest, "--yes") for manifest in manifests]]
    assert {end.code for end in ended} <= {0, 7}, [end.err for end in ended]
    assert 7 in {end.code for end in ended}
    charges = witness.charges()
    spent = sum(Decimal(line["usd"]) for line in charges)
    assert limit * 8 / 10 <= spent <= limit
    check_purchases(witness)
    check_books(shared, charges)
    [row] = shared.rows("select usd from shared_budgets")
    assert row["usd"] == int(spent * 10**9), "the sum that the claims keep is that of the ledger"


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_shards_whose_runner_is_cut_off_are_taken_over(shared, witness, how):
    manifest = shared.manifest(jobs(90), providers=LIMITS, on_unknown="hold")
    runs = {number: start_shard(shared, manifest, number) for number in range(1, SHARDS + 1)}
    stopped = []
    for number in range(1, SHARDS + 1):
        seen = witness.arrived
        wait_for(lambda: witness.arrived >= seen + 3 or runs[number].poll() is not None, seconds=60)  # noqa: B023
        if runs[number].poll() is not None:
            continue
        if how == "killed":
            runs[number].kill()
            finish(runs[number])
        else:
            os.kill(runs[number].pid, signal.SIGSTOP)
            stopped.append(runs[number])
        runs[number] = shared.start("run", manifest, "--yes", "--shard", f"{number}/{SHARDS}", "--wait-lock", "2m")
        if how == "stopped" and number == 1:
            time.sleep(LEASE + 3)
    ended = [finish(run, 240) for run in runs.values()]
    for run in stopped:
        os.kill(run.pid, signal.SIGCONT)
    late = [finish(run, 60) for run in stopped]
    assert {end.code for end in ended} <= {0, 3}, [end.err for end in ended]
    # One that continues after the end of its batch may see that all jobs are done before it misses its place.
    assert all("taken over" in end.err or end.code in {0, 3} for end in late), [end.err for end in late]
    states = Counter(row["state"] for row in shared.rows("select state from jobs"))
    assert set(states) <= {"done", "unknown"}
    assert states["done"] > 50
    check_purchases(witness)
    check_limits(witness)
    check_books(shared, witness.charges())
    assert shared.rows("select * from runners") == []


def in_flight(shared, witness, pid: int) -> list[dict[str, object]]:
    """Return the open attempts of a runner whose requests have reached the provider."""
    arrived = {line["prompt"] for line in witness.arrivals()}
    rows = shared.rows(
        "select a.id, a.run_id, j.task from attempts a join jobs j on j.id = a.job_id "
        "where a.state = 'open' and a.run_id in (select id from runs where pid = ?)",
        pid,
    )
    return [row for row in rows if json.loads(row["task"])["prompt"] in arrived]


def stop_with_calls_in_flight(shared, witness, run) -> list[dict[str, object]]:
    while True:
        seen = witness.arrived
        wait_for(lambda: witness.arrived >= seen + 2, seconds=60)  # noqa: B023
        os.kill(run.pid, signal.SIGSTOP)
        if calls := in_flight(shared, witness, run.pid):
            return calls
        os.kill(run.pid, signal.SIGCONT)


@pytest.mark.parametrize("on_unknown", ["hold", "retry"])
def test_answers_to_a_runner_that_was_taken_over_are_booked(shared, witness, on_unknown):
    manifest = shared.manifest(jobs(45), providers=LIMITS, on_unknown=on_unknown)
    runs = [start_shard(shared, manifest, number) for number in range(1, SHARDS + 1)]
    calls = stop_with_calls_in_flight(shared, witness, runs[0])
    successor = shared.start("run", manifest, "--yes", "--shard", f"1/{SHARDS}", "--wait-lock", "2m")
    ended = [finish(run, 240) for run in (*runs[1:], successor)]
    assert {end.code for end in ended} <= ({0, 3} if on_unknown == "hold" else {0}), [end.err for end in ended]
    assert {row["attempt_id"] for row in shared.rows("select * from ledger where charged = 'maybe'")} == {
        call["id"] for call in calls
    }
    os.kill(runs[0].pid, signal.SIGCONT)
    late = finish(runs[0], 60)
    assert "taken over" in late.err
    assert {row["state"] for row in shared.rows("select state from jobs")} == {"done"}
    charges = witness.charges()
    check_books(shared, charges)
    assert {row["charged"] for row in shared.ledger().values()} <= {"yes", "no"}
    assert sum(row["usd"] for row in shared.ledger().values()) == sum(
        int(Decimal(line["usd"]) * 10**9) for line in charges
    )
    check_images(shared, 0 if on_unknown == "hold" else len(calls))
    assert shared.spool() == []


def test_image_of_a_later_call_stays_when_a_stopped_upload_continues(shared, witness, bucket, s3_server):
    """The runner is stopped while its upload has no answer; another host buys the image again meanwhile."""
    shared.env |= bucket.env
    manifest = shared.manifest(jobs(1), on_unknown="retry", output={"dir": f"{bucket.url}/out"})
    elsewhere = shared.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / manifest.name).write_text(manifest.read_text())
    with gate(s3_server.port) as door:
        door.rule = lambda head: (
            "request" if head.startswith(b"PUT") and b".png" in head.partition(b"\r\n")[0] else None
        )
        shared.env["AWS_ENDPOINT_URL"] = door.endpoint
        run = shared.start("run", manifest, "--yes")
        wait_for(lambda: door.held, run, seconds=60)
        os.kill(run.pid, signal.SIGSTOP)
        shared.env["AWS_ENDPOINT_URL"] = bucket.endpoint
        done = shared.run("run", manifest.name, "--yes", "--wait-lock", "2m", cwd=elsewhere, seconds=120)
        assert done.code == 0, done
        door.rule = lambda _head: None
        with door.closed():
            os.kill(run.pid, signal.SIGCONT)
        assert "taken over" in finish(run, 60).err
    assert len(witness.charges()) == 2
    check_books(shared, witness.charges())
    verified = shared.run("verify", "--batch", "shop")
    assert verified.code == 0, verified
    rows = shared.rows("select sha256 from artifacts")
    kept = {hashlib.sha256(bucket.read(name)).hexdigest() for name in bucket.names("out") if name.endswith(".png")}
    assert kept == {row["sha256"] for row in rows}


def test_lease_is_renewed_while_the_object_store_does_not_answer(shared, bucket, s3_server):
    shared.env |= bucket.env
    limits = {"aigate": {"limits": {"concurrency": 60}}}
    manifest = shared.manifest(jobs(60), providers=limits, output={"dir": f"{bucket.url}/out"})
    assert shared.run("run", manifest, "--yes", "-j", "60", seconds=120).code == 0
    with gate(s3_server.port) as door:
        door.rule = lambda head: (
            "request" if head.startswith(b"GET") and b".png" in head.partition(b"\r\n")[0] else None
        )
        shared.env["AWS_ENDPOINT_URL"] = door.endpoint
        redo = shared.start("redo", manifest, "--id", "j*", "--yes", "-j", "60")
        wait_for(lambda: len(door.held) >= 40, redo, seconds=120)  # as many threads as there are
        time.sleep(LEASE + 3)
        assert shared.rows("select id from runners where lease_until > extract(epoch from clock_timestamp()) * 1000000")
        door.rule = lambda _head: None
        with door.closed():
            pass
        assert finish(redo, 120).code == 0


def check_images(shared, superseded: int) -> None:
    """Assert that each job's file is the one that counts, and that the others are kept apart."""
    aside = {digest(file) for file in (shared.folder / "output").rglob(".superseded/**/*.*") if file.suffix != ".json"}
    rows = shared.rows("select * from artifacts")
    assert {digest(shared.folder / row["path"]) == row["sha256"] for row in rows if not row["superseded_at"]} == {True}
    replaced = {row["sha256"] for row in rows if row["superseded_at"]}
    assert len(replaced) == superseded
    assert replaced == aside


def test_runners_outlive_a_restart_of_the_server(shared, witness, postgres_server):
    manifest = shared.manifest(jobs(75), providers=LIMITS, on_unknown="hold")
    runs = [start_shard(shared, manifest, number) for number in range(1, SHARDS + 1)]
    for restart in (postgres_server.restart, lambda: (postgres_server.kill(), postgres_server.start())):
        seen = witness.arrived
        wait_for(lambda: witness.arrived >= seen + 10, seconds=60)  # noqa: B023
        restart()
    ended = [finish(run, 180) for run in runs]
    for end in ended:
        assert end.code == 0, end.err
    assert {row["state"] for row in shared.rows("select state from jobs")} == {"done"}
    check_purchases(witness)
    check_limits(witness)
    check_books(shared, witness.charges())


def test_finished_shard_leaves_the_rest_to_the_runner_that_makes_it(shared, witness):
    limits = {"aigate": {"limits": {"concurrency": 1}}}
    every = jobs(30)
    for job in every:
        if shard_of(str(job["id"]), SHARDS) == 2:
            job["prompt"] = f"{job['prompt']} [sandbox: slow=6]"
    manifest = shared.manifest(every, providers=limits, on_unknown="hold")
    others = shared.start("run", manifest, "--yes", "--shard", "2/3")
    wait_for(lambda: witness.arrived > 0, seconds=60)
    own = shared.run("run", manifest, "--yes", "--shard", "1/3", "-j", "20", seconds=120)
    assert own.code == 0, own.err
    assert "shard 1/3 is done; other runs are making the " in own.err
    assert "(shard 2/3 on " in own.err
    assert "batchgen run" not in own.err
    late = [job | {"prompt": "m [sandbox: slow=15]"} for job in jobs(1, "m")]
    second = shared.manifest(late, name="second.yaml", providers=limits)
    second.write_text(second.read_text().replace("name: shop", "name: second"))
    another = shared.start("run", second, "--yes")
    wait_for(lambda: len(shared.rows("select id from runners")) == 2, seconds=60)
    named = [f"shop: process {others.pid} on ", f"second: process {another.pid} on "]
    status = shared.run("status", "--batch", "second").out
    assert named[0] in status
    limit = shared.run("limit", "aigate", "concurrency=20").err
    assert "2 runs are in progress (" in limit
    assert all(name in limit for name in named)
    assert [finish(run, 120).code for run in (others, another)] == [0, 0]
    check_purchases(witness)


def test_second_ctrl_c_ends_a_run_whose_server_does_not_answer(shared, postgres_server, witness):
    manifest = shared.manifest(jobs(60), on_unknown="hold")
    run = shared.start("run", manifest, "--yes")
    wait_for(lambda: witness.arrived >= 10, run, seconds=60)
    with postgres_server.paused():
        run.send_signal(signal.SIGINT)
        time.sleep(2)  # Two signals at once would arrive as one.
        run.send_signal(signal.SIGINT)
        end = finish(run, 40)
    assert "did not answer" in end.err, end.err
    again = shared.run("run", manifest, "--yes", seconds=60)
    assert again.code in (0, 8), again.err
    check_purchases(witness)
    check_books(shared, witness.charges())
