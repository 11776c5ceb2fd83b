"""The jobs of a manifest as a stream: a million of them take no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date

from ..errors import ManifestError, nearest, suggest
from ..files.object_catalog import ObjectCatalog
from ..object_url import Folder
from . import columns, expand, volume
from .batch import PlannedJob, SkippedJobs
from .builder import JobBuilder, Naming
from .chain_check import ChainCheck, link, resolve
from .chains import Chains
from .duplicates import DuplicateCheck
from .expand import Entry
from .filenames import FILE_FIELDS
from .include import ManifestPart
from .job_cache import JobCache
from .lint import ListCheck, warn_of_ambiguous
from .lists import BadList, Listing
from .model import PARAMETERS
from .photo_check import PhotoCheck
from .problems import EnoughError, Problems
from .render import CompiledFields, JobTemplate
from .routing import ProviderTable
from .source_images import Sources
from .templates import Template, is_template


class Expansion:
    """The jobs of one batch, in order."""

    def __init__(  # noqa: PLR0917 - what a manifest consists of, in the order in which it is read
        self,
        parts: Sequence[ManifestPart],
        providers: ProviderTable,
        naming: Naming,
        folder: Folder,
        problems: Problems,
        warnings: Problems,
        today: date | None = None,
        *,
        skips: bool = False,
        objects: ObjectCatalog | None = None,
    ) -> None:
        self._today = today
        self._photos = PhotoCheck(skips)
        self._parts = parts
        self._providers = providers
        objects = objects or ObjectCatalog()
        self._sources = Sources(objects)
        self._used: set[str] = set()  #: variables that templates name
        entries = (entry for part in parts for entry in expand.entries(part, problems, warnings, folder, objects))
        self.entries = [
            columns.resolve(entry, naming.row_variables, problems, warnings)
            for entry in volume.within(entries, problems)
        ]
        self._naming = self._checked(naming, problems)
        self._cache: JobCache | None = None  #: None: the jobs were not checked in this process
        self._size = 0
        self.chains: Chains | None = None  #: None: no job refers to another one
        self.depends_on_images = False  #: files that do not exist yet could change warnings, or skip jobs

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[PlannedJob]:
        jobs = self._again() if self._cache is None or not self._cache.is_complete else iter(self._cache)
        chains = self.chains
        return jobs if chains is None else (resolve(job, chains) for job in jobs)

    def _again(self) -> Iterator[PlannedJob]:
        """Make the jobs once more; raise ManifestError where the lists have changed since they were checked."""
        problems = Problems()
        size = 0
        for size, job in enumerate(self._jobs(problems, Problems(), None, PhotoCheck(self._photos.skips)), 1):  # noqa: B007
            yield job
        if problems or size != self._size:
            changed = self.entries[0].origin().problem(
                "changed", "a list changed while it was being read", "run the command again"
            )  # fmt: skip
            raise ManifestError(problems.listed() or (changed,))

    def recall(self, size: int) -> None:
        """Take over the result of an earlier check of the same inputs, which found *size* jobs."""
        self._size = size

    def check(
        self, problems: Problems, warnings: Problems, on_jobs: Callable[[int], None] = lambda _jobs: None
    ) -> None:
        """Go through all jobs once and report all that is wrong with them; *on_jobs* gets their number so far."""
        self._cache = JobCache()
        duplicates, chains = DuplicateCheck(problems, warnings), ChainCheck()
        with suppress(EnoughError):
            for job in self._jobs(problems, warnings, duplicates, self._photos, chains):
                self._size += 1
                on_jobs(self._size)
                self._cache.add(job)
            if duplicates.needs_second_pass():
                for _ in self._jobs(Problems(), Problems(), duplicates, PhotoCheck(self._photos.skips)):
                    pass
            # A job that is wrong is missing here, so that a reference to it would seem wrong, too.
            if chains.references and not problems:
                self._link(chains, problems)
        self.depends_on_images |= bool(self.skipped)
        self._photos.report(warnings)
        if not self._size and not problems and self.entries:
            self._report_no_jobs(problems)
        if not problems:
            self._warn_of_unused(warnings)

    def _link(self, check: ChainCheck, problems: Problems) -> None:
        """Resolve the references of jobs to each other, and report those that are wrong."""
        chains = link(check, self)
        if check.faults:
            for _ in self._jobs(problems, Problems(), None, PhotoCheck(self._photos.skips), check):
                pass
        else:
            self.chains = chains
            self.depends_on_images = True  # no digest covers what other jobs made

    def _report_no_jobs(self, problems: Problems) -> None:
        origin = self.entries[0].origin()
        for reason in self.skipped.reasons:
            problems.add(origin.problem("bad_source", reason))
        if not self.skipped:
            hint = "look at the lists, and at where and skip"
            problems.add(origin.problem("no_jobs", "no list has a row: there are no jobs", hint))

    @property
    def skipped(self) -> SkippedJobs:
        """Return the jobs that were left out because their source image is bad."""
        return self._photos.skipped

    def _jobs(
        self,
        problems: Problems,
        warnings: Problems,
        duplicates: DuplicateCheck | None,
        photos: PhotoCheck,
        chains: ChainCheck | None = None,
    ) -> Iterator[PlannedJob]:
        builder = JobBuilder(
            self._providers,
            self._naming,
            sources=self._sources,
            photos=photos,
            problems=problems,
            warnings=warnings,
            duplicates=duplicates,
            today=self._today,
            chains=chains,
        )
        defaults = {id(part): _defaults(part, problems) for part in self._parts}
        for entry in self.entries:
            template = JobTemplate(entry, defaults[id(entry.part)], problems)
            _warn_of_prompt(entry, warnings)
            warn_of_ambiguous(template, warnings)
            self._used |= template.variables
            yield from self._jobs_of(template, builder, problems, warnings)

    def _jobs_of(
        self, template: JobTemplate, builder: JobBuilder, problems: Problems, warnings: Problems
    ) -> Iterator[PlannedJob]:
        entry = template.entry
        common = {name: variable.value for name, variable in entry.part.vars.items() if name not in PARAMETERS}
        check = ListCheck(template) if entry.lists else None

        def report(listing: Listing, line: int, column: int, code: str, message: str, hint: str) -> None:  # noqa: PLR0917
            problem = entry.origin().problem(code, message, hint)
            problems.add(replace(problem, file=listing.file, line=line, column=column))

        def report_list(bad: BadList) -> None:
            problems.add(entry.origin().inside("from").problem("bad_list", str(bad)))

        for row in expand.rows(entry, {"name": self._naming.batch, **common}, report, report_list):
            if check is not None:
                check.add(row)
            yield from builder.jobs(template.render(row, problems))
        if check is not None:
            self.depends_on_images |= check.has_image_columns
            check.report(warnings)

    def _checked(self, naming: Naming, problems: Problems) -> Naming:
        """Return *naming*; where it names a variable that no job has, plain ids, so that the rest can be checked."""
        known = set(FILE_FIELDS)
        for entry in self.entries:
            variables = expand.variables(entry)
            if variables is None:
                return naming
            known |= variables
        unknown = sorted(naming.row_variables - known)
        if not unknown:
            return naming
        hint = suggest(unknown[0], sorted(known), f"there are: {', '.join(FILE_FIELDS)}, and variables")
        # A misspelt name of the file's own is one whatever variables the jobs have.
        if nearest(unknown[0], FILE_FIELDS) or not any(entry.lacks_variables for entry in self.entries):
            problems.add(naming.origin.problem("template", f"no job has a variable {unknown[0]!r}", hint))
        return replace(naming, file=Template("{{ id }}"))

    def _warn_of_unused(self, warnings: Problems) -> None:
        used = self._used | self._naming.row_variables
        for entry in self.entries:
            for block, names in (("vars", entry.vars), ("matrix", entry.axes), ("zip", entry.axes)):
                for name in names:
                    origin = entry.origin().inside(block, name)
                    if name not in used and name not in PARAMETERS and entry.part.places.holds(origin.path):
                        message = f"no template names {{{{ {name} }}}}"
                        warnings.add(origin.problem("unused", message, "use it in the prompt, or remove it"))
        # Files that include each other share variables.
        shared = {
            id(variable): (name, variable) for entry in self.entries for name, variable in entry.part.vars.items()
        }
        for name, variable in shared.values():
            if name not in used:
                message = f"no template names {{{{ {name} }}}}"
                warnings.add(variable.origin.problem("unused", message, "remove it"))


def _defaults(part: ManifestPart, problems: Problems) -> CompiledFields:
    values = {name: default.value for name, default in part.defaults.items()}
    return CompiledFields.of(values, lambda name: part.defaults[name].origin, problems)


def _warn_of_prompt(entry: Entry, warnings: Problems) -> None:
    origin, prompt = entry.origin("prompt"), entry.own.get("prompt")
    if isinstance(prompt, str) and "{%" in prompt and not is_template(prompt):
        message = "contains {% but no {{ }}, so it is not a template: it is sent as it is"
        warnings.add(origin.problem("no_template", message, "add {{ '' }} to have it rendered"))
    if origin.places.commented and origin.places.find(origin.path) in origin.places.commented:
        message = "the prompt ends before the #; what follows is a comment"
        warnings.add(origin.problem("cut_prompt", message, "put the prompt in quotes"))
