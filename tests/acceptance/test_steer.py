"""Steering from another terminal, as people do it: a command beside a run, and what that makes of it."""

from __future__ import annotations

import pytest

from .kit import finish, wait_for


@pytest.fixture(scope="module")
def latency():
    return "0.1"


def test_jobs_are_cancelled_while_a_run_is_on(project, witness):
    jobs = [{"id": f"cat-{number}", "prompt": f"Cat {number}"} for number in range(5)]
    slow = {"id": "slow", "prompt": "Slow [sandbox: slow=8]", "priority": 9}
    one_at_a_time = {"openai": {"limits": {"concurrency": 1}}}
    defaults = {"provider": "openai", "quality": "low"}
    manifest = project.manifest([*jobs, slow], providers=one_at_a_time, defaults=defaults)
    process = project.start("run", manifest, "--yes")
    wait_for(lambda: witness.arrived >= 1, process)
    gone = project.run("cancel", "--id", "cat-[34]", "--id", "slow")
    assert gone.code == 0, gone.err
    assert gone.err.splitlines()[:2] == [
        "shop: 3 jobs cancelled",
        "1 call under way will still be paid and booked; what comes is kept",
    ]
    assert f"a run is on (process {process.pid}: " in gone.err
    ended = finish(process)
    assert ended.code == 0, ended.err
    assert "cancelled 3 jobs" in ended.err
    assert "exit code 0: all done but the 3 cancelled" in ended.err
    states = {key: job["state"] for key, job in project.jobs().items()}
    cancelled = dict.fromkeys(("cat-3", "cat-4", "slow"), "cancelled")
    assert states == dict.fromkeys((job["id"] for job in jobs), "done") | cancelled
    assert len(witness.charges()) == 4
    assert len(project.ledger()) == 4
    assert sum(row["usd"] > 0 for row in project.ledger().values()) == 4
