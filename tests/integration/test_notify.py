"""Notices without a run: how long a command may take, what apprise is given, and that silence is passed on."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from batchgen.app import finish, notify
from batchgen.app.notify import Notice, Notifier
from tests.acceptance.kit import wait_for
from tests.simulated.night import Night, wishes
from tests.simulated.server import Nature


def test_a_command_that_hangs_is_ended_with_all_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(finish, "PATIENCE", 0.3)
    note = tmp_path / "pid"
    why = finish.run_command(f"sleep 60 & echo $! > {note}; wait", {"exit_code": 0})
    assert why == "the command took longer than 0 s and was ended"
    wait_for(lambda: _is_gone(int(note.read_text())))


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_command_need_not_read_what_it_is_given():
    assert finish.run_command("true", {"text": "x" * 1_000_000}) is None


class FakeApprise(ModuleType):
    """What stands where apprise would: it is an extra, and its far sides are the world."""

    told: ClassVar[list[dict[str, Any]]] = []

    class Apprise:
        def add(self, url: str) -> bool:
            return url.startswith("slack://")

        def notify(self, **said: Any) -> bool:
            FakeApprise.told.append(said)
            return "fail" not in said["body"]


def test_other_addresses_go_through_apprise(monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", FakeApprise("apprise"))
    said: list[str] = []
    notifier = Notifier(say=said.append, urls=("slack://token", "odd://token"))
    notifier.finished({"batch": "night", "exit_words": "all done"})
    assert FakeApprise.told == [{"title": "batchgen night: finished", "body": "all done"}]
    assert said == ["--notify: odd was not told of finished: apprise does not understand the address"]


def test_the_end_does_not_wait_for_ever(monkeypatch):
    async def never(url: str, body: bytes, headers: object) -> None:
        await notify.anyio.sleep_forever()

    monkeypatch.setattr(notify, "post", never)
    monkeypatch.setattr(notify, "PATIENCE", 0.1)
    said: list[str] = []
    Notifier(say=said.append, urls=("https://example.com/x",)).finished({})
    assert said == ["--notify: not everybody could be told within 0 s"]


@pytest.mark.parametrize("secret", [None, "s"])
def test_a_signature_only_where_there_is_a_secret(secret):
    body = Notice(event="finished", body={}, id="1").encoded()
    assert bool(notify.signed(body, secret)) is (secret is not None)


def test_silence_is_told_as_well_and_before_the_end(tmp_path, monkeypatch):
    sent: list[Any] = []

    async def taken(url: str, body: bytes, headers: object) -> None:
        sent.append(json.loads(body))

    monkeypatch.setattr(notify, "post", taken)
    runner = Night(folder=tmp_path, wishes=wishes(2, "openai"), natures={"openai": Nature()}).play()
    notifier = Notifier(say=pytest.fail, urls=("https://example.com/x",))

    async def goes_on() -> None:
        async with notifier.follow(runner, None):  # type: ignore[arg-type]
            notifier.stalled("nothing has come back for 15 min")

    asyncio.run(goes_on())
    notifier.finished({"exit_code": 0})
    assert [one["event"] for one in sent] == ["stalled", "finished"]
    assert sent[0]["summary"]["message"] == "nothing has come back for 15 min"
    assert sent[0]["summary"]["run"]["done"] == 2
