"""Marks and suspects, as text and as JSON."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .format import command_lines, count, display_path, under
from .table import Fit, table

if TYPE_CHECKING:
    from ...app.marks import ImportReport, MarkList
    from ...app.project import CommandFlags
    from ...mark import Mark
    from ...store.records import Bill, SuspectPicture

#: Letters of a batch's name in front of a line.
_NAME = 9


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


def suspects_line(counts: Mapping[str, int]) -> str:
    """Return how many suspects there are: "12 suspect: 7 near-duplicate, 5 wrong-size"."""
    return f"{sum(counts.values()):,} suspect: {suspect_kinds(counts)}"


def suspect_kinds(counts: Mapping[str, int]) -> str:
    """Return how many suspects there are of each kind, the most frequent first; a picture may be of several kinds."""
    return ", ".join(f"{number:,} {kind}" for kind, number in sorted(counts.items(), key=lambda item: -item[1]))


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


# --- the marks command --------------------------------------------------------


def mark_lines(listed: MarkList, flags: CommandFlags) -> list[str]:
    """Return the table of ``marks list``."""
    if not listed.marks:
        note = f" ({listed.replaced:,} of pictures that were replaced since)" if listed.replaced else ""
        step = (flags.on_batch("marks import", "FILE"), "takes in marks.json, which the page of a report saves")
        return [f"{listed.batch.name}: no marks{note}", *command_lines([step])]
    rows = [
        [mark.key, mark.ordinal + 1 or "", mark.mark or "", mark.stars or "", f"{mark.at.astimezone():%Y-%m-%d %H:%M}",
         mark.note]
        for mark in listed.marks
    ]  # fmt: skip
    fit = Fit(least={0: 12, 5: 16}, names=(0,), wrap=(5,), drop=(4, 1))
    lines = table(rows, ("id", "picture", "mark", "stars", "marked", "note"), right=(1, 3), fit=fit)
    lines.append(f"{listed.batch.name}: {_total(listed.marks)}")
    if listed.replaced:
        lines.append(f"{count(listed.replaced, 'mark')} of pictures that were replaced since: not listed")
    return lines


def clear_lines(removed: MarkList, flags: CommandFlags) -> list[str]:
    """Return what ``marks clear`` removed, and the command that brings it back."""
    if removed.undo is None:
        return [f"{removed.batch.name}: no marks to clear"]
    file = shlex.quote(display_path(removed.undo))
    undo = (flags.plain("marks import", file), "brings them back")
    return [f"{removed.batch.name}: cleared {_total(removed.marks)}", *command_lines([undo])]


def import_lines(report: ImportReport) -> Iterator[str]:
    """Yield what became of the marks in a file."""
    from ...planning.marks import Result

    kinds = [mark for mark in report.changes if not mark.is_empty]
    texts = [_total(kinds, f" from {report.file}")] if kinds else []
    texts += [f"{number:,} cleared"] if (number := report.count(Result.CLEARED)) else []
    texts = texts or [f"nothing new in {report.file}"]
    yield from under(report.batch.name[:_NAME], [", ".join(texts)])
    others = (
        (Result.SAME, "here already"),
        (Result.OLDER, "older than those here, which stay"),
        (Result.REPLACED, "of pictures that were replaced since: skipped"),
    )
    if parts := [f"{number:,} {words}" for result, words in others if (number := report.count(result))]:
        yield from under("", ["; ".join(parts)])
    yield from under("note", report.notices)


def next_lines(reports: Iterable[ImportReport], flags: CommandFlags) -> list[str]:
    """Return the commands that use imported marks."""
    steps: dict[str, str] = {}
    for report in reports:
        marks = {mark.mark for mark in report.changes}
        of_batch = replace(flags, batch=report.batch.name)
        if "pick" in marks:
            steps[of_batch.on_batch("export", "--marked pick --files DIR")] = "copies the picks"
        if "reject" in marks:
            command = flags.on_manifest("redo", report.batch.manifest, "--marked reject")
            steps[command] = "makes the rejects again: shows the price and asks"
    return command_lines(steps.items())


def import_document(report: ImportReport) -> dict[str, Any]:
    """Return the result of an import for ``--json``."""
    from ...planning.marks import Result

    return {
        "file": report.file,
        "batch": report.batch.name,
        **{result.value: report.count(result) for result in Result},
        "marks": mark_counts(report.changes),
        "notices": list(report.notices),
    }


def mark_counts(marks: Iterable[Mark]) -> dict[str, int]:
    """Return how many marks are a pick, a reject, have stars, or a note."""
    counts = Counter[str]()
    for mark in marks:
        facts = {"pick": mark.mark == "pick", "reject": mark.mark == "reject", "stars": mark.stars, "note": mark.note}
        counts.update({name: bool(fact) for name, fact in facts.items()})
    return {name: counts[name] for name in ("pick", "reject", "stars", "note")}


def _total(marks: Collection[Mark], origin: str = "") -> str:
    counts = mark_counts(marks)
    words = (("pick", "pick"), ("reject", "reject"), ("stars", "with stars"), ("note", "with a note"))
    parts = [f"{counts[name]:,} {text}" for name, text in words if counts[name]]
    return f"{count(len(marks), 'mark')}{origin}{': ' if parts else ''}{', '.join(parts)}"
