"""What runs have learned of how much each lane takes.  SQL on an open connection, or a look of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert as upsert

from .tables import learned


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedRate:
    """What one lane had learned at a time, in the terms of ``adapt.Controller.state``."""

    state: Mapping[str, float | bool]
    at: datetime


def lessons(connection: Connection) -> dict[str, LearnedRate]:
    """Return what was learned, by lane; what cannot be read is forgotten."""
    found = {}
    for row in connection.execute(select(learned)):
        try:
            state = json.loads(row.state)
        except ValueError:
            continue
        if isinstance(state, dict):
            found[row.lane] = LearnedRate(state=state, at=row.at)
    return found


def learn(connection: Connection, *, states: Mapping[str, Mapping[str, float | bool]], now: datetime) -> None:
    """Write down what lanes know now."""
    for lane, state in states.items():
        facts = {"state": json.dumps(state), "at": now}
        statement = upsert(learned).values(lane=lane, **facts)
        connection.execute(statement.on_conflict_do_update(index_elements=["lane"], set_=facts))
