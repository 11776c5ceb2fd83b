"""Handles of remote tasks, modes of calls, and submissions.

A frozen copy of what changed in batchgen.store.tables; later revisions change it with steps of their own.
"""

import sqlalchemy as sa
from alembic import op

from batchgen.store.dialects import Number, Words, partial_index

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for name in ("handle", "mode", "submission_id"):
        op.add_column("attempts", sa.Column(name, Words))
    where = partial_index("submission_id IS NOT NULL")
    op.create_index("attempts_submission", "attempts", ["submission_id"], **where)
    op.create_table(
        "submissions",
        sa.Column("id", Words, primary_key=True, nullable=False),
        sa.Column("batch_id", Number, sa.ForeignKey("batches.id"), nullable=False),
        *(sa.Column(name, Words, nullable=False) for name in ("run_id", "provider")),
        sa.Column("account", Words),
        *(sa.Column(name, Words, nullable=False) for name in ("endpoint", "model", "state")),
        *(sa.Column(name, Words) for name in ("body_sha256", "input_file", "remote_id")),
        sa.Column("created_at", Number, nullable=False),
        *(sa.Column(name, Number) for name in ("submitted_at", "deadline_at", "collect_by")),
        *(sa.Column(name, Words) for name in ("counts", "output_file", "error_file")),
        sa.Column("polled_at", Number),
        sa.Column("message", Words),
    )
    op.create_index("submissions_state", "submissions", ["batch_id", "state"])
