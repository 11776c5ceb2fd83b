"""Commands that messages suggest: all are made by ``CommandFlags``, and take the options that it gives them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import batchgen
from batchgen.app.project import CommandFlags
from batchgen.cli.entries import GROUPS
from batchgen.cli.main import batchgen as cli
from batchgen.cli.params import RUNS

ROOT = Path(batchgen.__file__).parent
ROOMS = ("app", "cli", "api", "serve")
NAMES = {name for group in GROUPS.values() for name in group}
MAKERS = ("plain", "on_batch", "on_manifest")
OPTIONS = " --budget 1 --out pics --backend ray --address h:6379 --workers 4 --shard 2/3"

#: Texts that name a command without the project's options, by file: what they begin with, and why that is right.
EXCEPTIONS = {
    "app/manifests.py": ("batchgen init", "batchgen run - < jobs/autumn.yaml"),  # there is no project yet; an example
    "app/project.py": ("batchgen ",),  # the place where they are made
    "app/earlier_stops.py": ("batchgen unpause",),  # the beginning by which a text is recognized
    "app/cluster.py": ("`batchgen doctor --backend ray`",),  # about the machine
    # ``open_reader`` completes what is between backticks.
    "app/unknown.py": ("`batchgen unknown list`",),
    "app/at_risk.py": ("`batchgen show",),
    "app/report/subject.py": ("`batchgen list runs`",),
    "app/marks.py": ("`batchgen marks import", "`batchgen list jobs`"),
    "app/report/html.py": ("batchgen list",),  # a page that cannot show its document
    # no commands, and what the user did
    "api/execution.py": ("batchgen ",),
    "app/cluster_check.py": ("batchgen ",),
    "app/monitoring/apprise.py": ("batchgen ",),
    "cli/program.py": ("batchgen ",),
    "cli/render/format.py": ("batchgen ",),
    "app/supervisor.py": ("`batchgen pause`",),
    "app/live_limits.py": ("`batchgen pause`", "`batchgen limit`"),
    # examples of help, and words that the user typed
    "cli/main.py": ("batchgen ",),
    "cli/command.py": ("batchgen ",),
    "cli/options.py": ("batchgen help",),
    "cli/settings_file.py": ("batchgen ",),
    "cli/environment.py": ("batchgen help",),
    "cli/commands/status.py": ("batchgen list",),
    # of no project, or of one that was made just now
    "cli/commands/help.py": ("batchgen help", "batchgen completion"),
    "cli/commands/init.py": ("batchgen validate", "batchgen plan", "batchgen run"),
    "cli/commands/providers.py": ("batchgen providers", "batchgen run"),
    "cli/commands/sandbox.py": ("batchgen ",),
    "app/plan.py": ("batchgen help",),
    "cli/commands/clean.py": ("batchgen serve",),  # what made the files
    "serve/access.py": ("batchgen serve",),
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def messages(tree: ast.Module) -> Iterator[str]:
    """Yield the texts of a module besides docstrings and the examples of its commands."""
    skipped = set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("command", "group"):
            skipped.update(map(id, node.args))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.value


def named(text: str) -> Iterator[str]:
    """Yield the rest of *text* from each command on that it names; one that ends behind ``batchgen `` is built."""
    for start in (index for index in range(len(text)) if text.startswith("batchgen ", index)):
        word = [*text[start:].split(), ""][1].strip("`.,;:)'")
        if word in NAMES or text[start:] == "batchgen ":
            yield text[start - 1 if text[start - 1 : start] == "`" else start :]


def suggestions() -> Iterator[tuple[str, str]]:
    """Yield the methods that make suggestions, with each verb that they are called with."""
    for _, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MAKERS:
                verb = node.args[0]
                if isinstance(verb, ast.Constant):
                    yield node.func.attr, str(verb.value)


def options_of(verb: str) -> set[str]:
    command: click.Command = cli
    for word in verb.split():
        found = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        if found is None:
            break
        command = found
    return {name for parameter in command.params for name in parameter.opts}


def test_every_suggestion_is_made_in_one_place():
    strays = [
        (file, text)
        for file, tree in sources()
        for message in messages(tree)
        for text in named(message)
        if not text.startswith(EXCEPTIONS.get(file, ()))
    ]
    assert not strays


def test_no_exception_is_left_over():
    used = {file for file, tree in sources() for message in messages(tree) for _ in named(message)}
    assert set(EXCEPTIONS) <= used


@pytest.mark.parametrize(("maker", "verb"), sorted(set(suggestions())))
def test_suggested_command_takes_the_options_that_it_is_given(maker, verb):
    known = options_of(verb)
    assert {"--db", "-C", "--sandbox"} <= known
    if maker == "on_batch":
        assert "--batch" in known
    if verb in RUNS:
        assert {word for word in OPTIONS.split() if word.startswith("--")} <= known


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("run", OPTIONS),
        ("resume", OPTIONS),
        ("retry", OPTIONS),
        ("redo", " --out pics --backend ray --address h:6379 --workers 4"),
        ("plan", ""),
        ("validate", ""),
    ],
)
def test_commands_about_a_manifest_repeat_the_options_of_the_batch(verb, options):
    flags = CommandFlags(flags=" --db mine.db --sandbox", batch="shop", again=OPTIONS)
    expected = f"batchgen {verb} m.yaml --db mine.db --sandbox{options} --id cat"
    assert flags.on_manifest(verb, "m.yaml", "--id cat") == expected


def test_other_commands_name_project_and_batch():
    flags = CommandFlags(flags=" --db mine.db --sandbox", batch="my shop", again=OPTIONS)
    assert flags.on_batch("show", "cat") == "batchgen show --db mine.db --sandbox --batch 'my shop' cat"
    assert flags.plain("unpause", "openai") == "batchgen unpause --db mine.db --sandbox openai"
