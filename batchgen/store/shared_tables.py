"""Tables of runners that share a job database: who they are, and what they use of limits and budgets."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Table

from .dialects import Number, Words
from .tables import Instant, metadata

#: Runners on this database whose run has not ended; one whose lease has ended is silent. Times are by its own clock.
runners = Table(
    "runners",
    metadata,
    Column("id", Words, primary_key=True, nullable=False),  #: of its run
    Column("batch_id", ForeignKey("batches.id"), nullable=False),
    Column("shard", Words),  #: "1/3"; NULL: all jobs of the batch
    Column("host", Words, nullable=False),
    Column("machine", Words),  #: what its process number is unique in; NULL: not known
    Column("pid", Number, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("heartbeat_at", Instant, nullable=False),
    Column("lease_until", Instant, nullable=False),
)

#: What each runner may use of the limits of an account; it counts until another runner counts its requests as its own.
shares = Table(
    "shares",
    metadata,
    Column("runner_id", Words, primary_key=True, nullable=False),
    Column("gate", Words, primary_key=True, nullable=False),
    Column("lease_until", Instant, nullable=False),
    Column("limits", Words, nullable=False),
    Column("wanted", Boolean, nullable=False),
    Column("heaviest", Number, nullable=False),
)

#: What counts against the budgets that several runners share: the sums of ledger and open attempts, kept by each claim
#: and settlement. A row that is missing is summed up before the next claim.
shared_budgets = Table(
    "shared_budgets",
    metadata,
    Column("name", Words, primary_key=True, nullable=False),
    Column("batch_id", Number),  #: NULL: all batches
    Column("since", Instant),
    Column("until", Instant),
    Column("provider", Words),  #: NULL: all providers
    Column("usd", Number, nullable=False),
    Column("credits", Number, nullable=False),
)
