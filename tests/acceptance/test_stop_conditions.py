"""What ends a run early, what lets it go further, and a sandbox of one's own."""

from __future__ import annotations

import re
import signal
import socket
import urllib.error
import urllib.request
from collections import Counter
from datetime import datetime, timedelta

import pytest

from batchgen.cli.params import MAX_TIME, TIME_OF_DAY
from batchgen.cli.run_options import stop_conditions

from .kit import CANARY, finish, wait_for

OPENAI = {"defaults": {"provider": "openai", "quality": "low"}}


def states(project):
    return Counter(row["state"] for row in project.jobs().values())


@pytest.mark.parametrize("bound", ["1", "20%"])
def test_too_many_failures_end_a_run_in_an_orderly_way(project, bound):
    count = 6 if bound == "1" else 40
    jobs = [{"id": f"j{number:02}", "prompt": f"A vole {number} [sandbox: refuse]"} for number in range(count)]
    path = project.manifest(jobs, providers={"openai": {"limits": {"concurrency": 1}}}, **OPENAI)
    done = project.run("run", path, "--yes", "--max-failures", bound)
    assert done.code == 8, done.err
    assert f"more than --max-failures {bound}" in done.err
    found = states(project)
    assert found["failed"] + found["pending"] == count
    assert min(found.values()) > 0


@pytest.mark.parametrize(("moment", "code"), [("23:59", 0), ("25:61", 2), ("soon", 2)])
def test_a_time_at_which_to_stop(project, witness, moment, code):
    path = project.manifest([{"id": "a", "prompt": "A vole"}], **OPENAI)
    done = project.run("run", path, "--yes", "--stop-at", moment)
    assert done.code == code, done.err
    assert len(witness.charges()) == (code == 0)
    assert bool(re.search(rf"^stops     \d{{4}}-\d\d-\d\d {moment}$", done.err, re.MULTILINE)) == (code == 0)


@pytest.mark.parametrize(
    ("typed", "shown"), [("6", "6s"), ("90s", "90s"), ("1.5s", "1.5s"), ("30m", "30m"), ("6h", "6h")]
)
def test_a_duration_is_reported_as_it_was_typed(typed, shown):
    now = datetime.now().astimezone()
    max_time = MAX_TIME.parse(typed)
    seconds, why = stop_conditions(None, max_time, None, now).time_left(now, 0.5)
    assert why == f"--max-time {shown} reached"
    assert seconds == max_time.total_seconds() - 0.5
    assert stop_conditions(None, max_time, None, now).time_limits == f"after {shown}"
    evening = stop_conditions(TIME_OF_DAY.parse("19:30"), max_time, None, now.replace(hour=19, minute=41))
    assert evening.time_limits == f"{now + timedelta(days=1):%Y-%m-%d} 19:30 or after {shown}, whichever comes first"


def test_unpriced_calls_are_sent_under_a_budget_only_if_allowed(project, witness):
    studio = {"preset": "gateway", "base_url": f"{project.url}/gateway"}
    path = project.manifest(
        [{"id": "a", "prompt": "A vole"}], defaults={"provider": "studio"}, providers={"studio": studio}
    )
    refused = project.run("run", path, "--budget", "1", STUDIO_API_KEY=CANARY)
    assert (refused.code, witness.arrivals()) == (6, []), refused.err
    assert "--allow-unpriced" in refused.err
    done = project.run("run", path, "--budget", "1", "--allow-unpriced", STUDIO_API_KEY=CANARY)
    assert (done.code, len(witness.charges())) == (0, 1), done.err


def test_a_sandbox_at_a_port_of_ones_own_ends_when_asked_to(bare):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = bare.start("sandbox", "--port", port, "--latency", "none")

    def answers():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/openai/v1/models", timeout=5) as response:
                return response.status == 200
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    wait_for(answers, process)
    process.send_signal(signal.SIGINT)
    assert finish(process).code in (0, 130)
