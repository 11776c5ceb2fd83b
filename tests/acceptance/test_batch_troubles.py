"""Batches in trouble: creations that never arrive, refusals without a line, and times that are over."""

from __future__ import annotations

import http.server
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from .kit import finish, wait_for
from .test_batches import LOW, check, events, held, nightly, states, submissions

__all__ = ["held"]


@contextmanager
def relay(url, lost):
    """Serve *url* at another address; the first *lost* creations of a batch are cut off before they arrive there."""
    left = [lost]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.do_GET()

        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0))) or None
            if self.command == "POST" and self.path.endswith("/batches") and left[0]:
                left[0] -= 1
                self.close_connection = True
                return
            request = urllib.request.Request(url + self.path, body, dict(self.headers), method=self.command)
            try:
                answer = urllib.request.urlopen(request)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                data = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("content-type", ""))
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_short_runs_create_a_batch_whose_creation_never_arrived(project, witness):
    with relay(project.url, lost=1) as url:
        project.url = url
        path = nightly(project, "", "")
        first = project.run("run", path, "--yes", "--no-wait")
        assert "has no answer" in first.err
        assert events(witness, "batch") == []
        assert project.run("run", path, "--yes", "--no-wait").code == 9
        time.sleep(0.6)  # the grace of lists
        assert project.run("run", path, "--yes", "--no-wait").code == 9
        assert len(events(witness, "batch")) == 1
        wait_for(lambda: len(events(witness, "batch-row")) == 2)
        assert project.run("run", path, "--yes").code == 0
    check(project, witness)


def test_collect_neither_creates_a_batch_nor_keeps_its_jobs(project, witness):
    with relay(project.url, lost=1) as url:
        project.url = url
        path = nightly(project, "")
        project.run("run", path, "--yes", "--no-wait")
        project.run("collect", path)
        time.sleep(0.6)
        assert project.run("collect", path).code == 0
    assert events(witness, "batch") == []
    assert states(project) == {"j0": "pending"}
    assert [row["state"] for row in submissions(project)] == ["released"]


def test_collect_cancels_no_batch_whose_time_is_over(project, witness, held):
    assert project.run("run", nightly(project, ""), "--yes", "--no-wait").code == 9
    past = datetime.now().astimezone() - timedelta(minutes=2)
    path = nightly(project, "", modes=[{"batch": f"until {past:%H:%M}"}, "standard"])
    assert project.run("collect", path).code == 9
    assert events(witness, "batch-cancel") == []
    held(release=True)
    wait_for(lambda: events(witness, "batch-row"))
    assert project.run("collect", path).code == 0
    check(project, witness)


def test_batch_that_is_refused_because_of_no_line_is_not_sent_again_at_once(project, witness):
    run = project.start("run", nightly(project, " [sandbox: batch-full]", ""), "--yes")
    wait_for(lambda: events(witness, "batch"), run)
    wait_for(lambda: [row["state"] for row in submissions(project)] == ["collected"], run)
    time.sleep(3)
    run.terminate()
    done = finish(run)
    assert "does not take a batch now" in done.err
    assert len(events(witness, "batch")) == 1
    assert events(witness, "charge") == []
    assert set(states(project).values()) == {"pending"}


@pytest.mark.not_on(postgres="runners of one job database take their turns")
def test_used_up_budget_leaves_no_empty_submissions(project, witness, held):
    path = nightly(project, "", "")
    highest = Decimal(project.run("plan", path, "--json").json["usd"]["high"]) / 2
    done = project.run("run", path, "--budget", f"{highest * Decimal('1.1'):.6f}", "--no-wait")
    assert done.code == 8, done.err
    assert Counter(row["state"] for row in submissions(project)) == {"submitted": 1}
    held(release=True)
    wait_for(lambda: events(witness, "batch-row"))  # the next test would see it


def test_image_of_a_job_in_a_batch_is_used_by_one_in_the_next_batch(project, witness):
    night = {"id": "night", **LOW, "images": ["@j0"], "prompt": "The same cat at night"}
    done = project.run("run", nightly(project, "", jobs=[night]), "--yes")
    assert done.code == 0, done.err
    assert states(project) == {"j0": "done", "night": "done"}
    check(project, witness, batches=2)


def test_image_of_a_job_in_a_batch_is_used_at_another_provider(project, witness):
    night = {"id": "night", "provider": "aigate", "images": ["@j0"], "prompt": "The same cat at night"}
    other = {"id": "other", "provider": "aigate", "prompt": "A dog"}
    done = project.run("run", nightly(project, "", jobs=[night, other]), "--yes")
    assert done.code == 0, done.err
    assert set(states(project).values()) == {"done"}
    check(project, witness)


def test_lost_job_database_finds_its_batch_again(project, witness, held):
    """Whatever the next command is, its reservations are back, and its jobs are bought once."""
    path = nightly(project, "", "")
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    before = project.run("status", "--json").json
    project.lose_database()
    recovered = project.run("db", "recover", path)
    assert "recovered 1 batch at the provider (2 calls)" in recovered.err
    after = project.run("status", "--json").json
    assert (after["at_provider"], after["spend"]) == (2, before["spend"])
    [submission] = after["submissions"]
    known = ("id", "remote_id", "state", "account", "model", "endpoint", "jobs", "created_at", "submitted_at")
    assert {name: submission[name] for name in known} == {name: before["submissions"][0][name] for name in known}
    project.lose_database()
    left = project.run("collect", path)
    assert left.code == 9, left.err
    assert states(project) == {"j0": "running", "j1": "running"}
    held(release=True)
    wait_for(lambda: len(events(witness, "batch-row")) == 2)
    project.lose_database()
    done = project.run("collect", path)
    assert done.code == 0, done.err
    check(project, witness)


def test_lost_job_database_reserves_what_is_at_the_provider(project, witness, held):
    path = nightly(project, "", "")
    highest = Decimal(project.run("plan", path, "--json").json["usd"]["high"]) / 2
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    project.lose_database()
    path = nightly(project, "", "", "")
    unlimited = path.read_text()
    path.write_text(f"{unlimited}budget: {{usd: {highest * Decimal('2.5'):.6f}}}\n")
    project.run("run", path, "--yes", "--no-wait")
    assert len(events(witness, "batch")) == 1
    assert states(project) == {"j0": "running", "j1": "running", "j2": "pending"}
    path.write_text(unlimited)
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    assert len(events(witness, "batch")) == 2
    held(release=True)
    assert project.run("run", path, "--yes").code == 0
    check(project, witness, batches=2)


def test_lost_job_database_of_another_batch_stops_no_run(project, witness, held):
    path = nightly(project, "")
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    project.lose_database()
    other = project.manifest([{"id": "dog", **LOW, "prompt": "A dog"}], "other.yaml")
    other.write_text(other.read_text().replace("name: shop", "name: other"))
    assert project.run("run", other, "--yes").code == 0
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    held(release=True)
    assert project.run("run", path, "--yes").code == 0
    assert [line["prompt"] for line in events(witness, "charge")] == ["A dog", "Cat 0"]
    assert len(events(witness, "batch")) == 1


@pytest.mark.not_on(postgres="the test replaces the file of the job database")
@pytest.mark.parametrize("damage", [None, b"{", b'{"version":1'])
def test_lost_job_database_buys_no_batch_again_that_has_no_note(project, witness, held, damage):
    path = nightly(project, "", "")
    assert project.run("run", path, "--yes", "--no-wait").code == 9
    [note] = project.state.glob("submissions/*.note.jsonl")
    kept_note = note.read_bytes()
    note.unlink() if damage is None else note.write_bytes(damage)
    kept = project.state / "kept.db"
    (project.state / "batchgen.db").rename(kept)
    lost = project.run("run", path, "--yes", "--no-wait")
    assert lost.code == 1, lost.err
    assert "may have been at" in lost.err
    assert project.run("run", path, "--yes", "--no-wait", "--db", "other.db").code == 9
    assert len(events(witness, "batch")) == 2  # another job database of the same folder has nothing to do with it
    for file in project.state.glob("batchgen.db*"):
        file.unlink()
    kept.rename(project.state / "batchgen.db")
    note.write_bytes(kept_note)
    held(release=True)
    wait_for(lambda: len(events(witness, "batch-row")) == 4)
    assert project.run("run", path, "--yes").code == 0
    assert len(events(witness, "batch")) == 2


@pytest.mark.not_on(postgres="the test changes the file of the job database")
def test_results_on_this_disk_are_delivered_though_the_provider_forgets_the_batch(project, witness):
    path = nightly(project, *[""] * 40)
    run = project.start("run", path, "--yes")
    wait_for(lambda: events(witness, "batch"), run)
    wait_for(lambda: submissions(project)[0]["state"] in ("downloaded", "collected"))
    run.kill()
    run.communicate()
    with closing(sqlite3.connect(project.state / "batchgen.db", timeout=10)) as database, database:
        database.execute("update submissions set remote_id = 'batch_gone'")
    assert project.run("run", path, "--yes").code == 0
    assert set(states(project).values()) == {"done"}
    check(project, witness)
