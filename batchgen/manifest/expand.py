"""Rows of a job: its lists times its zip times its matrix times its repeats.

Rows are streamed: a list of a million is never held.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from ..files.object_catalog import ObjectCatalog
from ..object_url import Folder
from .filenames import slug
from .include import ManifestPart, stated_in
from .list_spec import From
from .lists import BadList, Exclusion, Listing, Pick, listing
from .lists.header import key_name
from .locations import Origin, Path
from .model import PARAMETERS, JobSpec, Matrix
from .problems import Problems

#: A matrix with more combinations is a mistake; a list may have any number of rows.
MAX_COMBINATIONS = 100_000

#: Variables that every template may name; a column of the same name takes precedence.
BUILT_IN = ("name", "row", "repeat")

#: Parameters of which the default is taken to be that of rows which cannot be read.
_SELDOM_IN_ROWS = frozenset({"provider", "model"})

Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One job as it is written: its parameters, and the lists and variables that multiply it."""

    part: ManifestPart
    path: Path  #: ("jobs", 3), or ("prompts",)
    own: Mapping[str, Any]  #: parameters that the job itself sets; None removes a default
    vars: Mapping[str, Any]
    axes: Mapping[str, Sequence[Any]]
    combinations: tuple[Values, ...]  #: of zip and matrix; one empty mapping if there are none
    lists: tuple[Listing, ...] = ()
    repeat: int = 1
    unknown: frozenset[str] = frozenset()  #: parameters whose values are wrong, which was reported
    lacks_variables: bool = False  #: not all of its variables are known, for a reason that was reported

    @property
    def without_rows(self) -> Entry:
        """Return the entry as one row, for the check of the parameters that do not depend on its rows."""
        unknown = self.unknown | (PARAMETERS - self.own.keys() - _SELDOM_IN_ROWS) | {"id"}
        return replace(
            self, axes={}, combinations=({},), lists=(), repeat=1, unknown=unknown, lacks_variables=True
        )  # fmt: skip

    def origin(self, name: str | None = None) -> Origin:
        """Return where a parameter was written: in the job, its matrix or the defaults; the job itself if nowhere."""
        here = Origin(self.part.places, self.path)
        if name is None:
            return here
        if name in self.own:
            return here.inside(name) if self.path[0] == "jobs" else here
        for block in ("matrix", "zip"):
            if name in self.axes and self.part.places.holds((*self.path, block, name)):
                return here.inside(block, name)
        given = self.part.defaults.get(name)
        return here if given is None else given.origin


class Stock(NamedTuple):
    """Where lists and folders of images are looked for, and where not."""

    leave_out: Folder
    objects: ObjectCatalog | None


class Row(NamedTuple):
    """The variables of one job, and where they come from."""

    values: Values
    listing: Listing | None  #: the list, if any
    line: int  #: of the list
    combination: Values
    repeat: int

    @property
    def suffix(self) -> str:
        """Return what distinguishes this id from others of the same row: combination and number of the repeat."""
        values = () if "id" in self.combination else self.combination.values()
        words = [slug(value) for value in values if not isinstance(value, (list, dict))]
        again = f"r{self.repeat}" if self.repeat > 1 else ""
        return "".join(f"-{word}" for word in (*words, again) if word)


def entries(
    part: ManifestPart,
    problems: Problems,
    warnings: Problems,
    leave_out: Folder,
    objects: ObjectCatalog | None = None,
) -> Iterator[Entry]:
    """Yield the jobs and prompts of one file in order, except those that cannot be checked at all.

    *leave_out* is the batch's output folder, whose images never become sources; *objects* knows the object stores.
    """
    stock = Stock(leave_out, objects)
    checked = part.checked
    for number, job in enumerate(checked.manifest.jobs):
        path: Path = ("jobs", number)
        if path not in checked.broken:
            yield _entry(part, path, job, problems, warnings, stock)
    plain = _plain(part, ("prompts",), {})
    prompts: object = checked.manifest.prompts  # a From where it names a file
    if isinstance(prompts, From):
        lists = _lists(part, ("prompts",), [prompts], problems, stock)
        yield replace(plain, lists=lists) if lists else plain.without_rows
        return
    for number, prompt in enumerate(checked.manifest.prompts):
        if ("prompts", number) not in checked.broken:
            yield _plain(part, ("prompts", number), {"prompt": prompt})


def _plain(part: ManifestPart, path: Path, own: Mapping[str, Any], wrong: frozenset[str] = frozenset()) -> Entry:
    """Return a job that nothing multiplies; *wrong* are its keys whose values are wrong."""
    unknown = wrong | part.unknown_defaults.difference(own) if wrong or part.unknown_defaults else wrong
    return Entry(
        part=part, path=path, own=own, vars={}, axes={}, combinations=({},), unknown=unknown,
        lacks_variables=part.lacks_variables,
    )  # fmt: skip


#: Keys that multiply a job, or give its templates their variables.
_OF_ROWS = frozenset({"from", "columns", "matrix", "zip", "vars", "repeat"})


def _entry(  # noqa: PLR0917 - a job, its place, and where problems go
    part: ManifestPart, path: Path, job: JobSpec, problems: Problems, warnings: Problems, stock: Stock
) -> Entry:
    own, wrong = stated_in(job), part.checked.unknown.get(path, frozenset())
    entry = _plain(part, path, own, wrong - _OF_ROWS)
    if len(own) == len(job.model_fields_set) and not wrong:  # nothing multiplies it
        return entry
    combined = None if wrong & {"matrix", "zip"} else _combinations(job, part.origin(*path), problems, warnings)
    axes, combinations = combined or ({}, ())
    default = part.defaults.get("convert")
    convert = own.get("convert", default and default.value)
    lists = _lists(part, path, job.rows, problems, stock, job.columns, convert=convert is not None)
    if wrong & _OF_ROWS or not combinations or (job.rows and not lists):
        return entry.without_rows
    variables = {name: value for name, value in job.vars.items() if name not in PARAMETERS}
    return replace(entry, vars=variables, axes=axes, combinations=combinations, lists=lists, repeat=job.repeat)


def _combinations(
    job: JobSpec, here: Origin, problems: Problems, warnings: Problems
) -> tuple[Mapping[str, Sequence[Any]], tuple[Values, ...]] | None:
    """Return the variables of zip and matrix, and every combination of their values; None, reported, if they clash."""
    zipped: list[Values] = [{}]
    valid = True
    if job.zip:
        lengths = {name: len(values) for name, values in job.zip.items()}
        if len(set(lengths.values())) > 1:
            described = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            problems.add(here.inside("zip").problem("zip", f"lists must be equally long: {described}"))
            valid = False
        zipped = [dict(zip(job.zip, values, strict=True)) for values in zip(*job.zip.values(), strict=False)]
    if job.matrix is None:
        return (dict(job.zip), tuple(zipped)) if valid else None
    axes = job.matrix.axes
    where = here.inside("matrix")
    if shared := set(axes) & set(job.zip):
        problems.add(where.problem("twice", f"{min(shared)!r} is under matrix and under zip"))
        valid = False
    size = len(zipped) * (math.prod(len(values) for values in axes.values()) + len(job.matrix.include)) * job.repeat
    if size > MAX_COMBINATIONS:
        message = f"{size:,} combinations; at most {MAX_COMBINATIONS:,} are made from one job"
        problems.add(where.problem("too_many", message, "leave a variable out, or use `from` with a list"))
        return None
    grid = _grid(job.matrix, where, problems, warnings)
    if not valid or not grid:
        return None
    return {**axes, **job.zip}, tuple({**side, **point} for side in zipped for point in grid)


def _grid(matrix: Matrix, where: Origin, problems: Problems, warnings: Problems) -> list[Values]:
    """Return the points of the matrix: the product of its axes, without the excluded and with the included ones.

    There are none where a rule is wrong, which is reported.
    """
    axes, valid = matrix.axes, True
    for number, rule in enumerate(matrix.exclude):
        unknown = [name for name in rule if name not in axes]
        if unknown or not rule:
            message = f"the matrix has no {unknown[0]!r}" if unknown else "is empty: it would exclude everything"
            problems.add(where.inside("exclude", number).problem("exclude", message))
            valid = False
    if not valid:
        return []
    grid, excluding = _not_excluded(axes, matrix.exclude)
    for number in range(len(matrix.exclude)):
        if number not in excluding:
            hint = "look at the spelling; 1 and '1' are two values"
            warnings.add(
                where.inside("exclude", number).problem("no_match", "excludes nothing: no combination matches", hint)
            )
    grid += [dict(extra) for extra in matrix.include]
    if not grid:
        problems.add(where.problem("empty", "the matrix leaves no combination"))
    return grid


def _not_excluded(axes: Mapping[str, Sequence[Any]], rules: Sequence[Values]) -> tuple[list[Values], set[int]]:
    """Return the combinations that no rule excludes, and the numbers of the rules that exclude one.

    Rules about the same variables are looked up together: thousands of rules cost no more than one.
    """
    if not axes:
        return [], set()
    by_names: dict[tuple[str, ...], dict[tuple[str, ...], list[int]]] = {}
    for number, rule in enumerate(rules):
        names = tuple(sorted(rule))
        by_names.setdefault(names, {}).setdefault(tuple(_exact(rule[name]) for name in names), []).append(number)
    grid: list[Values] = []
    excluding: set[int] = set()
    for values in itertools.product(*([(value, _exact(value)) for value in axis] for axis in axes.values())):
        exact = dict(zip(axes, (form for _, form in values), strict=True))
        numbers = [
            number
            for names, table in by_names.items()
            for number in table.get(tuple(exact[name] for name in names), ())
        ]
        excluding.update(numbers)
        if not numbers:
            grid.append(dict(zip(axes, (value for value, _ in values), strict=True)))
    return grid, excluding


def _exact(value: Any) -> str:  # noqa: ANN401 - a variable's value
    """Return the form by which values are compared: 1 and "1" are two values."""
    return f"{type(value).__name__} {value!r}"


def _lists(  # noqa: PLR0917 - a job's lists, their place, and where problems go
    part: ManifestPart,
    path: Path,
    sources: Sequence[From],
    problems: Problems,
    stock: Stock,
    columns: Mapping[str, str | None] = MappingProxyType({}),
    *,
    convert: bool = False,
) -> tuple[Listing, ...]:
    """Return the lists of *sources*, except those that cannot be used, which are reported."""
    listings = []
    here = part.origin(*path) if path[0] == "prompts" else part.origin(*path, "from")
    for source in sources:
        pick = Pick(
            where={key_name(column): tuple(globs) for column, globs in source.where.items()},
            skip=source.skip, limit=source.limit, sample=source.sample, seed=source.seed,
        )  # fmt: skip
        exclude = Exclusion(source.exclude)
        for name in source.path:
            try:
                listings.append(
                    listing(
                        name, part.file.parent, format=source.format, pick=pick, leave_out=stock.leave_out,
                        exclude=exclude, convert=convert, objects=stock.objects, sheet=source.sheet,
                        delimiter=source.delimiter, quoting=source.quoting, columns={**columns, **source.columns},
                    )
                )  # fmt: skip
            except BadList as bad:
                problems.add(here.problem("bad_list", str(bad)))
    return tuple(listings)


def rows(
    entry: Entry, scope: Mapping[str, Any], report: Callable[..., None], report_list: Callable[[BadList], None]
) -> Iterator[Row]:
    """Yield the rows of *entry*; *scope* is the variables that all of them share.

    *report* is called for each bad row of a list, with listing, line, column, code, message and hint, and *report_list*
    for a list that cannot be read to its end.
    """
    base = {**scope, "repeat": 1, **entry.vars}
    number = 0
    alone = entry.combinations == ({},) and entry.repeat == 1
    for source in entry.lists or (None,):
        try:
            for line, values in _read(source, report):
                number += 1
                if alone:
                    yield Row({**base, "row": number, **values}, source, line, {}, 1)
                    continue
                for combination in entry.combinations:
                    for repeat in range(1, entry.repeat + 1):
                        row_values = {**base, "row": number, "repeat": repeat, **values, **combination}
                        yield Row(row_values, source, line, combination, repeat)
        except BadList as bad:
            report_list(bad)


_ONE_EMPTY_ROW: tuple[tuple[int, Values], ...] = ((0, {}),)


def _read(source: Listing | None, report: Callable[..., None]) -> Iterator[tuple[int, Values]]:
    if source is None:
        return iter(_ONE_EMPTY_ROW)
    numbered: Iterator[tuple[int, Values]] = source.rows(lambda *problem: report(source, *problem))
    return numbered


def variables(entry: Entry) -> frozenset[str] | None:
    """Return the variables of every row of *entry*; None where they differ from row to row."""
    names = {*BUILT_IN, *entry.part.vars, *entry.vars}
    names.update(*entry.combinations)
    for source in entry.lists:
        columns = source.names
        if columns is None:
            return None
        names |= columns
    return frozenset(names)


def portions(n: int, per_request: int | None) -> tuple[int, ...]:
    """Return how many images each request asks for: one, or up to *per_request*."""
    size = per_request or 1
    full, rest = divmod(n, size)
    return (size,) * full + ((rest,) if rest else ())


def key_of(name: str, first: int) -> str:
    """Return the id of a row's request whose first image is number *first* of the row, counted from 0.

    The first request keeps the row's name, so that raising ``n`` redoes nothing. Later ones are named after their
    first image, so that ``cat-4`` can never meet the files cat-1, cat-2 and cat-3 of a request for three images.
    """
    return name if first == 0 else f"{name}-{first + 1}"
