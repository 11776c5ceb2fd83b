"""Tells others how a run goes: a command of the user's, a webhook, or whatever apprise reaches.

Whatever becomes of a notice, it never changes how the run ends.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import anyio
from anyio import create_task_group, sleep, to_thread

from ...engine.lane import Closure
from ...engine.runner import Runner
from ...errors import BatchgenError, UsageError
from ...files import log
from ...money import show_usd
from ...store.ledger import SCHEMA_VERSION
from ...store.reader import Reader
from ...transport.webhook import may_post, post
from ..config import keys, settings
from ..run_options import ShowMessage
from . import apprise
from .hook import run_command

#: Where the secret that signs a webhook comes from; _FILE and _COMMAND work as with keys.
SECRET = "BATCHGEN_NOTIFY_SECRET"  # noqa: S105 - a name
LOOK = 1.0
#: Seconds that all notices of an end may take together.
PATIENCE = 90.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something that others want to know: finished, budget_reached or stalled."""

    event: str
    body: Mapping[str, Any]  #: the summary, or how far the run is
    id: str = field(default_factory=lambda: uuid.uuid4().hex)  #: the same when it is delivered again
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def encoded(self) -> bytes:
        """Return the body of a webhook."""
        head = {"schema_version": SCHEMA_VERSION, "event": self.event, "id": self.id}
        head["sent_at"] = f"{self.at:%Y-%m-%dT%H:%M:%SZ}"
        return json.dumps(head | {"summary": self.body}).encode()


def signature_header(body: bytes, secret: str | None) -> dict[str, str]:
    """Return the header that shows who sent *body*: HMAC-SHA256 under *secret*, as hex."""
    if not secret:
        return {}
    return {"X-Batchgen-Signature": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"}


def check_urls(urls: Sequence[str]) -> tuple[str, ...]:
    """Return *urls* as they are; raise UsageError where no notice could ever go to one."""
    for url in urls:
        scheme = url.partition(":")[0].lower()
        if _is_webhook(url):
            if not may_post(url):
                raise UsageError(f"--notify {scheme}://…: a webhook is https, or http on this machine")
        elif "://" not in url:
            raise UsageError("--notify takes an address such as https://hooks.example.com/batchgen")
        elif not apprise.is_installed():
            raise UsageError(f"--notify {scheme}://… needs apprise: {apprise.INSTALL}")
        elif not apprise.understands(url):
            raise UsageError(f"--notify {scheme}://…: apprise does not understand the address")
    return tuple(urls)


@dataclass(kw_only=True, slots=True)
class Notifier:
    """Who is told of one run."""

    say: ShowMessage  #: tells a person that a notice was not delivered
    urls: Sequence[str] = ()
    command: str | None = None  #: run at the end
    secret: str | None = field(default=None, repr=False)
    _waiting: list[Notice] = field(default_factory=list)
    _runner: Runner | None = None
    _spent_up: bool = False

    @classmethod
    def of(cls, say: ShowMessage, urls: Sequence[str], command: str | None) -> Notifier:
        """Return who is told; raise UsageError or KeyMissing where that cannot work."""
        key = keys.find_key(SECRET, settings.environment()) if urls else None
        log.hide_secrets([secret for url in urls for secret in _secrets(url)] + ([key.value] if key else []))
        return cls(say=say, urls=check_urls(urls), command=command, secret=key.value if key else None)

    @asynccontextmanager
    async def follow(self, runner: Runner, reader: Reader) -> AsyncIterator[None]:
        """Tell of a budget that was reached and of silence while a run goes on."""
        del reader
        self._runner = runner
        async with create_task_group() as tasks:
            tasks.start_soon(self._watch, runner)
            yield
            tasks.cancel_scope.cancel()
        self._look(runner)

    def stalled(self, text: str) -> None:
        """Tell that nothing comes back."""
        if self._runner is not None:
            self._waiting.append(Notice(event="stalled", body=progress(self._runner, text)))

    def finished(self, body: Mapping[str, Any]) -> None:
        """Tell how the run ended; *body* is its summary."""
        self._waiting.append(Notice(event="finished", body=body))
        if self.urls:
            anyio.run(self._deliver_in_time)
        if self.command is not None and (why := run_command(self.command, body)):
            self._told(f"--on-finish: {why}")

    def failed(self, batch: str, error: BatchgenError) -> None:
        """Tell that the run ended with *error*."""
        end = {"exit_code": error.exit_code, "exit_words": str(error), "needs_person": True}
        self.finished({"schema_version": SCHEMA_VERSION, "batch": batch} | end)

    async def _watch(self, runner: Runner) -> None:
        while True:
            self._look(runner)
            await self._deliver()
            await sleep(LOOK)

    def _look(self, runner: Runner) -> None:
        caps = [lane.fault.message for lane in runner.lanes if lane.closed is Closure.BUDGET and lane.fault]
        if caps and not self._spent_up:
            self._spent_up = True
            self._waiting.append(Notice(event="budget_reached", body=progress(runner, caps[0])))

    async def _deliver_in_time(self) -> None:
        with anyio.move_on_after(PATIENCE) as scope:
            await self._deliver()
        if scope.cancelled_caught:
            self._told(f"--notify: not everybody could be told within {PATIENCE:.0f} s")

    async def _deliver(self) -> None:
        """Send what waits; what is cut off stays and is sent at the end."""
        while self._waiting:
            for url in self.urls:
                await self._send(url, self._waiting[0])
            del self._waiting[0]

    async def _send(self, url: str, notice: Notice) -> None:
        if _is_webhook(url):
            body = notice.encoded()
            headers = {"Content-Type": "application/json", "X-Batchgen-Event": notice.event} | signature_header(
                body, self.secret
            )
            why = await post(url, body, headers)
            where = urlsplit(url).hostname or ""
        else:
            said = apprise.message(notice.event, notice.body)
            why, where = await to_thread.run_sync(apprise.deliver, url, *said), url.partition(":")[0]
        log.event("notified", logging.INFO if why is None else logging.WARNING, what=notice.event, to=where, error=why)
        if why is not None:
            self.say(f"--notify: {where} was not told of {notice.event}: {why}")

    def _told(self, text: str) -> None:
        log.event("notice", logging.WARNING, message=text)
        self.say(text)


def progress(runner: Runner, message: str) -> dict[str, Any]:
    """Return how far a run is, for a notice."""
    lanes = runner.lanes
    return {
        "schema_version": SCHEMA_VERSION,
        "batch": runner.attempts.batch,
        "message": message,
        "run": {
            "id": runner.attempts.run_id,
            "images": sum(lane.images for lane in lanes),
            "done": sum(lane.done for lane in lanes),
            "failed": sum(lane.failed for lane in lanes),
            "in_flight": sum(lane.in_flight for lane in lanes),
            "usd": show_usd(sum(lane.usd for lane in lanes)),
        },
    }


def _secrets(url: str) -> Sequence[str]:
    # of a webhook the whole address is one secret; what its parts are is known
    return [url] if _is_webhook(url) else apprise.secrets_of(url)


def _is_webhook(url: str) -> bool:
    return url.partition(":")[0].lower() in ("http", "https")
