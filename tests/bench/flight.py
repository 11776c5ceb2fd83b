"""Hundreds of large answers and thousands of small ones in flight: what they take, and how late they become."""

from __future__ import annotations

import json
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import loops
from .apart import apart
from .far import far
from .figures import Measure, Row, rows
from .program import Checkout, Project
from .settings import Settings

#: As many as 20,000 open files carried when a call was reckoned with four; now they carry 6,600.
MANY = 4_900


def burst(settings: Settings) -> list[Row]:
    """Take answers of 2.6 MB that all come at the same moment. A thousand of them need 7 GB of disk for a while."""
    found: list[Row] = []
    with far(settings.side) as url:
        for width in (4, 8) if settings.short else (500, 1000):
            order = {"url": f"{url}/hold/{width}", "count": width, "width": width}
            took = apart(loops.inline, **order)
            cases: dict[str, dict[str, Measure]] = {
                "a bare loop": {"cpu": (took["cpu_ms"], "ms/image"), "space": (took["resident_mb"], "MB at the peak")}
            }
            for checkout in settings.checkouts:
                cases[checkout.name] = _burst(checkout, str(order["url"]), width)
            found += rows(f"burst: {width:,} answers of 2.6 MB at the same moment", cases)
    return found


def _burst(checkout: Checkout, url: str, width: int) -> dict[str, Measure]:
    with tempfile.TemporaryDirectory(prefix="bench-burst-") as folder:
        project = Project(Path(folder), checkout)
        project.write(url, width, width)
        took = project.run()
    return {"cpu": (1000 * took.cpu / width, "ms/image"), "space": (took.peak / 1e6, "MB at the peak")}


def flight(settings: Settings) -> list[Row]:
    """Take small answers after 60 s each, then as many that all come at the same moment."""
    count, seconds = (40, 0.5) if settings.short else (settings.count(MANY), 60)
    found: list[Row] = []
    for path, what in ((f"late/{seconds}", f"{seconds} s each"), (f"hold/{count}", "answered at the same moment")):
        cases: dict[str, dict[str, Measure]] = {}
        for checkout in settings.checkouts:
            cases |= _flight(checkout, path, count)
        found += rows(f"flight: {count:,} calls, {what}", cases)
    return found


def _flight(checkout: Checkout, path: str, count: int) -> dict[str, dict[str, Measure]]:
    """Run so many jobs at once; a job's added latency is the time from its answer to its image in the output."""
    with far(64) as url, tempfile.TemporaryDirectory(prefix="bench-flight-") as folder:
        project = Project(Path(folder), checkout)
        project.write(f"{url}/{path}", count, count)
        took = project.run()
        with urllib.request.urlopen(f"{url}/answered") as reply:
            answered = {int(number): at for number, at in json.load(reply).items()}
        images = published(project.folder)
    late = sorted(images[number] - at for number, at in answered.items())
    drain = max(images.values()) - min(answered.values())
    name = checkout.name
    return {
        name: {
            "speed": (late[int(0.99 * (len(late) - 1))], "s late at the 99th percentile"),
            "cpu": (1000 * took.cpu / count, "ms/call"),
            "space": (took.peak / 1e6, "MB at the peak"),
        },
        f"{name}, from first answer to last image": {
            "speed": (1000 * drain / count, "ms/call"),
            "cpu": (100 * took.cpu / took.seconds, "% of a core"),
        },
    }


def published(folder: Path) -> Mapping[int, float]:
    """Return when each job's image got its name in the output folder."""
    images: Sequence[Path] = [path for path in folder.rglob("job-*.png") if ".batchgen" not in path.parts]
    return {int(path.stem.removeprefix("job-")): path.stat().st_ctime for path in images}
