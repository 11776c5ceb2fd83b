"""The goals that batchgen is measured by, each beside what was measured before and what is measured now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .figures import Row

#: The row of a case that belongs to this source tree starts with this.
_OURS = "batchgen"
#: Only ratios to this row matter to a goal.
_LOOP = "a bare loop"


@dataclass(frozen=True, slots=True)
class Goal:
    """A line of the table; *shown* are cases by how their names begin, each with its columns."""

    case: str
    before: str
    goal: str
    shown: Sequence[tuple[str, tuple[str, ...]]]


GOALS = (
    Goal(
        "2.6 MB PNG as base64 JSON, 64 in flight",
        "0.59 of a bare loop; 55 to 67 ms CPU an image against 21 to 27",
        "at least 0.95; CPU at most 1.15 of the loop's",
        [("2.6 MB PNG as base64", ("speed", "cpu"))],
    ),
    Goal(
        "the same by URL",
        "0.16; 53 ms against 5",
        "at least 0.80 of a loop that also hashes and syncs; at most 18 ms",
        [("2.6 MB PNG by URL", ("speed", "cpu"))],
    ),
    Goal(
        "320 B, 64 in flight",
        "122 to 153 jobs/s, 7.6 ms CPU a job",
        "at least 400/s, at most 2.5 ms, ahead of every peer that keeps a record",
        [("320 B PNG", ("speed", "cpu"))],
    ),
    Goal(
        "syncs a job at 64 in flight / alone",
        "5.95 / 7.15",
        "3 / 5",
        [("disk syncs, 64", ("space",)), ("disk syncs, 1 ", ("space",))],
    ),
    Goal(
        "500, then 1,000 answers of 2.6 MB at once",
        "337, 407 MB",
        "250, 300 MB",
        [("burst: 500", ("space",)), ("burst: 1,000", ("space",))],
    ),
    Goal(
        "4,900 calls of 60 s",
        "280 MB, 53 % of a core over the run; 99 % added at most 19.7 s where all come at once",
        "200 MB; a heap drained at 3 ms a call; 5,000 within 20,000 files",
        [("flight: 4,900 calls, 60", ("speed", "cpu", "space")), ("flight: 4,900 calls, answered", ("speed", "space"))],
    ),
    Goal(
        "a million rows: validate / plan / first load / unchanged, one call / nothing to do",
        "21 / 34 / 69 / 73 / 62 s CPU",
        "15 / 25 / 40 / 3 / 3 s",
        [
            (f"1,000,000 rows: {name}", ("cpu",))
            for name in ("validate", "plan", "first load", "unchanged", "nothing to do, again")
        ],
    ),
    Goal(
        "`status`, `usage` on a finished million",
        "2.7, 3.1 s CPU",
        "0.2, 0.3 s",
        [("1,000,000 rows: status", ("cpu",)), ("1,000,000 rows: usage", ("cpu",))],
    ),
    Goal(
        "60 requests/s: most in any second",
        "70, 69, 60 in three runs",
        "never over 60 by the send calls, at most 61 by the server's log",
        [("limit: 60 ", ("speed", "cpu"))],
    ),
    Goal(
        "600 requests/min: used, and most in any minute",
        "98.4 %, 590",
        "at least 98 %, never over",
        [("limit: 600", ("space", "speed"))],
    ),
    Goal(
        "thumbnails: PNG of 2.6 MB, JPEG, a folder; near duplicates among 50,000",
        "none",
        "45, 12 ms CPU an image on every core; seconds",
        [
            ("thumbnail: 1024 x 1024 PNG", ("cpu",)),
            ("thumbnail: 1024 x 1024 JPEG", ("cpu",)),
            ("thumbnails: ", ("speed", "cpu")),
            ("near duplicates", ("cpu",)),
        ],
    ),
)


def table(found: Iterable[Row]) -> str:
    """Return the goals with what *found* measured, as a Markdown table."""
    rows = [row for row in found if row.how.startswith(_OURS)]
    lines = [f"| {goal.case} | {goal.before} | {goal.goal} | {_measured(goal, rows)} |" for goal in GOALS]
    return "\n".join(["| case | before | goal | measured |", "|---|---|---|---|", *lines])


def _measured(goal: Goal, rows: Sequence[Row]) -> str:
    cells = []
    for start, columns in goal.shown:
        for row in rows:
            if row.what.startswith(start):
                found = [figure for name in columns if (figure := getattr(row, name)) is not None]
                figures = [str(figure) if row.against == _LOOP else figure.plain for figure in found]
                mark = row.how.partition("; ")[2].lower()
                cells.append(", ".join(figures + [mark] * bool(mark)))
    return "; ".join(cells) or "not in this run"
