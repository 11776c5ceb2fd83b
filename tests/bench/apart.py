"""Run one function in a fresh process, so that its CPU and memory are its own: ``python -m tests.bench.apart``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
#: Stands for a provider's key; the simulated ones take any.
KEY = "bench-0000"
_SECONDS = 300


class MissingToolError(Exception):
    """A program that a benchmark needs is not installed and cannot be installed here."""


def environment() -> dict[str, str]:
    """Return the environment of a measured process: no settings of the person who measures, no real key."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if "API_KEY" not in name and not name.startswith(("BATCHGEN_", "PYTEST_", "COV_", "PYTHON"))
    }
    return kept | {"PYTHONPATH": str(ROOT), "OPENAI_API_KEY": KEY, "NO_COLOR": "1", "COLUMNS": "160"}


def apart(function: Callable[..., Any], /, *, under: Sequence[str] = (), **arguments: Any) -> Any:
    """Return what *function* returns in a process of its own; *under* is a program that watches it."""
    name = f"{function.__module__}:{function.__qualname__}"
    command = [*under, sys.executable, "-m", "tests.bench.apart", name, json.dumps(arguments)]
    done = subprocess.run(
        command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{name} ended with {done.returncode}:\n{done.stderr.decode(errors='replace')[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _main(name: str, arguments: str) -> None:
    module, _, function = name.partition(":")
    print(json.dumps(getattr(import_module(module), function)(**json.loads(arguments))))


if __name__ == "__main__":
    _main(*sys.argv[1:])
