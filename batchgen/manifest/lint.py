"""Warnings about the rows of a job: empty cells, unused images, variables that set a parameter, remarks of lists."""

from __future__ import annotations

from dataclasses import replace

from ..errors import Problem
from .expand import Row
from .image_columns import hold_images, is_image_name, texts
from .lists.rows import flow_text
from .problems import Problems
from .render import JobTemplate

#: Parameters that a column usually sets on purpose, also where a prompt names it.
_PLAIN = frozenset({"id", "prompt", "images", "mask", "tags", "extra"})
#: Parameters that multiply images: a variable of this name in an id alone is mostly a number of the user's own.
_MULTIPLIERS = frozenset({"n", "per_request"})


def ambiguous(template: JobTemplate) -> frozenset[str]:
    """Return the variables of a job's prompt or id that would also set the parameter of the same name."""
    named = template.variables_of("prompt") - _PLAIN | template.variables_of("id") & _MULTIPLIERS
    return named & template.settable


def warn_of_ambiguous(template: JobTemplate, warnings: Problems) -> None:
    """Warn of variables of a matrix or zip that also set the parameter of the same name."""
    for name in sorted(ambiguous(template) & template.entry.axes.keys()):
        warnings.add(template.entry.origin(name).problem("ambiguous", *_two_meanings(name)))


def _two_meanings(name: str) -> tuple[str, str]:
    message = f"{name!r} has two meanings: a template names {{{{ {name} }}}}, and it sets the parameter {name} as well"
    what = {"n": ": so many images are made of each job", "per_request": ": so many images are bought by one call"}
    hint = f'give the variable another name, or, if both are meant, write  {name}: "{{{{ {name} }}}}"  in the job'
    return f"{message}{what.get(name, '')}", hint


class ListCheck:
    """Watches the rows of one job; it keeps a few counts, however many rows there are."""

    def __init__(self, template: JobTemplate) -> None:
        self._entry = template.entry
        self._printed = sorted(template.printed)
        self._gaps: dict[str, tuple[int, Row]] = {}  #: number of rows with an empty cell, and the first, by column
        entry = template.entry
        #: Columns that are no images that nothing sends; more are added with the rows that have them.
        self._checked = {*template.variables, *entry.axes, *entry.vars, *entry.part.vars}
        self._named_images: list[str] = []
        self.has_image_columns = False  #: columns that nothing sends are named like images
        self._ambiguous = {*ambiguous(template)} - entry.axes.keys()
        self._setting: dict[str, Row] = {}  #: the first row whose column is named in a template and sets a parameter
        self._unused: dict[str, Row] = {}  #: the first row with an image, by column
        self._has_images = any("images" in given for given in (entry.own, entry.axes, entry.part.defaults))

    def add(self, row: Row) -> None:
        """Check one row of a list."""
        values = row.values
        for name in self._printed:
            value = values.get(name)
            if type(value) is str and (not value or value.isspace()) and name not in row.combination:
                count, first = self._gaps.get(name, (0, row))
                self._gaps[name] = count + 1, first
        if self._ambiguous and row.listing is not None:
            self._look_for_ambiguous(row, row.listing.mapping.stated)
        if not self._has_images and "images" not in values and row.listing is not None and row.listing.is_table:
            self._look_for_images(row)

    def _look_for_ambiguous(self, row: Row, stated: frozenset[str]) -> None:
        for name in [name for name in self._ambiguous if row.values.get(name) not in (None, "")]:
            self._ambiguous.remove(name)
            if name not in stated:
                self._setting[name] = row

    def _look_for_images(self, row: Row) -> None:
        """Find images that nothing sends: below the rows that ``columns`` looks at, columns may fill or appear."""
        values = row.values
        if not values.keys() <= self._checked:
            self._named_images += [name for name in values if name not in self._checked and is_image_name(name)]
            self._checked |= values.keys()
        if not self._named_images or row.listing is None or "images" in row.listing.mapping.names:
            return
        self.has_image_columns = True
        for name in [name for name in self._named_images if hold_images(list(texts([values], name)), name)]:
            self._named_images.remove(name)
            self._unused[name] = row

    def report(self, warnings: Problems) -> None:
        """Warn of what the rows have shown, and of what the lists themselves noticed while they were read."""
        for name, (count, row) in self._gaps.items():
            rows = "one row" if count == 1 else f"{count:,} rows, first here"
            message = f"{name!r} is empty in {rows}: it leaves a gap in the text"
            where = f'where: {{{name}: "?*"}} takes only rows that have it'
            hint = f"{{{{ {name} | default('...') }}}} fills it; {where}"
            warnings.add(self._problem(row, row.line, name, "empty_cell", message, hint))
        for name, row in self._setting.items():
            warnings.add(self._problem(row, row.line, name, "ambiguous", *_two_meanings(name)))
        for name, row in self._unused.items():
            message = f"the column {name!r} names an image, but nothing sends it"
            hint = f"write columns: {{images: {flow_text(name)}}} under from to edit its images"
            warnings.add(self._problem(row, row.line, name, "unused_images", message, hint))
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
