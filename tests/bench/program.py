"""batchgen as a user starts it: a project folder with a manifest, the command line, its log and its job database."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .apart import ROOT, environment

_SECONDS = 1800
_MANIFEST = """\
name: bench
providers:
  openai:
    base_url: {url}
    limits: {{concurrency: {width}{limits}}}
defaults: {{provider: openai, size: 1024x1024, quality: low}}
jobs:
"""
_JOB = "  - {{id: job-{0:05}, prompt: a photo of item {0}}}\n"
_LIST = "  - {id: '{{ sku }}', prompt: 'a photo of {{ title }} on an oak table, soft daylight', from: items.jsonl}\n"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command took, with all its children; ``peak`` is in bytes."""

    code: int
    seconds: float
    cpu: float
    peak: int


@dataclass(frozen=True, slots=True)
class Checkout:
    """A source tree of batchgen, with the interpreter that runs it."""

    name: str
    root: Path = ROOT
    python: str = sys.executable

    @classmethod
    def at(cls, root: Path) -> Checkout:
        """Return the checkout at *root*; its own ``.venv`` is used if it has one."""
        own = root / ".venv/bin/python"
        found = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        )
        return cls(found.stdout.strip() or root.name, root, str(own) if own.exists() else sys.executable)

    def environment(self) -> dict[str, str]:
        return environment() | {"PYTHONPATH": str(self.root)}

    def command(self, *words: str) -> list[str]:
        return [self.python, "-m", "batchgen", *words]


#: The tree that this file belongs to.
HERE = Checkout("batchgen")


@dataclass(frozen=True, slots=True)
class Project:
    """A project folder with a manifest ``bench.yaml``."""

    folder: Path
    checkout: Checkout = HERE

    def write(self, url: str, count: int, width: int, limits: str = "") -> None:
        """Write a manifest of *count* jobs, *width* of them in flight; *limits* are more keys, as YAML."""
        head = _MANIFEST.format(url=url, width=width, limits=f", {limits}" if limits else "")
        jobs = "".join(_JOB.format(number) for number in range(count))
        (self.folder / "bench.yaml").write_text(head + jobs, encoding="utf-8")

    def write_list(self, url: str, count: int) -> None:
        """Write a manifest whose jobs are the rows of a jsonl file of *count* lines."""
        (self.folder / "bench.yaml").write_text(_MANIFEST.format(url=url, width=1, limits="") + _LIST, encoding="utf-8")
        with (self.folder / "items.jsonl").open("w", encoding="utf-8") as file:
            for number in range(count):
                file.write(json.dumps({"sku": f"item-{number:07}", "title": f"item {number}, blue"}) + "\n")

    def batchgen(self, *words: str, under: Sequence[str] = (), codes: Sequence[int] = (0,)) -> Usage:
        """Run a command of batchgen in this folder; *under* is a program that watches it."""
        clock = (sys.executable, "-S", str(Path(__file__).with_name("clocked.py")))
        done = subprocess.run(
            [*clock, *under, *self.checkout.command(*words)],
            cwd=self.folder, env=self.checkout.environment(), capture_output=True, timeout=_SECONDS, check=True,
        )  # fmt: skip
        usage = Usage(**json.loads(done.stdout))
        if usage.code not in codes:
            text = done.stderr.decode(errors="replace")
            raise RuntimeError(f"batchgen {' '.join(words)} ended with {usage.code}:\n{text[-3000:]}")
        return usage

    def run(self, *words: str, under: Sequence[str] = (), codes: Sequence[int] = (0,)) -> Usage:
        """Run the batch as cron does: without a terminal, the log and the job database in their usual places."""
        return self.batchgen("run", "bench.yaml", "--yes", *words, under=under, codes=codes)
