"""Evidence of attempts on disk: sidecars of delivered files and slots of the spool.

An image counts only if its bytes have the hash that its sidecar names.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from ...engine.cluster import marker
from ...fault import Cause
from ...files.listing import ListedFile, list_file, list_files
from ...files.output import SUPERSEDED
from ...files.output_tree import file_at
from ...files.sidecar import Sidecar, parse
from ...manifest import Batch
from ...object_url import Folder, ObjectUrl, name_in, stored_path
from ...providers.pricing import estimate
from ...store.records import RecoveredAttempt
from ...task import UNPRICED, Artifact, Charge, Kind, Source, Task
from ..project import Project

#: Bytes of the longest sidecar or order.
_LONGEST = 4_000_000
_TASK = tuple(f.name for f in fields(Task) if f.name not in ("kind", "images", "mask"))
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class SidecarRecord:
    """A sidecar: the attempt that it describes, and its image, which is not verified yet."""

    attempt: RecoveredAttempt
    image: Folder | None  #: None if it was superseded
    artifact: Artifact

    def verified(self) -> RecoveredAttempt:
        """Return the attempt, with its file if that exists and has the right hash; raise StoreError for a store."""
        if self.image is None:
            return self.attempt
        file = file_at(self.image)
        try:
            # A store keeps an image and its hash in one write, so that the image need not be downloaded.
            same_size = file.size() == self.artifact.size_bytes
            if same_size and (file.recorded_digest() or file.digest()) == self.artifact.sha256:
                return replace(self.attempt, file=self.artifact)
        except OSError:
            pass
        return self.attempt


def sidecars(folder: Folder, since: datetime | None) -> Iterator[ListedFile]:
    """Yield files that may be sidecars and changed after *since*, those of one job in order; raise StoreError."""
    if isinstance(folder, ObjectUrl):
        listed = [file for file in list_files(folder) if file.place.suffix == ".json"]
        listed.sort(key=lambda file: _by_number(str(file.place)))
        yield from (file for file in listed if since is None or file.changed_at >= since)
        return
    oldest = since.timestamp() if since else None
    folders = [folder]
    while folders:
        path, names = folders.pop(), list[str]()
        with suppress(OSError), os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path / entry.name)
                elif _may_be_sidecar(entry, oldest):
                    names.append(entry.name)
        for name in sorted(names, key=_by_number):
            if (file := list_file(path / name)) is not None:
                yield file


def _may_be_sidecar(entry: os.DirEntry[str], oldest: float | None) -> bool:
    if not entry.name.endswith(".json") or not entry.is_file(follow_symlinks=False):
        return False
    return oldest is None or entry.stat(follow_symlinks=False).st_mtime >= oldest


def _by_number(name: str) -> list[str | int]:
    # Text and numbers alternate, so that equal kinds are compared.
    return [int(part) if number % 2 else part for number, part in enumerate(_DIGITS.split(name))]


def read_sidecar(file: ListedFile, batch: Batch, project: Project) -> SidecarRecord | None:
    """Return a sidecar of *batch*; None if it is not one, belongs to another batch, or was simulated.

    Raises StoreError for an object store.
    """
    try:
        if file.size_bytes > _LONGEST:
            return None
        sidecar = parse(file_at(file.place).read())
        if sidecar.batch != batch.name or (sidecar.sandbox and not project.sandbox):
            return None
        return _record(sidecar, file, batch, project.root)
    except (OSError, ValueError):
        return None


def _record(sidecar: Sidecar, file: ListedFile, batch: Batch, root: Path) -> SidecarRecord:
    image = file.place.with_name(file.place.name.removesuffix(".json"))
    name = PurePosixPath(name_in(batch.folder, image) or image.name)
    superseded = SUPERSEDED in name.parts
    attempt = RecoveredAttempt(
        id=sidecar.attempt_id,
        key=sidecar.key,
        fingerprint=sidecar.fingerprint,
        task=sidecar.task,
        output=str(name.with_suffix("")),
        at=sidecar.written_at or file.changed_at,
        usage=sidecar.usage,
        charge=sidecar.charge,
    )
    artifact = replace(sidecar.artifact, path=stored_path(image, root))
    return SidecarRecord(attempt=attempt, image=None if superseded else image, artifact=artifact)


def slots(spool: Path, suffix: str) -> Iterator[Path]:
    """Yield the files of the spool with *suffix*, in order."""
    yield from sorted(spool.glob(f"*{suffix}"))


def read_order(path: Path, batch: Batch) -> RecoveredAttempt | None:
    """Return the attempt in a slot's first line; None if it is unreadable or belongs to another batch."""
    try:
        with path.open("rb") as file:
            order = json.loads(file.readline(_LONGEST))
        if order["batch"] != batch.name or order["id"] != path.stem:
            return None
        asked = order["task"]
        task = Task(
            kind=Kind(asked["kind"]),
            images=tuple(Source(**image) for image in asked["images"]),
            mask=Source(**asked["mask"]) if asked["mask"] else None,
            **{name: asked[name] for name in _TASK},
        )
        return RecoveredAttempt(
            id=path.stem,
            key=str(order["key"]),
            fingerprint=str(order["fingerprint"]),
            task=task,
            output=str(order["output"]),
            at=_changed(path),
            account=order.get("account"),
            claim=_whole(order["claim"]),
            wanted=_whole(order["wanted"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def remove_marker_of(path: Path) -> None:
    """Remove the marker of a slot's attempt, which is settled."""
    with suppress(OSError, ValueError, RecursionError), path.open("rb") as file:
        order = json.loads(file.readline(_LONGEST))
        if isinstance(order, dict) and isinstance(order.get("folder"), str):
            marker.remove(order["folder"], path.stem)


def has_order(path: Path) -> bool:
    """Return whether a slot names its attempt; one that was made just before a loss of power may be empty."""
    with suppress(OSError, ValueError, RecursionError), path.open("rb") as file:
        order = json.loads(file.readline(_LONGEST))
        return isinstance(order, dict) and {"id", "batch"} <= order.keys()
    return False


def unknown_attempt(attempt: RecoveredAttempt, batch: Batch) -> RecoveredAttempt:
    """Return the attempt of a slot: its answer may have arrived; otherwise the outcome of the call is unknown."""
    message = "the job database was lost while the request was in flight"
    high = _guess(attempt.task, batch, high=True)
    return replace(attempt, live=True, cause=Cause.UNKNOWN, message=message, estimate=high)


def unusable_attempt(attempt: RecoveredAttempt, batch: Batch) -> RecoveredAttempt:
    """Return the attempt of a kept answer, which was paid for and is unusable."""
    expected = _guess(attempt.task, batch, high=False)
    message = "a paid answer that could not be used; it is kept in the spool"
    return replace(attempt, cause=Cause.SPOILED, message=message, charge=expected, estimate=expected)


def _guess(task: Task, batch: Batch, *, high: bool) -> Charge:
    profile = batch.profiles.get(task.provider)
    model = profile.models.get(task.model) if profile else None
    if model is None:
        return UNPRICED
    guess = estimate(task, model)
    return guess.high if high else guess.expected


def _whole(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError(f"{value!r} is not a count")
    return value


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
