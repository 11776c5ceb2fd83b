"""Warnings about the lists of a job: empty cells that leave gaps, and what the lists themselves noticed."""

from __future__ import annotations

from dataclasses import replace

from ..errors import Problem
from .expand import Row
from .problems import Problems
from .render import JobTemplate


class ListCheck:
    """Watches the rows of one job; it keeps a few counts, however many rows there are."""

    def __init__(self, template: JobTemplate) -> None:
        self._entry = template.entry
        self._printed = sorted(template.printed)
        self._gaps: dict[str, tuple[int, Row]] = {}  #: number of rows with an empty cell, and the first, by column

    def add(self, row: Row) -> None:
        """Check one row of a list."""
        values = row.values
        for name in self._printed:
            value = values.get(name)
            if type(value) is str and (not value or value.isspace()) and name not in row.combination:
                count, first = self._gaps.get(name, (0, row))
                self._gaps[name] = count + 1, first

    def report(self, warnings: Problems) -> None:
        """Warn of what the rows have shown, and of what the lists themselves noticed while they were read."""
        for name, (count, row) in self._gaps.items():
            rows = "one row" if count == 1 else f"{count:,} rows, first here"
            message = f"{name!r} is empty in {rows}: it leaves a gap in the text"
            where = f'where: {{{name}: "?*"}} takes only rows that have it'
            hint = f"{{{{ {name} | default('...') }}}} fills it; {where}"
            warnings.add(self._problem(row, row.line, name, "empty_cell", message, hint))
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
