"""Presence of delivered files: a look for each of them, without reading one.

Bounded, because it is part of every run and of ``status``: of more files than it looks for, it takes a sample that is
spread evenly. An object store answers each look after some milliseconds and a fraction of a cent, so that a run samples
far fewer objects, and ``status`` none. ``verify`` reads all files.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from ..errors import StoreError
from ..files.output_tree import open_file
from ..object_url import is_object_url
from ..store.queries import current_paths
from ..store.reader import Reader
from ..store.records import Batch
from .project import Project
from .reading import STORE_WIDTH

_PAGE = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """How much is looked for."""

    most: int  #: files; of more, a sample is taken
    sample: int  #: the size of that
    objects: int  #: the size of the sample in an object store
    seconds: float  #: after which the look ends


OF_A_RUN = Bounds(most=50_000, sample=50_000, objects=256, seconds=2.0)
OF_STATUS = Bounds(most=20_000, sample=5_000, objects=0, seconds=0.3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Presence:
    """How many delivered files are gone."""

    gone: int = 0
    looked_for: int = 0
    complete: bool = True  #: every file was looked for; otherwise at least *gone* are gone

    def __str__(self) -> str:
        some = "" if self.complete else "at least "
        return f"{some}{self.gone:,} {'file is' if self.gone == 1 else 'files are'} gone"

    def as_json(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        return {"gone": self.gone, "looked_for": self.looked_for, "complete": self.complete}


def look(project: Project, reader: Reader, batch: Batch, images: int, bounds: Bounds = OF_A_RUN) -> Presence:
    """Look for the current files of a batch; *images* is how many there are."""
    if is_object_url(batch.folder):
        return _look_in_store(project, reader, batch, images, bounds)
    # With --db, this command may run in another folder than those that stored relative paths.
    roots = (root for root in (project.root, project.state.parent) if Path(batch.folder).is_relative_to(root))
    root = next(map(str, roots), None)
    step = 1 if images <= bounds.most else -(-images // bounds.sample)
    query = partial(_look, root=root, batch_id=batch.id, step=step, end=time.monotonic() + bounds.seconds)
    return reader.ask(query)


def _look_in_store(project: Project, reader: Reader, batch: Batch, images: int, bounds: Bounds) -> Presence:
    """Look for a sample of objects; a store that does not answer shows nothing about its objects."""
    if not bounds.objects:
        return Presence(complete=not images)
    step = -(-images // bounds.objects) or 1
    paths = reader.ask(lambda connection: list(current_paths(connection, batch.id, step)))
    answers, waiting = SimpleQueue[bool | None](), iter(paths)

    def work() -> None:
        for path in waiting:
            try:
                answers.put(open_file(project.root, path).exists())
            except StoreError:
                answers.put(None)

    # Nothing waits for these threads, not even the end of the process: a store may not answer for minutes.
    for _ in range(min(STORE_WIDTH, len(paths))):
        Thread(target=work, name="batchgen-presence", daemon=True).start()
    present, end = list[bool | None](), time.monotonic() + bounds.seconds
    with suppress(Empty):
        while len(present) < len(paths):
            present.append(answers.get(timeout=max(0.0, end - time.monotonic())))
    looked_for = len(present) - present.count(None)
    complete = step == 1 and looked_for == len(paths)
    return Presence(gone=present.count(False), looked_for=looked_for, complete=complete)


def _look(connection: Any, *, root: str | None, batch_id: int, step: int, end: float) -> Presence:  # noqa: ANN401 - the store's
    paths = current_paths(connection, batch_id, step)
    gone = number = 0
    complete = step == 1
    for path in paths:
        if root is None and not os.path.isabs(path):  # noqa: PTH117 - a million times
            complete = False
            continue
        number += 1
        gone += not os.path.lexists(os.path.join(root or "", path))  # noqa: PTH118
        if number % _PAGE == 0 and time.monotonic() > end:
            return Presence(gone=gone, looked_for=number, complete=False)
    return Presence(gone=gone, looked_for=number, complete=complete)
