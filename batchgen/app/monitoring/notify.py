"""Notifications about a run: the user's own command, webhooks, and the services that apprise reaches.

A notification that fails never changes how the run ends.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import anyio
from anyio import create_task_group, sleep, to_thread

from ... import redaction
from ...engine.lane import Closure
from ...engine.runner import Runner
from ...errors import BatchgenError, UsageError
from ...files import log
from ...money import show_usd
from ...store.ledger import SCHEMA_VERSION
from ...store.reader import Reader
from ..config import keys
from ..run_options import ShowMessage
from . import apprise
from .hook import run_command

#: The variable of the secret that signs webhooks; _FILE and _COMMAND work as for keys.
SECRET = "BATCHGEN_NOTIFY_SECRET"  # noqa: S105 - a name
LOOK = 1.0
#: Seconds that all notifications at the end may take together.
PATIENCE = 90.0


async def post(url: str, body: bytes, headers: Mapping[str, str]) -> str | None:
    """Post *body* to *url*; return None if it was accepted, or else the reason."""
    from ...transport import webhook  # The HTTP client takes longer to import than most commands.

    return await webhook.post(url, body, headers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """A notification; its event is finished, budget_reached or stalled."""

    event: str
    body: Mapping[str, Any]  #: the summary, or the progress of the run
    id: str = field(default_factory=lambda: uuid.uuid4().hex)  #: the same for a repeated delivery
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def encoded(self) -> bytes:
        """Return the body of a webhook."""
        head = {"schema_version": SCHEMA_VERSION, "event": self.event, "id": self.id}
        head["sent_at"] = f"{self.at:%Y-%m-%dT%H:%M:%SZ}"
        return json.dumps(head | {"summary": self.body}).encode()


def signature_header(body: bytes, secret: str | None) -> dict[str, str]:
    """Return the header that signs *body*: HMAC-SHA256 under *secret*, in hex."""
    if not secret:
        return {}
    return {"X-Batchgen-Signature": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"}


def check_urls(urls: Sequence[str]) -> tuple[str, ...]:
    """Return *urls*; raise UsageError if one can never be reached."""
    for url in urls:
        scheme = url.partition(":")[0].lower()
        if _is_webhook(url):
            from ...transport.webhook import may_post

            if not may_post(url):
                raise UsageError(f"--notify {scheme}://…: a webhook must use https, or http on this machine")
        elif "://" not in url:
            raise UsageError("--notify takes an address such as https://hooks.example.com/batchgen")
        elif not apprise.is_installed():
            raise UsageError(f"--notify {scheme}://… needs apprise: {apprise.INSTALL}")
        elif not apprise.understands(url):
            raise UsageError(f"--notify {scheme}://…: apprise does not understand the address")
    return tuple(urls)


@dataclass(kw_only=True, slots=True)
class Notifier:
    """Sends the notifications of one run."""

    show_message: ShowMessage
    urls: Sequence[str] = ()
    command: str | None = None  #: to run at the end
    secret: str | None = field(default=None, repr=False)
    _waiting: list[Notice] = field(default_factory=list)
    _runner: Runner | None = None
    _budget_reported: bool = False

    @classmethod
    def of(cls, show_message: ShowMessage, urls: Sequence[str], command: str | None) -> Notifier:
        """Return the notifier for *urls* and *command*; raise UsageError or KeyMissing if one cannot work."""
        key = keys.find_key(SECRET, os.environ) if urls else None
        redaction.register([secret for url in urls for secret in _secrets(url)] + ([key.value] if key else []))
        return cls(show_message=show_message, urls=check_urls(urls), command=command, secret=key.value if key else None)

    @asynccontextmanager
    async def follow(self, runner: Runner, reader: Reader) -> AsyncIterator[None]:
        """Report a budget that is used up, and silence, during a run."""
        del reader
        self._runner = runner
        async with create_task_group() as tasks:
            tasks.start_soon(self._watch, runner)
            yield
            tasks.cancel_scope.cancel()
        self._look(runner)

    def stalled(self, text: str) -> None:
        """Report that no answer arrives."""
        if self._runner is not None:
            self._waiting.append(Notice(event="stalled", body=progress(self._runner, text)))

    def finished(self, body: Mapping[str, Any]) -> None:
        """Report the end of the run; *body* is its summary."""
        self._waiting.append(Notice(event="finished", body=body))
        if self.urls:
            anyio.run(self._deliver_in_time)
        if self.command is not None and (problem := run_command(self.command, body)):
            self._report(f"--on-finish: {problem}")

    def failed(self, batch: str, error: BatchgenError) -> None:
        """Report that the run ended with *error*."""
        end = {"exit_code": error.exit_code, "exit_words": str(error), "needs_person": True}
        self.finished({"schema_version": SCHEMA_VERSION, "batch": batch} | end)

    async def _watch(self, runner: Runner) -> None:
        while True:
            self._look(runner)
            await self._deliver()
            await sleep(LOOK)

    def _look(self, runner: Runner) -> None:
        messages = [lane.fault.message for lane in runner.lanes if lane.closed is Closure.BUDGET and lane.fault]
        if messages and not self._budget_reported:
            self._budget_reported = True
            self._waiting.append(Notice(event="budget_reached", body=progress(runner, messages[0])))

    async def _deliver_in_time(self) -> None:
        with anyio.move_on_after(PATIENCE) as scope:
            await self._deliver()
        if scope.cancelled_caught:
            self._report(f"--notify: some notifications were not delivered within {PATIENCE:.0f} s")

    async def _deliver(self) -> None:
        """Send the waiting notifications; one that is cut off is sent at the end."""
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
            problem = await post(url, body, headers)
            target = urlsplit(url).hostname or ""
        else:
            message = apprise.message(notice.event, notice.body)
            problem = await to_thread.run_sync(apprise.deliver, url, *message)
            target = url.partition(":")[0]
        level = logging.INFO if problem is None else logging.WARNING
        log.event("notified", level, what=notice.event, to=target, error=problem)
        if problem is not None:
            self.show_message(f"--notify: {target} did not get the notification of {notice.event}: {problem}")

    def _report(self, text: str) -> None:
        log.event("notice", logging.WARNING, message=text)
        self.show_message(text)


def progress(runner: Runner, message: str) -> dict[str, Any]:
    """Return the progress of a run as the body of a notification."""
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
    # A webhook's address is a secret as a whole; its parts are not.
    return [url] if _is_webhook(url) else apprise.secrets_of(url)


def _is_webhook(url: str) -> bool:
    return url.partition(":")[0].lower() in ("http", "https")
