"""What is killed: remote tasks at fal, and batches at OpenAI, with waits near zero."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.local_kit import Place

from . import batch_points, task_points

Line = dict[str, Any]
#: Found nowhere by chance; short, because every run compiles a pattern of all forms of its key.
KEY = "Zq8vT3xW9pL5mK2r0000"
SECRET = KEY[:-4]


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One kind of remote work."""

    points: dict[str, Callable[[], None]]
    die_at: Callable[[str], None]
    finish: Callable[[], None] | None  #: hook of a run that is not killed
    provider: str
    key: str  #: name of the variable of its key
    settings: Line
    fields: Line  #: of each job
    directive: str = ""
    may_hold: bool = False  #: a submission without an answer is unknown, and held

    def jobs(self, tag: str, number: int) -> Iterator[tuple[str, str]]:
        """Yield the first jobs of a trial: id and prompt."""
        for each in range(number):
            yield f"j{each}", f"<{tag}> picture {each:03}{self.directive}"

    def manifest(self, place: Place, jobs: dict[str, str]) -> Path:
        """Write the manifest of *jobs*."""
        settings = self.settings | {"base_url": f"{place.url}/{self.provider}"}
        made = ({"id": key, "provider": self.provider, "prompt": text} | self.fields for key, text in jobs.items())
        return place.batch(*made, providers={self.provider: settings}, on_unknown="hold")


_POLL = {"state": "status", "first_wait": 0.01, "max_wait": 0.03, "patience": 120}

SUITES = {
    "tasks": Suite(
        points=task_points.POINTS,
        die_at=task_points.die_at,
        finish=None,
        provider="fal",
        key="FAL_KEY",
        settings={
            "task": {"poll": _POLL},
            "polling": {"requests_per_minute": 60_000},
            "limits": {"concurrency": 64},
        },
        fields={},
        directive=" [sandbox: task-slow=0.05]",
        may_hold=True,
    ),
    "batches": Suite(
        points=batch_points.POINTS,
        die_at=batch_points.die_at,
        finish=batch_points.hasten,
        provider="openai",
        key="OPENAI_API_KEY",
        settings={"modes": ["batch"], "batch": {"listing_grace": 0.05}},
        fields={"quality": "low", "size": "1024x1024"},
    ),
}
