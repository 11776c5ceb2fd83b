"""What the log shows of jobs that failed, for a job database that was lost: only delivered jobs have sidecars."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...fault import Cause
from ...manifest import Batch
from ...money import milli_credits, nano_usd
from ...providers.pricing import estimate
from ...store.records import RecoveredAttempt
from ...task import UNPRICED, Basis, Charge, Task
from ..project import Project

#: Events after which a job stays as it is until the user decides.
_FINAL = ("failed", "unknown")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedJobs:
    """The jobs of a batch that had failed or were unknown, and their paid attempts, by the log."""

    failed: Mapping[str, tuple[Cause, str]] = field(default_factory=dict)  #: cause and message by job
    attempts: tuple[RecoveredAttempt, ...] = ()


def logged_jobs(project: Project, batch: Batch, known_runs: Container[str]) -> LoggedJobs:
    """Return what the log shows of runs of *batch* that the job database does not know."""
    last: dict[str, dict[str, Any]] = {}
    missed: list[dict[str, Any]] = []
    for event in _events(project.state / "logs"):
        if event.get("batch") != batch.name or event.get("run") in known_runs or "job" not in event:
            continue
        last[str(event["job"])] = event
        if "cause" in event and event.get("charged") != "no":
            missed.append(event)
    failed = {
        key: (cause, str(event.get("message") or ""))
        for key, event in last.items()
        if event.get("event") in _FINAL and (cause := _cause(event)) is not None
    }
    return LoggedJobs(failed=failed, attempts=tuple(_attempts(batch, missed)))


def _events(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of the default log, oldest first; what is not one is skipped."""
    files = sorted(folder.glob("batchgen.jsonl*"), key=lambda path: path.stat().st_mtime)
    for file in files:
        with suppress(OSError), file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                with suppress(ValueError, RecursionError):
                    event = json.loads(line)
                    if isinstance(event, dict):
                        yield event


def _attempts(batch: Batch, events: list[dict[str, Any]]) -> Iterator[RecoveredAttempt]:
    keys = {str(event["job"]) for event in events}
    planned = {job.key: job for job in batch.jobs if job.key in keys} if keys else {}
    for event in events:
        job, cause = planned.get(str(event["job"])), _cause(event)
        if job is None or cause is None or not isinstance(event.get("attempt"), str):
            continue
        task = replace(job.task, provider=str(event.get("provider")), model=str(event.get("model")))
        charge = Charge(usd=nano_usd(event.get("usd")), credits=milli_credits(event.get("credits")), basis=Basis.PRICED)
        with suppress(ValueError):
            yield RecoveredAttempt(
                id=event["attempt"],
                key=job.key,
                fingerprint=job.fingerprint,
                task=task,
                output=job.output,
                at=datetime.fromisoformat(str(event.get("time"))).astimezone(UTC),
                account=event.get("account"),
                cause=cause,
                message=str(event.get("message") or ""),
                charge=charge,
                estimate=_highest(batch, task) if charge.usd is None else UNPRICED,
            )


def _highest(batch: Batch, task: Task) -> Charge:
    profile = batch.profiles.get(task.provider)
    model = profile.models.get(task.model) if profile else None
    return UNPRICED if model is None else estimate(task, model).high


def _cause(event: Mapping[str, Any]) -> Cause | None:
    try:
        return Cause(str(event.get("cause")))
    except ValueError:
        return None
