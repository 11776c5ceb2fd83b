"""Facts about a file in an output tree: what a listing shows of it, and whose it is."""

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
    """Whose file it is, as the metadata of an object states."""

    job: str
    attempt: str
