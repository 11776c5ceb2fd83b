"""``python -m tests.cluster``: the scenes on two hosts in full, and their figures (root, Linux, some minutes)."""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from . import scenes

SCENES: dict[str, Callable[[Path], scenes.Result]] = {
    "both_hosts": lambda folder: scenes.both_hosts(folder, jobs=2000, in_flight=100, latency=5),
    "both_hosts_in_waves": lambda folder: scenes.both_hosts(folder, jobs=2000, in_flight=400, latency=5),
    "both_hosts_at_once": lambda folder: scenes.both_hosts(folder, jobs=2000, in_flight=2000, latency=5),
    "worker_killed": lambda folder: scenes.worker_killed(folder, in_flight=1000, latency=20),
    "link_down": lambda folder: scenes.link_down(folder, jobs=1000, in_flight=100, latency=5, seconds=15, dies=False),
    "host_dead": lambda folder: scenes.link_down(folder, jobs=2000, in_flight=100, latency=5, seconds=90, dies=True),
    "worker_stopped": lambda folder: scenes.worker_stopped(folder, rate=150, seconds=40, stopped=8),
    "driver_killed": lambda folder: scenes.driver_killed(folder, in_flight=800, latency=40),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the scenes that were named, or all of them; return 1 if one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=f"any of {', '.join(SCENES)}; default: all")
    names = parser.parse_args(arguments).scenes or list(SCENES)
    failed = 0
    for name in names:
        with tempfile.TemporaryDirectory(prefix=f"cluster-{name}-") as folder:
            try:
                result = SCENES[name](Path(folder))
            except Exception:  # noqa: BLE001 - the other scenes are worth playing
                failed += 1
                say(f"FAILED {name}\n{traceback.format_exc()}")
            else:
                say(f"{name}: {', '.join(f'{key} {value}' for key, value in result.items())}")
    return 1 if failed else 0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
