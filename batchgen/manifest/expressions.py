"""What may stand inside the braces of a template: Jinja's syntax tree to small functions.  Decisions: pure.

An expression becomes a function of the variables.  A name that is missing, or has nothing in it, raises Absent on the
way to the ``default`` or ``is defined`` that expects it; anything else that is wrong raises TemplateFault.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import nodes

from ..errors import suggest
from . import filters
from .filters import Absent, TemplateFault, as_text, joined

Values = Mapping[str, Any]
Get = Callable[[Values], Any]

#: Names that a message lists.
_LISTED = 12

_ALLOWED = "only names, filters, comparisons, ~ and if can stand here"
_REFUSED: Mapping[type[nodes.Node], str] = {
    nodes.For: "no loops",
    nodes.Call: "no calls",
    nodes.Assign: "no {% set %}",
    nodes.AssignBlock: "no {% set %}",
    nodes.Add: "no + (write ~ to put texts together)",
    nodes.BinExpr: "no arithmetic",
    nodes.UnaryExpr: "no arithmetic",
    nodes.Slice: "no slices [:]",
    nodes.Dict: "no mappings {...}",
}


def refused(node: nodes.Node) -> TemplateFault:
    """Return the fault of what Jinja knows and a manifest does not."""
    for kind, words in _REFUSED.items():
        if isinstance(node, kind):
            return TemplateFault(f"{words}: {_ALLOWED}")
    return TemplateFault(_ALLOWED)


def allowed(name: str) -> str:
    """Return the name of a part; raise TemplateFault where it may not be named."""
    if name.startswith("_"):
        raise TemplateFault(f"{name!r}: parts whose names start with _ cannot be used")
    return name


def missing(name: str, values: Values) -> Absent:
    """Return the fault of a name that none of *values* has."""
    return Absent(no_variable(name, values))


def no_variable(name: str, known: Iterable[str]) -> str:
    """Return the words for a name that is none of *known*."""
    # a column "Product Title" is there under a second name, and only by that one can it be named
    return f"there is no variable {name!r}{_there_are(name, (word for word in known if word.isidentifier()))}"


def _there_are(name: str, known: Iterable[object], most: int = _LISTED) -> str:
    names = sorted(word for word in known if isinstance(word, str))
    hint = suggest(name, names, "")
    near = hint and f"{hint} "
    more = ", ..." if len(names) > most else ""
    return f" ({near}there are: {', '.join(names[:most])}{more})" if names else ""


def expression(node: nodes.Node) -> Get:
    """Return what works out *node*; raise TemplateFault where it may not stand in a template."""
    match node:
        case nodes.Name():
            return _variable(node.name)
        case nodes.Const():
            return _constant(node.value)
        case nodes.Neg(node=nodes.Const(value=int() | float() as number)):
            return _constant(-number)
        case nodes.List() | nodes.Tuple():
            items = [expression(item) for item in node.items]
            return lambda values: [item(values) for item in items]
        case nodes.Getattr():
            return _part(node.node, _constant(allowed(node.attr)), (dict,))
        case nodes.Getitem(arg=nodes.Expr()):
            if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
                allowed(node.arg.value)
            return _part(node.node, expression(node.arg), (dict, list, tuple, str))
        case nodes.Filter(node=nodes.Expr() as inner):
            return _filter(node, inner)
        case nodes.Concat():
            texts = [text(item) for item in node.nodes]
            return lambda values: joined([item(values) for item in texts])
        case _:
            return _decision(node)


def text(node: nodes.Node) -> Callable[[Values], str]:
    """Return what works out *node* as text; see ``as_text``."""
    if isinstance(node, nodes.Name):
        return text_of(node.name)
    get, words = expression(node), _words(node)
    return lambda values: as_text(get(values), words)


@functools.lru_cache(maxsize=1024)
def text_of(name: str) -> Callable[[Values], str]:
    """Return what looks up a variable as text: most of what a template does, so it is one step."""

    def get(values: Values) -> str:
        try:
            value = values[name]
        except KeyError:
            raise missing(name, values) from None
        return value if type(value) is str else as_text(value, name)

    return get


def _words(node: nodes.Node) -> str:
    """Return what a message calls the value of *node*."""
    match node:
        case nodes.Name():
            return node.name
        case nodes.Getattr():
            return f"{_words(node.node)}.{node.attr}"
        case nodes.Getitem(arg=nodes.Const(value=key)):
            return f"{_words(node.node)}[{key!r}]"
        case nodes.Filter(node=nodes.Expr() as inner):
            return _words(inner)
        case _:
            return "the value"


def _variable(name: str) -> Get:
    def get(values: Values) -> object:
        try:
            return values[name]
        except KeyError:
            raise missing(name, values) from None

    return get


def _constant(value: object) -> Get:
    return lambda _: value


def _part(node: nodes.Node, key_of: Get, of: tuple[type[Any], ...]) -> Get:
    """Return what looks up a part of nested data: by a mapping's keys, by numbers in a list.  Attributes are none."""
    outer, words = expression(node), _words(node)

    def get(values: Values) -> object:
        whole: Any = outer(values)
        key = key_of(values)
        try:
            if isinstance(whole, of):
                return whole[key]
        except (LookupError, TypeError):
            pass
        if isinstance(whole, dict):
            raise Absent(f"{words} has no {key!r}{_there_are(str(key), whole)}")
        raise Absent(f"{words} is {filters.kind(whole)} and has no {key!r}")

    return get


# --- what decides -----------------------------------------------------------------------------------------------------


def _decision(node: nodes.Node) -> Get:
    match node:
        case nodes.Compare():
            return _comparison(node)
        case nodes.And():
            left, right = expression(node.left), expression(node.right)
            return lambda values: left(values) and right(values)
        case nodes.Or():
            left, right = expression(node.left), expression(node.right)
            return lambda values: left(values) or right(values)
        case nodes.Not():
            inner = expression(node.node)
            return lambda values: not inner(values)
        case nodes.Test():
            return _is_defined(node)
        case nodes.CondExpr(expr2=nodes.Expr() as other):
            test, yes, no = expression(node.test), expression(node.expr1), expression(other)
            return lambda values: yes(values) if test(values) else no(values)
        case nodes.CondExpr():
            raise TemplateFault("if inside {{ }} needs an else: {{ a if b else c }}")
        case _:
            raise refused(node)


def _is_defined(node: nodes.Test) -> Get:
    if node.name != "defined":
        raise TemplateFault(f"'is {node.name}' is not known here; there is 'is defined'")
    inner = expression(node.node)

    def test(values: Values) -> bool:
        try:
            inner(values)
        except Absent:
            return False
        return True

    return test


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


def _comparison(node: nodes.Compare) -> Get:
    first = expression(node.expr)
    others = [(_OPERATORS[item.op], expression(item.expr)) for item in node.ops]

    def get(values: Values) -> bool:
        left = first(values)
        for compare, other in others:
            right = other(values)
            _check_kinds(left, right)
            try:
                if not compare(left, right):
                    return False
            except TypeError:
                raise _not_comparable(left, right) from None
            left = right
        return True

    return get


_NUMBER = (bool, int, float)


def _check_kinds(left: object, right: object) -> None:
    """Raise TemplateFault where text meets a number: they are never equal, and that is never meant."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, str) and isinstance(other, _NUMBER):
            raise TemplateFault(f'{_not_comparable(left, right)}; cells of csv and txt are text: write "3" for 3')


def _not_comparable(left: object, right: object) -> TemplateFault:
    return TemplateFault(f"{filters.kind(left)} cannot be compared with {filters.kind(right)}")


# --- filters ----------------------------------------------------------------------------------------------------------


def _filter(node: nodes.Filter, inner: nodes.Expr) -> Get:
    name, stated = node.name, (*node.args, *(item.value for item in node.kwargs))
    if name not in filters.NAMES:
        raise TemplateFault(f"unknown filter {name!r}{_there_are(name, filters.NAMES, len(filters.NAMES))}")
    if node.dyn_args or node.dyn_kwargs:
        raise TemplateFault(f"no *: {_ALLOWED}")
    args = [expression(item) for item in node.args]
    named = {str(item.key): expression(item.value) for item in node.kwargs}
    filters.check(name, args, named)
    if name == "default":
        take, function = _or_none(expression(inner)), filters.default
    elif name in filters.TEXT:
        take, function = text(inner), filters.TEXT[name]
    else:
        take, function = expression(inner), filters.LIST[name]
    if not stated:
        return lambda values: function(take(values))
    if all(isinstance(item, nodes.Const) for item in stated):
        fixed, fixed_named = [get({}) for get in args], {key: get({}) for key, get in named.items()}
        if name in filters.TEXT:
            function("", *fixed, **fixed_named)  # what is wrong with every text is wrong now
        return lambda values: function(take(values), *fixed, **fixed_named)
    return lambda values: function(
        take(values), *(get(values) for get in args), **{key: get(values) for key, get in named.items()}
    )


def _or_none(take: Get) -> Get:
    def get(values: Values) -> object:
        try:
            return take(values)
        except Absent:
            return None

    return get
