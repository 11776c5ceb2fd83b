"""Templates of manifest values, such as ``{{ city | slug }}``. Pure.

Jinja renders them in its sandbox, and an allow-list of syntax nodes leaves names, filters, comparisons, ``~`` and
``if``: no loop, call or arithmetic can make a large text from a small one. Most templates hold plain names only;
those never reach Jinja, which needs 0.6 ms to compile one.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from .filters import (
    FILTERS,
    TEXT_FILTERS,
    Missing,
    TemplateFault,
    alternatives,
    as_text,
    compare,
    joined,
    no_variable,
    propagating,
)

__all__ = ["Template", "TemplateFault", "is_template", "no_variable"]

Values = Mapping[str, Any]


def is_template(value: str) -> bool:
    """Return whether a text is rendered; without ``{{`` it is literal, so that prompts may hold other braces."""
    return "{{" in value


class Template:
    """A text with ``{{ }}`` in it. Raises TemplateFault where its syntax is wrong."""

    __slots__ = ("_compiled", "_numbers", "_plain", "names", "optional", "printed", "source")

    names: frozenset[str]  #: variables that it needs
    optional: frozenset[str]  #: variables that it uses, but can do without
    printed: frozenset[str]  #: variables whose text it always contains

    def __init__(self, source: str) -> None:
        self.source = source
        if not source.isascii():  # the names of columns are composed
            source = _BRACES.sub(lambda match: unicodedata.normalize("NFC", match[0]), source)
        self._plain = _plain_pieces(source)
        self._numbers = range(1, len(self._plain or ()), 2)  #: of the names among its pieces
        self._compiled: jinja2.Template | None = None
        self.optional = frozenset()
        if self._plain is not None:
            self.names = self.printed = frozenset(self._plain[1::2])
        else:
            self._compiled, tree = _compile(source)
            self.names = frozenset(tree.names - tree.defined)
            self.optional = frozenset((tree.optional | tree.defined) - self.names)
            self.printed = frozenset(tree.printed - tree.optional - tree.tested)

    def render(self, values: Values) -> str:
        """Return the text with *values* filled in, or raise TemplateFault."""
        if self._compiled is not None:
            context = self._compiled.new_context(dict(values), shared=True)
            return joined(list(self._compiled.root_render_func(context)))
        assert self._plain is not None  # noqa: S101
        # Literal text and names alternate; the names have odd numbers.
        pieces = self._plain.copy()
        for number in self._numbers:
            name = pieces[number]
            value = values.get(name)
            pieces[number] = value if type(value) is str else _value(name, values)
        return joined(pieces)


_BRACES = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
#: What hides a brace or a tag from this pattern is left to Jinja: see ``_NOT_PLAIN``.
_PLAIN_NAME = re.compile(r"\{\{ *([A-Za-z][A-Za-z0-9_]*) *\}\}")
_NOT_PLAIN = re.compile(r"\{[{%#]|\r|\{\Z")
_KEYWORDS = frozenset(["true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else"])


def _plain_pieces(source: str) -> list[str] | None:
    """Return literal text and names in turn; None where the template has more than plain names."""
    if not is_template(source):
        return [source]
    pieces = _PLAIN_NAME.split(source)
    if _KEYWORDS.intersection(pieces[1::2]) or any(map(_NOT_PLAIN.search, pieces[::2])):
        return None
    return pieces


def _value(name: str, values: Values) -> str:
    try:
        value = values[name]
    except KeyError:
        raise TemplateFault(no_variable(name, values)) from None
    return value if type(value) is str else str(as_text(value, name))


#: Jinja gives ``self`` a meaning of its own, whatever the variables are; as this name it is a variable too.
_SELF = "_self_"
#: Filters that only _Checker puts in; no template can name them.
_TEXT, _COMPARE = "~text", "~compare"


class _Variables(Context):
    def resolve_or_missing(self, key: str) -> Any:  # noqa: ANN401
        name = "self" if key == _SELF else key
        return self.parent[name] if name in self.parent else Missing(obj=self, name=name)


class _Environment(ImmutableSandboxedEnvironment):
    context_class = _Variables

    def getitem(self, obj: Any, argument: Any) -> Any:  # noqa: ANN401
        """Return an item of a mapping, list or text. Attributes of Python's objects do not exist here."""
        if isinstance(obj, Undefined):
            return obj
        try:
            if isinstance(obj, (dict, list, tuple, str)):
                return obj[argument]
        except (LookupError, TypeError):
            pass
        return Missing(obj=obj, name=argument)

    getattr = getitem  # type: ignore[assignment]


@functools.cache
def _environment() -> _Environment:
    environment = _Environment(keep_trailing_newline=True, undefined=Missing, autoescape=False)
    environment.filters = {name: propagating(function) for name, function in FILTERS.items()}
    environment.filters |= {"default": FILTERS["default"], _TEXT: as_text, _COMPARE: compare}
    environment.tests = {"defined": environment.tests["defined"]}
    environment.globals.clear()
    return environment


def _compile(source: str) -> tuple[jinja2.Template, _Checker]:
    checker = _Checker()
    try:
        tree = checker.visit(_environment().parse(source))
        return _environment().from_string(tree), checker
    except jinja2.TemplateSyntaxError as error:
        where = f" in line {error.lineno}" if "\n" in source else ""
        reason = (error.message or "").rstrip(".")
        raise TemplateFault(
            f"is not a valid template{where}: {reason} (for braces as text write {{{{ '{{{{' }}}})"
        ) from None
    except TemplateFault:
        raise
    except (RecursionError, SyntaxError):  # Python nests at most 200 brackets
        raise TemplateFault("is nested too deeply") from None
    except ValueError:
        raise TemplateFault("holds a number with too many digits") from None


_ALLOWED_NODES = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.CondExpr, nodes.Name, nodes.Const),
    *(nodes.List, nodes.Tuple, nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Keyword, nodes.Concat, nodes.Test),
    *(nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg),
)
_ALLOWED = "only names, filters, comparisons, ~ and if can be used here"
_REFUSED: Mapping[type[nodes.Node], str] = {
    nodes.For: "no loops",
    nodes.Call: "no calls",
    nodes.Assign: "no {% set %}",
    nodes.AssignBlock: "no {% set %}",
    nodes.Add: "no + (write ~ to join texts)",
    nodes.BinExpr: "no arithmetic",
    nodes.UnaryExpr: "no arithmetic",
    nodes.Slice: "no slices [:]",
    nodes.Dict: "no mappings {...}",
}


class _Checker(NodeTransformer):
    """Refuses syntax that is not allowed, collects names, and has values checked where they become text."""

    def __init__(self) -> None:
        self.names: set[str] = set()  #: anywhere else
        self.optional: set[str] = set()  #: under a ``default``
        self.defined: set[str] = set()  #: under ``is defined``
        self.printed: set[str] = set()  #: written as they are, or by a filter of texts
        self.tested: set[str] = set()  #: by an ``if``

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if not isinstance(node, _ALLOWED_NODES):
            raise _refused(node)
        return super().visit(node, *args, **kwargs)

    def visit_Name(self, node: nodes.Name) -> nodes.Node:  # noqa: N802 - so Jinja finds it
        self.names.add(node.name)
        return nodes.Name(_SELF, "load") if node.name == "self" else node

    def visit_Const(self, node: nodes.Const) -> nodes.Node:  # noqa: N802
        if isinstance(node.value, float) and math.isinf(node.value):  # Jinja would write it as the name ``inf``
            raise TemplateFault("holds a number that is too large")
        return node

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        return nodes.List([self.visit(item) for item in node.items])  # lists of manifests never equal a tuple

    def visit_Neg(self, node: nodes.Neg) -> nodes.Node:  # noqa: N802
        if isinstance(node.node, nodes.Const) and isinstance(node.node.value, (int, float)):
            return nodes.Const(-node.node.value)
        raise _refused(node)

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802
        node.nodes = [self._text(child) for child in node.nodes]
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        return _filter(nodes.List([self._text(child) for child in node.nodes]), "join")

    def visit_If(self, node: nodes.If) -> nodes.Node:  # noqa: N802
        self.tested |= _names(node.test)
        return self.generic_visit(node)

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Node:  # noqa: N802
        if node.expr2 is None:
            raise TemplateFault("if inside {{ }} needs an else: {{ a if b else c }}")
        self.tested |= _names(node)
        return self.generic_visit(node)

    def visit_Test(self, node: nodes.Test) -> nodes.Node:  # noqa: N802
        if node.name != "defined":
            raise TemplateFault(f"'is {node.name}' is not a test here; there is 'is defined'")
        if node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
            raise TemplateFault("'is defined' takes no argument")
        self.defined |= _names(node)
        return self.generic_visit(node)

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:  # noqa: N802
        _check_key(node.attr)
        return self.generic_visit(node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        if isinstance(node.arg, nodes.Const):
            _check_key(node.arg.value)
        return self.generic_visit(node)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        steps = [part for item in node.ops for part in (nodes.Const(item.op), self.visit(item.expr))]
        return _filter(self.visit(node.expr), _COMPARE, *steps)

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:  # noqa: N802
        _check_filter(node)
        names, inner = self.names, node.node
        assert inner is not None  # noqa: S101 - only a {% filter %} block has none
        if node.name == "default":
            self.names = self.optional
        node.node = self._text(inner) if node.name in TEXT_FILTERS else self.visit(inner)
        self.names = names
        node.args = [self.visit(item) for item in node.args]
        node.kwargs = [self.visit(item) for item in node.kwargs]
        return node

    def _text(self, node: nodes.Node) -> Any:  # noqa: ANN401 - an expression
        """Return *node* as text; a message calls its value by the name in the template."""
        if isinstance(node, nodes.TemplateData):
            return node
        if isinstance(node, nodes.Name):
            self.printed.add(node.name)
        label = _label(node)
        return _filter(self.visit(node), _TEXT, nodes.Const(label))


def _filter(node: nodes.Node, name: str, *args: nodes.Node) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None)


def _refused(node: nodes.Node) -> TemplateFault:
    reason = next((f"{words}: " for kind, words in _REFUSED.items() if isinstance(node, kind)), "")
    return TemplateFault(f"{reason}{_ALLOWED}")


def _names(node: nodes.Node | None) -> set[str]:
    if node is None:
        return set()
    return {name.name for name in ([node] if isinstance(node, nodes.Name) else node.find_all(nodes.Name))}


def _label(node: nodes.Node | None) -> str:
    match node:
        case nodes.Name():
            return node.name
        case nodes.Getattr():
            return f"{_label(node.node)}.{node.attr}"
        case nodes.Getitem(arg=nodes.Const(value=key)):
            return f"{_label(node.node)}[{key!r}]"
        case nodes.Filter():
            return _label(node.node)
        case _:
            return "the value"


def _check_key(key: object) -> None:
    if isinstance(key, str) and key.startswith("_"):
        raise TemplateFault(f"{key!r}: parts whose names start with _ cannot be used")


def _check_filter(node: nodes.Filter) -> None:
    """Refuse an unknown filter, wrong arguments, and constant arguments that no text can be filtered by."""
    function = FILTERS.get(node.name)
    if function is None:
        raise TemplateFault(f"unknown filter {node.name!r}{alternatives(node.name, FILTERS, len(FILTERS))}")
    if node.dyn_args or node.dyn_kwargs:
        raise TemplateFault(f"no *: {_ALLOWED}")
    parameters = list(inspect.signature(function).parameters.values())[1:]
    named: dict[str, nodes.Expr] = {str(item.key): item.value for item in node.kwargs}
    try:
        bound = inspect.Signature(parameters).bind(*node.args, **named)
    except TypeError:
        written = ", ".join(str(item.replace(annotation=inspect.Parameter.empty)) for item in parameters)
        usage = f"the filter is written {node.name}({written})" if written else f"{node.name} takes no argument"
        raise TemplateFault(usage) from None
    constants = {key: item.value for key, item in bound.arguments.items() if isinstance(item, nodes.Const)}
    if node.name in TEXT_FILTERS and len(constants) == len(bound.arguments):
        function("", **constants)
