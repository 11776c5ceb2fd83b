"""The bodies of requests that change something, checked field by field."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from ..mark import STARS, Mark

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
    picture: int = Field(ge=0, le=10_000)
    sha256: str = Field(pattern=r"^([0-9a-f]{16,64})?$")
    mark: Literal["pick", "reject"] | None
    stars: int = Field(ge=0, le=STARS)
    note: str = Field(max_length=10_000)
    at: Annotated[AwareDatetime, Field(strict=False)]

    def as_mark(self) -> Mark:
        """Return the mark."""
        at: datetime = self.at
        place = {"key": self.id, "ordinal": self.picture - 1, "sha256": self.sha256}
        return Mark(**place, mark=self.mark, stars=self.stars, note=self.note, at=at)  # type: ignore[arg-type]


class MarkChange(BaseModel):
    """Marks that the page has changed."""

    model_config = _MODEL

    marks: list[MarkEntry] = Field(max_length=MOST_MARKS)

    def as_marks(self) -> Sequence[Mark]:
        """Return the marks."""
        return [entry.as_mark() for entry in self.marks]
