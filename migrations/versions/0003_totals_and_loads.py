"""Totals of the ledger, the last load of each batch, and an index of orphaned jobs.

A frozen copy of what changed in batchgen.store.tables; later revisions change it with steps of their own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_index("jobs_orphaned", "jobs", ["batch_id"], sqlite_where=sa.text("orphaned_at IS NOT NULL"))
    op.create_table(
        "loads",
        sa.Column("batch_id", sa.Integer, sa.ForeignKey("batches.id"), primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("loaded_at", sa.Integer, nullable=False),
    )
    op.create_table(
        "ledger_totals",
        sa.Column("block", sa.Integer, nullable=False, index=True),
        sa.Column("batch_id", sa.Integer, sa.ForeignKey("batches.id"), nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("run_id", "provider", "model", "home", "outcome", "basis")
        ),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("quarter", "attempts", "images")),
        *(
            sa.Column(name, sa.Integer)
            for name in ("input_tokens", "output_tokens", "credits", "usd", "at_risk_usd", "at_risk_credits")
        ),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in ("unpriced", "unestimated", "at_risk", "last_sent_at")
        ),
    )
