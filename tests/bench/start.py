"""The CPU that commands take, against the import of the libraries that they need."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from .apart import apart, environment
from .figures import Row, rows
from .settings import Settings
from .table import load

_MANIFEST = "name: shop\njobs:\n  - {id: lamp, provider: openai, quality: low, prompt: A lamp}\n"
#: Commands by the libraries that they need; the first of each group is what the others are compared with.
_GROUPS = {
    "click": ["--help"],
    "click, sqlalchemy": ["status --sandbox", "list --sandbox", "show lamp --sandbox", "usage --sandbox"],
    "click, sqlalchemy, pydantic, yaml": ["validate m.yaml", "plan m.yaml --sandbox", "run m.yaml --sandbox"],
}


def start(settings: Settings) -> list[Row]:
    """Least CPU of several runs of each command; the sandbox run is done, so that ``run`` finds nothing to do."""
    jobs, times = (500, 1) if settings.short else (100_000, 7)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "m.yaml").write_text(_MANIFEST, encoding="utf-8")
        run = ("-m", "batchgen", "run", "m.yaml", "--sandbox")
        _cpu(folder, run)
        large = Path(folder, "large.db")
        apart(load, count=jobs, path=str(large))
        programs: dict[str, dict[str, tuple[str, ...]]] = {}
        for libraries, commands in _GROUPS.items():
            programs[libraries] = {f"import {libraries}": ("-c", f"import {libraries}")}
            programs[libraries] |= {f"batchgen {words}": ("-m", "batchgen", *words.split()) for words in commands}
        status = ("-m", "batchgen", "--db", str(large), "status")
        programs["click, sqlalchemy"][f"batchgen status, {jobs:,} jobs"] = status
        least = {group: dict.fromkeys(commands, float("inf")) for group, commands in programs.items()}
        for _ in range(times):
            for group, commands in programs.items():
                for how, program in commands.items():
                    least[group][how] = min(least[group][how], _cpu(folder, program))
    return [
        row
        for group, figures in least.items()
        for row in rows(f"start-up: {group}", {how: {"cpu": (1000 * cpu, "ms")} for how, cpu in figures.items()})
    ]


def _cpu(folder: str, program: tuple[str, ...]) -> float:
    """Return the seconds of CPU that *program* takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *program], cwd=folder, env=environment(), stdin=subprocess.DEVNULL, capture_output=True,
        check=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
