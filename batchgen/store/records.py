"""Records: what the job database returns, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, NamedTuple

from ..fault import Cause
from ..mark import Mark
from ..mode import Mode
from ..route import ALL, ModelFilter
from ..task import UNPRICED, Artifact, Charge, Task, Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """How loading a plan changed the job database: numbers of jobs."""

    new: int = 0
    changed: int = 0  #: request something else now, and are pending again
    kept: int = 0
    busy: int = 0  #: changed, but in flight: the next load revises them
    held: int = 0  #: changed, but done and left as they are (--keep-changed)
    left: int = 0  #: changed, but not selected by this run, and left as they are
    returned: int = 0  #: not new: were orphaned and are in the manifest again
    orphaned: int = 0  #: no longer in the manifest

    def __add__(self, other: Loaded) -> Loaded:
        return Loaded(**_sums(self, other))


@dataclass(frozen=True, kw_only=True, slots=True)
class DueFilter:
    """Which due jobs a lane asks for."""

    provider: str  #: the provider of the jobs
    models: ModelFilter = ALL
    by: str | None = None  #: only jobs with this fallback provider
    waiting: bool | None = None  #: only jobs with a ``not_before`` (True) or without (False)
    chained: bool = False  #: jobs of the batch wait for others: only those whose parents are done


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """The batch of one manifest."""

    id: int
    name: str
    manifest: str  #: absolute path of the manifest
    folder: str  #: absolute output folder
    created_at: datetime
    updated_at: datetime  #: when a run last opened it


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run."""

    id: str
    batch_id: int
    started_at: datetime
    ended_at: datetime | None  #: None: in progress, or killed
    pid: int
    host: str
    exit_code: int | None
    command: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptRecord:
    """One attempt as the job database stores it."""

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
    account: str | None = None  #: which of several API keys was used
    handle: Mapping[str, Any] | None = None  #: of the remote task that it started
    mode: Mode = Mode.STANDARD
    submission_id: str | None = None  #: of the submission that it is in
    spool: str | None = None  #: that has its answer, if one has arrived; None: that of this project


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredArtifact:
    """A delivered file and the attempt it belongs to."""

    ordinal: int
    path: str  #: relative to the batch's output folder
    sha256: str
    size_bytes: int
    width: int
    height: int
    mime: str
    attempt_id: str
    created_at: datetime
    superseded_at: datetime | None  #: when the job was changed to request something else; the file is kept


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredCopy:
    """A derived copy that was written; paths are as in the job database."""

    path: str
    batch: str
    key: str  #: of the job
    name: str  #: of the specification: "shop"
    source: str  #: path of the image
    source_sha256: str
    recipe: str  #: ``CopySpec.recipe``; "" while the file is being written
    sha256: str
    size_bytes: int
    width: int
    height: int
    mime: str
    before: str = ""  #: while the file is being written: the hashes that the file it replaces may have

    @property
    def hashes(self) -> frozenset[str]:
        """Return the hashes that the file may have."""
        return frozenset((self.sha256, *self.before.split()))

    def as_json(self) -> dict[str, Any]:
        """Return the copy as ``show`` and ``export`` print it."""
        return {
            "name": self.name,
            "path": self.path,
            "of": self.source,
            "sha256": self.sha256,
            "bytes": self.size_bytes,
            "width": self.width,
            "height": self.height,
            "mime": self.mime,
        }


class SuspectPicture(NamedTuple):
    """Why a picture of a job may be wrong."""

    ordinal: int
    kind: str
    detail: str
    other_key: str | None  #: the job of the picture that it resembles
    other_ordinal: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredMark(Mark):
    """A mark in the job database."""

    job_id: int
    artifact_id: int | None  #: of the file that was marked
    replaced: bool = False  #: another picture took the place of the marked one; such a mark no longer counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Bill:
    """The cost and files of one job, and what is known of its pictures, for export."""

    attempts: int = 0
    usd: int | None = None  #: nano-USD; None if no attempt has a known price
    credits: int | None = None  #: milli-credits
    provider: str | None = None  #: the last provider; None: not sent yet
    mode: Mode | None = None  #: of the last attempt; None: not sent yet
    at_provider: bool = False  #: a remote task or submission of the job has not ended
    at_risk: int = 0  #: attempts that may have been charged an unknown amount
    at_risk_usd: int | None = None  #: nano-USD that these may have cost
    at_risk_credits: int | None = None  #: milli-credits
    files: tuple[StoredArtifact, ...] = ()
    copies: tuple[StoredCopy, ...] = ()  #: derived copies of these files
    marks: tuple[StoredMark, ...] = ()  #: without those of replaced pictures
    suspects: tuple[SuspectPicture, ...] = ()  #: likewise
    selected: frozenset[int] | None = None  #: ordinals of the files that were asked for by mark or suspect; None: all

    def selects(self, ordinal: int) -> bool:
        """Return whether a file is one of those that were asked for."""
        return self.selected is None or ordinal in self.selected


@dataclass(frozen=True, kw_only=True, slots=True)
class UnknownAttempt:
    """The last attempt of a job whose outcome is unknown."""

    attempt_id: str  #: also sent as the client request id
    started_at: datetime
    request_id: str | None
    usd: int | None  #: nano-USD that all unknown attempts of the job may have cost
    credits: int | None  #: milli-credits
    at_risk: bool  #: whether one of these attempts is not booked yet


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveredFile:
    """A current file of a job."""

    job_id: int
    key: str
    orphaned: bool  #: the job is no longer in the manifest
    file: StoredArtifact


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveredAttempt:
    """An attempt read from a sidecar or a spool slot; the job database may not know it."""

    id: str  #: of the attempt
    key: str
    fingerprint: str
    task: Task
    output: str  #: file stem, relative to the output folder
    at: datetime
    account: str | None = None  #: which of several API keys was used, if known
    claim: int = 0  #: 0 if not known
    wanted: int = 1
    cause: Cause | None = None  #: None: it delivered
    message: str | None = None
    live: bool = False  #: its slot may still hold the answer, so that the next run can finish it
    usage: Usage = field(default_factory=Usage)
    charge: Charge = UNPRICED
    estimate: Charge = UNPRICED  #: what it may have cost, if that is unknown
    file: Artifact | None = None  #: one complete file that it delivered


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveryCounts:
    """What was recovered from disk."""

    attempts: int = 0  #: that the job database did not know
    files: int = 0
    done: int = 0  #: jobs that need no further attempt
    revived: int = 0  #: attempts that the next run will finish from their slots
    submissions: int = 0  #: that are at their provider, or may be
    submitted: int = 0  #: calls in these that are not settled
    unknown: int = 0  #: attempts booked as unknown
    usd: int = 0  #: nano-USD booked

    def __add__(self, other: RecoveryCounts) -> RecoveryCounts:
        return RecoveryCounts(**_sums(self, other))


def _sums(first: Loaded | RecoveryCounts, second: Loaded | RecoveryCounts) -> dict[str, int]:
    return {each.name: getattr(first, each.name) + getattr(second, each.name) for each in fields(first)}
