"""One job of the manifest, rendered row by row."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import Problem
from ..providers.validation import DROPPABLE
from ..wording import canonical
from . import expand
from .cells import image_names
from .expand import Entry, Row
from .include import added
from .lists.names import misnamed
from .lists.rows import flow_text
from .locations import Origin, show
from .model import PARAMETERS
from .problems import Problems
from .templates import Template, TemplateFault, is_template, no_variable

#: Parameters that a row adds to the defaults instead of replacing them.
_ADDED = frozenset({"tags", "extra"})
_TEXTS = frozenset({"id", "prompt"})
_FILES = frozenset({"images", "mask"})
_LISTS = frozenset({"provider", "tags"})
NUMBERS = frozenset({"n", "per_request", "seed", "priority", "output_compression"})

#: Parameters that are one word, for which blanks and invisible characters around it do not count.
_WORDS = frozenset({"model", "size", "quality", "resolution", "background", "output_format", "moderation"})

_WHOLE_NUMBER = re.compile(r"[-+]?[0-9]{1,30}")


@dataclass(slots=True, eq=False)
class RenderedJob:
    """One row of a job with its templates filled in."""

    template: JobTemplate
    row: Row
    values: dict[str, Any]  #: parameters that are set, by the job, its row or the defaults
    id: str | None = None  #: as the job or its row gives it
    defaulted: frozenset[str] = frozenset()  #: parameters of the request that only the defaults set
    unknown: frozenset[str] = frozenset()  #: parameters whose values are wrong, which was reported: it cannot be made
    is_usual: bool = False  #: only its id and its prompt differ from those of other usual rows of the same list

    def leave_out(self, *names: str) -> None:
        """Leave out parameters whose values are wrong, so that the others can be checked."""
        self.unknown |= {*names}
        for name in names:
            self.values.pop(name, None)

    def problem(self, name: str | None, code: str, message: str, hint: str = "") -> Problem:
        """Return a Problem with the parameter *name*, placed in the list where the value comes from one."""
        entry, row = self.template.entry, self.row
        problem = entry.origin(name).problem(code, message, hint)
        column = self.template.column(name, row) if name else None
        is_cell = name in row.values and name not in row.combination and name in self.template.settable
        varies = name is None or name == "id" or bool(self.template.variables_of(name))
        from_manifest = not is_cell and (name in self.values or not varies)
        if row.listing is None or (column is None and from_manifest):
            return problem
        line, position = row.listing.place(row.line, column)
        path = show(entry.path if name is None else (*entry.path, name))
        return replace(problem, file=row.listing.file_of(row.line), line=line, column=position, path=path)

    @property
    def unclear_quotes(self) -> bool:
        """Return whether earlier versions read the cells of the list without their quotes."""
        return self.row.listing is not None and self.row.listing.unclear_quotes

    def where_filled(self, name: str) -> str:
        """Return the ``where`` of a list that leaves rows out whose column for the parameter *name* is empty."""
        listing = self.row.listing
        column = name if listing is None else listing.mapping.sources.get(name, name)
        return f'where: {{{flow_text(column)}: "?*"}}'

    @property
    def guessed_images(self) -> bool:
        """Return whether the images come from a column that the manifest does not name."""
        listing = self.row.listing
        return listing is not None and "images" in listing.mapping.guessed and "images" in self.values

    @property
    def place(self) -> str:
        """Return where the job was written, as ``file:line``."""
        listing = self.row.listing
        if listing is None:
            return str(self.template.entry.origin())
        file = listing.file_of(self.row.line)
        return f"{file}:{self.row.line}" if file == listing.file else file


class NestedTemplate:
    """A list or a mapping that contains templates."""

    def __init__(self, value: Any, parts: Mapping[Any, AnyTemplate]) -> None:  # noqa: ANN401 - what YAML can hold
        self._value = value
        self._parts = parts
        self.names: frozenset[str] = frozenset[str]().union(*(part.names for part in parts.values()))
        self.optional: frozenset[str] = frozenset[str]().union(*(part.optional for part in parts.values())) - self.names
        self.printed: frozenset[str] = frozenset[str]().union(*(part.printed for part in parts.values()))

    def render(self, values: Mapping[str, Any]) -> Any:  # noqa: ANN401
        """Return the list or mapping with *values* filled in."""
        rendered = self._value.copy()
        for key, part in self._parts.items():
            rendered[key] = part.render(values)
        return rendered


AnyTemplate = Template | NestedTemplate

#: A manifest may repeat one template in thousands of jobs.
_template = functools.lru_cache(maxsize=4096)(Template)


def compiled(value: Any) -> AnyTemplate | None:  # noqa: ANN401 - what YAML can hold
    """Return the template in *value*; None where it contains none."""
    if isinstance(value, str):
        return _template(value) if is_template(value) else None
    if not isinstance(value, (list, dict)):
        return None
    items = value.items() if isinstance(value, dict) else enumerate(value)
    parts = {key: part for key, item in items if (part := compiled(item)) is not None}
    return NestedTemplate(value, parts) if parts else None


@dataclass(frozen=True, slots=True)
class CompiledFields:
    """Parameters with their templates compiled."""

    literals: dict[str, Any]
    templates: dict[str, AnyTemplate]
    wrong: frozenset[str] = frozenset()  #: those whose template is wrong, which is reported

    @classmethod
    def of(
        cls,
        parameters: Mapping[str, Any],
        origin: Callable[[str], Origin],
        problems: Problems,
        column_hint: Callable[[Any], str | None] = lambda _: None,
    ) -> CompiledFields:
        """Compile *parameters*; a template that is wrong is reported at its *origin*.

        *column_hint* returns what to write where a value names a column in a way that templates cannot.
        """
        literals: dict[str, Any] = {}
        templates: dict[str, AnyTemplate] = {}
        wrong = set()
        for name, value in parameters.items():
            hint = column_hint(value)
            try:
                template = None if hint else compiled(value)
            except TemplateFault as fault:
                hint = str(fault)
            if hint:
                problems.add(origin(name).problem("template", hint))
                wrong.add(name)
                continue
            if template is None:
                literals[name] = value
            else:
                templates[name] = template
        return cls(literals, templates, frozenset(wrong))

    def under(self, over: CompiledFields) -> CompiledFields:
        """Return these fields with those of *over* in place of their own."""
        own = over.literals.keys() | over.templates.keys() | over.wrong
        literals = {name: value for name, value in self.literals.items() if name not in own}
        templates = {name: template for name, template in self.templates.items() if name not in own}
        return CompiledFields(literals | over.literals, templates | over.templates, self.wrong - own | over.wrong)


class JobTemplate:
    """One job of the manifest with its templates compiled."""

    def __init__(self, entry: Entry, defaults: CompiledFields, problems: Problems) -> None:
        self.entry = entry
        own = {name: _with_default(entry, name, value) for name, value in entry.own.items()}
        fields = defaults.under(CompiledFields.of(own, entry.origin, problems, self._misnamed))
        self.settable = PARAMETERS - entry.own.keys()  #: parameters that a variable of the same name sets
        self._literals = {name: _value(name, value) for name, value in fields.literals.items() if value is not None}
        self._templates = fields.templates
        self._varies_only_in_text = self._templates.keys() <= _TEXTS
        self._defaulted = DROPPABLE & (entry.part.defaults.keys() - entry.own.keys())
        self.unknown = entry.unknown | fields.wrong | self._without_variables(problems)
        sets_images = "images" in fields.literals or "images" in fields.templates or "images" in entry.axes
        self._needs_images = bool(entry.lists) and not sets_images

    @property
    def variables(self) -> frozenset[str]:
        """Return the variables that its templates name."""
        used = (template.names | template.optional for template in self._templates.values())
        return frozenset[str]().union(*used)

    def variables_of(self, name: str) -> frozenset[str]:
        """Return the variables that the template of one parameter names."""
        template = self._templates.get(name)
        return template.names | template.optional if template else frozenset()

    def _misnamed(self, value: Any) -> str | None:  # noqa: ANN401 - a parameter's value
        """Return what to write where *value* names a column as the header does, not as templates can."""
        texts = value if isinstance(value, list) else [value]
        columns = (columns for listing in self.entry.lists if (columns := listing.known_columns()))
        pairs = ((text, names) for names in columns for text in texts if isinstance(text, str) and is_template(text))
        return next((hint for text, names in pairs if (hint := misnamed(text, names)) is not None), None)

    @property
    def printed(self) -> frozenset[str]:
        """Return the columns of its lists whose text its templates always contain."""
        printed = (template.printed for name, template in self._templates.items() if name not in _FILES)
        return frozenset(filter(self._is_column, frozenset[str]().union(*printed)))

    def _without_variables(self, problems: Problems) -> frozenset[str]:
        """Return the parameters that name variables which no row can have.

        They are reported once, at the template, instead of row by row.
        """
        if not self._templates or (variables := expand.variables(self.entry)) is None:
            return frozenset()
        lacking = [
            (field, name)
            for field, template in self._templates.items()
            if not (field in variables and field in self.settable)
            for name in sorted(template.names - variables)
        ]
        for field, name in lacking if not self.entry.lacks_variables else ():
            problems.add(self.entry.origin(field).problem("template", no_variable(name, variables)))
        return frozenset(field for field, _ in lacking)

    def render(self, row: Row, problems: Problems) -> RenderedJob:
        """Return the job of *row*; what cannot be rendered is reported, and unknown."""
        values = dict(self._literals)
        job = RenderedJob(self, row, values)
        given = self._given(row)
        failed: list[str] = []
        for name, template in self._templates.items():
            if (name in given and name not in _ADDED) or name in self.unknown:
                continue
            try:
                value = template.render(row.values)
            except TemplateFault as fault:
                if not (self.entry.lacks_variables and template.names - row.values.keys()):
                    problems.add(job.problem(name, "template", str(fault)))
                failed.append(name)
                continue
            values[name] = _value(name, value)
        for name, value in given.items():
            values[name] = added(name, values.get(name), value) if name in _ADDED else value
        if self._needs_images and "images" in row.values and not values.get("images") and not _unset(row, "images"):
            hint = f"name an image, or leave such rows out with  {job.where_filled('images')}"
            problems.add(job.problem("images", "empty_images", "is empty, so there is nothing to edit", hint))
            failed.append("images")
        if failed or self.unknown:
            job.leave_out(*failed, *self.unknown)
        job.id = self._id(row, values.get("id"))
        job.defaulted = self._defaulted.difference(given)
        job.is_usual = self._varies_only_in_text and given.keys() <= _TEXTS
        return job

    def _id(self, row: Row, written: object) -> str | None:
        if not isinstance(written, str):
            return None
        template = self._templates.get("id")
        if template is None:
            return f"{written}{row.suffix}"
        counted = row.repeat == 1 or "repeat" in template.names | template.optional
        return written if counted else f"{written}-r{row.repeat}"

    def _given(self, row: Row) -> dict[str, Any]:
        """Return the parameters that columns and variables of the same name set, except by empty cells."""
        # The intersection of sets would copy all parameters for every row.
        names = [name for name in row.values if name in self.settable]
        if not names:
            return {}
        if row.listing is not None and row.listing.mapping.unset:
            names = [name for name in names if not _unset(row, name)]
        converted = {name: self._converted(name, row.values[name]) for name in names}
        return {name: value for name, value in converted.items() if value is not None}

    def _converted(self, name: str, value: Any) -> Any:  # noqa: ANN401 - a cell of a list
        """Return a cell as its parameter takes it: cells of a csv are text, and an empty one sets nothing."""
        if not isinstance(value, str):
            return str(value) if name == "id" and type(value) is int else value
        if not value.strip():
            return None
        if name == "images":
            return image_names(value, self.entry.part.folder)
        if name in _LISTS:
            return [item for part in value.split(";") if (item := part.strip())]
        return _value(name, value)

    def column(self, name: str, row: Row) -> str | None:
        """Return the column of a list that the parameter *name* comes from, or None."""
        given = name in self._given(row)
        if given or (name in _FILES and name in row.values):
            if name not in row.combination and self._is_column(name):
                return name
            if given and name not in _ADDED:
                return None
        template = self._templates.get(name)
        used = (*sorted(template.names), *sorted(template.optional)) if template else ()
        return next((variable for variable in used if variable in row.values and self._is_column(variable)), None)

    def _is_column(self, name: str) -> bool:
        entry = self.entry
        named = name in expand.BUILT_IN or name in entry.axes or name in entry.vars or name in entry.part.vars
        return bool(entry.lists) and not named


def _with_default(entry: Entry, name: str, value: Any) -> Any:  # noqa: ANN401 - a parameter's value
    """Return the job's own *value*, added to the default where it does not replace it."""
    default = entry.part.defaults.get(name)
    return value if default is None or name not in _ADDED else added(name, default.value, value)


def _unset(row: Row, name: str) -> bool:
    """Return whether the manifest says that no column sets the parameter *name*."""
    return row.listing is not None and name in row.listing.mapping.unset and name not in row.combination


def _value(name: str, value: Any) -> Any:  # noqa: ANN401 - a parameter's value
    """Return *value* as the parameter *name* takes it."""
    if name in NUMBERS:
        return _number(value)
    return canonical(value) if name in _WORDS and isinstance(value, str) else value


def _number(value: Any) -> Any:  # noqa: ANN401 - a number where it is one
    return int(value) if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value.strip()) else value
