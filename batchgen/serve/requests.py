"""The bodies of requests that change something, checked field by field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from ..mark import Mark
from ..planning.marks_file import parse_entry

#: Jobs that one order names, and marks that one request changes.
MOST_JOBS, MOST_MARKS = 100_000, 100_000
_MODEL = ConfigDict(extra="forbid", strict=True)


class Order(BaseModel):
    """What the page asks for: which jobs are made again, and with which changes."""

    model_config = _MODEL

    action: Literal["redo", "retry"]
    ids: list[str] = Field(min_length=1, max_length=MOST_JOBS)
    changes: list[str] = Field(default=[], max_length=50)  #: as --with takes them
    note: str = Field(default="", max_length=1_000)


class MarkEntry(BaseModel):
    """The mark of one picture, as in marks.json; an empty one takes a mark away."""

    model_config = _MODEL

    id: str
    picture: int
    sha256: str
    mark: Literal["pick", "reject"] | None
    stars: int
    note: str
    at: str
    _mark: Mark = PrivateAttr()

    def model_post_init(self, _context: object) -> None:
        """Check the values as those of a file; raise ValueError."""
        self._mark = parse_entry(self.model_dump())

    def as_mark(self) -> Mark:
        """Return the mark."""
        return self._mark


class MarkChange(BaseModel):
    """Marks that the page has changed."""

    model_config = _MODEL

    marks: list[MarkEntry] = Field(max_length=MOST_MARKS)

    def as_marks(self) -> Sequence[Mark]:
        """Return the marks."""
        return [entry.as_mark() for entry in self.marks]
