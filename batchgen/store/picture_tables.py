"""Tables of pictures: marks of users, facts about pictures, and suspects; ``migrations/`` creates exactly these."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Table, UniqueConstraint

from .dialects import Number, Words
from .tables import Instant, metadata

#: Marks of users: pick or reject, stars, note. A mark counts until another picture takes the place of the marked one,
#: which may have the same bytes: a provider that takes a seed may draw the same picture again.
marks = Table(
    "marks",
    metadata,
    Column("id", Number, primary_key=True),
    Column("batch_id", ForeignKey("batches.id"), nullable=False, index=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("ordinal", Number, nullable=False),
    Column("artifact_id", ForeignKey("artifacts.id")),  #: NULL: the job had no picture
    Column("sha256", Words, nullable=False),  #: "" likewise
    Column("mark", Words),
    Column("stars", Number, nullable=False),
    Column("note", Words, nullable=False),
    Column("marked_at", Instant, nullable=False),
    UniqueConstraint("job_id", "ordinal"),
)

#: What was found when a picture was examined, by the hash of its content.
picture_facts = Table(
    "picture_facts",
    metadata,
    Column("sha256", Words, primary_key=True, nullable=False),
    Column("version", Number, nullable=False),
    Column("width", Number, nullable=False),
    Column("height", Number, nullable=False),
    Column("bytes", Number, nullable=False),
    Column("mime", Words, nullable=False),
    Column("dhash", Words, nullable=False),
    Column("colour", Words, nullable=False),
    Column("uniform", Boolean, nullable=False),
    Column("alpha", Boolean, nullable=False),
    Column("c2pa", Boolean, nullable=False),
    Column("thumb_width", Number, nullable=False),
    Column("thumb_height", Number, nullable=False),
    Column("error", Words),
    Column("examined_at", Instant, nullable=False),
)

#: Pictures that may be wrong; the suspects of a batch are always replaced together.
suspects = Table(
    "suspects",
    metadata,
    Column("id", Number, primary_key=True),
    Column("batch_id", ForeignKey("batches.id"), nullable=False),
    Column("job_id", ForeignKey("jobs.id"), nullable=False, index=True),
    Column("ordinal", Number, nullable=False),
    Column("artifact_id", ForeignKey("artifacts.id"), nullable=False),  #: the file that was examined
    Column("kind", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("other_job_id", Number),
    Column("other_ordinal", Number),
)
Index("suspects_kind", suspects.c.batch_id, suspects.c.kind)
