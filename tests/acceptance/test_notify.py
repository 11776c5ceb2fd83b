"""Who is told of a run: a command, a webhook; and that neither changes how it ends."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from .kit import SECRET, Done, Workspace


class Hook:
    """A webhook's far side: answers with what it is told to, the last one for ever."""

    def __init__(self) -> None:
        self.answers = [204]
        self.seen: list[tuple[dict[str, str], bytes]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.seen.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(hook.answers.pop(0) if len(hook.answers) > 1 else hook.answers[0])
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Be quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def events(self) -> list[str]:
        return [headers["x-batchgen-event"] for headers, _ in self.seen]


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.close()


def jobs(count: int = 1, what: str = "") -> list[dict]:
    return [{"id": f"j{n}", "provider": "openai", "quality": "low", "prompt": f"P{n}{what}"} for n in range(count)]


def kept(project: Workspace) -> dict:
    [file] = project.state.glob("runs/*/summary.json")
    return json.loads(file.read_text())


def test_a_webhook_gets_the_summary_signed_and_is_tried_again(project, hook):
    hook.answers = [503, 429, 204]
    done = project.run(
        "run",
        project.manifest(jobs()),
        "--yes",
        "-q",
        "--notify",
        hook.url,
        BATCHGEN_NOTIFY_SECRET="s3cr3t-of-the-hook",
    )
    assert (done.code, done.err) == (0, "")
    assert hook.events == ["finished"] * 3
    assert len({body for _, body in hook.seen}) == 1
    headers, body = hook.seen[-1]
    expected = hmac.new(b"s3cr3t-of-the-hook", body, hashlib.sha256).hexdigest()
    assert headers["x-batchgen-signature"] == f"sha256={expected}"
    assert (headers["content-type"], headers["user-agent"]) == ("application/json", "batchgen")
    assert json.loads(body)["summary"] == kept(project)
    everything = b"".join(file.read_bytes() for file in project.state.rglob("*") if file.is_file())
    assert b"s3cr3t-of-the-hook" not in everything
    assert hook.url.encode() not in everything
    assert "--notify [hidden]" in kept(project)["run"]["command"]
    assert SECRET.encode() not in body


def test_a_budget_that_is_reached_is_reported_before_the_end(project, hook):
    manifest = project.manifest(jobs(12))
    done = project.run("run", manifest, "--budget", "0.02", "--notify", hook.url)
    assert done.code == 7
    assert hook.events == ["budget_reached", "finished"]
    early, end = (json.loads(body) for _, body in hook.seen)
    assert early["summary"]["message"].startswith("the budget of this run is used up: 0.0")
    assert early["summary"]["run"]["id"] == end["summary"]["run"]["id"] == kept(project)["run"]["id"]
    assert "x-batchgen-signature" not in hook.seen[0][0]
    assert early["id"] != end["id"]


@pytest.mark.parametrize(("answer", "tries", "why"), [(404, 1, "HTTP 404"), (302, 1, "HTTP 302"), (500, 4, "HTTP 500")])
def test_a_webhook_that_does_not_take_it_changes_nothing(project, hook, answer, tries, why):
    hook.answers = [answer]
    done = project.run("run", project.manifest(jobs()), "--yes", "-q", "--notify", hook.url)
    assert (done.code, done.err) == (0, f"--notify: 127.0.0.1 did not get the notification of finished: {why}\n")
    assert len(hook.seen) == tries


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://hooks.example.com/x", "https"),
        ("hooks.example.com", "address"),
        ("odd://a/b/c", "apprise does not understand the address"),
    ],
    ids=["plain-http", "no-address", "unknown-to-apprise"],
)
def test_unusable_address_is_refused_before_sending(project, witness, url, word):
    done = project.run("run", project.manifest(jobs()), "--yes", "--notify", url)
    assert done.code == 2
    assert word in done.err
    assert witness.arrivals() == []


def test_without_apprise_the_package_to_install_is_named(project, witness):
    bare = "import sys; sys.modules['apprise'] = None; from batchgen.cli import main; main()"
    project.program = (sys.executable, "-c", bare)
    done = project.run("run", project.manifest(jobs()), "--yes", "--notify", "slack://a/b/c")
    assert done.code == 2
    assert done.err.endswith("'--notify': slack://… needs apprise: pip install 'batchgen[notify]'\n")
    assert witness.arrivals() == []


CREDENTIALS = ("me-and-myself", "p4ssw0rd-of-mine", "t0ken-of-the-path", "t0ken-of-the-query")


def by_apprise(hook: Hook) -> str:
    user, password, path, query = CREDENTIALS
    return f"json://{user}:{password}@{urlsplit(hook.url).netloc}/{path}?-key={query}"


def test_apprise_reports_budget_and_end_and_hides_its_address(project, hook):
    done = project.run(
        "run",
        project.manifest(jobs(12)),
        "--budget",
        "0.02",
        "-vv",
        "--notify",
        by_apprise(hook),
        PYTHONWARNINGS="error",
    )
    assert done.code == 7, done.err
    assert [json.loads(body)["title"] for _, body in hook.seen] == [
        "batchgen shop: budget reached", "batchgen shop: finished",
    ]  # fmt: skip
    early, end = (json.loads(body)["message"].splitlines() for _, body in hook.seen)
    assert early[0].startswith("the budget of this run is used up: 0.0")
    assert end[0] == kept(project)["exit_words"]
    assert end[1].startswith(f"{kept(project)['jobs']['done']} of 12 jobs done, ")
    assert shown(project, done) == []


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_target_of_apprise_that_fails_is_told_and_changes_nothing(project, hook, by_variable):
    hook.answers = [401]
    options, env = (
        (("--notify", by_apprise(hook)), {}) if not by_variable else ((), {"BATCHGEN_RUN_NOTIFY": by_apprise(hook)})
    )
    done = project.run("run", project.manifest(jobs()), "--yes", "-vv", *options, **env)
    assert done.code == 0
    assert "--notify: json did not get the notification of finished: apprise could not deliver it" in done.err
    assert "HTTP 401" in done.err
    assert len(hook.seen) == 1
    assert shown(project, done) == []


def shown(project: Workspace, done: Done) -> list[str]:
    """Return the credentials that stand in what the program printed or kept, the job table and log included."""
    everything = b"".join(file.read_bytes() for file in project.state.rglob("*") if file.is_file())
    return [one for one in CREDENTIALS if one in done.out + done.err or one.encode() in everything]


def test_a_command_gets_the_summary_as_variables_and_on_stdin(project):
    command = "cat > got.json; env | grep ^BATCHGEN_ > got.env; echo told"
    done = project.run(
        "run", project.manifest(jobs(2, " [sandbox: refuse]")), "--yes", "--json", "--on-finish", command,
        BATCHGEN_NOTIFY_SECRET="s3cr3t-of-the-hook",
    )  # fmt: skip
    assert (done.code, done.err) == (3, "told\n")
    assert json.loads((project.folder / "got.json").read_text()) == done.json == kept(project)
    found = dict(line.split("=", 1) for line in (project.folder / "got.env").read_text().splitlines())
    assert found == {
        "BATCHGEN_BATCH_NAME": "shop", "BATCHGEN_RUN_ID": done.json["run"]["id"], "BATCHGEN_EXIT_CODE": "3",
        "BATCHGEN_EXIT_WORDS": done.json["exit_words"], "BATCHGEN_NEEDS_PERSON": "1", "BATCHGEN_JOBS_TOTAL": "2",
        "BATCHGEN_JOBS_DONE": "0", "BATCHGEN_JOBS_PENDING": "0", "BATCHGEN_JOBS_FAILED": "2",
        "BATCHGEN_JOBS_UNKNOWN": "0", "BATCHGEN_RUN_IMAGES": "0", "BATCHGEN_RUN_USD": "0", "BATCHGEN_SPENT_USD": "0",
        "BATCHGEN_OUTPUT_FOLDER": str(project.folder / "output" / "shop"),
    }  # fmt: skip


def test_a_command_that_fails_is_reported_and_changes_nothing(project):
    done = project.run("run", project.manifest(jobs()), "--yes", "-q", "--on-finish", "exit 9")
    assert (done.code, done.err) == (0, "--on-finish: the command exited with code 9\n")
    refused = project.run("run", project.manifest(jobs(2)), "-q", "--on-finish", 'echo "$BATCHGEN_EXIT_CODE"')
    assert refused.code == 6
    assert refused.err.splitlines()[0] == "6"
