"""Check of chains: finds the jobs that references mean, and reports those that mean none. Pure.

A job may refer to one that is built after it, so that references are resolved after the last row.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from ..errors import suggest
from ..task import Source
from .batch import PlannedJob, Recipe
from .chains import Chains, Image
from .expand import key_of
from .messages import short
from .problems import Problems
from .render import RenderedJob

_NUMBERED = re.compile(r"(.+)#([1-9][0-9]{0,3})", re.DOTALL)
#: Ids that are compared with an unknown one.
_SEARCHED = 5_000
#: The most images of a request.
_MOST_PER_REQUEST = 100
#: Jobs of a cycle that an error names.
_SHOWN = 6


def is_reference(name: str) -> bool:
    """Return whether a source image is that of another job."""
    return name.startswith("@")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A reference as it is written: ``field`` is images, mask or needs, ``text`` the id without @, perhaps with #2."""

    field: str
    text: str


def references(recipe: Recipe) -> Iterator[Reference]:
    """Yield the references of jobs with this recipe, in order."""
    task = recipe.task
    yield from (Reference(field="images", text=source.job) for source in task.images if source.job is not None)
    if task.mask is not None and task.mask.job is not None:
        yield Reference(field="mask", text=task.mask.job)
    yield from (Reference(field="needs", text=text) for text in recipe.needs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What is wrong with a reference."""

    field: str
    code: str
    message: str
    hint: str = ""


class ChainCheck:
    """Collects the references of a first pass over the jobs, and reports faults at their places in a second one."""

    def __init__(self) -> None:
        self.references: dict[str, tuple[Reference, ...]] = {}  #: by the id of the job that has them
        self.faults: Mapping[str, list[Fault]] = {}  #: likewise

    def add(self, recipe: Recipe, key: str) -> None:
        """Add a job."""
        found = tuple(references(recipe))
        if found:
            self.references[key] = found

    def report(self, job: RenderedJob, key: str, problems: Problems) -> None:
        """Report what is wrong with the references of a job."""
        for fault in self.faults.get(key, ()):
            problems.add(job.problem(fault.field, fault.code, fault.message, fault.hint))


def resolve(job: PlannedJob, chains: Chains) -> PlannedJob:
    """Return *job* with its references resolved."""
    if job.key not in chains.parents:
        return job
    images = chains.images[job.key]
    task = job.recipe.task
    mask = None if task.mask is None else _resolve(task.mask, images)
    task = replace(task, images=tuple(_resolve(source, images) for source in task.images), mask=mask)
    recipe = replace(job.recipe, task=task, needs=tuple(images[text].job for text in job.recipe.needs))
    return job._replace(recipe=recipe, fingerprint=recipe.fingerprint(job.prompt))


def _resolve(source: Source, images: Mapping[str, Image]) -> Source:
    if source.job is None:
        return source
    image = images[source.job]
    return replace(source, job=image.job, number=image.number, version=image.version)


def link(check: ChainCheck, jobs: Iterable[PlannedJob]) -> Chains:
    """Resolve the references that *check* collected among *jobs*, which are all jobs; faults are left in *check*."""
    wanted = {name for found in check.references.values() for each in found for name in _candidates(each.text)}
    facts: dict[str, PlannedJob] = {}
    some: list[str] = []
    for job in jobs:
        if job.key in wanted:
            facts[job.key] = job
        if len(some) < _SEARCHED:
            some.append(job.key)
    faults: dict[str, list[Fault]] = {}
    images: dict[str, dict[str, Image]] = {}
    for key, found in check.references.items():
        for each in found:
            image = _find(each.text, facts)
            if image is None:
                faults.setdefault(key, []).append(_unknown(each, facts, some))
            else:
                images.setdefault(key, {})[each.text] = image
    if not faults:
        order, cycle = _ordered(images)
        if not cycle:
            return _versioned(check, images, order, facts)
        faults[cycle[0]] = [_cycle(check, images, cycle)]
    check.faults = faults
    return Chains(parents={}, makers={})


def _candidates(text: str) -> Iterator[str]:
    """Yield the ids that a reference may mean: an id as it is written, or a job that makes the image of a number."""
    yield text
    if match := _NUMBERED.fullmatch(text):
        yield from (key_of(match[1], first) for first in _firsts(int(match[2])))


def _firsts(number: int) -> range:
    """Return the numbers, counted from 0, that the first image of the job of image *number* may have."""
    return range(number - 1, max(number - 1 - _MOST_PER_REQUEST, -1), -1)


def _find(text: str, facts: Mapping[str, PlannedJob]) -> Image | None:
    """Return the image that a reference means; None if there is none."""
    if text in facts:
        return Image(text, 1)
    match = _NUMBERED.fullmatch(text)
    if match is None:
        return None
    # With n, each image is a job of its own, unless per_request has several in one.
    for first in _firsts(int(match[2])):
        job, number = facts.get(key_of(match[1], first)), int(match[2]) - first
        if job is not None and number <= job.recipe.wanted:
            return Image(job.key, number)
    return None


def _unknown(each: Reference, facts: Mapping[str, PlannedJob], some: list[str]) -> Fault:
    sign = "" if each.field == "needs" else "@"
    match = _NUMBERED.fullmatch(each.text)
    if match is not None and match[1] in facts:
        message = f"{sign}{short(each.text)}: job {short(match[1])} makes fewer images"
        return Fault(field=each.field, code="no_such_image", message=message, hint="n: sets their number")
    hint = suggest(each.text, some, "ids are those of this manifest and the files that it includes")
    if each.field != "needs" and "did you mean" not in hint:
        hint += f"; a file of that name is written  ./@{short(each.text)}"
    message = f"{sign}{short(each.text)}: there is no job {short(each.text)!r} in this batch"
    return Fault(field=each.field, code="unknown_job", message=message, hint=hint)


def _ordered(images: Mapping[str, Mapping[str, Image]]) -> tuple[list[str], list[str]]:
    """Return the chained jobs with parents first, and a cycle among the others if there is one."""
    parents = {key: {image.job for image in of_job.values()} for key, of_job in images.items()}
    children: dict[str, list[str]] = {}
    left = {key: sum(parent in images for parent in of_job) for key, of_job in parents.items()}
    for key, of_job in parents.items():
        for parent in of_job:
            children.setdefault(parent, []).append(key)
    ready = deque(key for key, number in left.items() if number == 0)
    order: list[str] = []
    while ready:
        order.append(key := ready.popleft())
        for child in children.get(key, ()):
            left[child] -= 1
            if left[child] == 0:
                ready.append(child)
    return order, _a_cycle(parents, {key for key, number in left.items() if number})


def _a_cycle(parents: Mapping[str, Iterable[str]], stuck: set[str]) -> list[str]:
    """Return the jobs of one cycle, each of which needs the next one; *stuck* are those in cycles or behind one."""
    path: list[str] = []
    key = min(stuck, default=None)
    while key is not None and key not in path:
        path.append(key)
        key = min(parent for parent in parents[key] if parent in stuck)
    return [] if key is None else path[path.index(key) :]


def _cycle(check: ChainCheck, images: Mapping[str, Mapping[str, Image]], cycle: list[str]) -> Fault:
    after = cycle[1] if len(cycle) > 1 else cycle[0]
    own = next(each for each in check.references[cycle[0]] if images[cycle[0]][each.text].job == after)
    if len(cycle) == 1:
        message = "the job needs itself"
    else:
        names = [*map(short, islice(cycle, _SHOWN)), *(["..."] if len(cycle) > _SHOWN else []), short(cycle[0])]
        message = f"jobs need each other: {' needs '.join(names)}"
    return Fault(field=own.field, code="cycle", message=message, hint="remove one of these references")


def _versioned(
    check: ChainCheck, images: Mapping[str, dict[str, Image]], order: list[str], facts: Mapping[str, PlannedJob]
) -> Chains:
    """Return the chains with the fingerprints of all jobs whose images are used."""
    parents = {key: tuple(dict.fromkeys(image.job for image in images[key].values())) for key in order}
    texts = {key: {each.text for each in check.references[key] if each.field != "needs"} for key in order}
    makers = {
        key: tuple(dict.fromkeys(images[key][text].job for text in images[key] if text in texts[key])) for key in order
    }
    versions = {key: job.fingerprint for key, job in facts.items() if key not in parents}
    chains = Chains(parents=parents, makers=makers, images=images, versions=versions)
    for key in order:
        of_job = images[key]
        for text, image in of_job.items():
            if text in texts[key]:
                of_job[text] = replace(image, version=versions[image.job])
        if key in facts:
            versions[key] = resolve(facts[key], chains).fingerprint
    return chains
