"""A manifest once it is read: the jobs of one batch, ready for the job database. Pure values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from ..budget import BudgetLimit
from ..copies import CopySpec
from ..errors import Problem, UsageError, suggest
from ..fingerprint import CURRENT, OVERRIDDEN, Stamp, asked, fingerprint, older_rule, unchanged
from ..object_url import Folder
from ..providers.profile import Profile, Retry
from ..route import Route
from ..task import Task
from ..wording import canonical

if TYPE_CHECKING:
    from .chains import Chains
    from .inputs import Inputs

#: Hexadecimal digits of the hash in an id that was made from the prompt.
ID_DIGITS = 16


def id_hash(stamp: Stamp, prompt: str) -> str:
    """Return the hash in the id of a job that was given none."""
    return stamp.hexdigest(prompt)[:ID_DIGITS]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Recipe:
    """All that a job asks for except its prompt. A hundred thousand jobs share a few recipes."""

    task: Task  #: with the provider chosen, the canonical model and an empty prompt
    tags: tuple[str, ...] = ()
    priority: int = 0
    sidecar: bool = True
    wanted: int = 1  #: number of images; ``filenames.stems`` names their files
    route: Route | None = None  #: fallback providers; they change nothing about what is asked for
    without: tuple[tuple[str, str], ...] = ()  #: providers that were named but cannot do it, each with its reason
    defaulted: frozenset[str] = frozenset()  #: parameters that only the defaults set
    dropped: tuple[tuple[str, Any], ...] = ()  #: names and values of defaults that the provider does not take
    #: The task before its images column was recognised, where that is guessed, or with earlier versions of its objects.
    earlier: Task | None = None
    unclear_quotes: bool = False  #: earlier versions removed quotes from the cells of the list
    needs: tuple[str, ...] = ()  #: ids of jobs that must be done before; with its images, those of ``parents``
    stamp: Stamp = field(init=False)
    parents: tuple[str, ...] = field(init=False)  #: ids of all jobs that must be done before

    def __post_init__(self) -> None:
        sources = self.task.sources
        of_images = (source.job for source in sources if source.job is not None)
        object.__setattr__(
            self, "parents", tuple(dict.fromkeys((*of_images, *self.needs))) if sources or self.needs else ()
        )
        object.__setattr__(self, "stamp", Stamp.of(self.task))

    def fingerprint(self, prompt: str) -> str:
        """Return the fingerprint of a job with this recipe; where it changes, the job is redone."""
        return f"{CURRENT}:{self.stamp.hexdigest(canonical(prompt))}"


@lru_cache(1_000)
def _stamp_by(rule: str, recipe: Recipe) -> Stamp:
    return Stamp.of(recipe.task, rule)


class PlannedJob(NamedTuple):
    """One job as the manifest asks for it."""

    key: str  #: unique in the batch
    prompt: str
    fingerprint: str  #: "2:<sha256>"; decides whether the job is redone
    output: str  #: file stem, relative to the batch's output folder
    recipe: Recipe
    id_stamp: Stamp | None = None  #: of the id, if that was made from the prompt

    @classmethod
    def of(cls, key: str, task: Task, output: str | None = None, **facts: object) -> PlannedJob:
        """Return a job with its own recipe; *facts* are fields of the recipe."""
        recipe = Recipe(task=replace(task, prompt=""), **facts)  # type: ignore[arg-type]
        return cls(key, task.prompt, recipe.fingerprint(task.prompt), key if output is None else output, recipe)

    def is_to_be_kept(self, stored: str) -> bool:
        """Return whether *stored* is the fingerprint of this job, but for a difference that the user did not ask for.

        Earlier versions ignored a column such as "image", and removed quotes from cells of tsv files. What they made is
        not replaced because this version reads the list otherwise. Nor is an image whose sources were written again in
        an object store, if it is not known whether their bytes are others.
        """
        earlier = self.recipe.earlier or self.recipe.task
        prompt = self.prompt.replace('"', "") if self.recipe.unclear_quotes else self.prompt
        if earlier is self.recipe.task and prompt == self.prompt:
            return False
        task = replace(earlier, prompt=prompt)
        return unchanged(stored, task, fingerprint(task))

    @property
    def task(self) -> Task:
        """Return the task, with its prompt."""
        return replace(self.recipe.task, prompt=self.prompt)

    def is_unchanged(self, stored: str, before: Task | None = None) -> bool:
        """Return whether the job requests the same as a stored job with that fingerprint and the task *before*."""
        if stored == self.fingerprint:
            return True
        rule = older_rule(stored)
        # The fast way, for a million jobs of an older version; it does not hold for overrides.
        if rule is not None and stored == f"{rule}:{_stamp_by(rule, self.recipe).hexdigest(self.prompt)}":
            return OVERRIDDEN not in self.fingerprint
        return unchanged(stored, self.task, self.fingerprint, before)

    @property
    def prompt_form(self) -> str:
        """Return the prompt as it is compared."""
        return canonical(self.prompt)

    @property
    def id_parts(self) -> tuple[str, str]:
        """Return what comes before and after the hash in an id that was made from the prompt."""
        before, _, after = self.key.rpartition(self._hash(self.prompt_form))
        return before, after

    def keys_of(self, prompt: str) -> tuple[str, ...]:
        """Return the ids that older versions made from *prompt*, another wording of the same prompt."""
        before, after = self.id_parts
        earlier = self.recipe.earlier
        if earlier is None:
            return (f"{before}{self._hash(prompt)}{after}",)
        # The id of the generation that was made without the images; see is_to_be_kept.
        generation = Stamp({**asked(earlier), "images": ("",), "mask": False})
        return tuple(f"{before}{part}{after}" for part in (self._hash(prompt), id_hash(generation, prompt)))

    def _hash(self, prompt: str) -> str:
        assert self.id_stamp is not None  # noqa: S101 - only ids made from prompts have a hash
        return id_hash(self.id_stamp, prompt)

    def as_json(self) -> dict[str, Any]:
        """Return the job as ``plan --json`` prints it."""
        task, route = self.recipe.task, self.recipe.route
        return {
            "id": self.key,
            "kind": task.kind.value,
            "provider": task.provider,
            "model": task.model,
            "size": task.size,
            "n": task.n,
            "images": [source.name for source in task.images],
            "output": self.output,
            "prompt": self.prompt,
            "alternates": list(route.others) if route else [],
        }


class Jobs(Protocol):
    """The jobs of a manifest in order; they can be iterated more than once."""

    def __iter__(self) -> Iterator[PlannedJob]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlay:
    """Options of one run; None, or an empty mapping, keeps the manifest's and the settings' values."""

    concurrency: int | None = None  #: requests in flight at each provider
    rates: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  #: limits by provider and name
    attempts: int | None = None  #: most paid attempts for one job
    folder: Folder | None = None  #: absolute output folder, or a place in an object store

    def over(self, profile: Profile) -> Profile:
        """Return *profile* with the overrides applied."""
        limits = profile.limits.model_copy(update=self.limits(profile.name))
        retry = profile.retry.model_copy(update={} if self.attempts is None else {"attempts": self.attempts})
        return profile.model_copy(update={"limits": limits, "retry": retry})

    def limits(self, provider: str) -> dict[str, float]:
        """Return the limits that are overridden for *provider*."""
        width = {} if self.concurrency is None else {"concurrency": self.concurrency}
        return {**width, **self.rates.get(provider, {})}

    def require(self, providers: Collection[str]) -> None:
        """Raise UsageError where a provider other than *providers* is named."""
        for name in self.rates:
            if name not in providers:
                hint = suggest(name, providers, f"it has: {', '.join(providers)}")
                raise UsageError(f"--rate {name}: the manifest has no provider {name}; {hint}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedJobs:
    """The jobs that were left out because their source image is bad (``on_bad_source: skip``)."""

    count: int = 0
    reasons: tuple[str, ...] = ()  #: of the first of them; each names its image

    def __bool__(self) -> bool:
        return self.count > 0

    def as_json(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        return {"jobs": self.count, "reasons": list(self.reasons)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """One manifest, read, checked and expanded."""

    name: str
    manifest: Path  #: absolute
    folder: Folder  #: absolute output folder, or a place in an object store
    jobs: Jobs
    profiles: Mapping[str, Profile]  #: every provider configured or named; ``retry`` and ``on_unknown`` merged in
    budget: tuple[BudgetLimit, ...] = ()  #: of this batch, of one day of it, of single providers
    allow_unpriced: bool = False  #: send requests without a known price, whatever budget there is
    shared_budget: tuple[BudgetLimit, ...] = ()  #: of all batches of the job database together, by the settings
    retry: Retry | None = None  #: as written at the top of the manifest
    on_unknown: Literal["retry", "hold"] | None = None  #: as written at the top of the manifest
    confirm_above: int | None = None  #: nano-USD above which a run at a terminal asks; None: 1 USD
    report: bool | None = None  #: whether each run ends with a report; None: it does not
    skipped: SkippedJobs = field(default_factory=SkippedJobs)  #: jobs left out because of a bad source image
    warnings: tuple[Problem, ...] = ()
    copies: tuple[CopySpec, ...] = ()  #: derived copies of every image
    chains: Chains | None = None  #: which jobs use images of others or wait for them; None: none does
    inputs: Inputs | None = None  #: what its jobs depend on; None where that cannot be compared as a whole
    overlay: Overlay = field(default_factory=Overlay)  #: options typed for one run; already applied to the fields above

    def under(self, overlay: Overlay) -> Batch:
        """Return the batch with *overlay* applied; raise UsageError if that names an unknown provider."""
        overlay.require(self.profiles)
        return replace(
            self,
            profiles={name: overlay.over(profile) for name, profile in self.profiles.items()},
            folder=overlay.folder or self.folder,
            overlay=overlay,
        )
