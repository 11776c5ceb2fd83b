"""The line that a terminal shows while a manifest is read or files are checked."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import output
from .options import Session

#: Seconds between two updates of the line; where lines cannot be overwritten, seconds between two lines.
_UPDATE, _SLOW = 0.25, 5.0


@contextmanager
def reading(session: Session, path: Path, *, plain: bool = False) -> Iterator[Callable[[int], None]]:
    """Show on a terminal that *path* is being read, like ``counting``; the function takes the number of jobs so far."""
    from .render.format import display_path

    name = "standard input" if path.name == "-" else display_path(path)
    with counting(session, f"reading {name}", "rows", plain=plain) as on_jobs:
        yield on_jobs


@contextmanager
def counting(session: Session, action: str, unit: str, *, plain: bool = False) -> Iterator[Callable[[int], None]]:
    """Show on a terminal what is being done; the line is erased at the end unless *plain*.

    The value is a function that takes the number of *unit* so far.
    """
    total = 0

    def text() -> str:
        return action + (f", {total:,} {unit}" if total else "")

    def on_count(number: int) -> None:
        nonlocal total
        total = number

    if session.quiet or session.as_json or not sys.stderr.isatty():
        yield on_count
    elif plain or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        output.say(text())
        with _every(_SLOW, lambda: output.say(text())):
            yield on_count
    else:
        output.overwrite(text())
        try:
            with _every(_UPDATE, lambda: output.overwrite(text())):
                yield on_count
            output.overwrite(text())
        finally:
            output.overwrite("")


@contextmanager
def measuring(session: Session, action: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far an action is that knows its end: a bar on a terminal, which is erased; a line now and then in a log.

    The value is a function that takes the number of *unit* so far, and of all.
    """
    from .render.format import gauge

    done, total, began = 0, 0, time.monotonic()

    def on_count(number: int, of: int) -> None:
        nonlocal done, total
        done, total = number, of

    if session.quiet or session.as_json:
        yield on_count
        return
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        with _every(_SLOW, lambda: output.say(f"{action}, {done:,} of {total:,} {unit}") if total else None):
            yield on_count
        return
    try:
        with _every(_UPDATE, lambda: output.overwrite(gauge(action, done, total, unit, time.monotonic() - began))):
            yield on_count
    finally:
        output.overwrite("")


@contextmanager
def _every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Call *act* every *seconds* from a thread."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            act()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
