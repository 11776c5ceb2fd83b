"""Templates of manifest values: ``{{ city | slug }}``.  Decisions: pure.

The grammar is Jinja's own, and Jinja parses it; what may be said is far less: names, filters, comparisons, ``~`` and
``if``.  Nothing of Jinja runs.  Each part becomes a small function of the variables: nothing can be called, no large
text comes from a small one, and names are filled in within a microsecond, an eighth of what it takes Jinja.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable

import jinja2
from jinja2 import nodes

from . import filters
from .expressions import Values, expression, no_variable, refused, text, text_of
from .filters import TemplateFault, joined

__all__ = ["Template", "TemplateFault", "is_template", "no_variable"]

Part = str | Callable[[Values], str]


def is_template(value: str) -> bool:
    """Return whether a text is filled in; without ``{{`` it is literal, so that prompts may hold other braces."""
    return "{{" in value


class Template:
    """A text with {{ }} in it; making it raises TemplateFault where it is wrong."""

    __slots__ = ("_parts", "names", "optional", "source", "written")

    source: str
    names: frozenset[str]  #: variables that it needs
    optional: frozenset[str]  #: variables that it uses and can do without
    written: frozenset[str]  #: variables whose text stands in it, whatever the others are

    def __init__(self, source: str) -> None:
        self.source = source
        self._parts, needed, optional, written = _simple(source) or _parsed(source)
        self.names = frozenset(needed)
        self.optional = frozenset(optional - needed)
        self.written = frozenset(written)

    def render(self, values: Values) -> str:
        """Return the text with its values filled in; raise TemplateFault where that cannot be done."""
        return joined([part if type(part) is str else part(values) for part in self._parts])  # type: ignore[operator]


# --- from text to parts, and the names in it --------------------------------------------------------------------------

#: Parts, and the names that are needed, optional and written.
Found = tuple[list[Part], set[str], set[str], set[str]]

_NAME = re.compile(r"\{\{ *([A-Za-z][A-Za-z0-9_]*) *\}\}")
#: What the text between must not hold, or end with, for ``_NAME`` to see the same names as Jinja.
_MORE = re.compile(r"\{[{%#]|\r|\{\Z")
_WORDS = frozenset(["true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else"])


def _simple(source: str) -> Found | None:
    """Return the parts of a text with plain names only: a manifest may hold 100,000 of them, each its own."""
    if not is_template(source):
        return [source], set(), set(), set()
    pieces = _NAME.split(source)
    names = set(pieces[1::2])
    if names & _WORDS or any(map(_MORE.search, pieces[::2])):
        return None
    parts = [text_of(piece) if number % 2 else piece for number, piece in enumerate(pieces)]
    return [part for part in parts if part], names, set(), names


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(keep_trailing_newline=True)  # noqa: S701 - it parses, and never renders


def _parsed(source: str) -> Found:
    needed: set[str] = set()
    optional: set[str] = set()
    try:
        tree = _environment().parse(source)
        parts = _parts(tree.body)
        _collect(tree, frozenset(), needed, optional)
    except jinja2.TemplateSyntaxError as error:
        where = f" in line {error.lineno}" if "\n" in source else ""
        told = (error.message or "").rstrip(".")
        raise TemplateFault(f"is no template{where}: {told} (for braces as text write {{{{ '{{{{' }}}})") from None
    except TemplateFault:
        raise
    except RecursionError:
        raise TemplateFault("is nested too deeply") from None
    except ValueError:
        raise TemplateFault("holds a number with too many digits") from None
    return parts, needed, optional, _written(tree.body)


def _parts(body: Iterable[nodes.Node]) -> list[Part]:
    parts: list[Part] = []
    for node in body:
        if isinstance(node, nodes.If):
            parts.append(_if(node))
        elif isinstance(node, nodes.Output):
            parts += map(_output, node.nodes)
        else:
            raise refused(node)
    return parts


def _output(node: nodes.Node) -> Part:
    return node.data if isinstance(node, nodes.TemplateData) else text(node)


def _if(node: nodes.If) -> Callable[[Values], str]:
    branches = [(expression(branch.test), _parts(branch.body)) for branch in (node, *node.elif_)]
    otherwise = _parts(node.else_)

    def output(values: Values) -> str:
        parts = next((parts for test, parts in branches if test(values)), otherwise)
        return joined([part if isinstance(part, str) else part(values) for part in parts])

    return output


def _written(body: Iterable[nodes.Node]) -> set[str]:
    """Return the names whose text is written outright: no test, and no ``default``, looks at them before."""
    found: set[str] = set()
    for node in body:
        match node:
            case nodes.Output():
                found |= _written(node.nodes)
            case nodes.Concat():
                found |= _written(node.nodes)
            case nodes.Name():
                found.add(node.name)
            case nodes.Filter(node=nodes.Expr() as inner) if node.name in filters.TEXT:
                found |= _written([inner])
            case nodes.If():
                inside = [_written(branch) for branch in (node.body, *(one.body for one in node.elif_), node.else_)]
                tested = frozenset[str]().union(*(_names(one.test) for one in (node, *node.elif_)))
                found |= set().union(*inside) - tested
    return found


Names = frozenset[str]
_NONE: Names = frozenset()


def _collect(node: nodes.Node, sure: Names, needed: set[str], optional: set[str]) -> None:
    """Sort the names of *node*; those in *sure* are known to be defined where it stands, by an ``is defined``."""
    match node:
        case nodes.Name():
            (optional if node.name in sure else needed).add(node.name)
        case nodes.Test():
            optional |= _names(node)
        case nodes.Filter(name="default", node=nodes.Expr() as inner):
            optional |= _names(inner)
            for child in (*node.args, *node.kwargs):
                _collect(child, sure, needed, optional)
        case nodes.And() | nodes.Or():
            holds, fails = _assured(node.left)
            _collect(node.left, sure, needed, optional)
            _collect(node.right, sure | (holds if isinstance(node, nodes.And) else fails), needed, optional)
        case nodes.CondExpr():
            holds, fails = _assured(node.test)
            _collect(node.test, sure, needed, optional)
            _collect(node.expr1, sure | holds, needed, optional)
            _collect(node.expr2 or nodes.Const(None), sure | fails, needed, optional)
        case nodes.If():
            _collect_if(node, sure, needed, optional)
        case _:
            for child in node.iter_child_nodes():
                _collect(child, sure, needed, optional)


def _collect_if(node: nodes.If, sure: Names, needed: set[str], optional: set[str]) -> None:
    for branch in (node, *node.elif_):
        holds, fails = _assured(branch.test)
        _collect(branch.test, sure, needed, optional)
        for child in branch.body:
            _collect(child, sure | holds, needed, optional)
        sure |= fails
    for child in node.else_:
        _collect(child, sure, needed, optional)


def _names(node: nodes.Node) -> Names:
    own = [node] if isinstance(node, nodes.Name) else []
    return frozenset(name.name for name in (*own, *node.find_all(nodes.Name)))


def _assured(test: nodes.Node) -> tuple[Names, Names]:
    """Return the names that are defined where *test* holds, and where it does not."""
    match test:
        case nodes.Test(node=nodes.Name() | nodes.Getattr() | nodes.Getitem() as inner):
            return _names(inner), _NONE
        case nodes.Not():
            holds, fails = _assured(test.node)
            return fails, holds
        case nodes.And():
            (left, left_not), (right, right_not) = _assured(test.left), _assured(test.right)
            return left | right, left_not & right_not
        case nodes.Or():
            (left, left_not), (right, right_not) = _assured(test.left), _assured(test.right)
            return left & right, left_not | right_not
        case _:
            return _NONE, _NONE
