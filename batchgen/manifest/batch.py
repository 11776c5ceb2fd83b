"""What a manifest becomes: the jobs of one batch, ready for the job table.  Values; no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from ..budget import BudgetLimit
from ..errors import Problem
from ..fingerprint import CURRENT, Stamp
from ..providers.profile import Profile, Retry
from ..route import Route
from ..task import Task
from .overrides import Overlay


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Recipe:
    """All that is asked for but the prompt.  Jobs by the hundred thousand share a few of them."""

    task: Task  #: with the provider chosen, the canonical model and an empty prompt
    tags: tuple[str, ...] = ()
    priority: int = 0
    sidecar: bool = True
    wanted: int = 1  #: images in all; ``names.stems`` says which files they become
    route: Route | None = None  #: who else may do it; changes nothing about what is asked for
    without: tuple[tuple[str, str], ...] = ()  #: who was named and cannot do it, each with its reason
    stamp: Stamp = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stamp", Stamp.of(self.task))

    def fingerprint(self, prompt: str) -> str:
        """Return what decides whether a job of this recipe is redone."""
        return f"{CURRENT}:{self.stamp.hexdigest(prompt)}"


class PlannedJob(NamedTuple):
    """One job as the manifest asks for it."""

    key: str  #: unique in the batch
    prompt: str
    fingerprint: str  #: "1:<sha256>"; decides whether the job is redone
    output: str  #: file stem, relative to the batch's output folder
    recipe: Recipe

    @classmethod
    def of(cls, key: str, task: Task, output: str | None = None, **facts: object) -> PlannedJob:
        """Return a job with a recipe of its own; *facts* are the recipe's."""
        recipe = Recipe(task=replace(task, prompt=""), **facts)  # type: ignore[arg-type]
        return cls(key, task.prompt, recipe.fingerprint(task.prompt), key if output is None else output, recipe)

    @property
    def task(self) -> Task:
        """Return what is asked for."""
        return replace(self.recipe.task, prompt=self.prompt)

    def as_json(self) -> dict[str, Any]:
        """Return it for ``plan --json``."""
        task, route = self.recipe.task, self.recipe.route
        return {
            "id": self.key,
            "kind": task.kind.value,
            "provider": task.provider,
            "model": task.model,
            "size": task.size,
            "n": task.n,
            "images": [source.url or source.path for source in task.images],
            "output": self.output,
            "prompt": self.prompt,
            "alternates": list(route.others) if route else [],
        }


class Jobs(Protocol):
    """The jobs of a manifest in order; may be gone through again and again, and is made anew each time."""

    def __iter__(self) -> Iterator[PlannedJob]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """One manifest, read, checked and expanded."""

    name: str
    manifest: Path  #: absolute
    folder: Path  #: absolute output folder
    jobs: Jobs
    profiles: Mapping[str, Profile]  #: every provider configured or named; ``retry`` and ``on_unknown`` merged in
    budget: tuple[BudgetLimit, ...] = ()  #: of this batch, of one day of it, of single providers
    retry: Retry | None = None  #: as stated at the top of the manifest
    on_unknown: Literal["retry", "hold"] | None = None  #: as stated at the top of the manifest
    confirm_above: int | None = None  #: nano-USD above which a person at a terminal is asked; None: 1 USD
    warnings: tuple[Problem, ...] = ()
    overlay: Overlay = field(default_factory=Overlay)  #: what was typed for one run; it is in all the above already

    def under(self, overlay: Overlay) -> Batch:
        """Return this with *overlay* over it; raise UsageError where that names a provider that this has not."""
        overlay.require(self.profiles)
        return replace(
            self,
            profiles={name: overlay.over(profile) for name, profile in self.profiles.items()},
            folder=overlay.folder or self.folder,
            overlay=overlay,
        )
