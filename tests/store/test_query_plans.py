"""Plans of queries: frequent ones find their rows by an index, however many jobs are done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, event, select

from batchgen.planning.selection import IdList, Selection
from batchgen.store import at_risk, marks, queries
from batchgen.store.connection import driver
from batchgen.store.reader import Reader
from batchgen.store.records import DueFilter
from batchgen.store.tables import jobs
from batchgen.store.usage_groups import GroupBy, Period, UsageQuery

from .kit import NOW, on_sqlite


def suspects(connection: Connection) -> None:
    """Select jobs by their suspects, as if those had been looked for."""
    conditions = queries.selected(1, Selection(suspects=("tiny",)))
    connection.execute(select(jobs.c.id).where(*conditions)).all()


LISTED = Selection(listed=IdList("ids.txt", {}))
LANE = DueFilter(provider="openai")

#: Questions, and the tables of which they may read every row of a batch, by an index or without one.
QUESTIONS: dict[str, tuple[Callable[[Reader], Any], set[str]]] = {
    "usage": (lambda reader: reader.usage(1), {"ledger_totals"}),
    "usage by day": (lambda reader: reader.booked(1, UsageQuery(by=(GroupBy.DAY,))), {"ledger_totals"}),
    "usage since": (lambda reader: reader.booked(1, UsageQuery(period=Period(since=NOW))), {"ledger_totals"}),
    "usage of all batches": (lambda reader: reader.booked(None, UsageQuery(by=(GroupBy.BATCH,))), {"ledger_totals"}),
    "calls": (lambda reader: reader.calls(1), {"ledger_totals"}),
    "calls until": (lambda reader: reader.calls(1, Period(until=NOW)), {"ledger_totals"}),
    "budget of a day": (lambda reader: reader.spent(provider="openai", since=NOW), {"ledger_totals"}),
    "budget of a batch": (lambda reader: reader.spent(batch_id=1, since=NOW), {"ledger_totals"}),
    "newest attempt": (lambda reader: reader.newest_attempt(1), {"ledger_totals"}),
    "open attempts": (lambda reader: reader.open_attempts(1), set()),
    "attempts at risk": (
        lambda reader: reader.ask(partial(at_risk.attempts_at_risk, batch_id=1, selection=Selection(orphaned=True))),
        set(),
    ),
    "failures": (lambda reader: reader.failures(1), set()),
    "newest file": (lambda reader: reader.ask(partial(queries.newest_file, batch_id=1)), {"artifacts"}),
    "sample of files": (lambda reader: list(reader.ask(partial(queries.current_paths, batch_id=1, step=2))), set()),
    "due jobs": (lambda reader: reader.due(1, LANE, 20, NOW), set()),
    "next retry": (lambda reader: reader.next_retry(1, LANE), set()),
    "orphaned jobs": (lambda reader: reader.lookup(1).has_orphaned(), set()),
    "overridden jobs": (lambda reader: reader.lookup(1).overridden(), set()),
    "list --id": (lambda reader: list(reader.jobs(1, Selection(ids=("a",)))), set()),
    "list --id GLOB": (lambda reader: list(reader.jobs(1, Selection(ids=("a*",)))), set()),
    "list --ids-from": (lambda reader: list(reader.jobs(1, LISTED)), set()),
    "list --state failed": (lambda reader: list(reader.jobs(1, Selection(states=("failed",)))), set()),
    "list --marked": (lambda reader: list(reader.jobs(1, Selection(marks=("pick", "3")))), set()),
    "list --suspect": (lambda reader: reader.ask(suspects), set()),
    "marks list": (lambda reader: reader.ask(partial(marks.of_batch, batch_id=1)), set()),
    "list --state orphaned": (lambda reader: list(reader.jobs(1, Selection(states=("orphaned",)))), set()),
}
#: Indices of few rows: a search of one of them by its batch alone reads few.
FEW = ("attempts_open", "ledger_at_risk", "jobs_cause", "jobs_orphaned", "jobs_overridden", "jobs_waiting")


@on_sqlite
@pytest.mark.parametrize("name", QUESTIONS)
def test_question_reads_no_table_from_end_to_end(name: str, reader: Reader) -> None:
    question, may_read = QUESTIONS[name]
    statements: list[tuple[str, Any]] = []

    @event.listens_for(reader._engine, "before_cursor_execute")
    def remember(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        statements.append((statement, values))

    def explain(connection: Any) -> list[str]:
        raw = driver(connection)
        raw.set_trace_callback(lambda statement: statements.append((statement, ())))
        question_steps: list[str] = []
        for statement, values in [each for each in statements if not each[0].startswith("BEGIN")]:
            question_steps += [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
        return question_steps

    question(reader)
    for step in reader.ask(explain):
        table = step.split()[1] if step.startswith(("SCAN", "SEARCH")) else ""
        if table in {"jobs", "attempts", "artifacts", "ledger", "ledger_totals"} - may_read:
            assert not step.startswith("SCAN") or any(index in step for index in FEW), step
            assert not step.endswith("(batch_id=?)") or any(index in step for index in FEW), step
