"""Feed: follows the job database and sends what changed to every open page as server-sent events.

The cursor of an event is the moment up to which changes were read, in microseconds. A page that reconnects hands in its
last one, also to a server that was restarted since, and gets whatever changed after it. Applying a change twice is
harmless, so that cursors overlap rather than miss one.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import anyio.to_thread

from ..store.changes import Changes, cursor, moment_of

#: Seconds between two looks at the job database, and at figures that change without it.
TICK, SLOW_TICK = 0.2, 3.0
#: Part of the time that looking may take, so that a large batch does not keep a core busy.
_SHARE = 0.25
#: Changed jobs beyond which a page is loaded again instead.
_MOST_JOBS = 5_000
_EVENTS = 200  #: kept for pages that read slowly


class Source(Protocol):
    """Where the contents of events come from; its methods block."""

    def rows(self, jobs: Sequence[int]) -> Mapping[str, Any]:
        """Return the rows of *jobs*."""
        ...

    def figures(self) -> Mapping[str, Any]:
        """Return the head of the page."""
        ...

    def marks(self) -> Mapping[str, Any]:
        """Return all marks, by a key that names the picture."""
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event; *number* counts the events of this server."""

    number: int
    cursor: int
    name: str
    data: str


@dataclass(slots=True)
class Feed:
    """The events of one batch, for any number of readers."""

    changes: Changes
    batch_id: int
    source: Source
    now: Callable[[], datetime]
    closed: bool = False
    _cursor: datetime = field(init=False)
    _number: int = 0
    _events: deque[Event] = field(default_factory=lambda: deque(maxlen=_EVENTS))
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _marks: Mapping[str, Any] = field(default_factory=dict)
    _figures: str = ""
    _figures_at: float = 0.0

    def __post_init__(self) -> None:
        self._cursor = self.now()

    async def run(self) -> None:
        """Follow the job database until the feed is closed."""
        while not self.closed:
            started = time.monotonic()
            self._publish(await anyio.to_thread.run_sync(self._look))
            spent = time.monotonic() - started
            await asyncio.sleep(max(TICK, spent / _SHARE - spent))

    def close(self) -> None:
        """End the streams of all readers."""
        self.closed = True
        self._news.set()

    def publish(self, name: str, document: Mapping[str, Any]) -> None:
        """Send an event that is not a change of the job database."""
        self._publish([(name, _text(document))])

    async def follow(self, since: int | None) -> AsyncIterator[Event]:
        """Yield what changed since the cursor *since*, then every event as it happens."""
        number = self._number
        for event in await self._catch_up(since):
            yield event
        while not self.closed:
            news = self._news
            if self._events and self._events[0].number > number + 1:
                # This page reads too slowly: events that it has not got yet are not kept any more.
                number = self._number
                for event in await self._catch_up(since):
                    yield event
            for event in [each for each in self._events if each.number > number]:
                number, since = event.number, event.cursor
                yield event
            if number == self._number:
                await news.wait()

    async def _catch_up(self, since: int | None) -> list[Event]:
        pairs = await anyio.to_thread.run_sync(self._everything, since)
        return [Event(0, cursor(self._cursor), name, text) for name, text in pairs]

    def _everything(self, since: int | None) -> list[tuple[str, str]]:
        marks = ("marks", _text({"whole": True, "marks": list(self.source.marks().values())}))
        moment = self._cursor if since is None else min(self._cursor, moment_of(since))
        with Changes(self.changes.path) as changes:
            jobs = changes.changed(self.batch_id, moment)
        return [*self._rows(jobs), ("figures", _text(self.source.figures())), marks]

    def _look(self) -> list[tuple[str, str]]:
        """Return the names and contents of new events."""
        if self.changes.was_replaced:
            return [("reload", "{}")]
        happened, now, events = self.changes.happened(), self.now(), list[tuple[str, str]]()
        if happened:
            events += self._rows(self.changes.changed(self.batch_id, self._cursor))
            events += self._marks_changed()
            self._cursor = now
        elapsed = time.monotonic() - self._figures_at
        if elapsed > SLOW_TICK or (happened and elapsed > 4 * TICK):
            figures = _text(self.source.figures())
            events += [("figures", figures)] if figures != self._figures else []
            self._figures, self._figures_at = figures, time.monotonic()
        return events

    def _rows(self, jobs: Sequence[int]) -> list[tuple[str, str]]:
        if len(jobs) > _MOST_JOBS:
            return [("reload", "{}")]
        return [("rows", _text(self.source.rows(jobs)))] if jobs else []

    def _marks_changed(self) -> list[tuple[str, str]]:
        before, after = self._marks, self.source.marks()
        self._marks = after
        changed = [mark for key, mark in after.items() if before.get(key) != mark]
        cleared = [{**mark, "mark": None, "stars": 0, "note": ""} for key, mark in before.items() if key not in after]
        return [("marks", _text({"whole": False, "marks": changed + cleared}))] if changed or cleared else []

    def _publish(self, pairs: Sequence[tuple[str, str]]) -> None:
        for name, text in pairs:
            self._number += 1
            self._events.append(Event(self._number, cursor(self._cursor), name, text))
        if pairs:
            news, self._news = self._news, asyncio.Event()
            news.set()


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
