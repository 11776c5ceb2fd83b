"""Grouping: which jobs go into one file of requests. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ...job import Job
from ...task import Kind


@dataclass(frozen=True, slots=True)
class Group:
    """What the requests of one file have in common: a provider takes one endpoint and one model a batch."""

    kind: Kind
    model: str


@dataclass(frozen=True, slots=True)
class Weight:
    """What one request takes of the bounds of a file."""

    request_bytes: int
    images: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """The most that one file may hold."""

    lines: int
    request_bytes: int
    images: int  #: that the file of results then has


@dataclass(slots=True)
class Draft:
    """The jobs of one file."""

    group: Group
    jobs: list[Job] = field(default_factory=list)
    request_bytes: int = 0
    images: int = 0

    def takes(self, weight: Weight, bounds: Bounds) -> bool:
        """Return whether one more request fits; the first one always does."""
        return not self.jobs or (
            len(self.jobs) < bounds.lines
            and self.request_bytes + weight.request_bytes <= bounds.request_bytes
            and self.images + weight.images <= bounds.images
        )

    def add(self, job: Job, weight: Weight) -> None:
        """Add a job."""
        self.jobs.append(job)
        self.request_bytes += weight.request_bytes
        self.images += weight.images


def drafts(weighed: Iterable[tuple[Job, Group, Weight]], bounds: Bounds) -> Iterator[Draft]:
    """Yield the files of *weighed* jobs, each as full as its bounds allow, with the jobs in their order."""
    open_drafts: dict[Group, Draft] = {}
    for job, group, weight in weighed:
        draft = open_drafts.setdefault(group, Draft(group))
        if not draft.takes(weight, bounds):
            yield draft
            draft = open_drafts[group] = Draft(group)
        draft.add(job, weight)
    yield from open_drafts.values()
