"""Marks: what a user decided about a picture: pick or reject, stars, a note."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

PICK, REJECT = "pick", "reject"
#: The highest number of stars.
STARS = 5
#: The most characters of a note: it may travel with every sidecar.
NOTE_LENGTH = 1_000
#: The ordinal in the mark of a job that has no picture.
NO_PICTURE = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """The mark of one picture, or of a job without one."""

    key: str  #: of the job
    ordinal: int = NO_PICTURE  #: of the picture, from 0
    sha256: str = ""  #: of the picture that was marked, or at least 16 digits of it; "": the job had no picture
    mark: str | None = None  #: pick or reject
    stars: int = 0
    note: str = ""
    at: datetime = field(compare=False)

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is set: such a mark removes an earlier one."""
        return self.mark is None and not self.stars and not self.note

    def as_json(self) -> dict[str, Any]:
        """Return the entry of ``marks.json``, where pictures count from 1."""
        return {
            "id": self.key,
            "picture": self.ordinal + 1,
            "sha256": self.sha256,
            "mark": self.mark,
            "stars": self.stars,
            "note": self.note,
            "at": instant(self.at),
        }


def instant(moment: datetime) -> str:
    """Return a time as marks.json states it: in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
