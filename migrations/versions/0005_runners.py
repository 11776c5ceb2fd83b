"""Runners that share a job database, their shares of limits, sums of budgets, and where a run keeps its answers.

A frozen copy of what changed in batchgen.store.tables; later revisions change it with steps of their own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    postgres = op.get_bind().dialect.name == "postgresql"
    number = sa.BigInteger if postgres else sa.Integer
    words = sa.Text(collation="C") if postgres else sa.Text
    op.add_column("runs", sa.Column("spool", words))
    op.create_table(
        "runners",
        sa.Column("id", words, primary_key=True, nullable=False),
        sa.Column("batch_id", number, sa.ForeignKey("batches.id"), nullable=False),
        sa.Column("shard", words),
        sa.Column("host", words, nullable=False),
        sa.Column("pid", number, nullable=False),
        *(sa.Column(name, number, nullable=False) for name in ("started_at", "heartbeat_at", "lease_until")),
    )
    op.create_table(
        "shares",
        sa.Column("runner_id", words, primary_key=True, nullable=False),
        sa.Column("gate", words, primary_key=True, nullable=False),
        sa.Column("lease_until", number, nullable=False),
        sa.Column("limits", words, nullable=False),
        sa.Column("wanted", sa.Boolean, nullable=False),
        sa.Column("heaviest", number, nullable=False),
    )
    op.create_table(
        "shared_budgets",
        sa.Column("name", words, primary_key=True, nullable=False),
        *(sa.Column(name, number) for name in ("batch_id", "since", "until")),
        sa.Column("provider", words),
        *(sa.Column(name, number, nullable=False) for name in ("usd", "credits")),
    )
