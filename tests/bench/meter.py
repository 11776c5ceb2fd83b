"""What a piece of work took: time, CPU of all threads, and how far it drove up the resident memory."""

from __future__ import annotations

import os
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_STATUS = Path("/proc/self/status")


class Meter:
    """Measures what is done inside ``with``. Memory is true only in a process that does nothing else."""

    seconds = 0.0
    cpu = 0.0
    peak = 0  #: bytes above what was resident before
    resident = 0  #: bytes at the peak

    def __enter__(self) -> Self:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak so far is forgotten
        self._resident = _resident()
        self._cpu = time.process_time()
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._began
        self.cpu = time.process_time() - self._cpu
        self.resident = _peak()
        self.peak = max(0, self.resident - self._resident)

    def took(self, count: int) -> dict[str, float]:
        """Return the figures of *count* pieces of work, as plain data."""
        return {
            "per_second": count / self.seconds,
            "cpu_ms": 1000 * self.cpu / count,
            "peak_mb": round(self.peak / 1e6, 1),
            "resident_mb": round(self.resident / 1e6, 1),
        }


def _resident() -> int:
    return _line("VmRSS:") or _peak()


def _peak() -> int:
    # what getrusage() says starts, on Linux, at the size of the process that this one was forked from
    unit = 1 if sys.platform == "darwin" else 1024
    return _line("VmHWM:") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _line(name: str) -> int:
    if not _STATUS.exists():
        return 0
    found = next(line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith(name))
    return int(found.split()[1]) * 1024


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
