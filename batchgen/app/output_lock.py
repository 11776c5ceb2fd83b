"""Lock of a batch's output: no other run with another job database may write there meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from ..files import lock
from ..object_url import Folder


class OutputLock(Protocol):
    """The lock of an output folder."""

    def make(self) -> None:
        """Make the folder if it is missing; raise AlreadyRunning if another run was faster."""
        ...


class _Unlocked:
    """A place that needs no lock."""

    def make(self) -> None:
        """Do nothing: an object store has no folders."""


@contextmanager
def hold_output(folder: Folder, *, wait: float = 0.0) -> Iterator[OutputLock]:
    """Hold the output of a batch; wait up to *wait* seconds for it; raise AlreadyRunning."""
    if not isinstance(folder, Path):
        yield _Unlocked()
        return
    with lock.hold_folder(folder, wait=wait) as held:
        yield held
