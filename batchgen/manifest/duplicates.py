"""Ids, files and requests that two jobs of a batch share. Pure."""

from __future__ import annotations

from array import array
from itertools import islice, pairwise
from operator import eq

from ..errors import Problem
from .lists.names import telling
from .messages import short
from .problems import Problems
from .render import RenderedJob

#: What must not be given twice, an id or a file, and what should not, a request.
KINDS = ("id", "file", "request")


class DuplicateCheck:
    """Finds names that two jobs share.

    A first pass over the jobs keeps eight bytes a name. Where two of those hashes are equal, a second pass finds
    the jobs.
    """

    def __init__(self, problems: Problems, warnings: Problems) -> None:
        self._problems = problems
        self._warnings = warnings
        self._hashes = {kind: array("q") for kind in KINDS}
        self._repeated: dict[str, frozenset[int]] | None = None  #: None during the first pass
        self._first: dict[tuple[str, str], tuple[str, RenderedJob]] = {}
        self._id_taken = False

    def needs_second_pass(self) -> bool:
        """End the first pass; return whether the jobs have to be gone through again."""
        self._repeated = {kind: _repeated(hashes) for kind, hashes in self._hashes.items()}
        self._hashes.clear()
        return any(self._repeated.values())

    def add(self, kind: str, name: str, shown: str, job: RenderedJob) -> None:
        """Add one name, which messages show as *shown*."""
        if self._repeated is None:
            self._hashes[kind].append(hash(name))
            return
        # A job whose id is taken shares its files too; one message is enough. The id is the first name of each job.
        self._id_taken = self._id_taken and kind != "id"
        if self._id_taken or hash(name) not in self._repeated[kind]:
            return
        earlier = self._first.get((kind, name))
        if earlier is None:
            self._first[kind, name] = (shown, job)
            return
        self._id_taken = kind == "id"
        problem = _duplicate(kind, shown, job, *earlier)
        (self._warnings if kind == "request" else self._problems).add(problem)


def _repeated(hashes: array[int]) -> frozenset[int]:
    ordered = sorted(hashes)
    # Most batches repeat nothing, which this finds out without a step of Python's for each of a million names.
    if not any(map(eq, ordered, islice(ordered, 1, None))):
        return frozenset()
    return frozenset(first for first, second in pairwise(ordered) if first == second)


def _duplicate(kind: str, shown: str, job: RenderedJob, shown_before: str, before: RenderedJob) -> Problem:
    if kind == "request":
        message = f"asks for exactly the same image as the job at {before.place}"
        return job.problem(None, "same_job", message, "n: makes several of one")
    if kind == "file":
        message = f"would write the same file as the job at {before.place}"
        hint = f"{short(shown)!r} and {short(shown_before)!r} are the same name on many disks"
        return job.problem(
            "id", "same_file", message, "put {{ id }} into output.file" if shown == shown_before else hint
        )
    if "id" not in job.values:
        message = f"asks for exactly what a job without id at {before.place} asks for"
        return job.problem(None, "duplicate_job", message, "give both an id, or use n: for several images of one")
    hint = "ids are unique in a manifest; n: 2 gives the second image the id with -2 appended"
    if before.template is job.template:
        hint = f'make the id of every row different, such as  id: "{{{{ {_telling(job)} }}}}"'
        if job.row.listing is not None and job.row.listing.file_of(job.row.line) != job.row.listing.file:
            hint = 'write  id: "{{ path }}"  to keep the suffix in the id, or leave one of the files out with exclude:'
    return job.problem("id", "duplicate_id", f"the id {short(shown)!r} is already taken ({before.place})", hint)


def _telling(job: RenderedJob) -> str:
    """Return a variable that differs from row to row: a column of the list, or the number of the row."""
    listing = job.row.listing
    if listing is None or not listing.is_table:
        return "row"
    rows = [values for _, values in listing.head()]
    return telling(rows, listing.known_columns(), {"id", "prompt", *job.template.variables_of("id")}) or "row"
