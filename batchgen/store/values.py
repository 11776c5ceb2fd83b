"""What the job table answers with: plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Protocol

from ..fault import Cause
from ..job import State
from ..task import UNPRICED, Artifact, Charge, Task, Usage


class Planned(Protocol):
    """A job as the plan wants it; see ``Writer.load``."""

    @property
    def key(self) -> str: ...  # noqa: D102 - see Job for what each one means
    @property
    def task(self) -> Task: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102
    @property
    def output(self) -> str: ...  # noqa: D102
    @property
    def tags(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def priority(self) -> int: ...  # noqa: D102
    @property
    def sidecar(self) -> bool: ...  # noqa: D102
    @property
    def wanted(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """What loading a plan did to the job table."""

    new: int = 0
    changed: int = 0  #: ask for something else now: pending again
    kept: int = 0
    busy: int = 0  #: changed, but an attempt is open: the next load takes them up
    returned: int = 0  #: of those kept or changed: were orphaned, stand in the manifest again
    orphaned: int = 0  #: stand in the manifest no more

    def __add__(self, other: Loaded) -> Loaded:
        return Loaded(
            new=self.new + other.new,
            changed=self.changed + other.changed,
            kept=self.kept + other.kept,
            busy=self.busy + other.busy,
            returned=self.returned + other.returned,
            orphaned=self.orphaned + other.orphaned,
        )


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
    files: tuple[StoredArtifact, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which jobs: OR within a field, AND between fields; an empty field does not restrict."""

    ids: tuple[str, ...] = ()  #: globs on the job's key
    tags: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    orphaned: bool = False  #: also those that stand in the manifest no more


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """What is known of a job that may have been bought."""

    attempt_id: str  #: of the last call in doubt; also sent as the client's request id
    started_at: datetime
    request_id: str | None
    usd: int | None  #: nano-USD that all its calls in doubt may have cost
    credits: int | None  #: milli-credits


@dataclass(frozen=True, kw_only=True, slots=True)
class StandingFile:
    """A file that a job counts on, with its job."""

    job_id: int
    key: str
    artifact_id: int
    orphaned: bool  #: the job stands in the manifest no more
    file: StoredArtifact


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """What an attempt left on disk: told by a sidecar or a slot, for a job table that may not know it."""

    id: str  #: the attempt
    key: str
    fingerprint: str
    task: Task
    output: str  #: file stem, relative to the output folder
    at: datetime
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
class Intake:
    """What was taken in from traces."""

    attempts: int = 0  #: that the job table did not know
    files: int = 0
    done: int = 0  #: jobs that need no call any more
    revived: int = 0  #: attempts whose slot the next recovery will finish
    doubtful: int = 0  #: attempts booked as in doubt
    usd: int = 0  #: nano-USD booked

    def __add__(self, other: Intake) -> Intake:
        return Intake(
            attempts=self.attempts + other.attempts,
            files=self.files + other.files,
            done=self.done + other.done,
            revived=self.revived + other.revived,
            doubtful=self.doubtful + other.doubtful,
            usd=self.usd + other.usd,
        )


class Standing(Mapping[str, tuple[State, str]]):
    """Key -> (state, fingerprint) of a whole batch, about 200 bytes a job."""

    __slots__ = ("_packed",)
    _STATES: ClassVar[tuple[State, ...]] = tuple(State)
    _CODES: ClassVar[dict[str, bytes]] = {state.value: bytes([code]) for code, state in enumerate(_STATES)}

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}

    def add(self, key: str, state: str, fingerprint: str) -> None:
        """Note where one job stands."""
        self._packed[key] = self._CODES[state] + fingerprint.encode()

    def __getitem__(self, key: str) -> tuple[State, str]:
        packed = self._packed[key]
        return self._STATES[packed[0]], packed[1:].decode()

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)
