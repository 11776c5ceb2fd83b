"""Overrides of single jobs: ``retry`` and ``redo`` with ``--with KEY=VALUE``, ``--prompts`` or ``--note``. Pure.

They are stored in the job's fingerprint, ``2:<sha256>+{"quality":"low"}``, behind the fingerprint of what the manifest
requests. So they apply until the manifest requests something else of the job, and survive the loss of the job
database. A note is stored with them; it changes nothing of the request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from ..errors import UsageError, suggest
from ..fingerprint import OVERRIDDEN, unchanged
from ..manifest.batch import Jobs, PlannedJob, Recipe
from ..providers import validation
from ..providers.profile import Profile
from ..providers.validation import translate
from ..task import Task
from .override_marks import NOTE, Overrides, describe, mark, overrides_of

_NUMBERS = ("output_compression", "seed")
#: Parameters that can be overridden.
KEYS = ("provider", "model", "prompt", *validation.OPTIONAL, "size")


def parse(words: Iterable[str]) -> dict[str, Any]:
    """Return the overrides in ``KEY=VALUE`` words; raise UsageError."""
    overrides: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        if not value:
            raise UsageError(f"--with takes KEY=VALUE, such as quality=low, not {word!r}")
        if key not in KEYS:
            raise UsageError(f"--with: there is no {key!r}; {suggest(key, sorted(KEYS))}")
        if key in _NUMBERS and not (value.lstrip("-").isascii() and value.lstrip("-").isdigit()):
            raise UsageError(f"--with: {key} takes a whole number, not {value!r}")
        overrides[key] = int(value) if key in _NUMBERS else value
    return overrides


def override(
    job: PlannedJob, overrides: Overrides, profiles: Mapping[str, Profile], today: date | None = None
) -> PlannedJob:
    """Return *job* with *overrides* in addition to those it has; raise UsageError.

    With *today*, a model that the provider has switched off is refused.

    An empty note removes an earlier one. With other parameters the job loses its fallback providers, because they were
    chosen for what the manifest requests.
    """
    declared, _, _ = job.fingerprint.partition(OVERRIDDEN)
    merged = {**overrides_of(job.fingerprint), **overrides}
    merged = {key: value for key, value in merged.items() if key != NOTE or value}
    fingerprint = mark(declared, merged)
    if not merged.keys() - {NOTE}:
        return job._replace(fingerprint=fingerprint)
    task = _task(job, merged, profiles, today)
    before = job.recipe
    recipe = Recipe(
        task=replace(task, prompt=""),
        tags=before.tags,
        priority=before.priority,
        sidecar=before.sidecar,
        wanted=before.wanted,
        needs=before.needs,
        defaulted=before.defaulted - overrides.keys(),
    )
    return PlannedJob(job.key, task.prompt, fingerprint, job.output, recipe)


def _task(job: PlannedJob, overrides: Overrides, profiles: Mapping[str, Profile], today: date | None) -> Task:
    task = replace(job.task, **{key: value for key, value in overrides.items() if key not in ("provider", NOTE)})
    profile = profiles[overrides.get("provider", task.provider)]
    task = translate(task, profile)
    # Defaults that the provider does not take are not sent; what was typed must fit.
    defaulted = job.recipe.defaulted - overrides.keys()
    misfits = validation.unforgiven(validation.check(task, profile), defaulted)
    if not misfits and today is not None:
        misfits = validation.discontinued(task, profile, today)
    if misfits:
        first = misfits[0]
        hint = f" ({first.hint})" if first.hint else ""
        raise UsageError(f"job {job.key}: {first.message}{hint}. It was set by {describe(overrides)}. Nothing was sent")
    return replace(task, model=profile.find(task.model)[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class OverriddenJobs:
    """The jobs of a manifest, some of them with overrides."""

    jobs: Jobs
    overrides: Mapping[str, Overrides]  #: new overrides, by key
    fingerprints: Mapping[str, str]  #: fingerprints in the job database that contain overrides, by key
    profiles: Mapping[str, Profile]
    before: Mapping[str, Task] = field(default_factory=dict)  #: tasks in the job database of those jobs, by key
    today: date | None = None  #: models that end by then are refused in new overrides

    def __len__(self) -> int:
        return len(self.jobs)

    def __iter__(self) -> Iterator[PlannedJob]:
        for planned in self.jobs:
            job, fingerprint = planned, self.fingerprints.get(planned.key)
            if fingerprint is not None and self._applies(planned, fingerprint):
                job = self._as_before(planned, fingerprint)
            overrides = self.overrides.get(planned.key)
            yield job if overrides is None else override(job, overrides, self.profiles, self.today)

    def _applies(self, job: PlannedJob, fingerprint: str) -> bool:
        """Return whether the manifest requests what it did when the overrides were typed."""
        return unchanged(fingerprint, job.task, job.fingerprint, self.before.get(job.key))

    def _as_before(self, job: PlannedJob, fingerprint: str) -> PlannedJob:
        try:
            # The fingerprint of an older version is kept: its rule hashed the manifest's own request.
            return override(job, overrides_of(fingerprint), self.profiles)._replace(fingerprint=fingerprint)
        except (UsageError, KeyError):
            # No provider offers this any more. A job that is done stays done, a pending one follows the manifest.
            return job._replace(fingerprint=fingerprint)
