"""Inputs of a run: what was opened, planned and agreed on before its first call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..manifest import Batch
from ..planning.plan import Plan
from ..store.reader import Reader
from ..store.writer import Writer
from .config.keys import ApiKeys
from .project import Project
from .recovery.rebuild import RecoveryReport
from .run_options import RunOptions, ShowMessage
from .shutdown import StopRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class RunInputs:
    """The inputs of a run."""

    project: Project
    batch: Batch
    options: RunOptions
    keys: ApiKeys
    reader: Reader
    writer: Writer
    plan: Plan = field(default_factory=Plan)
    is_loaded: bool = False  #: the job database has the batch's jobs exactly as they are
    requeued: Sequence[int] | None = None  #: ids of requeued jobs, if the run sends only these
    command: str = ""  #: as typed, without secrets
    recovery: RecoveryReport | None = None  #: what the job database took in from disk
    show_message: ShowMessage = lambda _text: None
    on_silence: ShowMessage | None = None  #: reports that no answer arrives; None: *show_message* does
    stop: StopRequest | None = None  #: stops the run in place of signals
