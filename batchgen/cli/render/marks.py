"""Marks and suspects, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .format import count

if TYPE_CHECKING:
    from ...mark import Mark
    from ...store.records import Bill, SuspectPicture


def mark_documents(bill: Bill) -> list[dict[str, Any]]:
    """Return the marks of a job's pictures; picture 0 is the job itself, which has no picture."""
    return [{name: value for name, value in mark.as_json().items() if name != "id"} for mark in bill.marks]


def suspect_documents(bill: Bill) -> list[dict[str, Any]]:
    """Return why a job's pictures may be wrong."""
    return [
        {
            "picture": suspect.ordinal + 1,
            "kind": suspect.kind,
            "detail": suspect.detail,
            "other": suspect.other_key,
            "other_picture": None if suspect.other_ordinal is None else suspect.other_ordinal + 1,
        }
        for suspect in bill.suspects
    ]


def mark_words(mark: Mark) -> str:
    """Return a mark in few words: "reject", "pick, 4 stars", "note"."""
    stars = count(mark.stars, "star") if mark.stars else None
    return ", ".join(filter(None, [mark.mark, stars])) or "note"


def mark_cell(bill: Bill) -> str:
    """Return the marks of a job as one cell, with the numbers of its pictures where it has several."""
    if len(bill.files) < 2:
        return "; ".join(mark_words(mark) for mark in bill.marks)
    return "; ".join(f"{mark.ordinal + 1}: {mark_words(mark)}" for mark in bill.marks)


def suspect_cell(bill: Bill) -> str:
    """Return the kinds of a job's suspects as one cell."""
    return ", ".join(dict.fromkeys(suspect.kind for suspect in bill.suspects))


def judgement_lines(bill: Bill) -> Iterator[str]:
    """Yield the lines of ``show`` about marks and suspects."""
    several = len(bill.files) > 1
    for mark in bill.marks:
        note = f": {mark.note}" if mark.note else ""
        yield f"mark      {_picture(mark.ordinal, several=several)}{mark_words(mark)}{note}"
    for suspect in bill.suspects:
        yield f"suspect   {_picture(suspect.ordinal, several=several)}{_reason(suspect)}"


def _picture(ordinal: int, *, several: bool) -> str:
    return f"picture {ordinal + 1}: " if several else ""


def _reason(suspect: SuspectPicture) -> str:
    other = f" of {suspect.other_key}" if suspect.other_key else ""
    return f"{suspect.kind}{other}{f': {suspect.detail}' if suspect.detail else ''}"


def mark_counts(marks: Iterable[Mark]) -> dict[str, int]:
    """Return how many marks are a pick, a reject, have stars, or a note."""
    all_marks = list(marks)
    return {
        "pick": sum(mark.mark == "pick" for mark in all_marks),
        "reject": sum(mark.mark == "reject" for mark in all_marks),
        "stars": sum(mark.stars > 0 for mark in all_marks),
        "note": sum(mark.note != "" for mark in all_marks),
    }
