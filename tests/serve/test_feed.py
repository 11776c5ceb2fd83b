"""What a page hears of a run: rows, figures and marks, across restarts of both sides."""

from __future__ import annotations

import signal
import socket

import httpx
import pytest

from tests.acceptance.kit import finish, wait_for
from tests.timing import patience

from .kit import rows_of

DEFAULTS = {"provider": "openai", "quality": "low"}


@pytest.fixture(scope="module")
def latency():
    return "0.05"


def more(project, number, **top):
    """Add jobs to the manifest of the batch."""
    jobs = [{"id": f"dog-{n:03}", "prompt": f"Dog {n}"} for n in range(number)]
    return project.manifest(jobs, defaults=DEFAULTS, **top)


def test_page_follows_a_run(batch, serve):
    server = serve()
    live = server.document()["live"]
    with server.events(live["events"]) as events:
        run = batch.start("run", more(batch, 12), "--yes")
        states: dict[str, str] = {}
        while list(states.values()).count("done") < 12:
            rows, _ = events.next("rows")
            states |= {key: row["state"] for key, row in rows_of(rows).items() if key.startswith("dog")}
        figures = events.until("figures", lambda each: each["head"]["jobs"]["done"] == 12)
        assert finish(run).code == 0
        # The end of the run is a change of the figures, without one of any job.
        ended = figures if figures["head"]["run"]["exit_code"] is not None else None
        assert ended or events.until("figures", lambda each: each["head"]["run"]["exit_code"] == 0)
    after = server.rows()
    assert {key for key, row in after.items() if row["state"] == "done"} >= set(states)


def test_reconnected_page_gets_what_it_missed(batch, serve):
    server = serve()
    with server.events(server.document()["live"]["events"]) as events:
        _, cursor = events.next("figures")
    server.stop(signal.SIGKILL)
    assert batch.run("run", more(batch, 3), "--yes").code == 0
    again = serve("--port", server.port)
    assert again.url == server.url
    with again.events("events", **{"Last-Event-ID": cursor}) as events:
        rows = rows_of(events.next("rows")[0])
    assert {key for key, row in rows.items() if row["sha"]} >= {"dog-000", "dog-001", "dog-002"}


def test_restarted_server_takes_its_port_again(batch, serve):
    first = serve()
    first.stop(signal.SIGKILL)
    assert serve().url == first.url
    # While that one runs, another one of the same project takes a free port.
    assert serve().port != first.port


def test_killed_run_is_seen(batch, serve):
    server = serve()
    with server.events() as events:
        jobs = [{"id": f"slow-{n}", "prompt": f"Slow {n} [sandbox: slow=20]"} for n in range(3)]
        run = batch.start("run", batch.manifest(jobs, defaults=DEFAULTS), "--yes")
        events.until("rows", lambda each: any(row["state"] == "running" for row in rows_of(each).values()))
        run.kill()
        run.communicate()
        after = [{"id": f"quick-{n}", "prompt": f"Quick {n}"} for n in range(3)]
        assert batch.run("run", batch.manifest(after, defaults=DEFAULTS), "--yes").code in (0, 3)
        seen: dict[str, str] = {}
        while [seen.get(f"quick-{n}") for n in range(3)] != ["done"] * 3:
            seen |= {key: row["state"] for key, row in rows_of(events.next("rows")[0]).items()}


def test_marks_reach_the_database_and_other_pages(batch, serve):
    server = serve()
    row = server.rows()["cat-1"]
    mark = {"id": "cat-1", "picture": 1, "sha256": row["sha"], "mark": "reject", "stars": 2, "note": "blurred"}
    with server.events() as events:
        first, _ = events.next("marks")
        assert first == {"whole": True, "marks": []}
        answer = server.send("PUT", "marks", {"marks": [mark | {"at": "2026-11-30T06:00:00Z"}]})
        assert answer.json() == {"results": {"set": 1}}
        changed, _ = events.next("marks")
        assert changed["whole"] is False
        assert changed["marks"][0].items() >= {"id": "cat-1", "mark": "reject", "stars": 2, "note": "blurred"}.items()
        empty = mark | {"mark": None, "stars": 0, "note": "", "at": "2026-11-30T06:00:01Z"}
        assert server.send("PUT", "marks", {"marks": [empty]}).status_code == 200
        cleared, _ = events.next("marks")
        assert [(each["id"], each["mark"]) for each in cleared["marks"]] == [("cat-1", None)]
    assert batch.rows("select * from marks") == []


def test_marks_that_make_no_sense_are_refused(batch, serve):
    server = serve()
    mark = {
        "id": "cat-1",
        "picture": 1,
        "sha256": "0123456789abcdef",
        "mark": "pick",
        "stars": 0,
        "note": "",
        "at": "2026-11-30T06:00:00Z",
    }
    wrong = [{"mark": "best"}, {"stars": 6}, {"sha256": "../x"}, {"at": "soon"}, {"picture": -1}, {"note": "x" * 1001}]
    # As an import of the same file would: otherwise marks that were saved from the database could not be read again.
    for change in wrong:
        answer = server.send("PUT", "marks", {"marks": [mark | change]})
        assert (answer.status_code, bool(answer.json()["error"])) == (400, True), change
    assert server.send("PUT", "marks", {"marks": [mark | {"id": "absent", "sha256": "0" * 16}]}).status_code == 404
    assert server.client.put("marks", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400


def test_marks_outside_of_the_calendar_are_refused(batch, serve):
    server = serve()
    mark = {"id": "cat-1", "picture": 1, "sha256": server.rows()["cat-1"]["sha"], "mark": "pick", "stars": 0}
    for at in ("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", 1796018800, 1e300):
        answer = server.send("PUT", "marks", {"marks": [mark | {"note": "", "at": at}]})
        assert answer.status_code == 400, at
    note = "tail \x00\x1b[2Jcut\u202e"
    answer = server.send("PUT", "marks", {"marks": [mark | {"note": note, "at": "2026-11-30T06:00:00Z"}]})
    assert answer.status_code == 200
    assert batch.rows("select note from marks") == [{"note": "tail [2Jcut\u202e"}]


def test_cursors_that_are_none_are_harmless(batch, serve):
    server = serve()
    for since in ("9" * 20, "-" + "9" * 20, "9" * 5000, "x", ""):
        with server.events(f"events?since={since}") as events:
            assert events.next("figures")[0]["head"]["jobs"]["done"] == 3, since


def test_thumbnails_are_made_on_demand(batch, serve):
    server = serve()
    sha = server.rows()["cat-2"]["sha"]
    answer = server.client.get(f"thumbs/{sha}.webp")
    assert (answer.status_code, answer.content[8:12]) == (200, b"WEBP")
    assert server.client.get(f"thumbs/{sha}.webp").content == answer.content
    assert (batch.state / "serve" / "thumbs" / f"{sha}.webp").exists()


def test_details_are_those_of_the_job(batch, serve):
    server = serve()
    detail = server.client.get("details/bad").json()
    assert detail["attempts"][0]["cause"] == "refused"
    assert server.client.get("details/cat-0").json()["files"][0]["sha256"].startswith(server.rows()["cat-0"]["sha"])


def test_slow_reader_keeps_no_other_from_reading(batch, serve):
    server = serve()
    request = f"GET /{server.token}/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    stuck = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
    try:
        for line in stuck[:20]:
            line.sendall(request * 5)  # and reads no answer
        for line in stuck[20:40]:
            line.sendall(f"GET /{server.token}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert server.rows().keys() >= {"cat-0", "bad"}
    finally:
        for line in stuck:
            line.close()


def test_server_ends_at_once_with_open_streams(batch, serve):
    server = serve()
    streams = [server.events() for _ in range(3)]
    for events in streams:
        events.next("figures")
    assert server.stop(signal.SIGINT) < patience(1.5)
    assert server.process.returncode == 0
    with pytest.raises((httpx.HTTPError, AssertionError)):
        streams[0].next("never")


def test_termination_is_orderly(batch, serve):
    server = serve()
    server.stop(signal.SIGTERM)
    assert server.process.returncode == 0
    assert server.process.stderr.read() == b""


def test_server_without_batch_says_what_to_do(project):
    done = project.run("serve")
    assert done.code == 10
    assert "batchgen run MANIFEST" in done.err


def test_taken_port_is_an_error(batch, serve):
    server = serve()
    done = batch.run("serve", "--port", server.port)
    assert done.code == 2
    assert f"cannot listen on 127.0.0.1:{server.port}" in done.err


def test_replaced_database_reloads_the_page(batch, serve):
    server = serve()
    database = batch.state / "batchgen.db"
    with server.events() as events:
        events.next("figures")
        copy = database.with_name("copy.db")
        assert batch.run("db", "backup", copy).code == 0
        copy.replace(database)
        events.next("reload")
    wait_for(lambda: server.client.get("").status_code == 200)
