"""What the lists of a job hold and nobody can have meant: warnings.  Decisions, but for the lists that tell places.

Rows come by; a few counts are kept of them, however many there are.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import Problem
from .expand import Row
from .lists import Listing
from .locations import Problems
from .model import PARAMETERS
from .render import JobTemplate


class Remarks:
    """Watches the rows of one job: cells that leave a gap in a text, and columns that set nothing."""

    def __init__(self, press: JobTemplate) -> None:
        self._entry = press.entry
        self._settable = press.settable
        self._names = press.variables
        self._written = sorted(press.printed)
        self._gaps: dict[str, tuple[int, Row]] = {}  #: by column: in how many rows, and the first of them
        self._strange: list[tuple[str, str, Row]] = []  #: columns, what they may be meant for, and a row that has one
        self._list: Listing | None = None

    def see(self, row: Row) -> None:
        """Look at one row of a list."""
        values = row.values
        for name in self._written:
            value = values.get(name)
            if type(value) is str and (not value or value.isspace()) and name not in row.combination:
                count, first = self._gaps.get(name, (0, row))
                self._gaps[name] = count + 1, first
        if row.listing is not self._list:
            self._list = row.listing
            names = values.keys() - self._names
            meant = {name: name.strip().lower() for name in names if name.isidentifier() and name not in PARAMETERS}
            self._strange += [
                (name, word, row) for name, word in sorted(meant.items()) if word in self._settable - values.keys()
            ]

    def tell(self, warnings: Problems) -> None:
        """Say what was seen; once all rows have come by, what the lists themselves have to say as well."""
        for name, (count, row) in self._gaps.items():
            rows = "one row" if count == 1 else f"{count:,} rows, first here"
            message = f"{name!r} is empty in {rows}: it leaves a gap in the text"
            hint = f'{{{{ {name} | default("...") }}}} fills it; where: {{{name}: "?*"}} takes only rows that have it'
            warnings.add(self._at(row, row.line, name, "empty_cell", message, hint))
        for name, word, row in self._strange:
            line = row.line if row.listing is None or row.listing.columns is None else 1
            message = f"the column {name!r} sets nothing: parameters are written small"
            warnings.add(self._at(row, line, name, "strange_column", message, f"did you mean column {word!r}?"))
        for listing in self._entry.lists:
            for code, message, hint in listing.remarks:
                problem = self._entry.origin().inside("from").problem(code, f"{listing.file}: {message}", hint)
                warnings.add(problem)

    def _at(self, row: Row, line: int, column: str, code: str, message: str, hint: str) -> Problem:  # noqa: PLR0917
        problem = self._entry.origin().problem(code, message, hint)
        if row.listing is None:
            return problem
        at, col = row.listing.place(line, column)
        return replace(problem, file=row.listing.file, line=at, column=col)


def of(press: JobTemplate) -> Remarks | None:
    """Return what watches the rows of a job, where it has lists."""
    return Remarks(press) if press.entry.lists else None
