"""Jobs that several providers may do, attempts by account, what a person tells a run, what runs have learned.

A frozen copy of what changed in batchgen.store.tables; later revisions change what stands here, never this file.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("route", sa.Text))
    op.add_column("attempts", sa.Column("account", sa.Text))
    waiting = "state = 'pending' AND not_before IS NOT NULL AND orphaned_at IS NULL"
    op.create_index("jobs_waiting", "jobs", ["batch_id", "provider", "not_before"], sqlite_where=sa.text(waiting))
    routed = "state = 'pending' AND route IS NOT NULL AND orphaned_at IS NULL"
    columns = ["batch_id", "provider", "state", sa.text("priority DESC"), "position"]
    op.create_index("jobs_routed", "jobs", columns, sqlite_where=sa.text(routed))
    op.create_table(
        "controls",
        sa.Column("provider", sa.Text, primary_key=True, nullable=False),
        sa.Column("paused_at", sa.Integer),
        sa.Column("limits", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Integer, nullable=False),
    )
    op.create_table(
        "learned",
        sa.Column("lane", sa.Text, primary_key=True, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("at", sa.Integer, nullable=False),
    )
