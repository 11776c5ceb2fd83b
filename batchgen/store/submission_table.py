"""Table of submissions: files of calls that a provider answers within a day. ``attempts.submission_id`` leads to it."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Table

from .dialects import Words
from .tables import Instant, metadata

submissions = Table(
    "submissions",
    metadata,
    Column("id", Words, primary_key=True, nullable=False),
    Column("batch_id", ForeignKey("batches.id"), nullable=False),
    Column("run_id", Words, nullable=False),  #: that made it; others may poll and collect it
    Column("provider", Words, nullable=False),
    Column("account", Words),
    Column("endpoint", Words, nullable=False),
    Column("model", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("body_sha256", Words),
    Column("input_file", Words),  #: the provider's id of the uploaded file
    Column("remote_id", Words),  #: NULL: it may not exist at the provider
    Column("created_at", Instant, nullable=False),
    Column("submitted_at", Instant),
    Column("deadline_at", Instant),  #: the end of the provider's window
    Column("collect_by", Instant),  #: when its results vanish
    Column("counts", Words),  #: JSON, as the provider last gave them: for display only
    Column("output_file", Words),
    Column("error_file", Words),
    Column("polled_at", Instant),
    Column("message", Words),
)
Index("submissions_state", submissions.c.batch_id, submissions.c.state)
