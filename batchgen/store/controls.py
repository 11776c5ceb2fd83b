"""What a person tells a run from another terminal, by provider.  A doer: short transactions.

It is written without the job table's lock, for a run may hold that: one transaction, which waits for its turn.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import DBAPIError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from .connection import explain, is_busy, reading, writing
from .tables import controls

#: Seconds to keep trying while another process writes.
PATIENCE = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """What holds for one provider until it is taken back."""

    provider: str
    paused_at: datetime | None = None  #: None: not paused
    limits: Mapping[str, float | None] = field(default_factory=dict)  #: those that were said; None: no such limit
    said_at: datetime | None = field(default=None, compare=False)  #: when something was said of it last

    @property
    def silent(self) -> bool:
        """Return whether nothing is said."""
        return self.paused_at is None and not self.limits


def read(path: Path) -> Mapping[str, Control]:
    """Return what was said last, by provider, also what was taken back; nothing where there is no job table yet.

    Raise StoreError.
    """
    if not path.exists():
        return {}
    engine = reading(path)
    try:
        with engine.connect() as connection:
            found = [_control(row) for row in connection.execute(select(controls))]
    except (DBAPIError, sqlite3.Error) as error:
        raise explain(error, path) from error
    finally:
        engine.dispose()
    return {control.provider: control for control in found}


def standing(path: Path) -> Mapping[str, Control]:
    """Return what is said and was not taken back, by provider; raise StoreError."""
    return {provider: control for provider, control in read(path).items() if not control.silent}


def change(
    path: Path, provider: str, say: Callable[[Control], Control], now: datetime, *, patience: float = PATIENCE
) -> Control:
    """Say something else of *provider*: *say* makes it of what was said before.  Return it once it is durable.

    Waits up to *patience* seconds for other writers; raise StoreError.
    """
    engine = writing(path, guest=True)
    patiently = Retrying(
        retry=retry_if_exception(is_busy),
        stop=stop_after_delay(patience),
        wait=wait_random_exponential(multiplier=0.01, max=1),
        reraise=True,
    )
    try:
        return patiently(_change, engine, provider, say, now)
    except (DBAPIError, sqlite3.Error) as error:
        raise explain(error, path) from error
    finally:
        engine.dispose()


def _change(engine: Engine, provider: str, say: Callable[[Control], Control], now: datetime) -> Control:
    with engine.begin() as connection:
        row = connection.execute(select(controls).where(controls.c.provider == provider)).one_or_none()
        before = Control(provider=provider) if row is None else _control(row)
        after = say(before)
        if after != before or after.said_at != before.said_at:
            said = {"paused_at": after.paused_at, "limits": json.dumps(dict(after.limits)), "updated_at": now}
            row_of_it = upsert(controls).values(provider=provider, **said)
            connection.execute(row_of_it.on_conflict_do_update(index_elements=["provider"], set_=said))
        return after


def _control(row: Row[Any]) -> Control:
    limits = json.loads(row.limits)
    return Control(provider=row.provider, paused_at=row.paused_at, limits=limits, said_at=row.updated_at)
