"""Help pages: Markdown files of the package, whose tables are generated from the code."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING

from ...errors import ExitCode
from ...fault import Cause
from ..params import EVERYWHERE, PREFIX, SHORT

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

WIDTH = 100

#: Titles of the list of topics, and the pages below each; a page that is in no group comes last.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Write a manifest": ("manifest", "lists", "tables", "photos", "templates", "chains", "deliver", "object-store"),
    "Providers": ("providers", "own-providers", "tasks", "modes", "batches", "keys", "limits", "failover", "outages"),
    "Run": ("runs", "arguments", "control", "terminal", "sandbox", "sandbox-faults", "settings", "environment"),
    "Unattended": ("cron", "budgets", "monitoring", "exit-codes", "json", "python"),
    "Afterwards": ("report", "serve", "marks", "usage", "causes", "unknown", "recovery"),
    "Beyond one machine": ("postgres", "cluster", "cluster-manifests"),
    "How it works": ("design", "architecture", "decisions", "internals", "durability", "glossary", "contributing"),
}
_FOLDER = files("batchgen") / "help"
_MARKED = re.compile(r"<!-- batchgen:([a-z-]+) -->\n(?:(?:(?!<!-- batchgen:).)*?<!-- /batchgen:\1 -->\n)?", re.DOTALL)
_COMMENT = re.compile(r"^<!-- /?batchgen:[a-z-]+ -->\n", re.MULTILINE)


def topics() -> list[str]:
    """Return the names of all pages, in the order of the groups."""
    names = sorted(file.name.removesuffix(".md") for file in _FOLDER.iterdir() if file.name.endswith(".md"))
    order = [name for group in GROUPS.values() for name in group]
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def source(topic: str) -> str:
    """Return the Markdown of a page as it is in its file."""
    return (_FOLDER / f"{topic}.md").read_text(encoding="utf-8")


def page(topic: str) -> str:
    """Return the Markdown of a page with its generated tables and without the comments that mark them."""
    return _COMMENT.sub("", fill(source(topic)))


def summary(topic: str) -> str:
    """Return the paragraph below the title of a page, on one line."""
    return " ".join(source(topic).split("\n\n")[1].split())


def topic_list() -> list[str]:
    """Return the lines of the list of topics, in groups."""
    names = topics()
    grouped = {name for group in GROUPS.values() for name in group}
    others = tuple(name for name in names if name not in grouped)
    width = max(map(len, names)) + 2
    lines = []
    for title, group in {**GROUPS, "More": others}.items():
        present = [name for name in group if name in names]
        lines += ["", f"{title}:"] if present else []
        lines += [f"  {name:<{width}}{summary(name)}" for name in present]
    return lines[1:]


def fill(text: str) -> str:
    """Return *text* with every generated table renewed between its two comments."""

    def table(match: re.Match[str]) -> str:
        name = match[1]
        return f"<!-- batchgen:{name} -->\n{TABLES[name]()}\n<!-- /batchgen:{name} -->\n"

    return _MARKED.sub(table, text)


def table(rows: Iterable[tuple[str, ...]], heads: tuple[str, ...]) -> str:
    """Return a Markdown table whose columns are aligned in plain text too."""
    cells = [heads, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
             for row in cells]  # fmt: skip
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def bullets(items: Mapping[str, str]) -> str:
    """Return a Markdown list of terms and their meanings, folded for plain text."""
    return "\n".join(
        textwrap.fill(f"- `{term}`: {text}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        for term, text in items.items()
    )


def _environment() -> str:
    everywhere = ", ".join(f"`{PREFIX}_{name.upper()}`" for name in EVERYWHERE)
    runs = ", ".join(f"`{PREFIX}_{name.upper()}`" for name in SHORT)
    lines = [f"- Every command: {everywhere}", f"- `run`, `resume` and `retry`: {runs}"]
    return "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in lines)


def _sandbox_faults() -> str:
    from ...sandbox import faults
    from ...sandbox.shapes import GROUPS as SHAPES

    groups: dict[str, Mapping[str, str]] = {
        "Refused; nothing is made or charged": faults.REFUSALS,
        "Made and charged, with wrong content": faults.CONTENT,
        "Made and charged, lost or damaged on the way": faults.DELIVERY,
        "Failed before any work": faults.EARLY,
        "One request of a batch": faults.ROW,
        "Calls in the tier flex": faults.FLEX,
        "A whole batch, if one of its prompts asks for it": faults.BATCH,
        "What becomes of a task, at providers that are polled for results": faults.TASKS,
        "Faults of the polls of a task; `x2` means its first two polls": faults.POLLS,
    }
    groups |= {
        title.rstrip(":"): {kind: shape.about for kind, shape in kinds.items()} for title, kinds in SHAPES.items()
    }
    parts = [f"{title}:\n\n{bullets(kinds)}" for title, kinds in groups.items()]
    aliases = ", ".join(f"`{name}` (`{kind}`)" for name, kind in faults.ALIASES.items())
    parts.append(textwrap.fill(f"Aliases, by the cause that each leads to: {aliases}.", WIDTH))
    return "\n\n".join(parts)


def _fields(name: str, *, defaults: bool = False) -> Callable[[], str]:
    """Return a function that makes a table of the keys of the manifest's model of that *name*."""

    def make() -> str:
        from ...manifest import model, provider_spec

        language = vars(provider_spec) | vars(model)
        fields: Mapping[str, FieldInfo] = language[name].model_fields
        rows = []
        for key, field in fields.items():
            default = "" if field.default is None else str(field.default).removesuffix(".0").lower()
            rows.append((f"`{key}`", field.description or "", *((default,) if defaults else ())))
        return table(rows, ("key", "meaning", *(("default",) if defaults else ())))

    return make


#: Each generated part of a page by the name in its comment.
TABLES: Mapping[str, Callable[[], str]] = {
    "exit-codes": lambda: table(((str(int(code)), code.meaning) for code in ExitCode), ("code", "meaning")),
    "causes": lambda: bullets({str(cause): cause.meaning for cause in Cause}),
    "environment": _environment,
    "sandbox-faults": _sandbox_faults,
    "parameters": _fields("Parameters"),
    "provider-settings": _fields("ProviderSpec"),
    "limits": _fields("LimitsSpec", defaults=True),
    "retry": _fields("RetrySpec", defaults=True),
    "timeouts": _fields("TimeoutsSpec", defaults=True),
}
