"""The folder of a report: which folder is one, and the lock that keeps two processes from writing it at once."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .atomic import write_atomic

#: Name of the folder in the output folder of a batch; another batch's report there has its name after a dash.
NAME = "report"
#: The folder of details in that of a report.
DATA = "data"
#: The file that every report contains, and how it begins.
MARKER, _START = "report.json", b'{"batchgen_report":'


def is_report(folder: Path) -> bool:
    """Return whether *folder* is that of a report, so that no file in it is a delivered one."""
    if not folder.name.startswith(NAME):
        return False
    try:
        with (folder / MARKER).open("rb") as file:
            return file.read(len(_START)) == _START
    except OSError:
        return False


def read_marker(folder: Path) -> Mapping[str, Any] | None:
    """Return what the report in *folder* is about; None if it is not a report."""
    try:
        content = json.loads((folder / MARKER).read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "batchgen_report" in content else None


def write_marker(folder: Path, content: Mapping[str, Any]) -> None:
    """Write what the report in *folder* is about; raise OSError."""
    data = json.dumps({"batchgen_report": 1, **content}, separators=(",", ":")).encode()
    if not _has(folder / MARKER, data):
        write_atomic(folder / MARKER, data, mode=0o644)


def write_file(path: Path, data: bytes) -> bool:
    """Replace a file of a report unless it has these bytes already; return whether it was written. Raises OSError."""
    if _has(path, data):
        return False
    write_atomic(path, data, mode=0o644)
    return True


def _has(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


@contextmanager
def writing_report(folder: Path) -> Iterator[None]:
    """Hold the lock of a report's folder; a second process waits. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a network file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
