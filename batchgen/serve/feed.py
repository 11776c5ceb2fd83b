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
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import anyio
import anyio.to_thread

from ..errors import BatchgenError
from ..store.changes import Changes, cursor, moment_of

#: Seconds between two looks at the job database, between two figures of a run, and of a batch that rests.
TICK, FIGURES_TICK, SLOW_TICK = 0.2, 0.8, 5.0
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
    _stale: bool = True  #: jobs have changed since the figures were read

    def __post_init__(self) -> None:
        self._cursor = self.now()

    async def run(self) -> None:
        """Follow the job database until the feed is closed."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._repeat, self._look, TICK)
            tasks.start_soon(self._repeat, self._look_at_figures, FIGURES_TICK)

    async def _repeat(self, look: Callable[[], list[tuple[str, str]]], tick: float) -> None:
        spent = 0.0

        def timed() -> list[tuple[str, str]]:
            nonlocal spent
            # Not the time on the clock: on a busy machine most of that is waiting.
            started = time.thread_time()
            try:
                return look()
            finally:
                spent = time.thread_time() - started

        while not self.closed:
            # A database that cannot be read for a moment, such as one that is being restored, is looked at again.
            with suppress(BatchgenError):
                self._publish(await anyio.to_thread.run_sync(timed))
            await asyncio.sleep(max(tick, spent / _SHARE - spent))

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
        now = cursor(self._cursor)
        moment = moment_of(now if since is None else min(max(since, 0), now))
        with Changes(self.changes.path) as changes:
            jobs = changes.changed(self.batch_id, moment)
        return [*self._rows(jobs), ("figures", _text(self.source.figures())), marks]

    def _look(self) -> list[tuple[str, str]]:
        """Return the names and contents of new events."""
        if self.changes.was_replaced:
            return [("reload", "{}")]
        now = self.now()
        if not self.changes.happened():
            return []
        events = self._rows(self.changes.changed(self.batch_id, self._cursor)) + self._marks_changed()
        self._cursor, self._stale = now, True
        return events

    def _look_at_figures(self) -> list[tuple[str, str]]:
        """Return the head of the page if it has changed; a run that was killed changes it without a commit."""
        if not self._stale and time.monotonic() - self._figures_at < SLOW_TICK:
            return []
        self._stale = False
        before, self._figures = self._figures, _text(self.source.figures())
        self._figures_at = time.monotonic()
        return [] if before == self._figures else [("figures", self._figures)]

    def _rows(self, jobs: Sequence[int]) -> list[tuple[str, str]]:
        if len(jobs) > _MOST_JOBS:
            return [("reload", "{}")]
        return [("rows", _text(self.source.rows(jobs)))] if jobs else []

    def _marks_changed(self) -> list[tuple[str, str]]:
        before, after = self._marks, self.source.marks()
        self._marks = after
        changed = [mark for key, mark in after.items() if before.get(key) != mark]
        empty = {"mark": None, "stars": 0, "note": "", "at": self.now().isoformat()}
        cleared = [{**mark, **empty} for key, mark in before.items() if key not in after]
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
