"""The templates of one job, filled in row by row.  A decision: pure.

What rows have in common is worked out once: a row is known by its ``signature``, which is all that is asked for but
id, prompt and images, so that a million rows need a handful of recipes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from ..errors import Problem
from . import expand, messages
from .expand import Entry, Row
from .include import added
from .locations import Origin, Problems, show
from .model import Job
from .templates import Template, TemplateFault, is_template, no_variable

Render = Callable[[Mapping[str, object]], Any]

#: What rows may differ in without needing a recipe of their own.
_APART = frozenset({"id", "prompt"})
#: What never goes by a signature: files are looked at one by one.
_FILES = frozenset({"images", "mask"})

#: What a row adds to the defaults in place of replacing them.
_ADDED = frozenset({"tags", "extra"})
_WHOLE = re.compile(r"[-+]?[0-9]{1,30}")

_NUMBERS = frozenset({"n", "per_request", "seed", "priority", "output_compression"})
_LISTS = frozenset({"images", "provider", "tags"})


@dataclass(frozen=True, slots=True)
class RenderedJob:
    """What one row asks for, as far as the manifest says."""

    entry: Entry
    row: Row
    values: Mapping[str, Any]  #: parameters that are set, by job, row or defaults
    columns: Mapping[str, str]  #: the list's column that a parameter was made from

    def problem(self, name: str | None, code: str, message: str, hint: str = "") -> Problem:
        """Return a Problem with what the draft says under *name*; it stands in the list where that was made from it."""
        origin = self.entry.origin(name)
        problem = origin.problem(code, message, hint)
        column = self.columns.get(name or "")
        elsewhere = name in self.values and (name not in self.row.values or name in self.row.combination)
        if self.row.listing is None or (column is None and elsewhere):
            return problem
        row, col = self.row.listing.place(self.row.line, column)
        path = show(self.entry.path if name is None else (*self.entry.path, name))
        return replace(problem, file=self.row.listing.file, line=row, column=col, path=path)

    @property
    def place(self) -> str:
        """Return where the job was written, as ``file:line``."""
        listing = self.row.listing
        return str(self.entry.origin()) if listing is None else f"{listing.file}:{self.row.line}"


@dataclass(frozen=True, slots=True)
class CompiledFields:
    """Parameters as they are written: those that are literal, and those that are filled in."""

    fixed: Mapping[str, Any]
    templates: Mapping[str, Render]
    uses: Mapping[str, tuple[str, ...]]  #: variables, by parameter
    needs: Mapping[str, frozenset[str]]  #: of these, those that must be there
    written: Mapping[str, frozenset[str]]  #: of these, those whose text is written as it comes
    sound: bool = True  #: False: a template is wrong, which is reported

    def under(self, over: CompiledFields) -> CompiledFields:
        """Return these with *over* laid on them."""
        if not over.templates and not self.templates:
            return CompiledFields({**self.fixed, **over.fixed}, {}, {}, {}, {}, self.sound and over.sound)
        own = {*over.fixed, *over.templates}
        return CompiledFields(
            {**{name: value for name, value in self.fixed.items() if name not in own}, **over.fixed},
            {**{name: render for name, render in self.templates.items() if name not in own}, **over.templates},
            {**self.uses, **over.uses},
            {**{name: some for name, some in self.needs.items() if name not in own}, **over.needs},
            {**{name: some for name, some in self.written.items() if name not in own}, **over.written},
            self.sound and over.sound,
        )


def texts(parameters: Mapping[str, Any], origin: Callable[[str], Origin], problems: Problems) -> CompiledFields:
    """Return *parameters* with their templates compiled; one that is wrong is reported at its *origin*."""
    fixed: dict[str, Any] = {}
    templates: dict[str, Render] = {}
    uses: dict[str, tuple[str, ...]] = {}
    needs: dict[str, frozenset[str]] = {}
    written: dict[str, frozenset[str]] = {}
    sound = True
    for name, value in parameters.items():
        if type(value) is int or value is None:
            fixed[name] = value
            continue
        try:
            made = compiled(value)
        except TemplateFault as fault:
            problems.add(origin(name).problem("template", str(fault)))
            sound = False
            continue
        if made is None:
            fixed[name] = value
        else:
            templates[name], uses[name], needs[name], written[name] = made
    return CompiledFields(fixed, templates, uses, needs, written, sound)


class JobTemplate:
    """One job of the manifest, its templates compiled."""

    def __init__(self, entry: Entry, defaults: CompiledFields, problems: Problems) -> None:
        self.entry = entry
        own = {name: _laid(entry, name, value) for name, value in entry.own.items()}
        both = defaults.under(texts(own, entry.origin, problems))
        self._fixed, self._templates, self._uses = both.fixed, both.templates, both.uses
        self.settable = expand.settable(entry)
        self._written = both.written
        self.sound = both.sound and not (both.needs and self._lacks(both.needs, problems))
        self._shaping = [name for name in self._templates if name not in _APART]
        self._images = any(name in _FILES for name in (*self._fixed, *self._templates))
        said = "images" in self._fixed or "images" in self._templates or "images" in entry.axes
        self._edits = bool(entry.lists) and not said

    @property
    def names(self) -> frozenset[str]:
        """Return the variables that its templates name."""
        return frozenset(name for names in self._uses.values() for name in names)

    @property
    def written(self) -> frozenset[str]:
        """Return the columns of its lists whose text its templates write as it comes."""
        names = frozenset[str]().union(*(self._written[name] for name in self._templates if name not in _FILES))
        return frozenset(name for name in names if self._from_list(name))

    def _lacks(self, needs: Mapping[str, frozenset[str]], problems: Problems) -> bool:
        """Report variables that no row can have: once, where the template stands, and not row by row."""
        known = expand.variables(self.entry)
        if known is None:
            return False
        lacking = [
            (field, name)
            for field, names in needs.items()
            for name in sorted(names - known)
            if not (field in known and field in self.settable)
        ]
        for field, name in lacking:
            problems.add(self.entry.origin(field).problem("template", no_variable(name, known)))
        return bool(lacking)

    @property
    def literal(self) -> bool:
        """Return whether nothing has to be filled in, so that the job is what was validated."""
        return not self._templates and self.entry.plain

    def id(self, row: Row) -> str | None:
        """Return the id that the job or its row gives, or None; raise TemplateFault where it cannot be one."""
        if "id" in self._templates:
            key = self._templates["id"](row.values)
            return f"{key}-r{row.repeat}" if row.repeat > 1 and "repeat" not in self._uses["id"] else str(key)
        key = self._fixed.get("id")
        if key is None:
            key = _converted("id", row.values.get("id"))
            if key is None:
                return None
            if not isinstance(key, str):
                raise TemplateFault("an id is text")  # the draft says so at its place
        return f"{key}{row.suffix}"

    def prompt(self, row: Row) -> object:
        """Return the prompt, or None; raise TemplateFault."""
        if "prompt" in self.settable and (given := row.values.get("prompt")):
            return given
        render = self._templates.get("prompt")
        return self._fixed.get("prompt") if render is None else render(row.values)

    def signature(self, row: Row) -> tuple[Any, ...] | None:
        """Return what rows with one recipe have in common; None where source images are looked at one by one."""
        values = row.values
        if self._images or self._is_bare(values):
            return None
        given: dict[str, Any] = {}
        if self.settable & values.keys():
            given = self._given(row)
            if given.keys() & _FILES:
                return None
        found = [self._templates[name](values) for name in self._shaping if name not in given or name in _ADDED]
        found += [(name, given[name]) for name in sorted(given) if name not in _APART]
        return tuple(value if type(value) is str else repr(value) for value in found)

    def draft(self, row: Row, problems: Problems) -> RenderedJob | None:
        """Return all that a row asks for; None where it cannot be told, which is reported."""
        values = dict(self._fixed)
        given = self._given(row)
        named = given.keys() | (_FILES & row.values.keys())
        columns = {name: name for name in named if name not in row.combination and self._from_list(name)}
        ok = True
        for name, render in self._templates.items():
            if name in given and name not in _ADDED:
                continue
            for used in self._uses[name]:
                if used in row.values and self._from_list(used):
                    columns.setdefault(name, used)
            try:
                values[name] = _number(render(row.values)) if name in _NUMBERS else render(row.values)
            except TemplateFault as fault:
                draft = RenderedJob(self.entry, row, {}, columns)
                problems.add(draft.problem(name, "template", str(fault)))
                ok = False
        for name, value in given.items():
            values[name] = added(name, values.get(name), value) if name in _ADDED else value
        values = {name: value for name, value in values.items() if value is not None}
        draft = RenderedJob(self.entry, row, values, columns)
        if self._is_bare(row.values):
            hint = 'name an image, or leave such rows out with  where: {images: "?*"}'
            problems.add(draft.problem("images", "empty_images", "is empty, so that there is nothing to edit", hint))
            return None
        if not ok or not (self.literal or _valid(draft, problems)):
            return None
        return draft

    def _given(self, row: Row) -> dict[str, Any]:
        """Return the parameters that the row itself sets: columns and variables named like one, but for empty cells."""
        found = {name: _converted(name, row.values[name]) for name in self.settable & row.values.keys()}
        return {name: value for name, value in found.items() if value is not None}

    def _is_bare(self, values: Mapping[str, Any]) -> bool:
        """Tell whether a list has a place for the images of an edit, and nothing in it."""
        return self._edits and "images" in values and not _converted("images", values["images"])

    def _from_list(self, name: str) -> bool:
        own = (*expand.BUILT_IN, *self.entry.axes, *self.entry.vars, *self.entry.part.vars)
        return bool(self.entry.lists) and name not in own


def _laid(entry: Entry, name: str, value: Any) -> Any:  # noqa: ANN401 - a parameter's value
    """Return what the job itself says, with the defaults that it adds to."""
    default = entry.part.defaults.get(name)
    return value if default is None or name not in _ADDED else added(name, default.value, value)


@functools.lru_cache(maxsize=4096)
def _template(source: str) -> Template:
    return Template(source)


#: What fills in a value, the variables that it names, those of them that must be there, and those written as they come.
Compiled = tuple[Render, tuple[str, ...], frozenset[str], frozenset[str]]


def compiled(value: Any) -> Compiled | None:  # noqa: ANN401 - what YAML can hold
    """Return what fills in *value*; None where it holds no template."""
    if isinstance(value, str):
        if not is_template(value):
            return None
        template = _template(value)
        used = (*sorted(template.names), *sorted(template.optional))
        return template.render, used, template.names, template.printed
    if isinstance(value, list):
        return _several(dict(enumerate(value)), lambda found: [found[number] for number in range(len(value))])
    if isinstance(value, dict):
        return _several(value, lambda found: {name: found[name] for name in value})
    return None


def _several(
    items: Mapping[Any, Any],
    join: Callable[[Mapping[Any, Any]], Any],
) -> Compiled | None:
    parts = {key: found for key, item in items.items() if (found := compiled(item)) is not None}
    if not parts:
        return None

    def render(values: Mapping[str, object]) -> Any:  # noqa: ANN401
        return join({**items, **{key: part(values) for key, (part, *_) in parts.items()}})

    uses = tuple(dict.fromkeys(name for _, names, *_ in parts.values() for name in names))
    needs = frozenset[str]().union(*(needs for *_, needs, _ in parts.values()))
    return render, uses, needs, frozenset[str]().union(*(written for *_, written in parts.values()))


def _converted(name: str, value: Any) -> Any:  # noqa: ANN401 - a cell of a list
    """Return a row's value as the parameter takes it: cells of a csv are text; an empty one says nothing."""
    if not isinstance(value, str):
        return str(value) if name == "id" and type(value) is int else value
    if not value.strip():
        return None
    if name in _NUMBERS:
        return _number(value)
    if name in _LISTS:
        return [item for part in value.split(";") if (item := part.strip())]
    return value


def _number(text: Any) -> Any:  # noqa: ANN401 - a number where it is one
    return int(text) if isinstance(text, str) and _WHOLE.fullmatch(text.strip()) else text


def _valid(draft: RenderedJob, problems: Problems) -> bool:
    # the model lets text with braces stand for a number, until it is filled in
    texts_ = [name for name in _NUMBERS if isinstance(draft.values.get(name), str)]
    for name in texts_:
        message = f"should be a whole number, is {messages.shown(draft.values[name])}"
        problems.add(draft.problem(name, "wrong_type", message))
    if texts_:
        return False
    try:
        Job.model_validate(draft.values)
    except ValidationError as error:
        for name, code, message, hint in _words(error):
            problems.add(draft.problem(name, code, message, hint))
        return False
    return True


def _words(error: ValidationError) -> Iterator[tuple[str, str, str, str]]:
    told = set()
    for item in error.errors(include_url=False):
        name = str(item["loc"][0]) if item["loc"] else ""
        if name not in told:
            told.add(name)
            yield (name, *messages.words(item))
