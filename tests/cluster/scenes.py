"""Scenes on two hosts: each breaks something while calls are in flight, and returns figures of the charge log.

A scene asserts what must hold at any size; tests play them small, ``python -m tests.cluster`` in full.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.acceptance.kit import check_files, finish, wait_for
from tests.servers.cluster import FAST_HEALTH

from .kit import Figures, TwoHosts, kill_session, stop_for, two_hosts

#: What Ray itself waits before it gives up a host, which is a minute; without the short times of the tests.
USUAL_HEALTH = {"RAY_health_check_initial_delay_ms": "5000"}
Result = dict[str, Any]


def both_hosts(folder: Path, *, jobs: int, in_flight: int, latency: float) -> Result:
    """Spread calls over both hosts: the time in all, beside that of calls without any overhead."""
    with two_hosts(folder, latency=f"{latency}") as hosts:
        run = hosts.start(hosts.manifest(jobs, concurrency=in_flight))
        done = finish(run, 60 + 4 * latency * jobs / in_flight)
        assert done.code == 0, done
        figures = settled(hosts)
        assert figures.charges == figures.jobs_charged == jobs
        assert set(figures.by_source) == {hosts.one.address, hosts.two.address}
        check_files(hosts.project)
        ideal = latency * jobs / in_flight
        return {"ideal": ideal, "seconds": figures.seconds, "ratio": figures.seconds / ideal} | facts(figures)


def worker_killed(folder: Path, *, in_flight: int, latency: float) -> Result:
    """Kill the worker of the second host while half of all calls are there: no attempt is sent twice."""
    with two_hosts(folder, latency=f"{latency}") as hosts:
        run = hosts.start(hosts.manifest(in_flight, concurrency=in_flight, on_unknown="hold"))
        wait_for(lambda: hosts.sources().total() >= in_flight, run, seconds=60)
        there = hosts.sources()[hosts.two.address]
        os.kill(hosts.worker(1), signal.SIGKILL)
        done = finish(run, 120)
        figures, jobs = settled(hosts), states(hosts)
        assert done.code == 3, done
        assert figures.arrivals == in_flight, "a call was sent again"
        assert jobs["done"] >= in_flight - there, "calls of the other host were lost"
        assert jobs["done"] + jobs["unknown"] == in_flight, jobs
        return {"there": there, "unknown": jobs["unknown"], "done": jobs["done"]} | facts(figures)


def link_down(folder: Path, *, jobs: int, in_flight: int, latency: float, seconds: float, dies: bool) -> Result:
    """Pull the cable of the second host out for a while: the other one works on, and nothing is sent twice.

    *dies*: for so long that Ray declares the host dead. Its processes then end when it hears of that.
    """
    with two_hosts(folder, latency=f"{latency}", **(FAST_HEALTH if dies and seconds < 60 else USUAL_HEALTH)) as hosts:
        run = hosts.start(hosts.manifest(jobs, concurrency=in_flight, on_unknown="hold"))
        wait_for(lambda: hosts.sources()[hosts.two.address] >= in_flight // 2 - 1, run, seconds=60)
        hosts.net.set_link(hosts.two, up=False)
        down = time.monotonic()
        before = hosts.sources()[hosts.one.address]
        wait_for(lambda: hosts.sources()[hosts.one.address] > before, run, seconds=30)
        wait_for(lambda: silent(hosts) == ["two"], run, seconds=30)
        time.sleep(max(0.0, seconds - (time.monotonic() - down)))
        hosts.net.set_link(hosts.two, up=True)
        if not dies:
            wait_for(lambda: silent(hosts) == [], run, seconds=60)
        done = finish(run, 400)
        figures, ended = settled(hosts), states(hosts)
        assert done.code in (0, 3), done
        assert ended["done"] + ended["unknown"] == jobs, ended
        assert ended["unknown"] <= (in_flight if dies else 0), ended
        assert done.out == "", "Ray printed where only results are printed"
        return {"unknown": ended["unknown"], "done": ended["done"]} | facts(figures)


def worker_stopped(folder: Path, *, rate: int, seconds: float, stopped: float) -> Result:
    """Stop a worker at a high rate: it releases no burst when it continues."""
    limits = {"requests_per_minute": rate * 60, "requests_per_second": rate}
    jobs = int(rate * seconds)
    with two_hosts(folder, latency="0.5") as hosts:
        run = hosts.start(hosts.manifest(jobs, concurrency=4 * rate, limits=limits))
        wait_for(lambda: hosts.sources().total() >= rate, run, seconds=60)
        stop_for(hosts.worker(1), stopped)
        done = finish(run, 60 + 4 * (seconds + stopped))
        figures = settled(hosts)
        assert done.code == 0, done
        assert figures.charges == jobs
        assert figures.busiest_second <= 1.5 * rate, figures
        assert figures.busiest_minute <= 60 * rate, figures
        return {"rate": rate} | facts(figures)


def driver_killed(folder: Path, *, in_flight: int, latency: float) -> Result:
    """Kill the run while all calls are in flight, and start it again: the workers have kept them."""
    with two_hosts(folder, latency=f"{latency}") as hosts:
        manifest = hosts.manifest(in_flight, concurrency=in_flight, on_unknown="hold")
        run = hosts.start(manifest)
        wait_for(lambda: hosts.sources().total() >= in_flight, run, seconds=60)
        kill_session(run)
        run.communicate()
        answered = sum(line["event"] == "answer" for line in hosts.witness.now())
        assert answered < in_flight, "the kill came too late"
        done = finish(hosts.start(manifest), 120)
        figures, jobs = settled(hosts), states(hosts)
        assert figures.arrivals == in_flight, "a call was sent again"
        assert jobs["done"] >= 0.99 * in_flight, (jobs, done)
        return {"in_flight_at_kill": in_flight - answered, "done": jobs["done"]} | facts(figures)


def silent(hosts: TwoHosts) -> list[str] | None:
    """Return the hosts of the workers that do not answer: by ``status``, and by the metrics; None: not known yet."""
    workers = hosts.project.run("status", "--json").json["last_run"]["workers"]
    hosts_of = sorted(worker["host"] for worker in workers)
    if hosts_of != ["one", "two"]:
        return None
    down = {worker["host"] for worker in workers if not worker["alive"]}
    lines = (hosts.project.folder / "metrics").read_text().splitlines()
    measured = {host for host in hosts_of for line in lines if is_down(line, host)}
    return sorted(down & measured if down else measured)


def is_down(line: str, host: str) -> bool:
    return line.startswith("batchgen_worker_up{") and f'host="{host}"' in line and line.endswith("} 0")


def settled(hosts: TwoHosts) -> Figures:
    """Return the figures of everything that was sent, once the providers are quiet; no attempt was sent twice."""
    figures = Figures.of(hosts.witness.lines())
    assert figures.attempts_sent_twice == 0, figures
    return figures


def states(hosts: TwoHosts) -> dict[str, int]:
    rows = hosts.project.rows("select state, count(*) as number from jobs group by state")
    return {"done": 0, "unknown": 0} | {row["state"]: row["number"] for row in rows}


def facts(figures: Figures) -> Result:
    return {
        "arrivals": figures.arrivals,
        "charges": figures.charges,
        "twice": figures.attempts_sent_twice,
        "second": figures.busiest_second,
        "minute": figures.busiest_minute,
        "gap": round(figures.gap, 2),
    }
