"""Facts about a file in an output tree: its size and date in a listing, and its job and attempt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file in an output tree."""

    name: str  #: relative to the output folder
    size_bytes: int
    changed: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """The job and the attempt of a file, as the metadata of an object states them."""

    job: str
    attempt: str
