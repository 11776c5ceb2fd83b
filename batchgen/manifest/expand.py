"""A job of the manifest to rows of variables: lists times zipped lists times matrix times repeat.

A decision but for the lists, which ``lists`` reads.  Rows stream: a list of a million is never held.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from .filenames import slug
from .include import ManifestPart, stated_in
from .lists import BadList, Listing, Pick, aliases, listing
from .locations import Origin, Path, Problems
from .model import PARAMETERS, From, JobSpec, Matrix

#: A matrix of more combinations is a mistake; a list of rows may be as long as it likes.
MAX_COMBINATIONS = 100_000

#: Variables that every template may name; a list's own columns of that name go before.
BUILT_IN = ("name", "row", "repeat")

Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One job as it is written: parameters, and what multiplies them."""

    part: ManifestPart
    path: Path  #: ("jobs", 3), or ("prompts",)
    own: Mapping[str, Any]  #: parameters that the job itself sets; None takes a default away
    vars: Mapping[str, Any]
    axes: Mapping[str, Sequence[Any]]
    combinations: tuple[Values, ...]  #: of zip and matrix; one empty mapping where there are none
    lists: tuple[Listing, ...] = ()
    repeat: int = 1

    @property
    def plain(self) -> bool:
        """Return whether it is one row without a variable of its own."""
        return not (self.lists or self.axes or self.vars) and self.repeat == 1 and self.combinations == ({},)

    def origin(self, name: str | None = None) -> Origin:
        """Return where a parameter was written: in the job, its matrix, the defaults, or nowhere (the job)."""
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


class Row(NamedTuple):
    """The variables of one job, and where they come from."""

    values: Values
    listing: Listing | None  #: the list, where there is one
    line: int  #: of the list
    combination: Values
    repeat: int

    @property
    def suffix(self) -> str:
        """Return what tells this job's id from those of the same row: its combination, and which repeat it is."""
        told = {} if "id" in self.combination else self.combination
        words = [slug(value) for value in told.values() if not isinstance(value, (list, dict))]
        again = f"r{self.repeat}" if self.repeat > 1 else ""
        return "".join(f"-{word}" for word in (*words, again) if word)


def entries(part: ManifestPart, problems: Problems, warnings: Problems, leave_out: FilePath) -> Iterator[Entry]:
    """Yield the jobs and prompts of one file in its order, as far as they can be checked further.

    *leave_out* is the batch's output folder: what it makes never becomes a source.
    """
    checked = part.checked
    if ("defaults",) in checked.broken:
        return
    for number, job in enumerate(checked.manifest.jobs):
        path: Path = ("jobs", number)
        if path not in checked.broken:
            yield from _entry(part, path, job, problems, warnings, leave_out)
    prompts: object = checked.manifest.prompts  # a From where it names a file
    if isinstance(prompts, From):
        lists = _lists(part, ("prompts",), [prompts], problems, leave_out)
        if lists is not None:
            yield Entry(part=part, path=("prompts",), own={}, vars={}, axes={}, combinations=({},), lists=lists)
        return
    for number, prompt in enumerate(checked.manifest.prompts):
        if ("prompts", number) not in checked.broken:
            own = {"prompt": prompt}
            yield Entry(part=part, path=("prompts", number), own=own, vars={}, axes={}, combinations=({},))


def _entry(  # noqa: PLR0917 - a job, where it stands, and what hears of it
    part: ManifestPart, path: Path, job: JobSpec, problems: Problems, warnings: Problems, leave_out: FilePath
) -> Iterator[Entry]:
    stated = job.model_fields_set
    own = stated_in(job)
    if len(own) == len(stated):  # nothing multiplies it
        yield Entry(part=part, path=path, own=own, vars={}, axes={}, combinations=({},))
        return
    here = part.origin(*path)
    try:
        axes, combinations = _combinations(job, here, warnings)
    except _Wrong as wrong:
        problems.add(wrong.problem)
        return
    lists = _lists(part, path, job.rows, problems, leave_out)
    if lists is not None:
        variables = {name: value for name, value in job.vars.items() if name not in PARAMETERS}
        yield Entry(
            part=part, path=path, own=own, vars=variables, axes=axes, combinations=combinations, lists=lists,
            repeat=job.repeat,
        )  # fmt: skip


class _Wrong(Exception):
    def __init__(self, problem: Any) -> None:  # noqa: ANN401
        super().__init__(str(problem))
        self.problem = problem


def _combinations(
    job: JobSpec, here: Origin, warnings: Problems
) -> tuple[Mapping[str, Sequence[Any]], tuple[Values, ...]]:
    """Return the variables of zip and matrix, and every combination of their values."""
    zipped: list[Values] = [{}]
    if job.zip:
        lengths = {name: len(values) for name, values in job.zip.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise _Wrong(here.inside("zip").problem("zip", f"lists side by side must be equally long: {told}"))
        zipped = [dict(zip(job.zip, values, strict=True)) for values in zip(*job.zip.values(), strict=True)]
    if job.matrix is None:
        return dict(job.zip), tuple(zipped)
    axes = job.matrix.axes
    where = here.inside("matrix")
    both = set(axes) & set(job.zip)
    if both:
        raise _Wrong(where.problem("twice", f"{min(both)!r} stands under matrix and under zip"))
    size = len(zipped) * (math.prod(len(values) for values in axes.values()) + len(job.matrix.include)) * job.repeat
    if size > MAX_COMBINATIONS:
        message = f"{size:,} combinations; at most {MAX_COMBINATIONS:,} are made from one job"
        raise _Wrong(where.problem("too_many", message, "leave a variable out, or use `from` with a list"))
    grid = _grid(job.matrix, where, warnings)
    return {**axes, **job.zip}, tuple({**side, **point} for side in zipped for point in grid)


def _grid(matrix: Matrix, where: Origin, warnings: Problems) -> list[Values]:
    """Return the points of the matrix: the product of its axes, less what is excluded, and what is included."""
    axes = matrix.axes
    for number, rule in enumerate(matrix.exclude):
        unknown = [name for name in rule if name not in axes]
        if unknown or not rule:
            message = f"the matrix has no {unknown[0]!r}" if unknown else "is empty: it would leave everything out"
            raise _Wrong(where.inside("exclude", number).problem("exclude", message))
    product = (
        [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())] if axes else []
    )  # fmt: skip
    for number, rule in enumerate(matrix.exclude):
        if not any(_has(point, rule) for point in product):
            hint = 'look at the spelling; 1 and "1" are two values'
            warnings.add(
                where.inside("exclude", number).problem("no_match", "leaves nothing out: none is like it", hint)
            )
    grid = [point for point in product if not any(_has(point, rule) for rule in matrix.exclude)]
    grid += [dict(extra) for extra in matrix.include]
    if not grid:
        raise _Wrong(where.problem("empty", "the matrix leaves no combination"))
    return grid


def _has(point: Values, rule: Values) -> bool:
    return all(point[name] == value and type(point[name]) is type(value) for name, value in rule.items())


def _lists(
    part: ManifestPart, path: Path, sources: Sequence[From], problems: Problems, leave_out: FilePath
) -> tuple[Listing, ...] | None:
    """Return the lists that *sources* name; None where one cannot be used, which is reported."""
    found = []
    here = part.origin(*path) if path[0] == "prompts" else part.origin(*path, "from")
    for source in sources:
        pick = Pick(
            where={column: tuple(globs) for column, globs in source.where.items()},
            skip=source.skip, limit=source.limit, sample=source.sample, seed=source.seed,
        )  # fmt: skip
        for name in source.path:
            try:
                found.append(
                    listing(name, part.file.parent, format=source.format, pick=pick, leave_out=leave_out)
                )  # fmt: skip
            except BadList as bad:
                problems.add(here.problem("bad_list", str(bad)))
                return None
    return tuple(found)


def rows(entry: Entry, scope: Mapping[str, Any], report: Callable[..., None]) -> Iterator[Row]:
    """Yield the rows of *entry*; *scope* holds the variables that all of them share.

    *report* takes a bad row of a list: listing, line, column, code, message, hint.
    """
    base = {**scope, "repeat": 1, **entry.vars}
    number = 0
    alone = entry.combinations == ({},) and entry.repeat == 1
    for source in entry.lists or (None,):
        for line, values in _read(source, report):
            number += 1
            if alone:
                yield Row({**base, "row": number, **values}, source, line, {}, 1)
                continue
            for combination in entry.combinations:
                for repeat in range(1, entry.repeat + 1):
                    found = {**base, "row": number, "repeat": repeat, **values, **combination}
                    yield Row(found, source, line, combination, repeat)


_ONE_EMPTY_ROW: tuple[tuple[int, Values], ...] = ((0, {}),)


def _read(source: Listing | None, report: Callable[..., None]) -> Iterator[tuple[int, Values]]:
    if source is None:
        return iter(_ONE_EMPTY_ROW)
    found: Iterator[tuple[int, Values]] = source.rows(lambda *told: report(source, *told))
    return found


def variables(entry: Entry) -> frozenset[str] | None:
    """Return every variable that a row of *entry* has; None where that differs from row to row."""
    found = {*BUILT_IN, *entry.part.vars, *entry.vars}
    found.update(*entry.combinations)
    for one in entry.lists:
        if one.columns is None:
            return None
        found.update(one.columns, (alias for alias, _ in aliases(one.columns)))
    return frozenset(found)


def settable(entry: Entry) -> frozenset[str]:
    """Return the parameters that a variable of the same name sets: those that the job does not set itself."""
    return PARAMETERS - entry.own.keys()


def portions(n: int, per_request: int | None) -> tuple[int, ...]:
    """Return how many images each request asks for: single ones, or up to *per_request* in one."""
    size = per_request or 1
    full, rest = divmod(n, size)
    return (size,) * full + ((rest,) if rest else ())


def key_of(name: str, first: int) -> str:
    """Return the id of a row's request whose first image is number *first* of the row, counted from 0.

    The first request keeps the row's name, so that raising ``n`` redoes nothing.  Later ones are named after their
    first image, so that ``cat-4`` can never meet the files cat-1, cat-2 and cat-3 of a request for three images.
    """
    return name if first == 0 else f"{name}-{first + 1}"
