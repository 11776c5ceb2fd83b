"""The page and its parts as the server sends them: the same document as a report's, read as each request needs it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Self

from ..app import marks
from ..app.clock import utc_now
from ..app.project import Project
from ..app.report import document, html
from ..app.report.folder import folder_of
from ..app.thumbnails import pictures_of
from ..files.thumbnails import SHORT, PictureFile
from ..mark import Mark
from ..object_url import ObjectUrl, is_object_url, place_of
from ..store.changes import cursor
from ..store.delivered import file_of_hash
from ..store.marks import of_batch, state_of_marks
from ..store.reader import Reader
from ..store.records import Batch
from .pictures import Picture, Thumbnails, read_object, read_picture

#: Seconds before earlier forms and sources are looked for again in all jobs.
_OTHERS_AGE = 10.0


@dataclass(kw_only=True, slots=True)
class LivePage:
    """The contents of one batch's page; its methods block and may be called from several threads."""

    project: Project
    reader: Reader
    batch: Batch
    read_only: bool
    thumbnails: Thumbnails = field(init=False)
    _others: Mapping[str, PictureFile] = field(default_factory=dict)
    _others_at: float = 0.0
    _marks: Mapping[str, Any] = field(default_factory=dict)
    _marks_state: tuple[object, ...] = ()
    _building: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.thumbnails = Thumbnails(self.project, folder_of(self.project, self.batch).local)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.thumbnails.close()

    def html(self) -> str:
        """Return the page."""
        # Everything that commits while the page is read arrives again with the first events.
        since = cursor(utc_now())
        with self._building:
            content = document.build(self.project, self.reader, self.batch, on_details=lambda *_: None)
        content.pop("details", None)
        content.pop("chunk", None)
        self._make_live(content["tiles"], content["words"])
        may_write = not self.read_only
        live = {
            "events": f"events?since={since}",
            "files": "files/",
            "details": "details/",
            "marks": "marks" if may_write else None,
            "actions": "plans" if may_write else None,
        }
        return html.render(content, live=live)

    def rows(self, jobs: Sequence[int]) -> Mapping[str, Any]:
        """Return the rows of *jobs* in columns, with their words."""
        update = document.changes(self.project, self.reader, self.batch, jobs)
        self._make_live(update["tiles"], update["words"])
        return update

    @staticmethod
    def _make_live(tiles: dict[str, Any], words: Mapping[str, Any]) -> None:
        """Point the page at the server: thumbnails are made when they are asked for, and files go by hash."""
        tiles["no_thumb"] = []
        for source in words["source"]:
            source["url"] = f"files/{source['sha']}" if source["sha"] else None

    def figures(self) -> Mapping[str, Any]:
        """Return what the head of the page shows."""
        return document.figures(self.project, self.reader, self.batch)

    def detail(self, key: str) -> Mapping[str, Any]:
        """Return the details of a job; raise NotFound."""
        job_id = self.reader.job(self.batch.id, key).id
        [content] = document.details(self.project, self.reader, self.batch, [job_id])
        return content

    def marks(self) -> Mapping[str, Any]:
        """Return the marks as entries of marks.json, by picture; they are only read where they have changed."""
        state = self.reader.ask(partial(state_of_marks, batch_id=self.batch.id))
        if self._marks_state != state:
            stored = self.reader.ask(partial(of_batch, batch_id=self.batch.id))
            self._marks = {f"{mark.ordinal} {mark.key}": mark.as_json() for mark in stored}
            self._marks_state = state
        return self._marks

    def change_marks(self, entries: Sequence[Mark]) -> Mapping[str, Any]:
        """Change marks as the page asks; return what became of them. Raises NotFound."""
        merged = marks.change(self.project, self.batch.name, entries)
        return {"results": {str(result): number for result, number in merged.results.items()}}

    def picture(self, sha: str) -> Picture | None:
        """Return the file whose hash begins with *sha*, if the job database lists it."""
        file = self._file(sha)
        if file is None:
            return None
        if isinstance(file.path, ObjectUrl):
            return read_object(file.path)
        folders = [] if is_object_url(self.batch.folder) else [Path(self.batch.folder)]
        return read_picture(file.path, [*folders, self.project.root, self.project.state, file.path.parent])

    async def thumbnail(self, sha: str) -> bytes | None:
        """Return the thumbnail of a picture, which is made if it is missing; None if it cannot be made."""
        return await self.thumbnails.get(sha, partial(self._file, sha))

    def _file(self, sha: str) -> PictureFile | None:
        """Return the file whose hash begins with *sha*: a delivered one, an earlier form or a source."""
        stored = self.reader.ask(partial(file_of_hash, batch_id=self.batch.id, sha=sha))
        if stored is not None:
            return PictureFile(path=place_of(stored[0], self.project.root), sha256=stored[1])
        short = sha[:SHORT]
        if short not in self._others and time.monotonic() - self._others_at > _OTHERS_AGE:
            self._others = {each.sha256[:SHORT]: each for each in pictures_of(self.project, self.reader, self.batch)}
            self._others_at = time.monotonic()
        return self._others.get(short)
