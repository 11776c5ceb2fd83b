"""``python -m tests.bench.flow [NIGHT ...] [--short]``: simulated nights in full, as one table of figures.

Shares and ratios are of 1, times are virtual seconds; what each figure means stands with its scenario.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tests.simulated import scenarios
from tests.simulated.scenarios import COUNTING, Told
from tests.simulated.server import Tells

#: Where commits cost no disk; the job table is a real file there all the same.
MEMORY = Path("/dev/shm")

Play = Callable[[Path], Told]


def nights(*, short: bool) -> Mapping[str, Play]:
    """Return the nights by name, in full or as short as they still say something."""
    minutes, hour = (10, 15) if short else (240, 60)
    known = {
        "steady": partial(scenarios.steady, minutes=minutes),
        "steady, four images a call": partial(scenarios.steady, minutes=minutes, images=4),
        "steady, nothing throttled": partial(scenarios.steady, minutes=minutes, throttled=0.0),
        "steady, one call in 500 lost": partial(scenarios.steady, minutes=min(60, minutes), lost=0.002),
        "trouble": partial(scenarios.trouble, jobs=350 if short else 2000),
        "storm": partial(scenarios.storm, answers=1000 if short else 10_000),
        "restart": scenarios.restart,
        "priorities": scenarios.priorities,
        "poison": scenarios.poison,
    }
    for counting in COUNTING:
        for tells in Tells:
            name = f"unknown, {counting}, told by {tells}"
            known[name] = partial(scenarios.unknown, minutes=hour, counting=counting, tells=tells)
    return known


def main() -> None:
    """Play the nights whose names begin as asked, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.flow", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NIGHT")
    parser.add_argument("--short", action="store_true", help="minutes instead of hours of virtual time")
    given = parser.parse_args()
    print(
        "| night | figures | virtual hours | calls | seconds | ms CPU a call |\n| --- | --- | --- | --- | --- | --- |"
    )
    for name, play in nights(short=given.short).items():
        if not given.names or name.startswith(tuple(given.names)):
            print(_row(name, play), flush=True)


def _row(name: str, play: Play) -> str:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        began, burnt = time.monotonic(), time.process_time()
        told = play(Path(folder))
        seconds, cpu = time.monotonic() - began, time.process_time() - burnt
    calls = sum(len(server.log) for server in told.night.servers.values())
    figures = ", ".join(f"{figure} {value:.4g}" for figure, value in told.figures.items())
    hours = told.night.clock.seconds / 3600
    return f"| {name} | {figures} | {hours:.2f} | {calls:,} | {seconds:.1f} | {1000 * cpu / calls:.2f} |"


if __name__ == "__main__":
    main()
