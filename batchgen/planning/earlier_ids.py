"""Earlier ids: keeps the ids of jobs that the database has under another wording of the same prompt or id. Pure.

The id of a job without one contains a hash of its prompt. Older versions hashed line ends and trailing blanks too, so
a job may be in the job database under the id of another wording. An id with accents may be composed otherwise: macOS
and spreadsheets rewrite names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol
from unicodedata import normalize

from ..job import State
from ..manifest.batch import ID_DIGITS, Jobs, PlannedJob
from ..wording import canonical
from .compare import CHUNK, StoredJob

#: Id and prompt under which a job is in the database, by the id that the manifest gives it.
_Names = dict[str, tuple[str, str]]


class PromptTable(Protocol):
    """The jobs of one batch in the database, with their prompts."""

    def lookup(self, keys: Sequence[str]) -> Mapping[str, StoredJob]:
        """Return the jobs with these keys, as far as they exist."""

    def hashed_ids(self, stems: Collection[str]) -> Iterable[tuple[str, str]]:
        """Yield id and prompt of jobs whose ids are one of *stems* and a hash."""

    def has_orphaned(self) -> bool:
        """Return whether there are jobs that are no longer in the manifest."""


@dataclass(kw_only=True, slots=True)
class JobsWithEarlierIds:
    """The jobs of a manifest; each has the id, and those without one the prompt, under which the database has it."""

    jobs: Jobs
    table: PromptTable
    _names: _Names | None = field(default=None, init=False)  #: None until all jobs were looked up
    _has_orphaned: bool = field(default=False, init=False)

    def __len__(self) -> int:
        return len(self.jobs)

    def __iter__(self) -> Iterator[PlannedJob]:
        if self._names is not None:
            yield from (self._as_stored(job, self._names) for job in self.jobs)
            return
        names: _Names = {}
        self._has_orphaned = self.table.has_orphaned()
        jobs = iter(self.jobs)
        while chunk := list(islice(jobs, CHUNK)):
            names.update(self._find([job for job in chunk if job.id_stamp is not None]))
            names.update(self._composed([job for job in chunk if job.id_stamp is None and not job.key.isascii()]))
            yield from (self._as_stored(job, names) for job in chunk)
        # A later pass may run when the jobs were added and the table is closed.
        self._names = names

    def _find(self, unnamed: Sequence[PlannedJob]) -> Iterator[tuple[str, tuple[str, str]]]:
        """Yield the names of those of *unnamed* that the database has under another id."""
        stored = self.table.lookup([job.key for job in unnamed]) if unnamed else {}
        new = {(job.prompt_form, *job.id_parts): job for job in unnamed if self._may_have_earlier_id(job.key, stored)}
        stems = {stem for _, stem, _ in new}
        tails = {tail for _, _, tail in new}
        for key, prompt in self.table.hashed_ids(stems) if new else ():
            form = canonical(prompt)
            for stem, tail in _splits(key, stems, tails):
                job = new.get((form, stem, tail))
                # Recovery may have added the job under its present id as well, which must not win.
                if job is not None and key != job.key and key in job.keys_of(prompt):
                    yield job.key, (key, prompt)

    def _composed(self, named: Sequence[PlannedJob]) -> Iterator[tuple[str, tuple[str, str]]]:
        """Yield the names of those of *named* that the database has with their accents composed otherwise."""
        if not named:
            return
        forms = {job.key: [normalize(form, job.key) for form in ("NFC", "NFD")] for job in named}
        stored = self.table.lookup([key for job in named for key in dict.fromkeys((job.key, *forms[job.key]))])
        for job in named:
            key = next((form for form in forms[job.key] if form in stored and form != job.key), None)
            if key is not None and self._may_have_earlier_id(job.key, stored):
                yield job.key, (key, job.prompt)

    def _may_have_earlier_id(self, key: str, stored: Mapping[str, StoredJob]) -> bool:
        """Return whether a job of the manifest may be in the database under an earlier id alone.

        Recovery adds the jobs of a manifest, and then those that it finds, as orphaned and under their earlier ids.
        """
        return key not in stored or (self._has_orphaned and stored[key].state is State.PENDING)

    @staticmethod
    def _as_stored(job: PlannedJob, names: _Names) -> PlannedJob:
        if job.key not in names:
            return job
        key, prompt = names[job.key]
        return job._replace(key=key, prompt=prompt, output=job.output.replace(job.key, key))


def _splits(key: str, stems: Collection[str], tails: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the parts before and after the hash of *key*, as far as they occur."""
    for tail in tails:
        stem = key.removesuffix(tail)[:-ID_DIGITS]
        if key.endswith(tail) and stem in stems:
            yield stem, tail
