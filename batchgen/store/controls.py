"""Controls: pauses and limits that users set from another terminal, by provider.

They are written without the run lock, which a run may hold, in one transaction that waits for other writers.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import DBAPIError

from ..database_url import Database
from .connection import brief_engine
from .database_errors import explain
from .dialects import upsert
from .guest import PATIENCE, write_as_guest
from .tables import controls


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """The pause and the limits of one provider; they apply until they are removed."""

    provider: str
    paused_at: datetime | None = None  #: None: not paused
    #: Only limits that were set; None removes a configured limit.
    limits: Mapping[str, float | None] = field(default_factory=dict)
    said_at: datetime | None = field(default=None, compare=False)  #: when it was last changed

    @property
    def silent(self) -> bool:
        """Return whether nothing is set."""
        return self.paused_at is None and not self.limits


def read(path: Database) -> Mapping[str, Control]:
    """Return the controls by provider, including empty ones; none if there is no database yet; raise StoreError."""
    if isinstance(path, Path) and not path.exists():
        return {}
    try:
        with brief_engine(path) as engine, engine.connect() as connection:
            rows = [_control(row) for row in connection.execute(select(controls))]
    except (DBAPIError, sqlite3.Error) as error:
        raise explain(error, path) from error
    return {control.provider: control for control in rows}


def standing(path: Database) -> Mapping[str, Control]:
    """Return the controls that set something, by provider; raise StoreError."""
    return {provider: control for provider, control in read(path).items() if not control.silent}


def change(
    path: Database, provider: str, update: Callable[[Control], Control], now: datetime, *, patience: float = PATIENCE
) -> Control:
    """Replace the control of *provider* by what *update* makes of it, and return it once it is durable.

    Wait up to *patience* seconds for other writers; raise StoreError.
    """
    return write_as_guest(path, partial(_change, provider, update, now), patience=patience)


def _change(provider: str, update: Callable[[Control], Control], now: datetime, connection: Connection) -> Control:
    row = connection.execute(select(controls).where(controls.c.provider == provider)).one_or_none()
    before = Control(provider=provider) if row is None else _control(row)
    after = update(before)
    if after != before or after.said_at != before.said_at:
        columns = {"paused_at": after.paused_at, "limits": json.dumps(dict(after.limits)), "updated_at": now}
        statement = upsert(connection, controls).values(provider=provider, **columns)
        connection.execute(statement.on_conflict_do_update(index_elements=["provider"], set_=columns))
    return after


def _control(row: Row[Any]) -> Control:
    limits = json.loads(row.limits)
    return Control(provider=row.provider, paused_at=row.paused_at, limits=limits, said_at=row.updated_at)
