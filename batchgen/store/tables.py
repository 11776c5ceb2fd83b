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
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Return an aware time as whole microseconds since 1970 UTC; raise TypeError for a naive one."""
    return (moment - EPOCH) // _TICK


class Instant(TypeDecorator[datetime]):
    """A time, stored as whole microseconds since 1970 UTC: exact, sortable, without time zones."""

    impl = Integer
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
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("manifest", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("batch_id", ForeignKey("batches.id"), nullable=False),
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("sidecar", Boolean, nullable=False),
    Column("tags", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("cause", Text),
    Column("message", Text),
    Column("wanted", Integer, nullable=False),
    Column("delivered", Integer, nullable=False),
    Column("claim", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("doubts", Integer, nullable=False),
    Column("not_before", Instant),
    Column("orphaned_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("route", Text),
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

#: The batch of jobs that another table leads to. By the plain column, SQLite would search all jobs of the batch first.
batch_of_job = jobs.c.batch_id + 0

attempts = Table(
    "attempts",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    Column("job_id", ForeignKey("jobs.id"), nullable=False, index=True),
    Column("claim", Integer, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("cause", Text),
    Column("message", Text),
    Column("code", Text),
    Column("status", Integer),
    Column("request_id", Text),
    Column("estimate_usd", Integer),
    Column("estimate_credits", Integer),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("seconds", Float),
    Column("account", Text),
)
Index("attempts_open", attempts.c.job_id, sqlite_where=text("state = 'open'"))

artifacts = Table(
    "artifacts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False, index=True),
    Column("attempt_id", ForeignKey("attempts.id"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("mime", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("superseded_at", Instant),
)

ledger = Table(
    "ledger",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("attempt_id", ForeignKey("attempts.id"), nullable=False, unique=True),
    Column("batch_id", ForeignKey("batches.id"), nullable=False),
    Column("run_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("usd", Integer),
    Column("credits", Integer),
    Column("basis", Text, nullable=False),
    Column("charged", Text, nullable=False),
    Column("at_risk_usd", Integer),
    Column("at_risk_credits", Integer),
    Column("images", Integer, nullable=False),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
)
#: Attempts at risk are few, and ``unknown`` must not read a million settled ones.
Index("ledger_at_risk", ledger.c.batch_id, sqlite_where=text("charged = 'maybe' AND usd IS NULL"))

#: Sums over closed blocks of the ledger, grouped by all columns before ``attempts``; see ``totals``.
ledger_totals = Table(
    "ledger_totals",
    metadata,
    Column("block", Integer, nullable=False, index=True),
    Column("batch_id", ForeignKey("batches.id"), nullable=False),
    Column("run_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("home", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("basis", Text, nullable=False),
    Column("quarter", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("images", Integer, nullable=False),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("credits", Integer),
    Column("usd", Integer),
    Column("at_risk_usd", Integer),
    Column("at_risk_credits", Integer),
    Column("unpriced", Integer, nullable=False),
    Column("unestimated", Integer, nullable=False),
    Column("at_risk", Integer, nullable=False),
    Column("last_sent_at", Instant),
)

#: The last complete load of each batch: what was read, and what its plan needs besides the rows.
loads = Table(
    "loads",
    metadata,
    Column("batch_id", ForeignKey("batches.id"), primary_key=True),
    Column("digest", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("loaded_at", Instant, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    Column("batch_id", ForeignKey("batches.id"), nullable=False, index=True),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("pid", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("exit_code", Integer),
    Column("command", Text, nullable=False),
)

#: Pauses and limits that users set from another terminal, by provider; they apply until they are removed.
controls = Table(
    "controls",
    metadata,
    Column("provider", Text, primary_key=True, nullable=False),
    Column("paused_at", Instant),
    Column("limits", Text, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

#: The rates that runs have learned, by lane.
learned = Table(
    "learned",
    metadata,
    Column("lane", Text, primary_key=True, nullable=False),
    Column("state", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

#: Facts about the database itself, by name; ``id`` is its own id, under which pages keep marks.
properties = Table(
    "properties",
    metadata,
    Column("name", Text, primary_key=True, nullable=False),
    Column("value", Text, nullable=False),
)

#: Marks of users: pick or reject, stars, note. A mark counts until another picture takes the place of the marked one,
#: which may have the same bytes: a provider that takes a seed may draw the same picture again.
marks = Table(
    "marks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("batch_id", ForeignKey("batches.id"), nullable=False, index=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("artifact_id", ForeignKey("artifacts.id")),  #: NULL: the job had no picture
    Column("sha256", Text, nullable=False),  #: "" likewise
    Column("mark", Text),
    Column("stars", Integer, nullable=False),
    Column("note", Text, nullable=False),
    Column("marked_at", Instant, nullable=False),
    UniqueConstraint("job_id", "ordinal"),
)

#: What was found when a picture was examined, by the hash of its content.
picture_facts = Table(
    "picture_facts",
    metadata,
    Column("sha256", Text, primary_key=True, nullable=False),
    Column("version", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("mime", Text, nullable=False),
    Column("dhash", Text, nullable=False),
    Column("colour", Text, nullable=False),
    Column("uniform", Boolean, nullable=False),
    Column("alpha", Boolean, nullable=False),
    Column("c2pa", Boolean, nullable=False),
    Column("thumb_width", Integer, nullable=False),
    Column("thumb_height", Integer, nullable=False),
    Column("error", Text),
    Column("examined_at", Instant, nullable=False),
)

#: Pictures that may be wrong; the suspects of a batch are always replaced together.
suspects = Table(
    "suspects",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("batch_id", ForeignKey("batches.id"), nullable=False),
    Column("job_id", ForeignKey("jobs.id"), nullable=False, index=True),
    Column("ordinal", Integer, nullable=False),
    Column("artifact_id", ForeignKey("artifacts.id"), nullable=False),  #: the file that was examined
    Column("kind", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("other_job_id", Integer),
    Column("other_ordinal", Integer),
)
Index("suspects_kind", suspects.c.batch_id, suspects.c.kind)
