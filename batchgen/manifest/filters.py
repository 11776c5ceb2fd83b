"""What stands after a ``|`` in a template, and how a value becomes text.  Decisions: pure."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jinja2.filters import do_title

from .filenames import slug

#: A text that is filled in may be so long; what is longer is a mistake.
MAX_CHARACTERS = 1_000_000
_MAX_WIDTH = 100

Function = Callable[..., Any]


class TemplateFault(ValueError):
    """A template is wrong or cannot be filled in; the text says how."""


class Absent(TemplateFault):
    """A variable is missing or empty: what ``default`` stands in for."""


def as_text(value: object, words: str = "the value") -> str:
    """Return *value* as YAML and JSON write it; raise TemplateFault where it is null, a list or a mapping.

    *words* are what a message calls it.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _digits(value, words)
    if value is None:
        raise Absent(f'{words} is empty (null); | default("...") says what to write then')
    if isinstance(value, Mapping):
        raise TemplateFault(f"{words} is a mapping: name a part of it{_such_as(words, value)}")
    if isinstance(value, (list, tuple)):
        raise TemplateFault(f'{words} is a list: name one of it, such as {words}[0], or write {words} | join(", ")')
    raise TemplateFault(f"{words} is neither text nor a number")


def _digits(number: float, words: str) -> str:
    try:
        return str(number)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        raise TemplateFault(f"{words} has too many digits") from None


def _such_as(words: str, value: Mapping[Any, Any]) -> str:
    names = [key for key in value if isinstance(key, str) and key.isidentifier()]
    return f", such as {words}.{names[0]}" if names else ""


def joined(pieces: Sequence[str], between: str = "") -> str:
    """Return the pieces as one text; raise TemplateFault before a text is made that is too long."""
    if sum(map(len, pieces)) + len(between) * len(pieces) > MAX_CHARACTERS:
        raise TemplateFault(f"becomes longer than {MAX_CHARACTERS:,} characters")
    return between.join(pieces)


def _replace(text: str, old: object, new: object, count: int | None = None) -> str:
    before, after = as_text(old), as_text(new)
    times = -1 if count is None else _whole("replace", count, MAX_CHARACTERS)
    found = text.count(before) if times < 0 else min(times, text.count(before))
    if len(text) + found * (len(after) - len(before)) > MAX_CHARACTERS:
        raise TemplateFault(f"becomes longer than {MAX_CHARACTERS:,} characters")
    return text.replace(before, after, times)


def _pad(text: str, width: int) -> str:
    return text.zfill(_whole("pad", width, _MAX_WIDTH))


def _truncate(text: str, length: int) -> str:
    return text[: _whole("truncate", length, MAX_CHARACTERS)]


def _trim(text: str) -> str:
    return text.strip()


def _basename(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _parent(path: str) -> str:
    return path.rstrip("/").rpartition("/")[0]


def _stem(path: str) -> str:
    name = _basename(path)
    dot = name.rfind(".")
    return name[:dot] if 0 < dot < len(name) - 1 else name


def _whole(name: str, number: object, most: int) -> int:
    if type(number) is not int or not 0 <= number <= most:
        raise TemplateFault(f"{name}(...) takes a whole number from 0 to {most:,}")
    return number


def _slug(text: str) -> str:
    return slug(text)


def _join(items: object, separator: object = "") -> str:
    if not isinstance(items, (list, tuple)):
        raise TemplateFault(f"join puts a list together; this is {kind(items)}")
    return joined([as_text(item, "an item of the list") for item in items], as_text(separator))


def _first(items: object) -> object:
    return _end("first", items, 0)


def _last(items: object) -> object:
    return _end("last", items, -1)


def _end(name: str, items: object, at: int) -> object:
    if not isinstance(items, (list, tuple, str)):
        raise TemplateFault(f"{name} takes an item of a list; this is {kind(items)}")
    if not items:
        raise Absent(f"{name}: there is nothing in it")
    return items[at]


def default(value: object, default_value: object = "", boolean: bool = False) -> object:
    """Return *value*, or what stands in where there is none: null, or a cell of a list with nothing in it."""
    return default_value if value is None or value == "" or (boolean and not value) else value


def kind(value: object) -> str:
    """Return what *value* is, in a user's words."""
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", tuple: "a list"}
    return "empty (null)" if value is None else names.get(type(value), "a mapping")


#: Filters of a text (numbers count as text).
TEXT: Mapping[str, Function] = {
    "basename": _basename,
    "lower": str.lower,
    "pad": _pad,
    "parent": _parent,
    "replace": _replace,
    "slug": _slug,
    "stem": _stem,
    "title": do_title,
    "trim": _trim,
    "truncate": _truncate,
    "upper": str.upper,
}
#: Filters of a list.
LIST: Mapping[str, Function] = {"first": _first, "join": _join, "last": _last}

#: All of them; ``default`` also catches that there is no value.
NAMES = tuple(sorted([*TEXT, *LIST, "default"]))


def check(name: str, args: Sequence[object], named: Iterable[str]) -> None:
    """Raise TemplateFault where a filter does not take so many arguments, or not by these names."""
    parameters = _parameters(name)
    try:
        inspect.Signature(parameters).bind(*args, **dict.fromkeys(named))
    except TypeError:
        written = ", ".join(str(item.replace(annotation=inspect.Parameter.empty)) for item in parameters)
        raise TemplateFault(
            f"the filter is written {name}({written})" if written else f"{name} takes nothing"
        ) from None


@functools.cache
def _parameters(name: str) -> tuple[inspect.Parameter, ...]:
    """Return what a filter takes besides the value."""
    function = default if name == "default" else TEXT.get(name) or LIST[name]
    return tuple(inspect.signature(function).parameters.values())[1:]
