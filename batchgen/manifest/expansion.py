"""The jobs of a manifest as a stream: made anew each time they are gone through, so that a million take no room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import ManifestError, Problem, suggest
from . import expand, lint
from .batch import PlannedJob
from .builder import JobBuilder, JobVariants, Naming, twice
from .candidates import ProviderTable
from .duplicates import Blank, Roll, Tally, Witness
from .expand import Entry, Row
from .filenames import FILE_FIELDS
from .include import ManifestPart
from .lists import BadList, Listing
from .locations import EnoughError, Problems
from .model import PARAMETERS
from .render import CompiledFields, JobTemplate, RenderedJob, texts
from .source_images import Sources
from .templates import Template, TemplateFault, is_template

#: So many jobs are kept once they are made; more are made again each time.
KEPT = 50_000
#: So many recipes are remembered; rows that differ in more than prompt and id are few.
CASTS = 10_000


class Expansion:
    """The jobs of one batch, in order."""

    def __init__(  # noqa: PLR0917 - what a manifest consists of, in the order in which it is read
        self,
        parts: Sequence[ManifestPart],
        offers: ProviderTable,
        naming: Naming,
        folder: Path,
        problems: Problems,
        warnings: Problems,
        today: date | None = None,
    ) -> None:
        self._today = today
        self._parts = parts
        self._offers = offers
        self._sources = Sources()
        self._used: set[str] = set()
        self._entries = [
            entry for part in parts for entry in expand.entries(part, problems, warnings, folder)
        ]  # fmt: skip
        self._scopes = {
            id(part): {"name": naming.batch}
            | {name: one.value for name, one in part.vars.items() if name not in PARAMETERS}
            for part in parts
        }
        self._naming = self._checked(naming, problems)
        self._kept: list[PlannedJob] | None = []
        self._size = 0
        self._check(problems, warnings)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[PlannedJob]:
        if self._kept is not None:
            return iter(self._kept)
        return self._again()

    def _again(self) -> Iterator[PlannedJob]:
        """Make the jobs once more; raise ManifestError where the lists are no more what was checked."""
        problems = Problems()
        number = 0
        for number, job in enumerate(self._made(problems, Problems(), Blank()), 1):  # noqa: B007
            yield job
        if problems or number != self._size:
            raise ManifestError(
                problems.listed() or (_changed(self._entries[0]),)
            )  # fmt: skip

    def _check(self, problems: Problems, warnings: Problems) -> None:
        """Go through all jobs once and report everything that is wrong with them."""
        tally = Tally()
        with suppress(EnoughError):
            for job in self._made(problems, warnings, tally):
                self._size += 1
                if self._kept is not None:
                    self._kept.append(job)
                    if self._size > KEPT:
                        self._kept = None
            self._tell_twins(tally, problems, warnings)
        if not self._size and not problems and self._entries:
            hint = "look at the lists, and at where and skip"
            problems.add(self._entries[0].origin().problem("no_jobs", "no list has a row: there are no jobs", hint))
        self._warn_of_unused(warnings)

    def _tell_twins(self, tally: Tally, problems: Problems, warnings: Problems) -> None:
        suspects = tally.suspects()
        if suspects:
            witness = Witness(suspects, lambda *told: _tell(problems, warnings, twice(*told)))
            for _ in self._made(Problems(), Problems(), witness):
                pass

    def _made(self, problems: Problems, warnings: Problems, names: Roll) -> Iterator[PlannedJob]:
        assembly = JobBuilder(
            self._offers,
            self._naming,
            sources=self._sources,
            problems=problems,
            warnings=warnings,
            today=self._today,
        )
        casts: dict[Any, JobVariants | None] = {}
        defaults = {id(part): self._defaults(part, problems) for part in self._parts}
        for entry in self._entries:
            press = JobTemplate(entry, defaults[id(entry.part)], problems)
            if not press.sound:
                continue
            _warn_of_prompt(entry, warnings)
            scope = self._scopes[id(entry.part)]
            if not press.literal:
                self._used |= press.names
                casts = {}  # a signature is one job's own
            yield from _Line(press, assembly, problems, names, casts, warnings).jobs(scope)

    def _checked(self, naming: Naming, problems: Problems) -> Naming:
        """Return *naming*; where it names what no job has, plain ids, so that the rest is checked all the same."""
        known = set(FILE_FIELDS)
        for entry in self._entries:
            found = expand.variables(entry)
            if found is None:
                return naming
            known |= found
        strange = sorted(naming.own - known)
        if not strange:
            return naming
        hint = suggest(strange[0], sorted(known), f"there are: {', '.join(FILE_FIELDS)}, and variables")
        problems.add(naming.origin.problem("template", f"no job has a variable {strange[0]!r}", hint))
        return replace(naming, file=Template("{{ id }}"))

    def _defaults(self, part: ManifestPart, problems: Problems) -> CompiledFields:
        given = part.defaults
        return texts({name: one.value for name, one in given.items()}, lambda name: given[name].origin, problems)

    def _warn_of_unused(self, warnings: Problems) -> None:
        used = self._used | self._naming.own
        for entry in self._entries:
            for block, names in (("vars", entry.vars), ("matrix", entry.axes), ("zip", entry.axes)):
                for name in names:
                    origin = entry.origin().inside(block, name)
                    if name not in used and name not in PARAMETERS and entry.part.places.holds(origin.path):
                        message = f"no template names {{{{ {name} }}}}"
                        warnings.add(origin.problem("unused", message, "use it in the prompt, or remove it"))
        told = {id(given): (name, given) for entry in self._entries for name, given in entry.part.vars.items()}
        for name, given in told.values():
            if name not in used:
                warnings.add(given.origin.problem("unused", f"no template names {{{{ {name} }}}}", "remove it"))


class _Line:
    """Makes the jobs of one entry."""

    def __init__(  # noqa: PLR0917
        self,
        press: JobTemplate,
        assembly: JobBuilder,
        problems: Problems,
        names: Roll,
        casts: dict[Any, JobVariants | None],
        warnings: Problems,
    ) -> None:
        self._press = press
        self._assembly = assembly
        self._problems = problems
        self._names = names
        self._casts = casts
        self._warnings = warnings

    def jobs(self, scope: Mapping[str, Any]) -> Iterator[PlannedJob]:
        press, assembly, names, casts = self._press, self._assembly, self._names, self._casts
        plain = _own(press) if press.literal else None
        watch = lint.of(press)
        try:
            for row in expand.rows(press.entry, scope, self._bad_row):
                if watch is not None:
                    watch.see(row)
                try:
                    key, prompt = press.id(row), press.prompt(row)
                    signature = press.signature(row) if plain is None else plain
                except TemplateFault:
                    key, prompt, signature = None, None, None  # the draft says what could not be filled in, and where
                cast = casts.get(signature) if signature is not None else None
                if cast is None or type(prompt) is not str or not assembly.sound(cast, prompt):
                    found = self._looked_at(row, signature)
                    if found is None:
                        if key is not None:
                            names.take("id", key, key, partial(self._draft, row))
                        continue
                    cast, prompt = found
                draft = partial(self._draft, row)
                yield from assembly.jobs(cast, row, key, prompt, draft=draft, roll=names)
            if watch is not None:
                watch.tell(self._warnings)
        except BadList as bad:
            self._problems.add(press.entry.origin().inside("from").problem("bad_list", str(bad)))

    def _looked_at(self, row: Row, signature: Any) -> tuple[JobVariants, str] | None:  # noqa: ANN401
        """Return the recipes and the prompt of a row of a new kind; None where it is wrong, which is reported."""
        draft = self._press.draft(row, self._problems)
        cast = self._assembly.cast(draft) if draft is not None else None
        if cast is None or draft is None:
            return None
        if signature is not None and cast.choice.lasting and len(self._casts) < CASTS:
            self._casts.setdefault(signature, cast)
        return cast, draft.values["prompt"]

    def _draft(self, row: Row) -> RenderedJob:
        draft = self._press.draft(row, Problems())
        return RenderedJob(self._press.entry, row, {}, {}) if draft is None else draft

    def _bad_row(self, listing: Listing, line: int, column: int, code: str, message: str, hint: str) -> None:  # noqa: PLR0917
        problem = self._press.entry.origin().problem(code, message, hint)
        self._problems.add(
            Problem(
                file=listing.file, line=line, column=column, path=problem.path, code=code, message=message, hint=hint
            )
        )


def _own(press: JobTemplate) -> tuple[Any, ...]:
    """Return what a job without any template has in common with others: all but its id and prompt."""
    entry = press.entry
    own = [(name, repr(value)) for name, value in entry.own.items() if name not in {"id", "prompt"}]
    return (id(entry.part), *own)


def _tell(problems: Problems, warnings: Problems, problem: Problem) -> None:
    (warnings if problem.code == "same_job" else problems).add(problem)


def _warn_of_prompt(entry: Entry, warnings: Problems) -> None:
    origin, prompt = entry.origin("prompt"), entry.own.get("prompt")
    if isinstance(prompt, str) and "{%" in prompt and not is_template(prompt):
        message = "holds {% and no {{ }}, so it is no template: it is sent as it stands"
        warnings.add(origin.problem("no_template", message, 'add {{ "" }} to have it filled in'))
    if origin.places.commented and origin.places.find(origin.path) in origin.places.commented:
        message = "the prompt ends before the #; what follows is a comment"
        warnings.add(origin.problem("cut_prompt", message, "put the prompt in quotes"))


def _changed(entry: Entry) -> Problem:
    return entry.origin().problem("changed", "a list changed while it was being read", "run the command again")
