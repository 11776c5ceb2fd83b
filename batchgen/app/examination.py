"""Examination of pictures by ``verify --deep``: the decoding that proves them whole gives their facts as well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial

from ..errors import StoreError
from ..files.images import DamagedImageError
from ..files.images.thumbnail import decode_facts, unreadable
from ..files.output_tree import file_at
from ..picture import VERSION, PictureFacts
from ..planning.selection import Selection
from ..store import picture_facts
from ..store.reader import Reader
from ..store.records import Batch
from ..task import Kind
from .clock import utc_now
from .project import Project
from .sources import source_file
from .suspects import update_suspects


class Examination:
    """Decodes the pictures of a batch, in any thread, and keeps their facts until they are saved."""

    def __init__(self, project: Project, reader: Reader, batch: Batch) -> None:
        self.notice: str | None = None  #: why facts could not be saved
        self._project, self._reader, self._batch = project, reader, batch
        self._facts: list[PictureFacts] = []

    def decode(self, data: bytes, sha256: str) -> None:
        """Decode a picture and note its facts; raise DamagedImageError."""
        try:
            facts = decode_facts(data, sha256)
        except DamagedImageError as error:
            self._facts.append(unreadable(data, sha256, str(error)))
            raise
        if facts is not None:
            self._facts.append(facts)

    def save(self) -> None:
        """Write the facts that the job database lacks; verification does not fail if it cannot be written."""
        facts, self._facts = self._facts, []
        try:
            current = self._with_facts([each.sha256 for each in facts])
            new = {each.sha256: each for each in facts if each.sha256 not in current}
            picture_facts.write_facts(self._project.db, list(new.values()), utc_now())
        except StoreError as error:
            self.notice = str(error)

    def suspects(self) -> Mapping[str, int]:
        """Examine the sources of edits, look for suspects, and return how many there are of each kind."""
        try:
            self._examine_sources()
            self.save()
            return {} if self.notice else update_suspects(self._project, self._reader, self._batch)
        except StoreError as error:
            self.notice = str(error)
            return {}

    def _examine_sources(self) -> None:
        edits = self._reader.jobs(self._batch.id, Selection(kinds=(Kind.EDIT.value,)))
        sources = dict.fromkeys(source for job in edits for source in job.task.images)
        files = {file.sha256: file for source in sources if (file := source_file(self._project, source))}
        current = self._with_facts(files)
        for sha256, file in files.items():
            if sha256 not in current:
                # A source that is gone or damaged is the concern of the plan.
                with suppress(OSError, DamagedImageError):
                    self.decode(file_at(file.path).read(), sha256)

    def _with_facts(self, hashes: Iterable[str]) -> set[str]:
        """Return those of the hashes whose facts are in the job database."""
        facts: dict[str, PictureFacts] = self._reader.ask(partial(picture_facts.of_hashes, hashes=hashes))
        return {sha256 for sha256, each in facts.items() if each.version == VERSION}
