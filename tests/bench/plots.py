"""The plots: CPU a job and memory, by the size of the table and by the calls in flight."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

from . import loops, nginx, svg
from .apart import apart
from .far import far
from .figures import Row, rows
from .million import commands, measures
from .program import HERE, Project
from .settings import Settings

_FOLDER = Path(__file__).parent
_SIZES = (1_000, 10_000, 100_000, 1_000_000)
_WIDTHS = (1, 5, 20, 64, 250, 1_000, 4_900)
#: Jobs at least of each point, so that the start does not count.
_JOBS = 300
_COMMANDS = ("first load, one call", "unchanged, one call", "nothing to do, again", "status")
_Series = dict[str, list[tuple[float, float]]]


def plots(settings: Settings) -> list[Row]:
    """Measure every point and write ``table.svg`` and ``flight.svg``; the figures are returned, too."""
    folder = Path(tempfile.mkdtemp(prefix="bench-plots-")) if settings.short else _FOLDER
    return _table(settings, folder) + _flight(settings, folder)


def _table(settings: Settings, folder: Path) -> list[Row]:
    cpu: _Series = defaultdict(list)
    memory: _Series = defaultdict(list)
    found: list[Row] = []
    with nginx.serve(side=64) as side:
        for count in (200,) if settings.short else [size for size in _SIZES if size <= settings.rows]:
            took = commands(HERE, f"{side.url}/small", count)
            for name in _COMMANDS:
                line = name.partition(",")[0]
                cpu[line].append((count, took[name].cpu))
                memory[line].append((count, took[name].peak / 1e6))
            found += rows(f"plot: {count:,} rows", {name: measures(took[name]) for name in _COMMANDS})
    across = "rows of the table"
    panels = [
        svg.Panel("CPU of a command, by the size of the table", across, "seconds of CPU", cpu),
        svg.Panel("Memory of a command, by the size of the table", across, "MB at the peak", memory),
    ]
    svg.write(folder / "table.svg", panels)
    return found


def _flight(settings: Settings, folder: Path) -> list[Row]:
    cpu: _Series = defaultdict(list)
    memory: _Series = defaultdict(list)
    found: list[Row] = []
    with far(64) as url:
        for width in (1, 4) if settings.short else _WIDTHS:
            count = width * max(1, (4 if settings.short else _JOBS) // width)
            order = {"url": f"{url}/hold/{width}", "count": count, "width": width}
            loop = apart(loops.inline, **order)
            ours = _run(str(order["url"]), count, width, settings)
            cases = {"a bare loop": (loop["cpu_ms"], loop["resident_mb"]), "batchgen": ours}
            for name, (milliseconds, megabytes) in cases.items():
                cpu[name].append((width, milliseconds))
                memory[name].append((width, megabytes))
            found += rows(
                f"plot: {width:,} in flight",
                {name: {"cpu": (one[0], "ms/job"), "space": (one[1], "MB")} for name, one in cases.items()},
            )
    across = "calls in flight"
    panels = [
        svg.Panel("CPU of a job, by the calls in flight", across, "ms of CPU a job", cpu),
        svg.Panel("Memory of a run, by the calls in flight", across, "MB at the peak", memory),
    ]
    svg.write(folder / "flight.svg", panels)
    return found


def _run(url: str, count: int, width: int, settings: Settings) -> tuple[float, float]:
    """Return milliseconds of CPU a job, and megabytes at the peak; the start, a run of one job, is taken off."""
    start = 0.0
    if not settings.short:
        with tempfile.TemporaryDirectory(prefix="bench-start-") as name:
            project = Project(Path(name))
            project.write(url.rpartition("/")[0] + "/1", 1, 1)
            start = project.run().cpu
    with tempfile.TemporaryDirectory(prefix="bench-plot-") as name:
        project = Project(Path(name))
        project.write(url, count, width)
        took = project.run()
    return 1000 * (took.cpu - start) / count, took.peak / 1e6
