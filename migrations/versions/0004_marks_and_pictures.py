"""Marks of pictures, facts about pictures, suspects, and the database's own id.

A frozen copy of what changed in batchgen.store.tables; later revisions change it with steps of their own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "properties",
        sa.Column("name", sa.Text, primary_key=True, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.execute("INSERT INTO properties VALUES ('id', lower(hex(randomblob(16))))")
    op.create_table(
        "marks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("batch_id", sa.Integer, sa.ForeignKey("batches.id"), nullable=False, index=True),
        sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("artifact_id", sa.Integer, sa.ForeignKey("artifacts.id")),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("mark", sa.Text),
        sa.Column("stars", sa.Integer, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("marked_at", sa.Integer, nullable=False),
        sa.UniqueConstraint("job_id", "ordinal"),
    )
    op.create_table(
        "picture_facts",
        sa.Column("sha256", sa.Text, primary_key=True, nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("version", "width", "height", "bytes")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("mime", "dhash", "colour")),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in ("uniform", "alpha", "c2pa")),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("thumb_width", "thumb_height")),
        sa.Column("error", sa.Text),
        sa.Column("examined_at", sa.Integer, nullable=False),
    )
    op.create_table(
        "suspects",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("batch_id", sa.Integer, sa.ForeignKey("batches.id"), nullable=False),
        sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id"), nullable=False, index=True),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("artifact_id", sa.Integer, sa.ForeignKey("artifacts.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("other_job_id", sa.Integer),
        sa.Column("other_ordinal", sa.Integer),
    )
    op.create_index("suspects_kind", "suspects", ["batch_id", "kind"])
