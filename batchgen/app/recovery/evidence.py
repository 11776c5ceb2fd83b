"""What finished and unfinished attempts left on disk: sidecars, slots.  A doer: reads files, writes none.

Nothing read here is trusted further than it proves itself: a file counts only where its bytes have the hash that its
sidecar names.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from ...fault import Cause
from ...files.output import SUPERSEDED, digest
from ...files.sidecar import Sidecar, parse
from ...manifest import Batch
from ...providers.pricing import estimate
from ...store.records import RecoveredAttempt
from ...task import UNPRICED, Artifact, Charge, Kind, Source, Task
from ..project import Project

#: No sidecar and no order is longer.
_LONGEST = 4_000_000
_TASK = tuple(f.name for f in fields(Task) if f.name not in ("kind", "images", "mask"))
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class SidecarRecord:
    """A sidecar: its trace, and the file it speaks of, which nobody has looked at yet."""

    trace: RecoveredAttempt
    beside: Path | None  #: None for what lies aside, superseded
    artifact: Artifact

    def verified(self) -> RecoveredAttempt:
        """Return the trace, with the file where it is there with the hash it should have."""
        if self.beside is None:
            return self.trace
        try:
            whole = self.beside.stat().st_size == self.artifact.size_bytes
            if whole and digest(self.beside) == self.artifact.sha256:
                return replace(self.trace, file=self.artifact)
        except OSError:
            pass
        return self.trace


def sidecars(folder: Path, since: datetime | None) -> Iterator[Path]:
    """Yield files that may be sidecars, changed *since*, several of one job in their order."""
    oldest = since.timestamp() if since else None
    folders = [folder]
    while folders:
        path, names = folders.pop(), list[str]()
        with suppress(OSError), os.scandir(path) as entries:  # a folder that is gone holds none
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path / entry.name)
                elif _may_be_one(entry, oldest):
                    names.append(entry.name)
        for name in sorted(names, key=_by_number):
            yield path / name


def _may_be_one(entry: os.DirEntry[str], oldest: float | None) -> bool:
    if not entry.name.endswith(".json") or not entry.is_file(follow_symlinks=False):
        return False
    return oldest is None or entry.stat(follow_symlinks=False).st_mtime >= oldest


def _by_number(name: str) -> list[str | int]:
    # alternating text and numbers, so that like is compared with like
    return [int(part) if number % 2 else part for number, part in enumerate(_DIGITS.split(name))]


def read_sidecar(path: Path, batch: Batch, project: Project) -> SidecarRecord | None:
    """Return what a sidecar of *batch* says; None where the file is none, another batch's, or only of a rehearsal."""
    try:
        if path.stat().st_size > _LONGEST:
            return None
        sidecar = parse(path.read_bytes())
        if sidecar.batch != batch.name or (sidecar.sandbox and not project.sandbox):
            return None
        return _record(sidecar, path, batch, project.root)
    except (OSError, ValueError):
        return None


def _record(sidecar: Sidecar, path: Path, batch: Batch, root: Path) -> SidecarRecord:
    image = path.with_name(path.name.removesuffix(".json"))
    superseded = SUPERSEDED in path.relative_to(batch.folder).parts
    trace = RecoveredAttempt(
        id=sidecar.attempt_id,
        key=sidecar.key,
        fingerprint=sidecar.fingerprint,
        task=sidecar.task,
        output=str(image.relative_to(batch.folder).with_suffix("")),
        at=_changed(path),
        usage=sidecar.usage,
        charge=sidecar.charge,
    )
    location = str(image.relative_to(root) if image.is_relative_to(root) else image)
    artifact = replace(sidecar.artifact, path=location)
    return SidecarRecord(trace=trace, beside=None if superseded else image, artifact=artifact)


def slots(spool: Path, suffix: str) -> Iterator[Path]:
    """Yield the files of the spool that end in *suffix*."""
    yield from sorted(spool.glob(f"*{suffix}"))


def read_order(path: Path, batch: Batch) -> RecoveredAttempt | None:
    """Return what a slot's first line orders; None where it cannot be read, or is another batch's."""
    try:
        with path.open("rb") as file:
            said = json.loads(file.readline(_LONGEST))
        if said["batch"] != batch.name or said["id"] != path.stem:
            return None
        asked = said["task"]
        task = Task(
            kind=Kind(asked["kind"]),
            images=tuple(Source(**image) for image in asked["images"]),
            mask=Source(**asked["mask"]) if asked["mask"] else None,
            **{name: asked[name] for name in _TASK},
        )
        return RecoveredAttempt(
            id=path.stem,
            key=str(said["key"]),
            fingerprint=str(said["fingerprint"]),
            task=task,
            output=str(said["output"]),
            at=_changed(path),
            account=said.get("account"),
            claim=_whole(said["claim"]),
            wanted=_whole(said["wanted"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def has_order(path: Path) -> bool:
    """Tell whether a slot says whose it is; its run may have died, or the power failed, while it was made."""
    with suppress(OSError, ValueError, RecursionError), path.open("rb") as file:
        said = json.loads(file.readline(_LONGEST))
        return isinstance(said, dict) and {"id", "batch"} <= said.keys()
    return False


def unknown_attempt(trace: RecoveredAttempt, batch: Batch) -> RecoveredAttempt:
    """Return the trace of a slot: its answer may be there, and if not, nobody knows what became of the call."""
    message = "the job table was lost while the request was under way"
    high = _guess(trace.task, batch, high=True)
    return replace(trace, live=True, cause=Cause.UNKNOWN, message=message, estimate=high)


def unusable_attempt(trace: RecoveredAttempt, batch: Batch) -> RecoveredAttempt:
    """Return the trace of a kept answer: paid for, and of no use."""
    known = _guess(trace.task, batch, high=False)
    message = "a paid answer that could not be used; it is kept in the spool"
    return replace(trace, cause=Cause.SPOILED, message=message, charge=known, estimate=known)


def _guess(task: Task, batch: Batch, *, high: bool) -> Charge:
    profile = batch.profiles.get(task.provider)
    model = profile.models.get(task.model) if profile else None
    if model is None:
        return UNPRICED
    guess = estimate(task, model)
    return guess.high if high else guess.expected


def _whole(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError(f"{value!r} is no count")
    return value


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
