"""Tiles of a report: columns of equal length, with a row for each picture and each job without one.

Pure but for looks at the disk, which are functions that the caller gives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from ... import redaction
from ...files.thumbnails import SHORT
from ...mark import NO_PICTURE
from ...mode import Mode
from ...money import MILLI, NANO, share
from ...picture import PictureFacts, Suspect
from ...store.report_rows import Call, FileRow
from ...task import Source
from .jobs import ReportJob
from .words import Words

#: Microseconds in a second.
TICKS = 1_000_000
_COLUMNS = (
    *("key", "job", "ordinal", "state", "provider", "model", "kind", "cause", "prompt", "tags", "usd", "credits"),
    *("bytes", "width", "height", "mime", "at", "seconds", "sha", "path"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Looks:
    """Looks at the disk, and at how it is laid out."""

    #: Whether a delivered file is where its stored path says.
    present: Callable[[str], bool] = lambda _path: True
    #: The place of a superseded file, as stored, and its prompt if that is known; None: it is gone.
    earlier: Callable[[FileRow], tuple[str, str | None] | None] = lambda row: (row.path, None)
    #: Path, URL and hash of a source image.
    source: Callable[[Source], tuple[str, str | None, str]] = lambda each: (each.name, None, "")
    #: The path of a local source image as a manifest states it.
    typed: Callable[[str], str] = lambda path: path


@dataclass(kw_only=True, slots=True)
class Tiles:
    """Collects tiles."""

    looks: Looks = field(default_factory=Looks)
    _columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _COLUMNS})
    _words: dict[str, Words[Any]] = field(default_factory=lambda: defaultdict(Words))
    _rows: dict[tuple[int, int], int] = field(default_factory=dict)  #: by job id and ordinal
    _sparse: dict[str, dict[int, Any]] = field(default_factory=lambda: defaultdict(dict))
    _suspects: list[tuple[int, Suspect]] = field(default_factory=list)  #: with their rows
    _modes: list[int] = field(default_factory=list)
    _lists: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def __len__(self) -> int:
        return len(self._columns["key"])

    def add(self, job: ReportJob) -> None:
        """Add the tiles of *job*."""
        earlier: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for old in job.earlier:
            if (place := self.looks.earlier(old)) is not None:
                earlier[old.ordinal].append(_earlier(old, place, job))
        pictures: list[FileRow | None] = [*job.pictures]
        for file in pictures or [None]:
            row = len(self)
            ordinal = -1 if file is None else file.ordinal
            self._rows[job.row.id, ordinal] = row
            self._add_row(job, file)
            self._add_sources(job, row)
            self._add_judgements(job, file, row)
            if forms := earlier.get(max(ordinal, 0)):
                self._sparse["earlier"][row] = forms

    def _add_mode(self, call: Call | None) -> None:
        """Add the mode of a tile; the column is in the document only if one of them is not standard."""
        self._modes.append(-1 if call is None else self._words["mode"].number(call.mode_name))

    def _add_row(self, job: ReportJob, file: FileRow | None) -> None:
        call = job.call_by_id.get(file.attempt_id) if file is not None else next(reversed(job.calls), None)
        row, words = job.row, self._words
        values = {
            "key": row.key,
            "job": job.number,
            "state": words["state"].number(job.state),
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
        self._add_mode(call)
        if file is not None and not self.looks.present(file.path):
            self._lists["gone"].append(len(self) - 1)

    def _add_sources(self, job: ReportJob, row: int) -> None:
        task = job.task
        if task.images:
            sources = [self._words["source"].number(self.looks.source(each)) for each in task.images]
            self._sparse["sources"][row] = sources
        if task.mask is not None:
            self._sparse["mask"][row] = self._words["source"].number(self.looks.source(task.mask))

    def _add_judgements(self, job: ReportJob, file: FileRow | None, row: int) -> None:
        """Add marks, facts and suspects of a tile."""
        ordinal = NO_PICTURE if file is None else file.ordinal
        for mark in job.marks:
            if mark.ordinal == ordinal:
                entry = mark.as_json()
                fields = {name: entry[name] for name in ("mark", "stars", "note", "at")}
                self._sparse["marks"][row] = fields | {"sha": mark.sha256[:SHORT]}
        if file is None:
            return
        if (facts := job.facts.get(file.sha256)) is not None:
            for name in ("alpha", "c2pa"):
                if getattr(facts, name):
                    self._lists[name].append(row)
        self._suspects += [(row, each) for each in job.suspects if each.artifact_id == file.id]

    def _add_suspects(self) -> None:
        """Add the suspects, once the rows of the pictures are known that they resemble."""
        for row, suspect in self._suspects:
            other = -1
            if suspect.other_job_id is not None and suspect.other_ordinal is not None:
                other = self._rows.get((suspect.other_job_id, suspect.other_ordinal), -1)
            kind = self._words["suspect"].number(suspect.kind)
            self._sparse["suspects"].setdefault(row, []).append([kind, other, suspect.detail])
        self._suspects.clear()

    def source_hashes(self) -> list[str]:
        """Return the hashes of all source images."""
        return [sha256 for _, _, sha256 in self._words["source"].values()]

    def document(self, thumbnails: Container[str] | None) -> dict[str, Any]:
        """Return the columns; *thumbnails*: the beginnings of the hashes that have one, None if all will have one."""
        self._add_suspects()
        if thumbnails is not None:
            shas = enumerate(self._columns["sha"])
            self._lists["no_thumb"] = [row for row, sha in shas if sha and sha not in thumbnails]
        lists = {name: self._lists[name] for name in ("alpha", "no_thumb", "c2pa", "gone")}
        sparse = {name: self._sparse[name] for name in ("sources", "mask", "suspects", "earlier", "marks")}
        has_modes = any(mode != Mode.STANDARD for mode in self._words["mode"].values())
        modes = {"mode": self._modes} if has_modes else {}
        return {"count": len(self), **self._columns, **modes, **lists, **sparse}

    def words(self, facts: Mapping[str, PictureFacts]) -> dict[str, Any]:
        """Return the words; *facts*: of source images, by hash."""
        names = ("state", "provider", "model", "kind", "tag", "mime", "cause", "prompt", "suspect", "mode")
        sources = [
            {"path": path, "url": url, "sha": sha[:SHORT], **_shape(facts.get(sha))}
            for path, url, sha in self._words["source"].values()
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


def _shape(facts: PictureFacts | None) -> dict[str, Any]:
    """Return size and transparency of a source image; unknown ones are 0."""
    if facts is None:
        return {"width": 0, "height": 0}
    return {"width": facts.width, "height": facts.height} | ({"alpha": True} if facts.alpha else {})


def _earlier(file: FileRow, place: tuple[str, str | None], job: ReportJob) -> dict[str, Any]:
    path, earlier_prompt = place
    form: dict[str, Any] = {"sha": file.sha256[:SHORT], "path": path, "width": file.width, "height": file.height}
    form["at"] = file.created_at // TICKS
    if (facts := job.facts.get(file.sha256)) is not None and facts.alpha:
        form["alpha"] = True
    if earlier_prompt is not None and earlier_prompt != job.task.prompt:
        form["prompt"] = visible(earlier_prompt)
    return form


def dollars(nano: int) -> float:
    """Return nano-USD as a number of dollars, which the page adds up and shows."""
    return round(nano / NANO, 7)


def visible(text: str) -> str:
    """Return *text* without keys."""
    return redaction.hidden(text, redaction.known())
