"""What the job table answers with: plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from ..fault import Cause
from ..route import ALL, ModelFilter
from ..task import UNPRICED, Artifact, Charge, Task, Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """What loading a plan did to the job table."""

    new: int = 0
    changed: int = 0  #: ask for something else now: pending again
    kept: int = 0
    busy: int = 0  #: changed, but an attempt is open: the next load takes them up
    held: int = 0  #: changed, but done and left as they are, because the load was told to keep such
    left: int = 0  #: changed, but not what this run is about: as they are until one is
    returned: int = 0  #: of all but the new: were orphaned, stand in the manifest again
    orphaned: int = 0  #: stand in the manifest no more

    def __add__(self, other: Loaded) -> Loaded:
        return Loaded(
            new=self.new + other.new,
            changed=self.changed + other.changed,
            kept=self.kept + other.kept,
            busy=self.busy + other.busy,
            held=self.held + other.held,
            left=self.left + other.left,
            returned=self.returned + other.returned,
            orphaned=self.orphaned + other.orphaned,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class DueFilter:
    """Which pending jobs a lane asks for."""

    provider: str  #: whose jobs they are
    models: ModelFilter = ALL
    by: str | None = None  #: only those whose route names this provider
    waiting: bool | None = None  #: only those that wait for their time (True), or that do not (False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What one manifest names."""

    id: int
    name: str
    manifest: str  #: absolute path of the manifest
    folder: str  #: absolute output folder
    created_at: datetime
    updated_at: datetime  #: when a run last opened it


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One invocation."""

    id: str
    batch_id: int
    started_at: datetime
    ended_at: datetime | None  #: None: still going, or killed
    pid: int
    host: str
    exit_code: int | None
    command: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptRecord:
    """One paid call as the job table knows it."""

    id: str
    job_id: int
    claim: int
    run_id: str
    provider: str
    model: str
    state: str  #: open, delivered or missed
    cause: str | None
    message: str | None
    code: str | None
    status: int | None
    request_id: str | None
    estimate_usd: int | None  #: nano-USD reserved
    estimate_credits: int | None  #: milli-credits reserved
    started_at: datetime
    ended_at: datetime | None
    seconds: float | None
    account: str | None = None  #: which of several keys it was sent with


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredArtifact:
    """A delivered file, with where it came from."""

    ordinal: int
    path: str  #: relative to the batch's output folder
    sha256: str
    size_bytes: int
    width: int
    height: int
    mime: str
    attempt_id: str
    created_at: datetime
    superseded_at: datetime | None  #: when the job came to ask for something else; the file is kept


@dataclass(frozen=True, kw_only=True, slots=True)
class Bill:
    """What one job took so far; for export."""

    attempts: int = 0
    usd: int | None = None  #: nano-USD; None where no attempt has a known price
    credits: int | None = None  #: milli-credits
    provider: str | None = None  #: who was asked last; None: nobody yet
    at_risk: int = 0  #: attempts that may have been charged, nobody knows how much
    at_risk_usd: int | None = None  #: nano-USD that these may have cost
    at_risk_credits: int | None = None  #: milli-credits
    files: tuple[StoredArtifact, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class UnknownAttempt:
    """What is known of a job that may have been bought."""

    attempt_id: str  #: of the last call in doubt; also sent as the client's request id
    started_at: datetime
    request_id: str | None
    usd: int | None  #: nano-USD that all its calls in doubt may have cost
    credits: int | None  #: milli-credits


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveredFile:
    """A file that a job counts on, with its job."""

    job_id: int
    key: str
    orphaned: bool  #: the job stands in the manifest no more
    file: StoredArtifact


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveredAttempt:
    """What an attempt left on disk: told by a sidecar or a slot, for a job table that may not know it."""

    id: str  #: the attempt
    key: str
    fingerprint: str
    task: Task
    output: str  #: file stem, relative to the output folder
    at: datetime
    account: str | None = None  #: which of several keys it was sent with, where the trace tells
    claim: int = 0  #: 0 where the trace does not tell
    wanted: int = 1
    cause: Cause | None = None  #: None: it delivered
    message: str | None = None
    live: bool = False  #: its slot may still hold the answer: an ordinary start can finish it
    usage: Usage = field(default_factory=Usage)
    charge: Charge = UNPRICED
    estimate: Charge = UNPRICED  #: what it may have cost, where nobody knows
    file: Artifact | None = None  #: one file it delivered, found whole


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveryCounts:
    """What was taken in from traces."""

    attempts: int = 0  #: that the job table did not know
    files: int = 0
    done: int = 0  #: jobs that need no call any more
    revived: int = 0  #: attempts whose slot the next recovery will finish
    doubtful: int = 0  #: attempts booked as in doubt
    usd: int = 0  #: nano-USD booked

    def __add__(self, other: RecoveryCounts) -> RecoveryCounts:
        return RecoveryCounts(
            attempts=self.attempts + other.attempts,
            files=self.files + other.files,
            done=self.done + other.done,
            revived=self.revived + other.revived,
            doubtful=self.doubtful + other.doubtful,
            usd=self.usd + other.usd,
        )
