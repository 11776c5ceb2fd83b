"""What was sent lately, whoever's run or batch it was: limits are the provider's, not a run's.  A doer."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from .connection import explain, reading
from .tables import attempts, jobs

#: Attempts read in one query, newest first.
_PAGE = 2_000


class SentRequest(NamedTuple):
    """One call that went out, or was about to."""

    at: datetime
    images: int  #: asked for, source images included
    model: str
    account: str | None  #: which of several keys it went out with


def sends(path: Path, provider: str, since: datetime) -> list[SentRequest]:
    """Return the calls to *provider* that began after *since*, of every batch in the job table; raise StoreError.

    Rows of attempts are never removed and number themselves, so the newest are found without a look at the others.
    """
    number = text("attempts.rowid")
    asked = func.coalesce(func.json_extract(jobs.c.task, "$.n"), 1)
    sources = func.coalesce(func.json_array_length(jobs.c.task, "$.images"), 0)
    page = select(
        number, attempts.c.provider, attempts.c.started_at, asked + sources, attempts.c.model, attempts.c.account
    ).join_from(attempts, jobs)
    page = page.order_by(text("attempts.rowid DESC")).limit(_PAGE)
    found: list[SentRequest] = []
    engine = reading(path)
    try:
        with engine.connect() as connection:
            rows = connection.execute(page).all()
            while rows:
                recent = [row for row in rows if row[2] > since]
                found += [SentRequest(*row[2:]) for row in recent if row[1] == provider]
                if len(recent) < len(rows):
                    break
                rows = connection.execute(page.where(text("attempts.rowid < :last")), {"last": rows[-1][0]}).all()
    except DBAPIError as error:
        raise explain(error, path) from error
    finally:
        engine.dispose()
    return found
