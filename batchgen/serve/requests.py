"""The bodies of requests that change something, checked field by field."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from ..mark import NOTE_LENGTH, Mark
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
    note: str = Field(default="", max_length=NOTE_LENGTH)


class MarkChange(BaseModel):
    """Marks that the page has changed."""

    model_config = _MODEL

    #: Entries as in marks.json; an empty one removes a mark.
    marks: list[Annotated[Mark, PlainValidator(parse_entry)]] = Field(max_length=MOST_MARKS)
