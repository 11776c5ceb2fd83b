"""Tiles of a report: columns of equal length, with a row for each picture and each job without one.

Pure but for looks at the disk, which are functions that the caller gives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ... import redaction
from ...money import MILLI, NANO, share
from ...store.report_rows import Call, FileRow
from ...task import Source
from .jobs import ReportJob
from .words import Words

#: Microseconds in a second.
TICKS = 1_000_000
#: Digits of a hash that name a thumbnail.
SHORT = 16
_COLUMNS = (
    *("key", "job", "ordinal", "state", "provider", "model", "kind", "cause", "prompt", "tags", "usd", "credits"),
    *("bytes", "width", "height", "mime", "at", "seconds", "sha", "path"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Looks:
    """Looks at the disk."""

    #: Whether a delivered file is where its stored path says.
    present: Callable[[str], bool] = lambda _path: True
    #: The place of a superseded file, as stored, and its prompt if that is known; None: it is gone.
    earlier: Callable[[FileRow], tuple[str, str | None] | None] = lambda row: (row.path, None)
    #: Path, URL and hash of a source image.
    source: Callable[[Source], tuple[str, str | None, str]] = lambda each: (each.path or each.url or "", None, "")


@dataclass(kw_only=True, slots=True)
class Tiles:
    """Collects tiles."""

    looks: Looks = field(default_factory=Looks)
    _columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _COLUMNS})
    _words: dict[str, Words[Any]] = field(default_factory=lambda: defaultdict(Words))
    _rows: dict[tuple[int, int], int] = field(default_factory=dict)  #: by job id and ordinal
    _sparse: dict[str, dict[int, Any]] = field(default_factory=lambda: defaultdict(dict))
    _lists: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def __len__(self) -> int:
        return len(self._columns["key"])

    def add(self, job: ReportJob) -> None:
        """Add the tiles of *job*."""
        earlier: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for old in job.earlier:
            if (place := self.looks.earlier(old)) is not None:
                earlier[old.ordinal].append(_earlier(old, place, job.task.prompt))
        pictures: list[FileRow | None] = [*job.pictures]
        for file in pictures or [None]:
            row = len(self)
            ordinal = -1 if file is None else file.ordinal
            self._rows[job.row.id, ordinal] = row
            self._add_row(job, file)
            self._add_sources(job, row)
            if forms := earlier.get(max(ordinal, 0)):
                self._sparse["earlier"][row] = forms

    def _add_row(self, job: ReportJob, file: FileRow | None) -> None:
        call = job.call_by_id.get(file.attempt_id) if file is not None else next(reversed(job.calls), None)
        row, words = job.row, self._words
        values = {
            "key": row.key,
            "job": job.number,
            "state": words["state"].number(row.state),
            "provider": words["provider"].number(row.provider if call is None else call.provider),
            "model": words["model"].number(row.model if call is None else call.model),
            "kind": words["kind"].number(row.kind),
            "cause": -1 if row.cause is None else words["cause"].number(row.cause),
            "prompt": words["prompt"].number(visible(job.task.prompt)),
            "tags": [words["tag"].number(tag) for tag in job.tags] or 0,
            "seconds": 0 if call is None or call.seconds is None else round(call.seconds, 1),
        }
        values |= _of_job(job, call) if file is None else _of_file(job, call, file, words["mime"])
        for name, column in self._columns.items():
            column.append(values[name])
        if file is not None and not self.looks.present(file.path):
            self._lists["gone"].append(len(self) - 1)

    def _add_sources(self, job: ReportJob, row: int) -> None:
        task = job.task
        if task.images:
            sources = [self._words["source"].number(self.looks.source(each)) for each in task.images]
            self._sparse["sources"][row] = sources
        if task.mask is not None:
            self._sparse["mask"][row] = self._words["source"].number(self.looks.source(task.mask))

    def row_of(self, job_id: int, ordinal: int) -> int | None:
        """Return the row of a picture; None if it is not in the report."""
        return self._rows.get((job_id, ordinal))

    def hashes(self) -> Sequence[str]:
        """Return the beginning of each picture's hash by row; "" for a job without one."""
        return self._columns["sha"]

    def document(self) -> dict[str, Any]:
        """Return the columns."""
        lists = {name: self._lists[name] for name in ("alpha", "no_thumb", "c2pa", "gone")}
        sparse = {name: self._sparse[name] for name in ("sources", "mask", "suspects", "earlier", "marks")}
        return {"count": len(self), **self._columns, **lists, **sparse}

    def words(self, sizes: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
        """Return the words; *sizes*: width and height of source images by hash."""
        names = ("state", "provider", "model", "kind", "tag", "mime", "cause", "prompt", "suspect")
        sources = [
            {"path": path, "url": url, "sha": sha[:SHORT], "width": size[0], "height": size[1]}
            for path, url, sha in self._words["source"].values()
            for size in [sizes.get(sha, (0, 0))]
        ]
        return {name: self._words[name].values() for name in names} | {"source": sources}


def _of_job(job: ReportJob, call: Call | None) -> dict[str, Any]:
    """Return the columns of a job without a picture: what all its calls cost."""
    usd = [each.usd for each in job.calls if each.usd is not None]
    credits_ = [each.credits for each in job.calls if each.credits is not None]
    return {
        "ordinal": -1,
        "usd": dollars(sum(usd)) if usd else None,
        "credits": sum(credits_) / MILLI if credits_ else None,
        "bytes": 0,
        "width": 0,
        "height": 0,
        "mime": -1,
        "at": 0 if call is None else call.at // TICKS,
        "sha": "",
        "path": "",
    }


def _of_file(job: ReportJob, call: Call | None, file: FileRow, mimes: Words[str]) -> dict[str, Any]:
    """Return the columns of a picture: its share of the call that delivered it."""
    together = [each.ordinal for each in (*job.files, *job.earlier) if each.attempt_id == file.attempt_id]
    place, number = sorted(together).index(file.ordinal), len(together)
    usd = None if call is None else share(call.usd, number, place)
    credits_ = None if call is None else share(call.credits, number, place)
    return {
        "ordinal": file.ordinal,
        "usd": None if usd is None else dollars(usd),
        "credits": None if credits_ is None else credits_ / MILLI,
        "bytes": file.size_bytes,
        "width": file.width,
        "height": file.height,
        "mime": mimes.number(file.mime),
        "at": file.created_at // TICKS,
        "sha": file.sha256[:SHORT],
        "path": file.path,
    }


def _earlier(file: FileRow, place: tuple[str, str | None], prompt: str) -> dict[str, Any]:
    path, earlier_prompt = place
    form: dict[str, Any] = {"sha": file.sha256[:SHORT], "path": path, "width": file.width, "height": file.height}
    form["at"] = file.created_at // TICKS
    if earlier_prompt is not None and earlier_prompt != prompt:
        form["prompt"] = visible(earlier_prompt)
    return form


def dollars(nano: int) -> float:
    """Return nano-USD as a number of dollars, which the page adds up and shows."""
    return round(nano / NANO, 7)


def visible(text: str) -> str:
    """Return *text* without keys."""
    return redaction.hidden(text, redaction.known())
