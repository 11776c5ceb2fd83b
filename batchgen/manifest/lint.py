"""Warnings about the lists of a job: empty cells that leave gaps, and columns that set nothing."""

from __future__ import annotations

from dataclasses import replace

from ..errors import Problem
from .expand import Row
from .lists import Listing
from .locations import Problems
from .model import PARAMETERS
from .render import JobTemplate


class ListCheck:
    """Watches the rows of one job; it keeps a few counts, however many rows there are."""

    def __init__(self, template: JobTemplate) -> None:
        self._entry = template.entry
        self._settable = template.settable
        self._variables = template.variables
        self._printed = sorted(template.printed)
        self._gaps: dict[str, tuple[int, Row]] = {}  #: number of rows with an empty cell, and the first, by column
        self._misspelt: list[tuple[str, str, Row]] = []  #: columns, the parameters probably meant, and a row
        self._listing: Listing | None = None

    def add(self, row: Row) -> None:
        """Check one row of a list."""
        values = row.values
        for name in self._printed:
            value = values.get(name)
            if type(value) is str and (not value or value.isspace()) and name not in row.combination:
                count, first = self._gaps.get(name, (0, row))
                self._gaps[name] = count + 1, first
        if row.listing is not self._listing:
            self._listing = row.listing
            free = self._settable - values.keys()
            for name in sorted(values.keys() - self._variables - PARAMETERS):
                if name.isidentifier() and (parameter := name.strip().lower()) in free:
                    self._misspelt.append((name, parameter, row))

    def report(self, warnings: Problems) -> None:
        """Warn of what the rows have shown, and of what the lists themselves noticed while they were read."""
        for name, (count, row) in self._gaps.items():
            rows = "one row" if count == 1 else f"{count:,} rows, first here"
            message = f"{name!r} is empty in {rows}: it leaves a gap in the text"
            hint = f'{{{{ {name} | default("...") }}}} fills it; where: {{{name}: "?*"}} takes only rows that have it'
            warnings.add(self._problem(row, row.line, name, "empty_cell", message, hint))
        for name, parameter, row in self._misspelt:
            line = row.line if row.listing is None or row.listing.columns is None else 1
            message = f"the column {name!r} sets nothing: parameters are lower-case"
            warnings.add(self._problem(row, line, name, "strange_column", message, f"did you mean {parameter!r}?"))
        for listing in self._entry.lists:
            for code, message, hint in listing.remarks:
                problem = self._entry.origin().inside("from").problem(code, f"{listing.file}: {message}", hint)
                warnings.add(problem)

    def _problem(self, row: Row, line: int, column: str, code: str, message: str, hint: str) -> Problem:  # noqa: PLR0917
        problem = self._entry.origin().problem(code, message, hint)
        if row.listing is None:
            return problem
        at, position = row.listing.place(line, column)
        return replace(problem, file=row.listing.file_of(line), line=at, column=position)
