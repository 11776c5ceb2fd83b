"""Notices without a run: how long a command may take, what apprise is given, and that silence is passed on."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from batchgen import redaction
from batchgen.app.monitoring import hook, notify
from batchgen.app.monitoring.notify import Notice, Notifier
from batchgen.errors import UsageError
from batchgen.files import log
from tests.acceptance.kit import wait_for
from tests.simulated.night import Night, wishes
from tests.simulated.server import Nature


def test_a_command_that_hangs_is_ended_with_all_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(hook, "PATIENCE", 0.3)
    note = tmp_path / "pid"
    why = hook.run_command(f"sleep 60 & echo $! > {note}; wait", {"exit_code": 0})
    assert why == "the command took longer than 0 s and was killed"
    wait_for(lambda: _is_gone(int(note.read_text())))


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_command_need_not_read_what_it_is_given():
    assert hook.run_command("true", {"text": "x" * 1_000_000}) is None


class FarSide:
    """Whom apprise posts to: a real server, on loopback."""

    def __init__(self) -> None:
        self.answer = 204
        self.seen: list[tuple[str, dict[str, Any]]] = []
        far = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                far.seen.append((self.path, json.loads(body)))
                self.send_response(far.answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Be quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def far(monkeypatch) -> Iterator[FarSide]:
    monkeypatch.setattr(redaction, "_KNOWN", set())
    far = FarSide()
    yield far
    far.close()


SECRETS = ("me-and-myself", "p4ss w0rd", "p4ss%20w0rd", "t0ken-of-the-path", "t0ken-of-the-query")


def address(far: FarSide) -> str:
    """Return an address for apprise with credentials wherever there may be some."""
    return f"json://{SECRETS[0]}:{SECRETS[2]}@127.0.0.1:{far.port}/{SECRETS[3]}?-key={SECRETS[4]}"


def test_apprise_is_given_what_the_user_wants_to_know_of_the_end(far):
    said: list[str] = []
    jobs = {"total": 30, "done": 27, "failed": 3, "unknown": 0, "pending": 0}
    step = [{"command": None, "what": "mend it"}, {"command": "batchgen retry --cause empty", "what": "tries again"}]
    body = {"batch": "night", "exit_words": "ran to the end, some jobs failed or are unknown", "needs_person": True}
    body |= {"jobs": jobs, "run": {"images": 30, "usd": "0.64"}, "next": step}
    Notifier(show_message=said.append, urls=(address(far),)).finished(body)
    assert said == []
    [(request, sent)] = far.seen
    assert request == f"/{SECRETS[3]}?key={SECRETS[4]}"
    assert {name: sent[name] for name in ("title", "message", "type")} == {
        "title": "batchgen night: finished",
        "message": "ran to the end, some jobs failed or are unknown\n27 of 30 jobs done, 3 failed\n"
        "this run: 30 images, $0.64\nnext: batchgen retry --cause empty",
        "type": "warning",
    }


@pytest.mark.parametrize("status", [401, 500, None])
def test_what_apprise_says_of_a_failure_is_told_without_the_address(far, caplog, status):
    if status is None:
        far.close()
    else:
        far.answer = status
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    notifier = Notifier.of(said.append, [address(far)], None)
    notifier.finished({"batch": "night", "exit_words": "all done"})
    [line] = said
    assert line.startswith("--notify: json did not get the notification of finished: apprise could not deliver it")
    assert line.endswith(f" (HTTP {status})" if status else "deliver it")
    assert log.redacted(address(far)) == "[hidden]"
    shown = line + log.redacted(caplog.text)
    assert not [secret for secret in (*SECRETS, address(far)) if secret in shown]


def test_address_unknown_to_apprise_is_refused_and_hidden(capfd):
    for url in ("odd://t0ken-of-the-host", "json://[t0ken-of-the-host"):
        with pytest.raises(
            UsageError, match=r"--notify (odd|json)://…: apprise does not understand the address"
        ) as told:
            Notifier.of(pytest.fail, [url], None)
        assert "t0ken" not in str(told.value)
    assert capfd.readouterr() == ("", "")


def test_without_apprise_the_package_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(UsageError, match=r"slack://… needs apprise: pip install 'batchgen\[notify\]'"):
        notify.check_urls(["slack://a/b/c"])


def test_the_end_does_not_wait_for_ever(monkeypatch):
    async def never(url: str, body: bytes, headers: object) -> None:
        await notify.anyio.sleep_forever()

    monkeypatch.setattr(notify, "post", never)
    monkeypatch.setattr(notify, "PATIENCE", 0.1)
    said: list[str] = []
    Notifier(show_message=said.append, urls=("https://example.com/x",)).finished({})
    assert said == ["--notify: some notifications were not delivered within 0 s"]


@pytest.mark.parametrize("secret", [None, "s"])
def test_a_signature_only_where_there_is_a_secret(secret):
    body = Notice(event="finished", body={}, id="1").encoded()
    assert bool(notify.signature_header(body, secret)) is (secret is not None)


def test_silence_is_reported_by_apprise_as_well(tmp_path, far):
    runner = Night(folder=tmp_path, wishes=wishes(2, "openai"), natures={"openai": Nature()}).play()
    notifier = Notifier(show_message=pytest.fail, urls=(address(far),))

    async def goes_on() -> None:
        async with notifier.follow(runner, None):  # type: ignore[arg-type]
            notifier.stalled("no answer for 15 min")
            await asyncio.to_thread(wait_for, lambda: far.seen)

    asyncio.run(goes_on())
    [(_, sent)] = far.seen
    assert (sent["title"], sent["type"]) == ("batchgen night: stalled", "warning")
    assert sent["message"] == "no answer for 15 min\nthis run: 2 images, $0.08"


def test_silence_is_reported_as_well_and_before_the_end(tmp_path, monkeypatch):
    sent: list[Any] = []

    async def taken(url: str, body: bytes, headers: object) -> None:
        sent.append(json.loads(body))

    monkeypatch.setattr(notify, "post", taken)
    runner = Night(folder=tmp_path, wishes=wishes(2, "openai"), natures={"openai": Nature()}).play()
    notifier = Notifier(show_message=pytest.fail, urls=("https://example.com/x",))

    async def goes_on() -> None:
        async with notifier.follow(runner, None):  # type: ignore[arg-type]
            notifier.stalled("no answer for 15 min")

    asyncio.run(goes_on())
    notifier.finished({"exit_code": 0})
    assert [one["event"] for one in sent] == ["stalled", "finished"]
    assert sent[0]["summary"]["message"] == "no answer for 15 min"
    assert sent[0]["summary"]["run"]["done"] == 2
