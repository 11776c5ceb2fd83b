"""Pictures: what is measured of an image, and why it may be wrong. Pure values."""

from __future__ import annotations

from dataclasses import dataclass

#: Counts up when the same file would give other facts or another thumbnail.
VERSION = 1

#: Why a picture may be wrong, in the order in which the kinds are listed.
SUSPECT_KINDS = (
    "unreadable",
    "tiny",
    "one-colour",
    "wrong-size",
    "no-alpha",
    "duplicate",
    "near-duplicate",
    "same-as-source",
    "no-c2pa",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureFacts:
    """The facts of one file by its content; width and height are in pixels, as the picture is shown."""

    sha256: str
    size_bytes: int
    mime: str = ""
    width: int = 0
    height: int = 0
    dhash: str = ""  #: difference hash of 16 x 16 pixels, as 64 hex digits; "": not measured
    colour: str = ""  #: mean colours of the cells of a grid of 4 x 4, row by row, as 96 hex digits
    uniform: bool = False  #: all of it has one colour
    alpha: bool = False  #: some of it is transparent
    c2pa: bool = False  #: it carries signed provenance
    thumb_width: int = 0
    thumb_height: int = 0
    error: str | None = None  #: why it cannot be read
    version: int = VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspect:
    """A reason why a picture of a job may be wrong."""

    job_id: int
    ordinal: int
    artifact_id: int  #: of the file: once it is replaced, the suspect is gone
    kind: str  #: one of SUSPECT_KINDS
    detail: str
    other_job_id: int | None = None  #: the job of the picture that it resembles
    other_ordinal: int | None = None
