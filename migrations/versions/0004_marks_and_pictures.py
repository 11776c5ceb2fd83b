"""Marks of pictures, facts about pictures, suspects, and the database's own id.

A frozen copy of what changed in batchgen.store.tables; later revisions change it with steps of their own.
"""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

from batchgen.store.dialects import Number, Words

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "properties",
        sa.Column("name", Words, primary_key=True, nullable=False),
        sa.Column("value", Words, nullable=False),
    )
    op.execute(sa.text("INSERT INTO properties VALUES ('id', :id)").bindparams(id=uuid4().hex))
    op.create_table(
        "marks",
        sa.Column("id", Number, primary_key=True),
        sa.Column("batch_id", Number, sa.ForeignKey("batches.id"), nullable=False, index=True),
        sa.Column("job_id", Number, sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("ordinal", Number, nullable=False),
        sa.Column("artifact_id", Number, sa.ForeignKey("artifacts.id")),
        sa.Column("sha256", Words, nullable=False),
        sa.Column("mark", Words),
        sa.Column("stars", Number, nullable=False),
        sa.Column("note", Words, nullable=False),
        sa.Column("marked_at", Number, nullable=False),
        sa.UniqueConstraint("job_id", "ordinal"),
    )
    op.create_table(
        "picture_facts",
        sa.Column("sha256", Words, primary_key=True, nullable=False),
        *(sa.Column(name, Number, nullable=False) for name in ("version", "width", "height", "bytes")),
        *(sa.Column(name, Words, nullable=False) for name in ("mime", "dhash", "colour")),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in ("uniform", "alpha", "c2pa")),
        *(sa.Column(name, Number, nullable=False) for name in ("thumb_width", "thumb_height")),
        sa.Column("error", Words),
        sa.Column("examined_at", Number, nullable=False),
    )
    op.create_table(
        "suspects",
        sa.Column("id", Number, primary_key=True),
        sa.Column("batch_id", Number, sa.ForeignKey("batches.id"), nullable=False),
        sa.Column("job_id", Number, sa.ForeignKey("jobs.id"), nullable=False, index=True),
        sa.Column("ordinal", Number, nullable=False),
        sa.Column("artifact_id", Number, sa.ForeignKey("artifacts.id"), nullable=False),
        sa.Column("kind", Words, nullable=False),
        sa.Column("detail", Words, nullable=False),
        sa.Column("other_job_id", Number),
        sa.Column("other_ordinal", Number),
    )
    op.create_index("suspects_kind", "suspects", ["batch_id", "kind"])
