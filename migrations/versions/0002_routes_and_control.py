"""Jobs that several providers may do, attempts by account, what a person tells a run, what runs have learned.

A frozen copy of what changed in batchgen.store.tables; later revisions change what stands here, never this file.
"""

import sqlalchemy as sa
from alembic import op

from batchgen.store.dialects import Number, Words, partial_index

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("route", Words))
    op.add_column("attempts", sa.Column("account", Words))
    waiting = "state = 'pending' AND not_before IS NOT NULL AND orphaned_at IS NULL"
    op.create_index("jobs_waiting", "jobs", ["batch_id", "provider", "not_before"], **partial_index(waiting))
    routed = "state = 'pending' AND route IS NOT NULL AND orphaned_at IS NULL"
    columns = ["batch_id", "provider", "state", sa.text("priority DESC"), "position"]
    op.create_index("jobs_routed", "jobs", columns, **partial_index(routed))
    op.create_table(
        "controls",
        sa.Column("provider", Words, primary_key=True, nullable=False),
        sa.Column("paused_at", Number),
        sa.Column("limits", Words, nullable=False),
        sa.Column("updated_at", Number, nullable=False),
    )
    op.create_table(
        "learned",
        sa.Column("lane", Words, primary_key=True, nullable=False),
        sa.Column("state", Words, nullable=False),
        sa.Column("at", Number, nullable=False),
    )
