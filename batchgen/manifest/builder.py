"""Drafts to jobs: sources found, provider chosen, names and fingerprints given.  A decision but for ``Sources``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from ..errors import Problem
from ..fingerprint import Stamp, asked
from ..providers.pricing import is_stale
from ..providers.profile import Model
from ..task import Kind, Source, Task
from . import filenames
from .batch import PlannedJob, Recipe
from .candidates import ProviderTable
from .duplicates import Roll
from .expand import Row, key_of, portions
from .filenames import FILE_FIELDS, slug
from .locations import Origin, Problems
from .messages import short
from .render import RenderedJob
from .routing import Candidate, RouteChoice
from .source_images import BadSource, Sources
from .templates import Template, TemplateFault

_AS_IT_IS = ("size", "quality", "resolution", "background", "output_format", "output_compression", "moderation", "seed")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobVariants:
    """The recipes of one row: a request for each image, or for up to ``per_request`` of them."""

    homes: tuple[tuple[tuple[int, Recipe], ...], ...]  #: by the number of the first image, for each who may be asked
    choice: RouteChoice
    prompt_max: int  #: characters
    naming: Stamp  #: of the id of a job that was given none


@dataclass(frozen=True, kw_only=True, slots=True)
class Naming:
    """How files are named."""

    batch: str
    file: Template
    origin: Origin  #: of the template
    sidecar: bool

    @property
    def plain(self) -> bool:
        """Return whether a file's name is its job's id."""
        return self.file.source == "{{ id }}"

    @property
    def own(self) -> frozenset[str]:
        """Return the variables of rows that names are made of."""
        return (self.file.names | self.file.optional) - frozenset(FILE_FIELDS)


class JobBuilder:
    """Turns rows into jobs, and finds what is wrong with them."""

    def __init__(
        self,
        offers: ProviderTable,
        naming: Naming,
        *,
        sources: Sources,
        problems: Problems,
        warnings: Problems,
        today: date | None,
    ) -> None:
        self._offers = offers
        self._sources = sources
        self._naming = naming
        self._plain = naming.plain
        self._problems = problems
        self._warnings = warnings
        self._today = today
        self._offered: set[tuple[str, str]] = set()

    def cast(self, draft: RenderedJob) -> JobVariants | None:
        """Return the recipes of what *draft* asks for; None where something is wrong, which is reported."""
        task = self._task(draft)
        choice = self._offers.choose(draft, task) if task else None
        if choice is None:
            return None
        for offer in choice.offers:
            self._warn_of_model(draft, offer.task, offer.model)
        task, values = choice.offers[0].task, draft.values
        images = (*values.get("images", ()), values.get("mask", ""))
        return JobVariants(
            homes=tuple(tuple(self._recipes(draft, home, choice)) for home in choice.homes),
            choice=choice,
            prompt_max=min(offer.prompt_max for offer in choice.offers),
            naming=Stamp({**asked(task), "images": images, "mask": task.mask is not None}),
        )

    def _recipes(self, draft: RenderedJob, home: Candidate, choice: RouteChoice) -> Iterator[tuple[int, Recipe]]:
        """Yield the recipe of each request that a row makes, with the number of its first image."""
        values, recipe, first, route = draft.values, None, 0, choice.route(home)
        for count in portions(values.get("n", 1), values.get("per_request")):
            if recipe is None or recipe.wanted != count:
                recipe = Recipe(
                    task=replace(home.task, n=count, prompt=""),
                    tags=tuple(values.get("tags", ())),
                    priority=values.get("priority", 0),
                    sidecar=self._naming.sidecar,
                    wanted=count,
                    route=route,
                    without=choice.without,
                )
            yield first, recipe
            first += count

    def jobs(
        self, cast: JobVariants, row: Row, key: str | None, prompt: str, *, draft: Callable[[], RenderedJob], roll: Roll
    ) -> Iterator[PlannedJob]:
        """Yield the jobs of one row; what its names lack is reported."""
        if key is None:
            key = f"{slug(prompt) or 'image'}-{cast.naming.hexdigest(prompt)[:16]}{_again(row)}"
        for first, recipe in cast.homes[cast.choice.home(key)]:
            name = key_of(key, first)
            roll.take("id", name, name, draft)
            output = name if self._plain else self._output(draft, recipe.task, name)
            if output is None or not self._safe(draft, name, output):
                continue
            for stem in filenames.stems(output, recipe.wanted) if recipe.wanted > 1 else (output,):
                roll.take("file", filenames.folded(stem), stem, draft)
            mark = recipe.fingerprint(prompt)
            if first == 0 and row.repeat == 1:
                roll.take("request", mark, mark, draft)
            yield PlannedJob(name, prompt, mark, output, recipe)

    def _task(self, draft: RenderedJob) -> Task | None:
        """Return what the draft asks for, with its sources; the provider is still open."""
        values = draft.values
        if "prompt" not in values:
            self._wrong(draft, None, "no_prompt", "the job has no prompt", "say what to draw, or what to change")
        if "mask" in values and not values.get("images"):
            self._wrong(draft, "mask", "no_images", "a mask needs an image to edit", "name it under images")
        found = self._found(draft)
        if found is None or "prompt" not in values or ("mask" in values and not values.get("images")):
            return None
        images, mask = found
        wanted: dict[str, Any] = {field: values.get(field) for field in _AS_IT_IS}
        return Task(
            kind=Kind.EDIT if images else Kind.GENERATE,
            prompt=values["prompt"],
            provider="",
            model=values.get("model", ""),
            images=images,
            mask=mask,
            n=min(values.get("n", 1), values.get("per_request", 1)),
            extra=values.get("extra", {}),
            **wanted,
        )

    def _found(self, draft: RenderedJob) -> tuple[tuple[Source, ...], Source | None] | None:
        """Return the draft's sources and its mask; None where one is bad, which is reported."""
        field, mask = "images", None
        folder = draft.entry.part.folder
        try:
            images = self._sources.images(draft.values.get("images", []), folder)
            field = "mask"
            if "mask" in draft.values and images:
                mask = self._sources.mask(draft.values["mask"], images[0], folder)
        except BadSource as bad:
            self._wrong(draft, field, "bad_source", str(bad))
            return None
        return images, mask

    def _safe(self, draft: Callable[[], RenderedJob], name: str, output: str) -> bool:
        """Tell whether id and file name can be used; what keeps them from it is reported."""
        flaw = filenames.flaw(output)
        if flaw is None and output is name:
            return True
        hidden = filenames.control(name)
        if hidden or not name.strip():
            what = f"holds the control character {hidden}" if hidden else "is blank"
            self._wrong(draft(), "id", "bad_id", f"the id {what}")
            return False
        if flaw:
            hint = 'choose another id, or write  output: {file: "{{ id | slug }}"}'
            self._wrong(draft(), "id", "bad_name", f"the file name {short(output)!r} {flaw}", hint)
        return flaw is None

    def _output(self, draft: Callable[[], RenderedJob], task: Task, key: str) -> str | None:
        facts = {
            "id": key,
            "name": self._naming.batch,
            "provider": task.provider,
            "model": task.model,
            "kind": task.kind.value,
        }
        values: Mapping[str, object] = facts
        if self._naming.own:
            values = {**draft().row.values, **facts}
        try:
            return self._naming.file.render(values)
        except TemplateFault as fault:
            self._problems.add(self._naming.origin.problem("template", f"{fault} (for job {short(key)})"))
            return None

    def sound(self, cast: JobVariants, prompt: str) -> bool:
        """Tell whether a prompt can be sent by these recipes; where not, ``cast`` of its draft says why."""
        if len(prompt) > cast.prompt_max or not prompt or prompt.isspace():
            return False
        return prompt.isprintable() or not (
            filenames.control(prompt, allow="\t\n\r") or any("\ud800" <= letter <= "\udfff" for letter in prompt)
        )

    def _warn_of_model(self, draft: RenderedJob, task: Task, model: Model) -> None:
        """Warn once of each model that is going away, or whose prices are old."""
        if (task.provider, task.model) in self._offered:
            return
        self._offered.add((task.provider, task.model))
        if model.ends:
            message = f"{task.provider} switches {task.model} off on {model.ends}"
            hint = f"write model: {model.successor}" if model.successor else ""
            self._warnings.add(draft.problem("model", "deprecated_model", message, hint))
        if self._today is not None and is_stale(model.tariff.date, self._today):
            message = f"the prices of {task.provider} {task.model} were read on {model.tariff.date}"
            hint = "look them up, and state yours with tariff:"
            self._warnings.add(draft.problem("model", "stale_prices", message, hint))

    def _wrong(self, draft: RenderedJob, field: str | None, code: str, message: str, hint: str = "") -> None:
        self._problems.add(draft.problem(field, code, message, hint))


def twice(kind: str, shown: str, draft: RenderedJob, before: str, first: RenderedJob) -> Problem:
    """Return what to say of two jobs that have one id, one file or one request."""
    here = first.place
    same_job = first.entry is draft.entry
    if kind == "request":
        message = f"asks for exactly the same image as the job at {here}"
        return draft.problem(None, "same_job", message, "n: makes several of one")
    if kind == "file":
        hint = "" if before == shown else f"{short(shown)!r} and {short(before)!r} are one name on many disks"
        message = f"would write the same file as the job at {here}"
        return draft.problem("id", "same_file", message, hint or "let output.file hold {{ id }}")
    if "id" not in draft.values and not draft.row.values.get("id"):
        message = f"asks for exactly what a job without id at {here} asks for"
        return draft.problem(None, "duplicate_job", message, "give both an id, or use n: for several images of one")
    hint = "ids are unique in a manifest; n: 2 takes the id with -2 behind it for its second image"
    if same_job:
        hint = 'let the id name what differs from row to row, such as  id: "{{ sku }}"'
    return draft.problem("id", "duplicate_id", f"the id {short(shown)!r} is taken already ({here})", hint)


def _again(row: Row) -> str:
    return f"-r{row.repeat}" if row.repeat > 1 else ""
