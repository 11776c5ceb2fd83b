"""The job table: batches, jobs, attempts, artifacts, ledger, runs.

A frozen copy of batchgen.store.tables as it was; later revisions change what stands here, never this file.
There is no way down: the backup that an upgrade leaves beside the file is the way back.
"""

import sqlalchemy as sa
from alembic import op

from batchgen.store.dialects import Number, Words, partial_index

revision = "0001"
down_revision = None


def upgrade() -> None:
    _batches()
    _jobs()
    _attempts()
    _artifacts()
    _ledger()


def _batches() -> None:
    op.create_table(
        "batches",
        sa.Column("id", Number, primary_key=True),
        sa.Column("name", Words, nullable=False, unique=True),
        sa.Column("manifest", Words, nullable=False),
        sa.Column("folder", Words, nullable=False),
        sa.Column("created_at", Number, nullable=False),
        sa.Column("updated_at", Number, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("id", Words, primary_key=True, nullable=False),
        sa.Column("batch_id", Number, sa.ForeignKey("batches.id"), nullable=False, index=True),
        sa.Column("started_at", Number, nullable=False),
        sa.Column("ended_at", Number),
        sa.Column("pid", Number, nullable=False),
        sa.Column("host", Words, nullable=False),
        sa.Column("exit_code", Number),
        sa.Column("command", Words, nullable=False),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", Number, primary_key=True),
        sa.Column("batch_id", Number, sa.ForeignKey("batches.id"), nullable=False),
        sa.Column("key", Words, nullable=False),
        sa.Column("kind", Words, nullable=False),
        sa.Column("provider", Words, nullable=False),
        sa.Column("model", Words, nullable=False),
        sa.Column("task", Words, nullable=False),
        sa.Column("fingerprint", Words, nullable=False),
        sa.Column("output", Words, nullable=False),
        sa.Column("sidecar", sa.Boolean, nullable=False),
        sa.Column("tags", Words, nullable=False),
        sa.Column("priority", Number, nullable=False),
        sa.Column("position", Number, nullable=False),
        sa.Column("state", Words, nullable=False),
        sa.Column("cause", Words),
        sa.Column("message", Words),
        sa.Column("wanted", Number, nullable=False),
        sa.Column("delivered", Number, nullable=False),
        sa.Column("claim", Number, nullable=False),
        sa.Column("tries", Number, nullable=False),
        sa.Column("doubts", Number, nullable=False),
        sa.Column("not_before", Number),
        sa.Column("orphaned_at", Number),
        sa.Column("created_at", Number, nullable=False),
        sa.Column("updated_at", Number, nullable=False),
        sa.UniqueConstraint("batch_id", "key"),
    )
    op.create_index(
        "jobs_lane",
        "jobs",
        ["batch_id", "provider", "state", sa.text("priority DESC"), "position", "not_before", "delivered"],
        **partial_index("orphaned_at IS NULL"),
    )
    op.create_index("jobs_cause", "jobs", ["batch_id", "cause"], **partial_index("state = 'failed'"))


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", Words, primary_key=True, nullable=False),
        sa.Column("job_id", Number, sa.ForeignKey("jobs.id"), nullable=False, index=True),
        sa.Column("claim", Number, nullable=False),
        sa.Column("run_id", Words, nullable=False),
        sa.Column("provider", Words, nullable=False),
        sa.Column("model", Words, nullable=False),
        sa.Column("state", Words, nullable=False),
        sa.Column("cause", Words),
        sa.Column("message", Words),
        sa.Column("code", Words),
        sa.Column("status", Number),
        sa.Column("request_id", Words),
        sa.Column("estimate_usd", Number),
        sa.Column("estimate_credits", Number),
        sa.Column("started_at", Number, nullable=False),
        sa.Column("ended_at", Number),
        sa.Column("seconds", sa.Float),
    )
    op.create_index("attempts_open", "attempts", ["job_id"], **partial_index("state = 'open'"))


def _artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("id", Number, primary_key=True),
        sa.Column("job_id", Number, sa.ForeignKey("jobs.id"), nullable=False, index=True),
        sa.Column("attempt_id", Words, sa.ForeignKey("attempts.id"), nullable=False),
        sa.Column("ordinal", Number, nullable=False),
        sa.Column("path", Words, nullable=False),
        sa.Column("sha256", Words, nullable=False),
        sa.Column("bytes", Number, nullable=False),
        sa.Column("width", Number, nullable=False),
        sa.Column("height", Number, nullable=False),
        sa.Column("mime", Words, nullable=False),
        sa.Column("created_at", Number, nullable=False),
        sa.Column("superseded_at", Number),
    )


def _ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", Number, primary_key=True),
        sa.Column("attempt_id", Words, sa.ForeignKey("attempts.id"), nullable=False, unique=True),
        sa.Column("batch_id", Number, sa.ForeignKey("batches.id"), nullable=False),
        sa.Column("run_id", Words, nullable=False),
        sa.Column("provider", Words, nullable=False),
        sa.Column("model", Words, nullable=False),
        sa.Column("kind", Words, nullable=False),
        sa.Column("at", Number, nullable=False),
        sa.Column("usd", Number),
        sa.Column("credits", Number),
        sa.Column("basis", Words, nullable=False),
        sa.Column("charged", Words, nullable=False),
        sa.Column("at_risk_usd", Number),
        sa.Column("at_risk_credits", Number),
        sa.Column("images", Number, nullable=False),
        sa.Column("input_tokens", Number),
        sa.Column("output_tokens", Number),
    )
    op.create_index("ledger_lane", "ledger", ["batch_id", "provider", "model"])
