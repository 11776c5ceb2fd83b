"""Runners that share a job database, their shares of limits, sums of budgets, and where a run keeps its answers.

A frozen copy of what changed in batchgen.store.tables; later revisions change it with steps of their own.
"""

import sqlalchemy as sa
from alembic import op

from batchgen.store.dialects import Number, Words

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("runs", sa.Column("spool", Words))
    op.create_table(
        "runners",
        sa.Column("id", Words, primary_key=True, nullable=False),
        sa.Column("batch_id", Number, sa.ForeignKey("batches.id"), nullable=False),
        sa.Column("shard", Words),
        sa.Column("host", Words, nullable=False),
        sa.Column("machine", Words),
        sa.Column("pid", Number, nullable=False),
        *(sa.Column(name, Number, nullable=False) for name in ("started_at", "heartbeat_at", "lease_until")),
    )
    op.create_table(
        "shares",
        sa.Column("runner_id", Words, primary_key=True, nullable=False),
        sa.Column("gate", Words, primary_key=True, nullable=False),
        sa.Column("lease_until", Number, nullable=False),
        sa.Column("limits", Words, nullable=False),
        sa.Column("wanted", sa.Boolean, nullable=False),
        sa.Column("heaviest", Number, nullable=False),
    )
    op.create_table(
        "shared_budgets",
        sa.Column("name", Words, primary_key=True, nullable=False),
        *(sa.Column(name, Number) for name in ("batch_id", "since", "until")),
        sa.Column("provider", Words),
        *(sa.Column(name, Number, nullable=False) for name in ("usd", "credits")),
    )
