"""Rendered jobs to planned jobs: sources found, provider chosen, ids, file names and fingerprints given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ..copies import CopySpec
from ..fingerprint import Stamp, asked
from ..task import Kind, Source, Task
from ..wording import canonical, is_blank, tidy
from . import filenames, messages
from .bad_source import BadSource, StoreTrouble
from .batch import PlannedJob, Recipe, id_hash
from .chain_check import ChainCheck, is_reference
from .deliver import taken_by
from .duplicates import DuplicateCheck
from .expand import key_of, portions
from .filenames import FILE_FIELDS, slug
from .locations import Origin
from .messages import short
from .model import JobSpec
from .model_warnings import ModelWarnings
from .photo_check import PhotoCheck, what_to_write
from .problems import Problems
from .render import NUMBERS, RenderedJob
from .routing import Candidate, ProviderTable, RouteChoice
from .source_images import Preparation, SourceImage, Sources
from .templates import Template, TemplateFault

#: So many variants are remembered; rows that differ in more than id and prompt are usually few.
_MAX_VARIANTS = 5_000

_SENT_AS_WRITTEN = (
    *("size", "quality", "resolution", "background", "output_format", "output_compression", "moderation", "seed"),
)
#: A prompt in place of one that is wrong, for the check of the other parameters.
_ANY_PROMPT = "a prompt"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobVariants:
    """What jobs have in common that differ in id and prompt only: their requests, at each provider they may go to."""

    choice: RouteChoice
    requests: tuple[tuple[tuple[int, Recipe], ...], ...]  #: number of the first image, and recipe; as ``choice.homes``
    prompt_max: int  #: characters
    id_stamp: Stamp  #: of the id of a job that was given none

    def accepts(self, job: RenderedJob) -> bool:
        """Return whether these variants fit the id and the prompt of *job* as well."""
        prompt = job.values.get("prompt")
        if not isinstance(prompt, str) or len(prompt) > self.prompt_max or is_blank(prompt):
            return False
        if job.id is None and "id" in job.values:
            return False
        return prompt.isprintable() or not (
            filenames.control(prompt, allow="\t\n\r") or any("\ud800" <= letter <= "\udfff" for letter in prompt)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Naming:
    """How files are named."""

    batch: str
    file: Template
    origin: Origin  #: of the template
    sidecar: bool
    copies: tuple[CopySpec, ...] = ()  #: derived copies of every image

    @property
    def row_variables(self) -> frozenset[str]:
        """Return the variables of rows that names are made of."""
        return (self.file.names | self.file.optional) - frozenset(FILE_FIELDS)


class JobBuilder:
    """Turns rendered jobs into planned jobs, and reports what is wrong with them."""

    def __init__(
        self,
        providers: ProviderTable,
        naming: Naming,
        *,
        sources: Sources,
        photos: PhotoCheck,
        problems: Problems,
        warnings: Problems,
        duplicates: DuplicateCheck | None,
        today: date | None,
        chains: ChainCheck | None = None,
    ) -> None:
        self._providers = providers
        self._naming = naming
        self._sources = sources
        self._photos = photos
        self._problems = problems
        self._warnings = warnings
        self._duplicates = duplicates
        self._chains = chains
        self._models = ModelWarnings(providers, warnings, today)
        self._variants: dict[tuple[object, ...], JobVariants] = {}
        self._usual: tuple[object, object, JobVariants | None] = (None, None, None)  #: template and list of the last

    def jobs(self, job: RenderedJob) -> Iterator[PlannedJob]:
        """Yield the planned jobs of one row, one for each request; a row that is wrong is reported."""
        variants = self._variants_of(job)
        if variants is None:
            self._check_name(job)
            return
        prompt, row_id, stamp = tidy(job.values["prompt"]), job.id, None
        if row_id is None:
            stamp = variants.id_stamp
            repeat = f"-r{job.row.repeat}" if job.row.repeat > 1 else ""
            row_id = f"{slug(prompt) or 'image'}-{id_hash(stamp, canonical(prompt))}{repeat}"
        for first, recipe in variants.requests[variants.choice.home(row_id)]:
            job_id = key_of(row_id, first)
            self._take("id", job_id, job_id, job)
            output = self._output(job, recipe.task, job_id)
            if output is None or not self._is_safe(job, job_id, output):
                continue
            for stem in filenames.stems(output, recipe.wanted):
                self._take("file", filenames.folded(stem), stem, job)
                if self._naming.copies:
                    self._require_own_name(job, stem)
            if recipe.parents and self._chains is not None:
                self._chains.add(recipe, job_id)
                self._chains.report(job, job_id, self._problems)
            fingerprint = recipe.fingerprint(prompt)
            if first == 0 and job.row.repeat == 1:
                self._take("request", fingerprint, fingerprint, job)
            yield PlannedJob(job_id, prompt, fingerprint, output, recipe, stamp)

    def _check_name(self, job: RenderedJob) -> None:
        """Report an id or a file name that is wrong, of a job that cannot be made for another reason."""
        if job.id is None:
            return
        self._take("id", job.id, job.id, job)
        if self._naming.file.source == "{{ id }}":
            self._is_safe(job, job.id, job.id)

    def _require_own_name(self, job: RenderedJob, stem: str) -> None:
        """Report a file of a job that could have the name of a derived copy."""
        for spec in taken_by(self._naming.copies, filenames.folded(stem)):
            message = f"its file {short(stem)!r} could have the name of a copy that deliver makes"
            hint = f"choose another {'name' if spec.folder is None else 'dir'} in deliver, or another id"
            self._report(job, "id", "same_file", message, hint)

    def _take(self, kind: str, name: str, shown: str, job: RenderedJob) -> None:
        if self._duplicates is not None:
            self._duplicates.add(kind, name, shown, job)

    # --- what jobs have in common -------------------------------------------------------------------------------------

    def _variants_of(self, job: RenderedJob) -> JobVariants | None:
        # The usual row of a list needs no look at its other parameters; this saves 3 microseconds of 20.
        template, listing, variants = self._usual
        is_same = job.is_usual and job.template is template and job.row.listing is listing and not job.unknown
        if variants and is_same and variants.accepts(job):
            return variants
        variants = self._find_variants(job)
        if job.is_usual and variants is not None and variants.choice.any_prompt:
            self._usual = job.template, job.row.listing, variants
        return variants

    def _find_variants(self, job: RenderedJob) -> JobVariants | None:
        common = [(name, value) for name, value in sorted(job.values.items()) if name not in ("id", "prompt")]
        key = (id(job.template.entry.part), job.guessed_images, job.unclear_quotes, job.defaulted, repr(common))
        variants = self._variants.get(key)
        if variants is not None and not job.unknown and variants.accepts(job):
            return variants
        variants = self._new_variants(job)
        if variants is not None and variants.choice.any_prompt and len(self._variants) < _MAX_VARIANTS:
            self._variants[key] = variants
        return variants

    def _new_variants(self, job: RenderedJob) -> JobVariants | None:
        _leave_out_wrong(job, self._problems)
        task = self._task(job)
        choice = self._providers.choose(job, task) if task else None
        if choice is None or job.unknown:
            return None
        for candidate in choice.candidates:
            self._models.add(job, candidate)
        task = choice.candidates[0].task
        images = (*job.values.get("images", ()), job.values.get("mask", ""))
        return JobVariants(
            choice=choice,
            requests=tuple(tuple(self._requests(job, home, choice)) for home in choice.homes),
            prompt_max=min(candidate.prompt_max for candidate in choice.candidates),
            id_stamp=Stamp({**asked(task), "images": images, "mask": task.mask is not None}),
        )

    def _requests(self, job: RenderedJob, home: Candidate, choice: RouteChoice) -> Iterator[tuple[int, Recipe]]:
        """Yield the recipe of each request that a row needs, with the number of its first image."""
        values, recipe, first, route = job.values, None, 0, choice.route(home)
        for count in portions(values.get("n", 1), values.get("per_request")):
            if recipe is None or recipe.wanted != count:
                task = replace(home.task, n=count, prompt="")
                recipe = Recipe(
                    task=task,
                    earlier=replace(task, kind=Kind.GENERATE, images=(), mask=None) if job.guessed_images else None,
                    unclear_quotes=job.unclear_quotes,
                    tags=tuple(values.get("tags", ())),
                    priority=values.get("priority", 0),
                    sidecar=self._naming.sidecar,
                    wanted=count,
                    route=route,
                    without=choice.without,
                    defaulted=job.defaulted,
                    dropped=home.dropped,
                    needs=tuple(name.removeprefix("@") for name in values.get("needs", ())),
                )
            yield first, recipe
            first += count

    def _task(self, job: RenderedJob) -> Task | None:
        """Return what the job asks for, with its sources; the provider is still open."""
        values = job.values
        if "prompt" not in values and "prompt" not in job.unknown:
            hint = "say what to draw, or what to change"
            if job.row.listing is not None:
                hint += f", or leave such rows out with  {job.where_filled('prompt')}"
            self._report(job, "prompt", "no_prompt", "the job has no prompt", hint, at_job=True)
        if "mask" in values and not values.get("images") and "images" not in job.unknown:
            self._report(job, "mask", "no_images", "a mask needs an image to edit", "name it under images")
        sources = self._source_images(job)
        if sources is None:
            return None
        images, mask = sources
        written: dict[str, Any] = {field: values.get(field) for field in _SENT_AS_WRITTEN}
        return Task(
            kind=Kind.EDIT if images else Kind.GENERATE,
            prompt=values.get("prompt", _ANY_PROMPT),
            provider="",
            model=values.get("model", ""),
            images=images,
            mask=mask,
            n=min(values.get("n", 1), values.get("per_request", 1)),
            extra=values.get("extra", {}),
            **written,
        )

    def _source_images(self, job: RenderedJob) -> tuple[tuple[Source, ...], Source | None] | None:
        """Return the job's images and its mask; None where the job is skipped because one is bad.

        Bad ones are reported, and in their place is a source of which nothing is known.
        """
        values, folder = job.values, job.template.entry.part.folder
        preparation = Preparation(orient=bool(values.get("orient")), convert=values.get("convert"))
        images, local = list[Source](), list[SourceImage]()
        mask: Source | None = None
        faults: list[tuple[str, BadSource]] = []
        for name in values.get("images", ()):
            if is_reference(name):
                images.append(Source(job=name[1:]))
                continue
            try:
                sources, read = self._sources.images([name], folder, preparation)
            except BadSource as bad:
                sources, read = (Source(path=name),), ()
                faults.append(("images", bad))
            images += sources
            local += read
        if "mask" in values and is_reference(values["mask"]):
            mask = Source(job=values["mask"][1:])
        elif "mask" in values and images:
            try:
                mask = self._sources.mask(values["mask"], None if faults else images[0], folder, preparation)
            except BadSource as bad:
                faults.append(("mask", bad))
        if faults and self._photos.skips and not any(isinstance(fault, StoreTrouble) for _, fault in faults):
            self._photos.skip(job, str(faults[0][1]))
            return None
        for field, fault in faults:
            hint, mistake = what_to_write(job, fault)
            self._problems.add(job.problem(field, "bad_source", str(fault), hint), mistake)
            job.leave_out(field)
        self._photos.add(job, local, preparation)
        return tuple(images), mask

    # --- names --------------------------------------------------------------------------------------------------------

    def _output(self, job: RenderedJob, task: Task, job_id: str) -> str | None:
        if self._naming.file.source == "{{ id }}":
            return job_id
        facts = {
            "id": job_id,
            "name": self._naming.batch,
            "provider": task.provider,
            "model": task.model,
            "kind": task.kind.value,
        }
        values: Mapping[str, object] = {**job.row.values, **facts} if self._naming.row_variables else facts
        try:
            return self._naming.file.render(values)
        except TemplateFault as fault:
            self._problems.add(self._naming.origin.problem("template", f"{fault} (for job {short(job_id)})"))
            return None

    def _is_safe(self, job: RenderedJob, job_id: str, output: str) -> bool:
        """Return whether id and file name can be used; a flaw is reported."""
        flaw = filenames.flaw(output)
        if flaw is None and output is job_id:
            return True
        hidden = filenames.control(job_id)
        if hidden or not job_id.strip():
            reason = f"holds the control character {hidden}" if hidden else "is blank"
            self._report(job, "id", "bad_id", f"the id {reason}")
            return False
        if flaw:
            hint = 'choose another id, or write  output: {file: "{{ id | slug }}"}'
            self._report(job, "id", "bad_name", f"the file name {short(output)!r} {flaw}", hint)
        return flaw is None

    def _report(
        self, job: RenderedJob, field: str, code: str, message: str, hint: str = "", *, at_job: bool = False
    ) -> None:
        """Report what is wrong with the parameter *field*, which is left out; *at_job*: at the place of the job."""
        self._problems.add(job.problem(None if at_job else field, code, message, hint))
        job.leave_out(field)


def _leave_out_wrong(job: RenderedJob, problems: Problems) -> None:
    """Check the values of a job by the manifest's model; what is wrong is reported and left out."""
    # The model accepts a template in place of a number; here the template has been rendered.
    for name in [name for name in NUMBERS if isinstance(job.values.get(name), str)]:
        message = f"should be a whole number, is {messages.shown(job.values[name])}"
        problems.add(job.problem(name, "wrong_type", message))
        job.leave_out(name)
    try:
        JobSpec.model_validate(job.values)
    except ValidationError as error:
        # A union reports each of its members; one message for a parameter is enough.
        details: dict[str, ErrorDetails] = {}
        for item in error.errors(include_url=False):
            details.setdefault(str(item["loc"][0]) if item["loc"] else "", item)
        for name, item in details.items():
            problems.add(job.problem(name, *messages.words(item)))
            job.leave_out(name)
