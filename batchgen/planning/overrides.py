"""What a person asks of single jobs otherwise than their manifest does: ``retry --with KEY=VALUE``.  Decisions: pure.

It stands in the job's mark, ``1:<sha256>+{"quality":"low"}``: behind the mark of what the manifest asks for, what was
said beside it.  So it holds until the manifest asks for something else of the job, and survives a lost job table.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import UsageError, suggest
from ..fingerprint import AMENDED
from ..manifest.batch import Jobs, PlannedJob, Recipe
from ..providers import validation
from ..providers.profile import Profile
from ..providers.validation import translate
from ..task import Task

_NUMBERS = ("output_compression", "seed")
#: What may be said.
KEYS = ("provider", "model", "prompt", *validation.OPTIONAL, "size")

Said = Mapping[str, Any]


def parsed(words: Iterable[str]) -> dict[str, Any]:
    """Return what ``KEY=VALUE`` words say; raise UsageError."""
    said: dict[str, Any] = {}
    for word in words:
        key, given, value = word.partition("=")
        if not given or not value:
            raise UsageError(f"--with takes KEY=VALUE, such as quality=low, not {word!r}")
        if key not in KEYS:
            raise UsageError(f"--with: there is no {key!r}; {suggest(key, sorted(KEYS))}")
        if key in _NUMBERS and not (value.lstrip("-").isascii() and value.lstrip("-").isdigit()):
            raise UsageError(f"--with: {key} takes a whole number, not {value!r}")
        said[key] = int(value) if key in _NUMBERS else value
    return said


def spoken(said: Said) -> str:
    """Return what was said as a person would type it, without ``--with``."""
    return " ".join(f"{key}={value}" for key, value in said.items())


def of_mark(mark: str) -> Said:
    """Return what stands in a job's mark beside what its manifest asks for."""
    said = mark.partition(AMENDED)[2]
    found: Said = json.loads(said) if said else {}
    return found


def amended(job: PlannedJob, said: Said, profiles: Mapping[str, Profile]) -> PlannedJob:
    """Return *job* as it is asked for with *said*, on top of what was said before; raise UsageError.

    It goes to its own provider only: another one of its route was chosen for what the manifest asks.
    """
    plain, _, _ = job.fingerprint.partition(AMENDED)
    said = {**of_mark(job.fingerprint), **said}
    task = _task(job, said, profiles)
    mark = f"{plain}{AMENDED}{json.dumps(said, ensure_ascii=True, separators=(',', ':'), sort_keys=True)}"
    known = job.recipe
    recipe = Recipe(
        task=replace(task, prompt=""),
        tags=known.tags,
        priority=known.priority,
        sidecar=known.sidecar,
        wanted=known.wanted,
    )
    return PlannedJob(job.key, task.prompt, mark, job.output, recipe)


def _task(job: PlannedJob, said: Said, profiles: Mapping[str, Profile]) -> Task:
    task = replace(job.task, **{key: value for key, value in said.items() if key != "provider"})
    profile = profiles[said.get("provider", task.provider)]
    task = translate(task, profile)
    if misfits := validation.check(task, profile):
        first = misfits[0]
        hint = f" ({first.hint})" if first.hint else ""
        raise UsageError(f"--with {spoken(said)}: job {job.key}: {first.message}{hint}")
    return replace(task, model=profile.find(task.model)[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class Amended:
    """The jobs of a manifest, of which some are asked for otherwise."""

    jobs: Jobs
    said: Mapping[str, Said]  #: what is said now, by key
    marks: Mapping[str, str]  #: what was said before and still holds: marks of the job table, by key
    profiles: Mapping[str, Profile]

    def __len__(self) -> int:
        return len(self.jobs)

    def __iter__(self) -> Iterator[PlannedJob]:
        for job in self.jobs:
            mark = self.marks.get(job.key)
            known = job
            if mark is not None and mark.partition(AMENDED)[0] == job.fingerprint:
                known = self._as_before(job, mark)
            said = self.said.get(job.key)
            yield known if said is None else amended(known, said, self.profiles)

    def _as_before(self, job: PlannedJob, mark: str) -> PlannedJob:
        try:
            return amended(job, of_mark(mark), self.profiles)
        except (UsageError, KeyError):
            # nobody offers that any more: what is done stays done, what is pending follows the manifest
            return job._replace(fingerprint=mark)
