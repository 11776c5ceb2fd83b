"""Runs that end while source images cannot be uploaded: nothing was sent, and nothing waits for the upload."""

from __future__ import annotations

import http.server
import signal
import threading
from contextlib import contextmanager

import pytest

from .kit import check_books, finish, wait_for
from .test_task_providers import photo, project, settings

__all__ = ["project"]


@contextmanager
def refusing():
    """Serve an address that answers no upload but with an error; yield it, and what was asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_error(500)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


def manifest(project, url):
    own = settings(project, "wavespeed")
    own["wavespeed"] |= {"base_url": f"{url}/wavespeed", "tariff": {"usd_per_image": 0.5}}
    job = {"provider": "wavespeed", "images": [photo(project)]}
    return project.manifest([{"id": f"a{n}", "prompt": f"make it red {n}", **job} for n in range(3)], providers=own)


SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}


@pytest.mark.parametrize("signal_", SIGNALS)
def test_run_that_ends_while_an_upload_fails_sends_nothing_and_waits_for_nothing(project, witness, signal_):
    with refusing() as (url, asked):
        run = project.start("run", manifest(project, url), "--yes")
        wait_for(lambda: len(asked) >= 2, run)
        run.send_signal(signal_)
        stopped = finish(run)
    assert stopped.code == SIGNALS[signal_], stopped.err
    if signal_ != signal.SIGKILL:
        assert {row["state"] for row in project.rows("select state from jobs")} == {"pending"}
        assert project.rows("select id from attempts where state = 'open'") == []
    done = project.run("run", manifest(project, project.url), "--yes")
    assert done.code == 0, done.err
    assert len(witness.charges()) == 3
    check_books(project, witness.charges())
    assert project.rows("select id from attempts where cause = 'unknown' or state = 'open'") == []
