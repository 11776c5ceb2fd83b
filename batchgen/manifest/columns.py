"""Columns of lists that are named nearly like a parameter: used where that is certain and safe, reported otherwise.

Only two parameters are ever guessed. ``prompt``: without one the list would be refused. ``images``: the cells name
files that exist, and without them an edit would be bought as a generation.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..errors import Problem, nearest, suggest
from .expand import Entry
from .image_columns import are_urls, exist, folded, hold_images, is_image_name, texts
from .lists import Listing
from .lists.names import written
from .lists.rows import column_of, flow_text
from .messages import short
from .model import PARAMETERS
from .problems import Problems
from .render import compiled
from .synonyms import is_side, parameter_of
from .templates import TemplateFault

#: Names for the prompt, the most certain first; several of one group are no guess.
_PROMPT_NAMES = (
    frozenset({"prompt", "prompts", "prompttext", "imageprompt", "positiveprompt"}),
    frozenset({"text", "description", "caption"}),
)
#: Parameters that a column of another name may set.
_GUESSED = frozenset({"prompt", "images"})
_NEGATIVE = frozenset({"negativeprompt", "negprompt", "negative"})
#: Likeness from which a name counts as a misspelt parameter.
_LIKE = 0.8
_MOST_NAMES = 20


def resolve(entry: Entry, named: frozenset[str], problems: Problems, warnings: Problems) -> Entry:
    """Return *entry* with its lists' columns assigned to parameters; those that fail are reported, and unknown.

    *named* are variables that are in use outside of the job, in the name of files.
    """
    used = named | _used(entry)
    lists, valid = [], True
    for listing in entry.lists:
        if listing.is_table:
            columns = _Columns(entry, listing, used)
            columns.check_mapping()
            guesses = columns.guesses()
            warnings.extend(columns.warnings)
            problems.extend(columns.problems)
            valid = valid and not columns.problems
            listing = listing.mapped(listing.mapping.with_guesses(guesses)) if guesses else listing  # noqa: PLW2901
        elif listing.columns == ("prompt",):
            listing = _with_images(entry, listing, used, problems, warnings)  # noqa: PLW2901
        lists.append(listing)
    unknown = entry.unknown if valid else entry.unknown | (_GUESSED - entry.own.keys())
    return replace(entry, lists=tuple(lists), unknown=unknown)


def _with_images(
    entry: Entry, listing: Listing, used: frozenset[str], problems: Problems, warnings: Problems
) -> Listing:
    """Return a txt list with its lines as images, where they name images that exist and the job has a prompt."""
    lines = [values["prompt"] for _, values in listing.head()]
    stated = (
        "images" in entry.unknown
        or entry.own.get("images")
        or "images" in (*listing.mapping.stated, *entry.axes, *entry.part.defaults)
    )
    if stated or "prompt" in used or not hold_images(lines, "prompt") or not exist(lines, entry.part.folder):
        return listing
    origin = entry.origin().inside("from")
    if entry.own.get("prompt") is None:
        hint = "write the prompt in the job, and columns: {images: prompt} under from"
        problems.add(origin.problem("unused_images", f"the lines of {listing.file} name images, not prompts", hint))
        return listing
    hint = "write columns: {images: prompt} under from to confirm it, or columns: {images: null} to leave them unused"
    warnings.add(origin.problem("column_used", f"the lines of {listing.file} are used as images", hint))
    return listing.mapped(listing.mapping.with_guesses({"images": "prompt"}))


def _used(entry: Entry, parameters: Collection[str] | None = None) -> frozenset[str]:
    """Return the variables that the templates of a job name: all of them, or those of some *parameters*."""
    names: set[str] = set()
    defaults = {name: given.value for name, given in entry.part.defaults.items()}
    for parameter, value in {**defaults, **entry.own}.items():
        if parameters is not None and parameter not in parameters:
            continue
        try:
            template = compiled(value)
        except TemplateFault:  # reported when the job is rendered
            continue
        if template is not None:
            names |= template.names | template.optional
    return frozenset(names)


class _Columns:
    """The columns of one list of a job, and what has to be reported about them."""

    def __init__(self, entry: Entry, listing: Listing, used: frozenset[str]) -> None:
        self.entry = entry
        self.listing = listing
        self.warnings: list[Problem] = []
        self.problems: list[Problem] = []
        self._head = [values for _, values in listing.head()]
        self._columns = listing.known_columns()
        self._named = used
        self._printed = frozenset(column_of(name, self._columns) for name in used)
        self._in_prompt = frozenset(
            column_of(name, self._columns) for name in _used(entry, ("prompt", "images", "mask"))
        )
        self.used = self._printed | listing.pick.where.keys()
        mapping = listing.mapping
        taken = {*self._columns, *entry.axes, *mapping.stated}
        #: Parameters that a column may still set.
        self._free = {name for name in PARAMETERS if entry.own.get(name) is None and name not in taken}
        self._free -= entry.unknown
        declared = {*entry.axes, *entry.vars, *entry.part.vars, *mapping.sources.values()}
        self._candidates = [name for name in self._columns if name not in PARAMETERS and name not in declared]

    def guesses(self) -> dict[str, str]:
        """Return the columns that are guessed, by parameter; what is uncertain is reported."""
        if not self._columns or (self.listing.columns is None and not self._head):
            return {}
        guesses = {**self._prompt(), **self._images()}
        for parameter, column in guesses.items():
            message = f"the column {column!r} is used as {parameter}"
            hint = f"write {_stated(parameter, column)} under from to confirm it"
            if parameter == "images":
                hint += ", or columns: {images: null} to leave it unused"
            self._warn(column, "column_used", message, hint)
        reported = {problem.message for problem in self.warnings}
        for column in self._candidates:
            if column not in self.used and column not in guesses.values():
                self._report_unused(column, reported)
        return guesses

    def check_mapping(self) -> None:
        """Report names in ``columns`` that set nothing."""
        own = self.entry.own.keys()
        for name in sorted(self.listing.mapping.sources.keys() - self._named):
            if name in PARAMETERS and name not in own:
                continue
            message, hint = f"columns sets {name!r}, but the job sets it itself", "remove one of them"
            if name not in PARAMETERS:
                message = f"columns sets {name!r}, which is not a parameter, and no template names it"
                hint = suggest(name, sorted(PARAMETERS), "remove it")
            self.problems.append(self.entry.origin().inside("from").problem("unused_mapping", message, hint))

    # --- the prompt ---------------------------------------------------------------------------------------------------

    def _prompt(self) -> dict[str, str]:
        default = self.entry.part.defaults.get("prompt")
        if "prompt" not in self._free or (default is not None and default.value is not None):
            return {}
        for names in _PROMPT_NAMES:
            columns = [column for column in self._candidates if folded(column) in names]
            if len(columns) == 1:
                return {"prompt": columns[0]}
            if columns:
                break
        self.problems.append(self._missing_prompt())
        return {}

    def _missing_prompt(self) -> Problem:
        names = f"{', '.join(self._columns[:_MOST_NAMES])}{', ...' if len(self._columns) > _MOST_NAMES else ''}"
        separation = f", {self.listing.separation}" if self.listing.separation else ""
        message = f"there is no column prompt, and the job has no prompt; the columns are: {names}{separation}"
        likely = nearest("prompt", self._candidates, _LIKE) or self._longest()
        hint = "give the job a prompt"
        if likely:
            variable = written(likely, self._columns) or likely
            hint = (
                f'write {_stated("prompt", likely)} under from, or  prompt: "... {{{{ {variable} }}}} ..."  in the job'
            )
        return self._place(likely or self._columns[0], "no_prompt", message, hint)

    def _longest(self) -> str | None:
        """Return the column with the longest texts."""
        others = [column for column in self._candidates if not self._names_images(column)]
        sizes = {column: sum(len(str(row.get(column) or "")) for row in self._head) for column in others}
        return max(sizes, key=lambda column: sizes[column], default=None)

    # --- images -------------------------------------------------------------------------------------------------------

    def _images(self) -> dict[str, str]:
        if "images" not in self._free or "images" in self.entry.part.defaults:
            return {}
        # A where that leaves rows without an image out does not use the images.
        unused = [column for column in self._candidates if column not in self._printed]
        likely = [column for column in unused if is_image_name(column) and self._names_images(column)]
        existing = [column for column in likely if self._exists(column)]
        if len(existing) == 1:
            return {"images": existing[0]}
        if likely:
            self.problems.append(self._unused_images(existing or likely))
            return {}
        for column in self._candidates:
            if column not in self._in_prompt and self._names_images(column):
                self._warn_of_images(column)
        return {}

    def _warn_of_images(self, column: str) -> None:
        """Warn of a column of images by another name, or of one that only names the jobs."""
        if self._exists(column) or are_urls(self._values(column), column):
            message = f"the column {column!r} names images, but nothing sends them"
            self._warn(column, "unused_images", message, f"write {_stated('images', column)} under from to edit them")

    def _unused_images(self, columns: list[str]) -> Problem:
        column = columns[0]
        example = short(self._values(column)[0])
        reason = "" if self._exists(column) else f" ({example} does not exist next to the manifest)"
        if "://" in example[:20] or example.startswith("data:"):
            reason = ""
        sheet = f", sheet: {flow_text(self.listing.sheet)}" if self.listing.sheet else ""
        source = f"{{path: {flow_text(self.listing.name)}{sheet}, columns: {{images: {flow_text(column)}}}}}"
        hint = f"write  from: {source}  to edit them, or  columns: {{images: null}}  there to leave them out"
        message = f"the column {column!r} names images{reason}: nothing uses it"
        if len(columns) > 1:
            message = f"the columns {' and '.join(map(repr, columns))} name images: nothing uses them"
            names = ", ".join(f'"{{{{ {written(name, self._columns) or name} }}}}"' for name in columns)
            hint = (
                f"write  from: {source}  to edit those of {column!r},  images: [{names}]  in the job to send all "
                "of them in one edit, or  columns: {images: null}  under from for none"
            )
        return self._place(column, "unused_images", message, hint)

    def _values(self, column: str) -> list[str]:
        return list(texts(self._head, column))

    def _names_images(self, column: str) -> bool:
        return hold_images(self._values(column), column)

    def _exists(self, column: str) -> bool:
        return exist(self._values(column), self.entry.part.folder)

    # --- what sets nothing --------------------------------------------------------------------------------------------

    def _report_unused(self, column: str, reported: set[str]) -> None:
        """Warn of a column that nothing uses and that is named nearly like a parameter."""
        plain = folded(column)
        if any(repr(column) in message for message in reported):
            return
        if plain in _NEGATIVE:
            variable = written(column, self._columns) or column
            hint = f"write it into the prompt, such as: Avoid {{{{ {variable} }}}}"
            message = f"the column {column!r} sets nothing: no parameter takes a negative prompt"
            self._warn(column, "strange_column", message, hint)
            return
        cells = [str(row[column]) for row in self._head if str(row.get(column) or "").strip()]
        parameter = parameter_of(column, cells, self._free)
        if parameter is not None:
            message = f"the column {column!r} sets nothing: the parameter is {parameter!r}"
            self._warn(column, "strange_column", message, f"write {_stated(parameter, column)} under from")
        elif "size" in self._free and is_side(column, cells):
            message = f"the column {column!r} sets nothing: the parameter is 'size'"
            self._warn(column, "strange_column", message, 'write  size: "{{ width }}x{{ height }}"  in the job')

    def _warn(self, column: str, code: str, message: str, hint: str) -> None:
        self.warnings.append(self._place(column, code, message, hint))

    def _place(self, column: str, code: str, message: str, hint: str) -> Problem:
        line, position = self.listing.header_place(column)
        problem = self.entry.origin().problem(code, message, hint)
        return replace(problem, file=self.listing.file, line=line, column=position)


def _stated(parameter: str, column: str) -> str:
    return f"columns: {{{parameter}: {flow_text(column)}}}"
