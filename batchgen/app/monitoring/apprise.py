"""Messages to people by apprise, which is an extra.  A doer: it loads a large library, and that opens sockets.

An address holds the credentials, anywhere: ``slack://TOKEN/TOKEN``, ``mailto://me:password@example.com``.  What
apprise says of it is therefore heard here, and passed on without any part of the address.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import unquote

#: How the extra is installed.
INSTALL = "pip install 'batchgen[notify]'"

#: Shorter parts of an address stand in any sentence by chance.
_TELLING = 3


def is_installed() -> bool:
    """Tell whether apprise is there."""
    return find_spec("apprise") is not None


def understands(url: str) -> bool:
    """Tell whether apprise can make anything of *url*.

    It loads all its plugins for that, about a second of processor time: better before a run than during one.
    """
    with _overheard():
        try:
            return _target(url) is not None
        except Exception:  # noqa: BLE001 - whatever a plugin makes of an address that is none
            return False


def deliver(url: str, title: str, text: str, kind: str) -> str | None:
    """Send a message; return None where it was taken, else why not, in words that hold nothing of *url*."""
    with _overheard() as heard:
        try:
            target = _target(url)
            if target is None:
                return "apprise does not understand the address"
            if target.notify(title=title, body=text, notify_type=kind):
                return None
        except Exception as error:  # noqa: BLE001 - whatever a plugin of a plugin raises
            return type(error).__name__
    why = _without(url, heard[-1]) if heard else ""
    return f"apprise could not deliver it{why and ': '}{why}"


def secrets_of(url: str) -> Sequence[str]:
    """Return what must not be shown of *url*: the whole, and whatever in it may be a credential."""
    _, _, rest = url.partition("://")
    return [url, *_parts(rest)]


def message(event: str, body: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return title, text and kind of a message about an event of a run; *body* is what a webhook would get."""
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


def _target(url: str) -> Any:  # noqa: ANN401 - of a library that need not be there
    apprise = import_module("apprise")
    target = apprise.Apprise(asset=apprise.AppriseAsset(app_id="batchgen", app_desc="batchgen", app_url=""))
    return target if target.add(url) else None


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """Keep what apprise warns of out of the log, and Python's own warnings about its plugins; yield what it says."""
    own, heard = logging.getLogger("apprise"), _Ear()
    before, own.propagate = own.propagate, False
    own.addHandler(heard)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield heard.said
    finally:
        own.removeHandler(heard)
        own.propagate = before


class _Ear(logging.Handler):
    """Hears warnings and errors."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one sentence."""
        self.said.append(record.getMessage())


def _without(url: str, text: str) -> str:
    for part in sorted(_parts(url.partition("://")[2]), key=len, reverse=True):
        text = text.replace(part, "…")
    return " ".join(text.split()).rstrip(".")[:200]


def _parts(rest: str) -> set[str]:
    """Return the parts of an address as they stand there and as they are meant."""
    found = [part for part in re.split(r"[/?&=:@#+,;]", rest) if part]
    return {part for raw in [rest, *found] for part in (raw, unquote(raw)) if len(part) >= _TELLING}
