"""Whole runs of the command line against nginx, in pairs with a bare loop: the cases of real nights."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from . import loops, nginx
from .apart import MissingToolError, apart
from .figures import Row, rows
from .pairs import Sample, pairs
from .program import Checkout, Project, Usage
from .settings import Settings

_STRACE = ("-f", "-c", "--seccomp-bpf", "-e", "trace=fsync,fdatasync,sync_file_range,sync,syncfs")


def large(settings: Settings) -> list[Row]:
    """Take images of 2.6 MB as base64 JSON, 64 in flight; the loop decodes and writes."""
    return _case(settings, "large", "2.6 MB PNG as base64 JSON", loops.inline, settings.count(300))


def linked(settings: Settings) -> list[Row]:
    """Take the same images by URL; the loop fetches, hashes, writes and syncs."""
    return _case(settings, "url", "2.6 MB PNG by URL", loops.linked, settings.count(300))


def small(settings: Settings) -> list[Row]:
    """Take images of 320 bytes; the loop decodes and writes."""
    return _case(settings, "small", "320 B PNG as base64 JSON", loops.inline, settings.count(2000))


def _case(settings: Settings, kind: str, what: str, loop: Callable[..., Any], count: int) -> list[Row]:
    width = min(64, count)
    with nginx.serve(side=settings.side) as far:
        url = f"{far.url}/{kind}"
        apart(loop, url=url, count=width, width=width)  # nginx is warm now

        def bare() -> Sample:
            took = apart(loop, url=url, count=count, width=width)
            return {"speed": (took["per_second"], "images/s"), "cpu": (took["cpu_ms"], "ms/image")}

        ways: dict[str, Callable[[], Sample]] = {"a bare loop": bare}
        for checkout in settings.checkouts:
            ways[checkout.name] = partial(run, checkout, url, count, width)
        return pairs(f"{what}, {width} in flight, {count:,} images", ways, settings.pairs)


def run(checkout: Checkout, url: str, count: int, width: int) -> Sample:
    """Run a batch from nothing to its end; its start, measured as a run of one job, is taken off."""
    took, start = _whole(checkout, url, count, width), _whole(checkout, url, 1, 1)
    return {
        "speed": ((count - 1) / max(0.001, took.seconds - start.seconds), "images/s"),
        "cpu": (1000 * max(0.0, took.cpu - start.cpu) / (count - 1), "ms/image"),
        "space": (took.peak / 1e6, "MB"),
    }


def _whole(checkout: Checkout, url: str, count: int, width: int) -> Usage:
    with tempfile.TemporaryDirectory(prefix="bench-run-") as folder:
        project = Project(Path(folder), checkout)
        project.write(url, count, width)
        took = project.run()
        assert len(list(project.folder.rglob("*.png"))) >= count, "not every job has its image"
    return took


def syncs(settings: Settings) -> list[Row]:
    """Count the disk syncs of a job, 64 in flight and alone; needs strace."""
    found: list[Row] = []
    with nginx.serve(side=64) as far:
        for count, width in ((settings.count(640), 64), (settings.count(100), 1)):
            cases = {
                checkout.name: {"space": (_syncs(checkout, f"{far.url}/small", count, width), "syncs/job")}
                for checkout in settings.checkouts
            }
            found += rows(f"disk syncs, {width} in flight, {count:,} jobs", cases)
    return found


def _syncs(checkout: Checkout, url: str, count: int, width: int) -> float:
    """Return the syncs of a run less those of a run with nothing to do, by the system's count."""
    strace = shutil.which("strace")
    if strace is None or _refused([strace, *_STRACE, "-o", "/dev/null", "true"]):
        raise MissingToolError("syncs are counted with strace, which is missing or not permitted here")
    with tempfile.TemporaryDirectory(prefix="bench-syncs-") as folder:
        project = Project(Path(folder), checkout)
        project.write(url, count, width)
        listing = project.folder / "syncs"
        calls = []
        for _ in range(2):
            project.run(under=(strace, *_STRACE, "-o", str(listing)))
            lines = [line.split() for line in listing.read_text(encoding="utf-8").splitlines()]
            calls.append(sum(int(words[3]) for words in lines if words and words[-1].startswith(("f", "sync"))))
    return (calls[0] - calls[1]) / count


def _refused(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode != 0
