"""Notifications through apprise, an optional dependency that reaches chats, mail and phones.

An address contains its credentials anywhere (``slack://TOKEN/TOKEN``, ``mailto://me:password@example.com``), and so may
apprise's messages about it. Nothing but the scheme and an HTTP status is passed on.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from typing import Any
from urllib.parse import unquote

INSTALL = "pip install 'batchgen[notify]'"


def is_installed() -> bool:
    """Return whether apprise is installed."""
    return find_spec("apprise") is not None


def understands(url: str) -> bool:
    """Return whether apprise supports *url*. The first call loads all plugins, about a second of CPU time."""
    with _captured():
        try:
            return _target(url) is not None
        except Exception:  # noqa: BLE001 - plugins raise anything for a malformed address
            return False


def deliver(url: str, title: str, text: str, kind: str) -> str | None:
    """Send a message; return None if it was accepted, else an error that contains nothing of *url*."""
    with _captured() as messages:
        try:
            target = _target(url)
            if target is None:
                return "apprise does not understand the address"
            if target.notify(title=title, body=text, notify_type=kind):
                return None
        except Exception as error:  # noqa: BLE001 - plugins raise anything
            return type(error).__name__
    status = re.search(r"\berror[= ](\d{3})\b", messages.getvalue())
    return "apprise could not deliver it" + (f" (HTTP {status[1]})" if status else "")


def secrets_of(url: str) -> Sequence[str]:
    """Return *url* and every part of it that may be a credential."""
    address = url.partition("://")[2]
    parts = [part for part in [address, *re.split(r"[/?&=:@#+,;]", address)] if part]
    return [url, *parts, *map(unquote, parts)]


def message(event: str, body: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return title, text and kind of the message about an event; *body* is what a webhook would get."""
    run, jobs = body.get("run") or {}, body.get("jobs") or {}
    lines = [str(body.get("message") or body.get("exit_words") or event)]
    if jobs:
        others = [f"{jobs[name]} {name}" for name in ("failed", "unknown", "pending") if jobs.get(name)]
        lines.append(", ".join([f"{jobs['done']} of {jobs['total']} jobs done", *others]))
    if run:
        lines.append(f"this run: {run['images']} images, ${run['usd']}")
    lines += [f"next: {step['command']}" for step in body.get("next") or () if step.get("command")][:1]
    kind = "warning" if event != "finished" or body.get("needs_person") else "success"
    return f"batchgen {body.get('batch', '')}: {event.replace('_', ' ')}", "\n".join(lines), kind


def _target(url: str) -> Any:  # noqa: ANN401 - of a library that may be missing
    apprise = import_module("apprise")
    target = apprise.Apprise(asset=apprise.AppriseAsset(app_id="batchgen", app_desc="batchgen", app_url=""))
    return target if target.add(url) else None


@contextmanager
def _captured() -> Iterator[StringIO]:
    """Keep apprise's messages and Python's warnings about its plugins away from the log; yield the messages."""
    logger, messages = logging.getLogger("apprise"), StringIO()
    handler, propagate = logging.StreamHandler(messages), logger.propagate
    handler.setLevel(logging.WARNING)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield messages
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
