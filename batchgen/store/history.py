"""How long answers took and how large images were, by what the job table holds.  A doer: short read-only questions.

Only the newest rows are looked at, of whatever batch: a provider is as fast for all of them, and a large table costs no
more than a small one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, func, select, text
from sqlalchemy.exc import DBAPIError

from ..planning.forecast import Latency
from .connection import explain, reading
from .tables import artifacts, attempts

#: Rows that are looked at, and how many of a kind are enough to go by.
RECENT, ENOUGH = 2_000, 20


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """What earlier calls were like; what was seen too rarely is left out."""

    latencies: Mapping[tuple[str, str], Latency] = field(default_factory=dict)  #: by provider and model
    bytes_per_pixel: Mapping[str, float] = field(default_factory=dict)  #: by format: "png", "jpeg", "webp"


def measured(path: Path) -> History:
    """Return what the newest rows of the job table at *path* tell; raise StoreError where it cannot be read."""
    engine = reading(path)
    try:
        with engine.connect() as connection:
            return History(latencies=_latencies(connection), bytes_per_pixel=_sizes(connection))
    except DBAPIError as error:
        raise explain(error, path) from error
    finally:
        engine.dispose()


def _latencies(connection: Connection) -> dict[tuple[str, str], Latency]:
    newest = _newest(select(attempts.c.provider, attempts.c.model, attempts.c.state, attempts.c.seconds))
    took: dict[tuple[str, str], list[float]] = {}
    for provider, model, state, seconds in connection.execute(newest):
        if state == "delivered" and seconds:
            took.setdefault((provider, model), []).append(seconds)
    return {name: _latency(sorted(seconds)) for name, seconds in took.items() if len(seconds) >= ENOUGH}


def _latency(seconds: list[float]) -> Latency:
    return Latency(median=seconds[len(seconds) // 2], p90=seconds[len(seconds) * 9 // 10], measured=True)


def _sizes(connection: Connection) -> dict[str, float]:
    newest = _newest(select(artifacts.c.mime, artifacts.c.bytes, artifacts.c.width, artifacts.c.height)).subquery()
    pixels = func.sum(newest.c.width * newest.c.height)
    found = select(newest.c.mime, func.sum(newest.c.bytes), pixels).group_by(newest.c.mime)
    enough = found.having(func.count() >= ENOUGH)
    return {mime.rpartition("/")[2]: size / area for mime, size, area in connection.execute(enough) if area}


def _newest(wanted: Select[Any]) -> Select[Any]:
    return wanted.order_by(text("rowid DESC")).limit(RECENT)
