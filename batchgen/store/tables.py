"""Tables of the job database; ``migrations/`` creates exactly these, and a test compares the two.

Designed for a million jobs: the index ``jobs_lane`` alone answers which jobs are due, what a lane has left, and all
counts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    MetaData,
    Table,
    TypeDecorator,
    UniqueConstraint,
    or_,
    text,
)

from .dialects import Number, Words

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Return an aware time as whole microseconds since 1970 UTC; raise TypeError for a naive one."""
    return (moment - EPOCH) // _TICK


class Instant(TypeDecorator[datetime]):
    """A time, stored as whole microseconds since 1970 UTC: exact, sortable, without time zones."""

    impl = Number
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Return the stored integer."""
        del dialect
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Return the stored time in UTC."""
        del dialect
        return None if value is None else EPOCH + value * _TICK


metadata = MetaData()

batches = Table(
    "batches",
    metadata,
    Column("id", Number, primary_key=True),
    Column("name", Words, nullable=False, unique=True),
    Column("manifest", Words, nullable=False),
    Column("folder", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Number, primary_key=True),
    Column("batch_id", ForeignKey("batches.id"), nullable=False),
    Column("key", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("provider", Words, nullable=False),
    Column("model", Words, nullable=False),
    Column("task", Words, nullable=False),
    Column("fingerprint", Words, nullable=False),
    Column("output", Words, nullable=False),
    Column("sidecar", Boolean, nullable=False),
    Column("tags", Words, nullable=False),
    Column("priority", Number, nullable=False),
    Column("position", Number, nullable=False),
    Column("state", Words, nullable=False),
    Column("cause", Words),
    Column("message", Words),
    Column("wanted", Number, nullable=False),
    Column("delivered", Number, nullable=False),
    Column("claim", Number, nullable=False),
    Column("tries", Number, nullable=False),
    Column("doubts", Number, nullable=False),
    Column("not_before", Instant),
    Column("orphaned_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("route", Words),
    UniqueConstraint("batch_id", "key"),
)

Index(
    "jobs_lane",
    jobs.c.batch_id,
    jobs.c.provider,
    jobs.c.state,
    jobs.c.priority.desc(),
    jobs.c.position,
    jobs.c.not_before,
    jobs.c.delivered,
    sqlite_where=text("orphaned_at IS NULL"),
)
#: Retries are few: finding those that are due must not read a million jobs that never failed.
Index(
    "jobs_waiting",
    jobs.c.batch_id,
    jobs.c.provider,
    jobs.c.not_before,
    sqlite_where=text("state = 'pending' AND not_before IS NOT NULL AND orphaned_at IS NULL"),
)
#: Jobs with fallback providers. Without the state, SQLite would scan all jobs by ``jobs_lane`` instead.
Index(
    "jobs_routed",
    jobs.c.batch_id,
    jobs.c.provider,
    jobs.c.state,
    jobs.c.priority.desc(),
    jobs.c.position,
    sqlite_where=text("state = 'pending' AND route IS NOT NULL AND orphaned_at IS NULL"),
)
#: Failures are few: finding them must not read a million delivered jobs.
Index("jobs_cause", jobs.c.batch_id, jobs.c.cause, sqlite_where=text("state = 'failed'"))
#: Jobs with overrides of an earlier retry; see ``fingerprint.OVERRIDDEN``.
Index("jobs_overridden", jobs.c.batch_id, sqlite_where=text("instr(fingerprint, '+')"))
#: Orphaned jobs are missing from ``jobs_lane``.
Index("jobs_orphaned", jobs.c.batch_id, sqlite_where=text("orphaned_at IS NOT NULL"))

#: Jobs of the same batch, by their ids, that a job waits for: it is sent once all of them are done.
needs = Table(
    "needs",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True, nullable=False),
    Column("parent", Words, primary_key=True, nullable=False),
)

#: The batch of jobs that another table leads to. By the plain column, SQLite would search all jobs of the batch first.
batch_of_job = jobs.c.batch_id + 0

attempts = Table(
    "attempts",
    metadata,
    Column("id", Words, primary_key=True, nullable=False),
    Column("job_id", ForeignKey("jobs.id"), nullable=False, index=True),
    Column("claim", Number, nullable=False),
    Column("run_id", Words, nullable=False),
    Column("provider", Words, nullable=False),
    Column("model", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("cause", Words),
    Column("message", Words),
    Column("code", Words),
    Column("status", Number),
    Column("request_id", Words),
    Column("estimate_usd", Number),
    Column("estimate_credits", Number),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("seconds", Float),
    Column("account", Words),
    Column("handle", Words),  #: JSON: of the remote task that the call started; NULL: it started none
    Column("mode", Words),  #: NULL: standard
    #: Not a foreign key: to add one, SQLite would have to copy the table.
    Column("submission_id", Words),
)
Index("attempts_open", attempts.c.job_id, sqlite_where=text("state = 'open'"))
#: The calls of one submission. Most calls are in none.
Index("attempts_submission", attempts.c.submission_id, sqlite_where=text("submission_id IS NOT NULL"))

#: An attempt is open; a literal, so that SQLite uses the partial index of open attempts.
OPEN = text("attempts.state = 'open'")
#: An attempt, for as long as it is open, is a remote task or in a submission.
IS_REMOTE = or_(attempts.c.handle.is_not(None), attempts.c.submission_id.is_not(None))

artifacts = Table(
    "artifacts",
    metadata,
    Column("id", Number, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False, index=True),
    Column("attempt_id", ForeignKey("attempts.id"), nullable=False),
    Column("ordinal", Number, nullable=False),
    Column("path", Words, nullable=False),
    Column("sha256", Words, nullable=False),
    Column("bytes", Number, nullable=False),
    Column("width", Number, nullable=False),
    Column("height", Number, nullable=False),
    Column("mime", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("superseded_at", Instant),
)

ledger = Table(
    "ledger",
    metadata,
    Column("id", Number, primary_key=True),
    Column("attempt_id", ForeignKey("attempts.id"), nullable=False, unique=True),
    Column("batch_id", ForeignKey("batches.id"), nullable=False),
    Column("run_id", Words, nullable=False),
    Column("provider", Words, nullable=False),
    Column("model", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("at", Instant, nullable=False),
    Column("usd", Number),
    Column("credits", Number),
    Column("basis", Words, nullable=False),
    Column("charged", Words, nullable=False),
    Column("at_risk_usd", Number),
    Column("at_risk_credits", Number),
    Column("images", Number, nullable=False),
    Column("input_tokens", Number),
    Column("output_tokens", Number),
    Column("tier", Words),  #: that the answer states; NULL: it states none
    Column("standard_usd", Number),  #: the standard price of a call in another mode; NULL: not known
)
#: Attempts at risk are few, and ``unknown`` must not read a million settled ones.
Index("ledger_at_risk", ledger.c.batch_id, sqlite_where=text("charged = 'maybe' AND usd IS NULL"))

#: Sums over closed blocks of the ledger, grouped by all columns before ``attempts``; see ``totals``.
ledger_totals = Table(
    "ledger_totals",
    metadata,
    Column("block", Number, nullable=False, index=True),
    Column("batch_id", ForeignKey("batches.id"), nullable=False),
    Column("run_id", Words, nullable=False),
    Column("provider", Words, nullable=False),
    Column("model", Words, nullable=False),
    Column("home", Words, nullable=False),
    Column("outcome", Words, nullable=False),
    Column("basis", Words, nullable=False),
    Column("quarter", Instant, nullable=False),
    Column("attempts", Number, nullable=False),
    Column("images", Number, nullable=False),
    Column("input_tokens", Number),
    Column("output_tokens", Number),
    Column("credits", Number),
    Column("usd", Number),
    Column("at_risk_usd", Number),
    Column("at_risk_credits", Number),
    Column("unpriced", Number, nullable=False),
    Column("unestimated", Number, nullable=False),
    Column("at_risk", Number, nullable=False),
    Column("last_sent_at", Instant),
)

#: The last complete load of each batch: what was read, and what its plan needs besides the rows.
loads = Table(
    "loads",
    metadata,
    Column("batch_id", ForeignKey("batches.id"), primary_key=True),
    Column("digest", Words, nullable=False),
    Column("facts", Words, nullable=False),
    Column("loaded_at", Instant, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Words, primary_key=True, nullable=False),
    Column("batch_id", ForeignKey("batches.id"), nullable=False, index=True),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("pid", Number, nullable=False),
    Column("host", Words, nullable=False),
    Column("exit_code", Number),
    Column("command", Words, nullable=False),
    Column("spool", Words),  #: where it keeps its answers, if the job database has several places; NULL: one
)

#: Pauses and limits that users set from another terminal, by provider; they apply until they are removed.
controls = Table(
    "controls",
    metadata,
    Column("provider", Words, primary_key=True, nullable=False),
    Column("paused_at", Instant),
    Column("limits", Words, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

#: The rates that runs have learned, by lane.
learned = Table(
    "learned",
    metadata,
    Column("lane", Words, primary_key=True, nullable=False),
    Column("state", Words, nullable=False),
    Column("at", Instant, nullable=False),
)

#: Facts about the database itself, by name; ``id`` is its own id, under which pages keep marks.
properties = Table(
    "properties",
    metadata,
    Column("name", Words, primary_key=True, nullable=False),
    Column("value", Words, nullable=False),
)
