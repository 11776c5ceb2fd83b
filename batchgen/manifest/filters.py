"""What becomes text in a template, and the filters after ``|``. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jinja2
from jinja2.filters import do_title
from jinja2.runtime import Context, Undefined

from ..errors import nearest, suggest
from .filenames import slug

#: A longer text is a mistake: no provider accepts a third of it as a prompt.
MAX_RENDERED = 100_000
#: The largest number that a filter takes as a count of characters.
MAX_CHARACTERS = 1_000_000
_MAX_WIDTH = 100
_MAX_NAMES_LISTED = 12


class TemplateFault(ValueError):
    """A template that is wrong or cannot be rendered; the text says why."""


def no_variable(name: str, names: Iterable[str]) -> str:
    """Return the message for a name that is not among *names*."""
    # A column "Product Title" can only be named by its second name, Product_Title.
    return f"there is no variable {name!r}{alternatives(name, (other for other in names if other.isidentifier()))}"


def alternatives(name: str, names: Iterable[object], most: int = _MAX_NAMES_LISTED) -> str:
    """Return, in brackets, the name that was probably meant and the first of those that exist."""
    ordered = sorted(candidate for candidate in names if isinstance(candidate, str))
    if not ordered:
        return ""
    hint = suggest(name, ordered, "")
    return f" ({hint}{hint and ' '}there are: {', '.join(ordered[:most])}{', ...' if len(ordered) > most else ''})"


class Missing(jinja2.StrictUndefined):
    """A value that does not exist: only ``default`` and ``is defined`` accept it, any other use raises."""

    def __init__(self, hint: str | None = None, obj: Any = None, name: Any = None) -> None:  # noqa: ANN401
        super().__init__(hint, obj, name, TemplateFault)  # type: ignore[arg-type]

    @property
    def _undefined_message(self) -> str:
        name, owner = self._undefined_name, self._undefined_obj
        if self._undefined_hint:
            return self._undefined_hint
        if isinstance(owner, Context):
            # A row of a JSON list may lack a name that other rows have.
            hint = (
                "" if nearest(str(name), owner.parent) else "; | default('...') sets what to write where it is missing"
            )
            return no_variable(str(name), owner.parent) + hint
        return f"{_kind(owner)} has no {name!r}{alternatives(str(name), owner) if isinstance(owner, dict) else ''}"


def as_text(value: object, label: str = "the value") -> str | Undefined:
    """Return *value* as YAML and JSON write it, or Missing; *label* is its name in messages."""
    if isinstance(value, (str, Undefined)):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if value is None:
        return Missing(f"{label} is empty (null); | default('...') sets what to write instead")
    if isinstance(value, Mapping):
        names = [key for key in value if isinstance(key, str) and key.isidentifier()]
        example = f", such as {label}.{names[0]}" if names else ""
        raise TemplateFault(f"{label} is a mapping: name a part of it{example}")
    if isinstance(value, (list, tuple)):
        raise TemplateFault(f"{label} is a list: name an item, such as {label}[0], or write {label} | join(', ')")
    raise TemplateFault(f"{label} is neither text nor a number")


def _kind(value: object) -> str:
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", tuple: "a list"}
    return "empty (null)" if value is None else names.get(type(value), "a mapping")


def joined(pieces: Sequence[str], separator: str = "") -> str:
    """Join *pieces*, or raise TemplateFault before a text is made that is too long."""
    length = sum(map(len, pieces)) + len(separator) * len(pieces)
    if length > MAX_RENDERED:
        _check_length(length)
    return separator.join(pieces)


def _check_length(length: int) -> None:
    if length > MAX_RENDERED:
        raise TemplateFault(f"becomes longer than {MAX_RENDERED:,} characters")


def compare(left: Any, *steps: Any) -> bool:  # noqa: ANN401
    """Compare a chain such as ``0 < n < 9``; *steps* are operators and operands in turn."""
    for name, right in zip(steps[::2], steps[1::2], strict=True):
        _check_comparable(left, right)
        try:
            if not _OPERATORS[name](left, right):
                return False
        except TypeError:
            raise TemplateFault(f"{_kind(left)} cannot be compared with {_kind(right)}") from None
        left = right
    return True


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": lambda item, whole: item in whole,
    "notin": lambda item, whole: item not in whole,
}


def _check_comparable(left: object, right: object) -> None:
    """Raise TemplateFault where text meets a number: they are never equal, which the author cannot have meant."""
    for value, other in ((left, right), (right, left)):
        if isinstance(value, Undefined):
            str(value)  # raises
        if isinstance(value, str) and isinstance(other, (int, float)):
            message = f"{_kind(left)} cannot be compared with {_kind(right)}"
            raise TemplateFault(f"{message}; cells of csv and txt are text: write '3' for 3")


# --- filters ----------------------------------------------------------------------------------------------------------


def _default(value: object, default_value: object = "", boolean: bool = False) -> object:
    unset = isinstance(value, Undefined) or value is None or value == ""
    return default_value if unset or (boolean and not value) else value


def _replace(text: str, old: object, new: object, count: int | None = None) -> str:
    before, after = str(as_text(old)), str(as_text(new))
    times = text.count(before) if count is None else min(_whole("replace", count, MAX_CHARACTERS), text.count(before))
    _check_length(len(text) + times * (len(after) - len(before)))
    return text.replace(before, after, times)


def _slug(text: str) -> str:
    return slug(text)


def _trim(text: str) -> str:
    return text.strip()


def _pad(text: str, width: int) -> str:
    return text.zfill(_whole("pad", width, _MAX_WIDTH))


def _truncate(text: str, length: int) -> str:
    return text[: _whole("truncate", length, MAX_CHARACTERS)]


def _whole(name: str, number: object, most: int) -> int:
    if type(number) is not int or not 0 <= number <= most:
        raise TemplateFault(f"{name}(...) takes a whole number from 0 to {most:,}")
    return number


def _basename(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _parent(path: str) -> str:
    return path.rstrip("/").rpartition("/")[0]


def _stem(path: str) -> str:
    name = _basename(path)
    dot = name.rfind(".")
    return name[:dot] if 0 < dot < len(name) - 1 else name


def _join(items: object, separator: object = "") -> str:
    if not isinstance(items, (list, tuple)):
        raise TemplateFault(f"join takes a list; this is {_kind(items)}")
    return joined([str(as_text(item, "an item of the list")) for item in items], str(as_text(separator)))


def _first(items: object) -> object:
    return _item("first", items, 0)


def _last(items: object) -> object:
    return _item("last", items, -1)


def _item(name: str, items: object, index: int) -> object:
    if not isinstance(items, (list, tuple, str)):
        raise TemplateFault(f"{name} takes an item of a list; this is {_kind(items)}")
    return items[index] if items else Missing(f"{name}: the list is empty")


#: Filters of texts; a number counts as text.
TEXT_FILTERS: Mapping[str, Callable[..., Any]] = {
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
LIST_FILTERS: Mapping[str, Callable[..., Any]] = {"first": _first, "join": _join, "last": _last}
FILTERS: Mapping[str, Callable[..., Any]] = {**TEXT_FILTERS, **LIST_FILTERS, "default": _default}


def propagating(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a missing value through, so that a ``default`` behind the filter finds it."""

    def filter_(*args: object, **kwargs: object) -> object:
        for value in (*args, *kwargs.values()):
            if isinstance(value, Undefined):
                return value
        return function(*args, **kwargs)

    return filter_
