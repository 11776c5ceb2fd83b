"""Rate limits at the wire: when each call came, by nginx's own log, and when it was sent, by the system's."""

from __future__ import annotations

import http.client
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from . import nginx
from .figures import Row, rows
from .program import Checkout, Project
from .settings import Settings

_STRACE = ("-f", "-ttt", "-s", "8", "--seccomp-bpf", "-e", "trace=sendto,sendmsg")
#: Seconds between two beats, and how long one may take before the server counts as stalled.
_BEAT, _STALL = 0.01, 0.03


def limits(settings: Settings) -> list[Row]:
    """Run at 60 requests a second, several times, and at 600 a minute, once."""
    found: list[Row] = []
    with nginx.serve(side=64, logged=True) as far:
        for number in range(1, settings.pairs + 1):
            for checkout in settings.checkouts:
                found += _case(checkout, far, "requests_per_second", 60, settings.count(1200), f"run {number}")
        for checkout in settings.checkouts:
            found += _case(checkout, far, "requests_per_minute", 600, settings.count(1800), "run 1")
    return sorted(found, key=lambda row: row.what)


def _case(checkout: Checkout, far: nginx.Nginx, key: str, limit: int, count: int, name: str) -> list[Row]:
    window = 1.0 if key == "requests_per_second" else 60.0
    far.log.write_bytes(b"")
    with tempfile.TemporaryDirectory(prefix="bench-limit-") as folder, _beats(far.url) as beats:
        project = Project(Path(folder), checkout)
        project.write(f"{far.url}/small", count, 64, limits=f"{key}: {limit}")
        strace, listing = shutil.which("strace"), project.folder / "sent"
        project.run(under=(strace, *_STRACE, "-o", str(listing)) if strace else ())
        sent = _sent(listing) if strace else []
    came = arrivals(far.log)
    assert len(came) == count, f"{len(came)} calls instead of {count}"
    stall = max(beats)
    mark = f"; THE SERVER STALLED for {1000 * stall:.0f} ms" if stall > _STALL else ""
    used = 100 * (len(came) - 1) / (came[-1] - came[0]) * window / limit
    case = {
        "speed": (float(most(came, window)), "at most, by the server"),
        "space": (used, "% used"),
    }
    if sent:
        case["cpu"] = (float(most(sent, window)), "at most, by send calls")
    unit = "second" if window == 1 else "minute"
    return rows(f"limit: {limit} requests a {unit}, most in any {unit}", {f"{checkout.name}, {name}{mark}": case})


def most(times: Sequence[float], window: float) -> int:
    """Return the most of the sorted *times* in any window: those that lie less than *window* apart."""
    best = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= window:
            first += 1
        best = max(best, last - first + 1)
    return best


def arrivals(log: Path) -> list[float]:
    """Return when each call came: nginx logs the end of a request and how long it took."""
    lines = (line.split() for line in log.read_text(encoding="ascii").splitlines())
    return sorted(round(float(end) - float(took), 3) for end, took, path in lines if path.startswith("/files/"))


def _sent(listing: Path) -> list[float]:
    lines = listing.read_text(encoding="utf-8", errors="replace").splitlines()
    return sorted(float(line.split()[1]) for line in lines if '"POST ' in line)


@contextmanager
def _beats(url: str) -> Iterator[list[float]]:
    """Ask the server for nothing, a hundred times a second; yield how long each answer took."""
    taken: list[float] = [0.0]
    ended = threading.Event()

    def beat() -> None:
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        while not ended.wait(_BEAT):
            began = time.perf_counter()
            connection.request("GET", "/beat")
            connection.getresponse().read()
            taken.append(time.perf_counter() - began)
        connection.close()

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield taken
    finally:
        ended.set()
        thread.join()
