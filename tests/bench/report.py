"""The page of results, ``RESULTS.md``: the machine, how to read the figures, the goals, and every row."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import goals
from .figures import Row, table
from .meter import cores

_PAGE = """\
# Speed

batchgen's command line against a bare loop, measured in the same run. `python -m tests.bench --markdown`
writes this page; `python -m tests.bench --help` lists the benchmarks.

**Machine**: {machine}.

## How to read it

- The far side is nginx, which takes next to no CPU; where answers must be held back, a small aiohttp server.
- batchgen runs as a user starts it: one process with manifest, project folder, log and job database. Its CPU is
  user and system time of the process with its children, less that of a run of one job; the bare loop's
  imports are not counted either.
- The bare loop asks, parses, decodes and writes. It keeps no record, syncs nothing and cannot resume. The loop
  for answers by URL also hashes each image and syncs it.
- The ways of one case take turns. A figure is the median; in square brackets: lowest and highest; in round
  ones: the ratio to the first row of the case, as the median of the turns. Trust CPU and ratios: a shared
  machine changes times from minute to minute.
- "By the send calls" is the time at which the run asks the system to send (strace); "by the server" is nginx's own
  log. A run in which nginx took more than 30 ms to answer a heartbeat is marked.

## Goals

{goals}

{plots}## All figures

{rows}
"""


#: What ``python -m tests.bench plots`` draws, beside this file.
_PLOTS = {
    "table.svg": "CPU and memory by the size of the table",
    "flight.svg": "CPU and memory by the calls in flight",
}


def page(rows: Sequence[Row], machine: str) -> str:
    """Return the page as Markdown, with the plots that have been drawn."""
    drawn = [name for name in _PLOTS if Path(__file__).with_name(name).exists()]
    plots = "".join(f"![{_PLOTS[name]}]({name})\n\n" for name in drawn)
    return _PAGE.format(machine=machine, goals=goals.table(rows), plots=plots, rows=table(rows))


def machine() -> str:
    """Return processor, memory, kernel, Python and the file system that is measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{cores()} cores{_processor()}, {memory:.0f} GB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {_file_system(Path(tempfile.gettempdir()))}"
    )


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    return next((f" ({line.partition(': ')[2]})" for line in lines if line.startswith("model name")), "")


def _file_system(folder: Path) -> str:
    """Return the type of the file system that *folder* is on: that of the longest mount point above it."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "file system unknown"
    points = [line.split()[1:3] for line in mounts.read_text(encoding="utf-8").splitlines()]
    found = [(len(point), kind) for point, kind in points if folder.is_relative_to(point)]
    return max(found)[1]
