"""Totals of the ledger, the last load of each batch, and an index of orphaned jobs.

A frozen copy of what changed in batchgen.store.tables; later revisions change it with steps of their own.
"""

import sqlalchemy as sa
from alembic import op

from batchgen.store.dialects import Number, Words, partial_index

revision = "0003"
down_revision = "0002"


#: Sums of the rows of the ledger by blocks of 1,000; the last block is left out unless it is full.
FILL = """
INSERT INTO ledger_totals
SELECT
    (ledger.id - 1) / 1000, ledger.batch_id, ledger.run_id, ledger.provider, ledger.model,
    coalesce(jobs.provider, ''), coalesce(attempts.cause, attempts.state, ''), ledger.basis,
    ledger.at - ledger.at % 900000000,
    count(*), sum(images), sum(input_tokens), sum(output_tokens), sum(credits), sum(usd),
    sum(at_risk_usd), sum(at_risk_credits),
    sum(CASE WHEN charged != 'no' AND usd IS NULL THEN 1 ELSE 0 END),
    sum(CASE WHEN charged != 'no' AND usd IS NULL AND credits IS NULL AND at_risk_usd IS NULL THEN 1 ELSE 0 END),
    sum(CASE WHEN charged = 'maybe' AND usd IS NULL THEN 1 ELSE 0 END),
    max(attempts.started_at)
FROM ledger LEFT JOIN attempts ON attempts.id = ledger.attempt_id LEFT JOIN jobs ON jobs.id = attempts.job_id
WHERE ledger.id <= (SELECT max(id) FROM ledger) / 1000 * 1000
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
"""


def upgrade() -> None:
    op.create_index("jobs_orphaned", "jobs", ["batch_id"], **partial_index("orphaned_at IS NOT NULL"))
    op.create_index("jobs_overridden", "jobs", ["batch_id"], **partial_index("instr(fingerprint, '+')"))
    op.drop_index("ledger_lane", "ledger")  # ``ledger_totals`` answers what it was for
    at_risk = "charged = 'maybe' AND usd IS NULL"
    op.create_index("ledger_at_risk", "ledger", ["batch_id"], **partial_index(at_risk))
    op.create_table(
        "loads",
        sa.Column("batch_id", Number, sa.ForeignKey("batches.id"), primary_key=True),
        sa.Column("digest", Words, nullable=False),
        sa.Column("facts", Words, nullable=False),
        sa.Column("loaded_at", Number, nullable=False),
    )
    op.create_table(
        "ledger_totals",
        sa.Column("block", Number, nullable=False, index=True),
        sa.Column("batch_id", Number, sa.ForeignKey("batches.id"), nullable=False),
        *(
            sa.Column(name, Words, nullable=False)
            for name in ("run_id", "provider", "model", "home", "outcome", "basis")
        ),
        *(sa.Column(name, Number, nullable=False) for name in ("quarter", "attempts", "images")),
        *(
            sa.Column(name, Number)
            for name in ("input_tokens", "output_tokens", "credits", "usd", "at_risk_usd", "at_risk_credits")
        ),
        *(sa.Column(name, Number, nullable=False) for name in ("unpriced", "unestimated", "at_risk")),
        sa.Column("last_sent_at", Number),
    )
    op.execute(FILL)
