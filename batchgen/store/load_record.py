"""Records of complete loads: which inputs the rows of a batch come from, and what its plan needs besides the rows.

A record holds as long as every row of the batch is as the manifest has it. It is deleted before a load changes rows,
and written after its last change. What a run does to jobs (states, attempts, files) leaves it valid; any other
statement that adds jobs or changes what they request calls ``forget``. SQL on an open transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Connection

from ..job import State
from .connection import driver
from .rows import decode_route, decode_tags, decode_task, encode_list, encode_route, encode_task
from .tables import micros

if TYPE_CHECKING:
    from ..manifest.batch import PlannedJob, Recipe
    from ..planning.loaded import KindCount, LoadedJobs

_DUE = (State.PENDING, State.RUNNING)
#: Of one batch, its manifest's jobs only; the index ``jobs_lane`` answers it.
_OF_LANE = "FROM jobs WHERE batch_id = ? AND provider = ? AND state = ? AND orphaned_at IS NULL"
_TALLY = "SELECT provider, state, count(*) FROM jobs WHERE batch_id = ? AND orphaned_at IS NULL GROUP BY 1, 2"
_ORPHANED = "SELECT count(*) FROM jobs WHERE batch_id = ? AND orphaned_at IS NOT NULL"
_FIRST = f"SELECT id, priority, position {_OF_LANE} ORDER BY priority DESC, position LIMIT 1"
_LAST = f"SELECT id, priority, position {_OF_LANE} ORDER BY priority, position DESC LIMIT 1"
_OF_LANES = (
    "FROM jobs WHERE batch_id = ? AND orphaned_at IS NULL AND state IN ('pending', 'running') "
    "AND provider IN (SELECT value FROM json_each(?))"
)
_NTH = f"SELECT id {_OF_LANES} ORDER BY position LIMIT 1 OFFSET ?"
_KINDS = (
    "SELECT min(position), count(*), json_set(task, '$.prompt', '') AS document, "
    f"length(json_extract(task, '$.prompt')) AS size, route {_OF_LANES} GROUP BY document, size, route ORDER BY 1"
)
_JOB = "SELECT key, fingerprint, output, sidecar, tags, priority, route, wanted, task FROM jobs WHERE id = ?"
_REMEMBER = (
    "INSERT INTO loads (batch_id, digest, facts, loaded_at) SELECT ?, ?, ?, ? WHERE NOT ? OR NOT EXISTS "
    "(SELECT 1 FROM jobs WHERE batch_id = ? AND orphaned_at IS NOT NULL)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadRecord:
    """What is recorded of a complete load."""

    identity: str  #: of everything that was read; see ``manifest.inputs``
    findings: Mapping[str, Any]  #: of the check of the manifest, as JSON
    kinds: Sequence[KindCount]  #: of all its jobs, in order of first appearance
    names: Sequence[str]  #: with every character of its file names, and the longest of them
    may_be_renamed: bool  #: whether orphaned jobs may come back under the ids of others, which needs a comparison

    def facts(self) -> bytes:
        """Return what is stored besides the digest."""
        recipes = list(dict.fromkeys(recipe for recipe, _, _ in self.kinds))
        numbers = {recipe: number for number, recipe in enumerate(recipes)}
        return orjson.dumps({
            "findings": self.findings,
            "names": self.names,
            "recipes": [[encode_task(recipe.task), encode_route(recipe.route)] for recipe in recipes],
            "kinds": [[numbers[recipe], length, number] for recipe, length, number in self.kinds],
        })  # fmt: skip


def forget(connection: Connection, batch_id: int) -> None:
    """Delete the record of a batch whose jobs are about to change."""
    driver(connection).execute("DELETE FROM loads WHERE batch_id = ?", (batch_id,))


def remember(connection: Connection, *, batch_id: int, record: LoadRecord, now: datetime) -> None:
    """Store the record of a load that is complete."""
    forget(connection, batch_id)
    values = (batch_id, record.identity, record.facts().decode(), micros(now), record.may_be_renamed, batch_id)
    driver(connection).execute(_REMEMBER, values)


def is_recorded(connection: Connection, *, batch_id: int, identity: str | None = None) -> bool:
    """Return whether the last load of a batch was complete; with *identity*, whether it loaded these inputs."""
    rows = driver(connection).execute("SELECT digest FROM loads WHERE batch_id = ?", (batch_id,)).fetchall()
    return any(identity is None or stored == identity for (stored,) in rows)


def file_names(connection: Connection, *, batch_id: int) -> list[str]:
    """Return names with every character of a batch's file names, and the longest of them."""
    rows = driver(connection).execute("SELECT facts FROM loads WHERE batch_id = ?", (batch_id,)).fetchall()
    return [name for (facts,) in rows for name in orjson.loads(facts)["names"]]


def recall(connection: Connection, *, name: str) -> tuple[str, dict[str, Any]] | None:
    """Return the identity and the facts of the last complete load of the batch *name*; None if there is none.

    Another version of this program may have stored them, with other facts and another identity.
    """
    query = "SELECT digest, facts FROM loads JOIN batches ON batches.id = batch_id WHERE name = ?"
    row = driver(connection).execute(query, (name,)).fetchone()
    return None if row is None else (row[0], orjson.loads(row[1]))


def loaded_jobs(connection: Connection, *, batch_id: int, identity: str) -> LoadedJobs | None:
    """Return the jobs of a batch; None unless its last load was complete and loaded the inputs with this *identity*."""
    from ..planning.loaded import LoadedJobs  # reports load this module, and need no manifest

    raw = driver(connection)
    row = raw.execute("SELECT facts FROM loads WHERE batch_id = ? AND digest = ?", (batch_id, identity)).fetchone()
    if row is None:
        return None
    lanes = {(provider, State(state)): count for provider, state, count in raw.execute(_TALLY, (batch_id,))}
    states: dict[State, int] = {}
    for (_, state), count in lanes.items():
        states[state] = states.get(state, 0) + count
    [(orphaned,)] = raw.execute(_ORPHANED, (batch_id,))
    due = [lane for lane in lanes if lane[1] in _DUE]
    if not due:
        return LoadedJobs(states=states, orphaned=orphaned)
    number = sum(lanes[lane] for lane in due)
    # Where all jobs are due, their kinds are those that the load counted.
    stored = _stored_kinds(orjson.loads(row[0])) if number == sum(states.values()) else ()
    kinds = stored or tuple(_due_kinds(connection, batch_id, due))
    return LoadedJobs(
        states=states, orphaned=orphaned, due=kinds, examples=_examples(connection, batch_id, due, number)
    )


def _stored_kinds(facts: Mapping[str, Any]) -> tuple[KindCount, ...]:
    recipes = [_recipe(task, route) for task, route in facts["recipes"]]
    return tuple((recipes[recipe], length, number) for recipe, length, number in facts["kinds"])


def _due_kinds(connection: Connection, batch_id: int, due: Sequence[tuple[str, State]]) -> Iterator[KindCount]:
    recipes: dict[tuple[str, str | None], Recipe] = {}
    for _, number, task, length, route in driver(connection).execute(_KINDS, (batch_id, _providers(due))):
        recipe = recipes.get((task, route)) or recipes.setdefault((task, route), _recipe(task, route))
        yield recipe, length, number


def _examples(
    connection: Connection, batch_id: int, due: Sequence[tuple[str, State]], number: int
) -> tuple[PlannedJob, ...]:
    """Return the examples that ``sampling.Examples`` chooses from the due jobs in the order of the manifest."""
    from ..planning.sampling import middle_numbers

    raw = driver(connection)
    firsts = [raw.execute(_FIRST, (batch_id, *lane)).fetchone() for lane in due]
    lasts = [raw.execute(_LAST, (batch_id, *lane)).fetchone() for lane in due]
    first, _, _ = min(firsts, key=lambda row: (-row[1], row[2]))
    last, _, _ = min(lasts, key=lambda row: (row[1], -row[2]))
    chosen = [first]
    for middle in middle_numbers(number):
        [(job_id,)] = raw.execute(_NTH, (batch_id, _providers(due), middle))
        if job_id not in {first, last}:
            chosen.append(job_id)
            break
    chosen += [last] if number > 1 else []
    return tuple(_planned(raw.execute(_JOB, (job_id,)).fetchone()) for job_id in chosen)


def _planned(row: tuple[Any, ...]) -> PlannedJob:
    from ..manifest.batch import PlannedJob, Recipe

    key, fingerprint, output, sidecar, tags, priority, route, wanted, text = row
    task = decode_task(text)
    recipe = Recipe(
        task=replace(task, prompt=""),
        tags=decode_tags(tags),
        priority=priority,
        sidecar=bool(sidecar),
        wanted=wanted,
        route=None if route is None else decode_route(route),
    )
    return PlannedJob(key, task.prompt, fingerprint, output, recipe)


def _recipe(task: str, route: str | None) -> Recipe:
    from ..manifest.batch import Recipe

    return Recipe(task=decode_task(task), route=None if route is None else decode_route(route))


def _providers(lanes: Sequence[tuple[str, State]]) -> str:
    return encode_list(dict.fromkeys(provider for provider, _ in lanes))
