"""Live state of a run: what ``watch`` cannot read in the job database, in a small file next to it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..budget import Budget, BudgetLimit
from ..engine.worker_state import WorkerState
from ..money import milli_credits, nano_usd
from .project import Project


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveState:
    """The jobs and budgets of a run, and what its providers wait for."""

    jobs: int | None = None  #: that the run was to send
    budgets: Sequence[Budget] = ()
    widths: Mapping[str, int] = field(default_factory=dict)  #: how many requests may be in flight, by provider
    waits: Mapping[str, str] = field(default_factory=dict)  #: by provider
    stopping: str = ""
    sums: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  #: what the run did so far, by provider
    workers: Sequence[WorkerState] = ()  #: of a cluster

    def as_text(self) -> str:
        """Return the state as JSON."""
        budgets = [budget.as_json() for budget in self.budgets]
        rest: dict[str, Any] = {"widths": dict(self.widths), "waits": dict(self.waits), "stopping": self.stopping}
        rest["sums"] = {name: dict(each) for name, each in self.sums.items()}
        rest["workers"] = [asdict(worker) for worker in self.workers]
        return json.dumps({"jobs": self.jobs, "budgets": budgets, **rest})


def write(project: Project, run_id: str, text: str) -> None:
    """Write the state of a run; without room on the disk, ``watch`` only shows less.

    It is written in place, because a temporary file would be left over by a kill. A reader that meets half a text reads
    the job database instead.
    """
    file, content = _path(project, run_id), f"{text}\n".encode()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, content, 0)
            os.ftruncate(descriptor, len(content))
        finally:
            os.close(descriptor)


def remove(project: Project, run_id: str) -> None:
    """Remove the state of a run that has ended."""
    with suppress(OSError):
        _path(project, run_id).unlink(missing_ok=True)


def read(project: Project, run_id: str) -> LiveState:
    """Return the state of a run; an empty one if there is none."""
    try:
        values = json.loads(_path(project, run_id).read_bytes())
        return LiveState(
            jobs=values["jobs"],
            budgets=[budget_of(each) for each in values["budgets"]],
            widths=values["widths"],
            waits=values["waits"],
            stopping=values["stopping"],
            sums=values.get("sums", {}),  # an older version wrote none
            workers=[WorkerState(**worker) for worker in values.get("workers", ())],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return LiveState()


def budget_of(document: Mapping[str, Any]) -> Budget:
    """Return the budget that ``Budget.as_json`` describes."""
    usd, credits_ = document["usd"], document["credits"]
    limit = BudgetLimit(
        usd=nano_usd(usd["limit"]) if usd else None,
        credits={name: milli_credits(each["limit"]) or 0 for name, each in credits_.items()},
        scope=document["scope"],
        only=document["provider"],
    )
    used = {name: milli_credits(each["used"]) or 0 for name, each in credits_.items()}
    return Budget(limit=limit, usd=(nano_usd(usd["used"]) or 0) if usd else 0, credits=used)


def _path(project: Project, run_id: str) -> Path:
    return project.state / "runs" / run_id / "live.json"
