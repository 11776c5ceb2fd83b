"""Price tiers that answers state, and standard prices of calls in other modes.

A frozen copy of what changed in batchgen.store.tables; later revisions change it with steps of their own.
"""

import sqlalchemy as sa
from alembic import op

from batchgen.store.dialects import Number, Words

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("ledger", sa.Column("tier", Words))
    op.add_column("ledger", sa.Column("standard_usd", Number))
