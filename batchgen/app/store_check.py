"""Examination of a place in an object store as a run would find it: credentials, bucket, permissions, clock, owner."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from secrets import token_hex

from ..errors import AlreadyRunning, StoreError
from ..object_url import ObjectUrl
from ..store import migrate
from .clock import utc_now
from .finding import FEW_SECONDS, MANY_SECONDS, Finding
from .output_lock import StoreOwner
from .project import Project


def examine_store(project: Project, url: ObjectUrl, manifest: Path | None = None) -> Iterator[Finding]:
    """Try out what a run does at *url*, with objects that are removed at once."""
    from ..files.object_store import ObjectStore

    name = f".batchgen/test-{token_hex(8)}"
    try:
        store = ObjectStore(url)
        is_conditional = store.require_writable()
        before = utc_now()
        store.put(name, b"", {"Content-Type": "text/plain"})
        facts = store.head(name)
        store.delete(name)
        if migrate.revision(project.db) == migrate.HEAD:
            StoreOwner(project, url, manifest).require()
    except (StoreError, AlreadyRunning) as error:
        yield Finding("output", str(error), "bad", error.exit_code)
        return
    if is_conditional:
        yield Finding("output", f"{url}: objects are created by conditional writes")
    else:
        text = "the store ignores conditional writes (If-None-Match); let only one machine write there at a time"
        yield Finding("output", f"{url}: {text}", "note")
    if facts is not None:
        yield from _clock(url, facts.changed, before, utc_now())


def _clock(url: ObjectUrl, stored: datetime, before: datetime, after: datetime) -> Iterator[Finding]:
    """Compare this machine's clock with the store's; signatures are refused beyond 15 minutes."""
    seconds = max((before - stored).total_seconds() - 1, 0) or min((after - stored).total_seconds(), 0)
    if abs(seconds) > FEW_SECONDS:
        direction = "ahead of" if seconds > 0 else "behind"
        text = f"{abs(seconds):.0f} s {direction} that of {url.root}: set it, or enable NTP"
        far = abs(seconds) > MANY_SECONDS
        yield Finding("clock", text, "bad" if far else "note", 1 if far else 0)
