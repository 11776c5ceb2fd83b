"""Jobs that other jobs wait for.

A frozen copy of what changed in batchgen.store.tables; later revisions change it with steps of their own.
"""

import sqlalchemy as sa
from alembic import op

from batchgen.store.dialects import Number, Words

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "needs",
        sa.Column("job_id", Number, sa.ForeignKey("jobs.id"), primary_key=True, nullable=False),
        sa.Column("parent", Words, primary_key=True, nullable=False),
    )
