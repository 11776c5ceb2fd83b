"""Help pages and the README: each page renders, and each command line in them exists."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from rich.console import Console
from rich.markdown import Markdown

from batchgen.cli import batchgen
from batchgen.cli.render import pages

README = Path(__file__).parents[2] / "README.md"
TEXTS = {name: pages.source(name) for name in pages.topics()} | {"README": README.read_text(encoding="utf-8")}
#: A command line in a block of code or between backticks; comments and pipes end it.
_FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"^ *(?:\$ )?(?:[A-Z_]+=\S+ )*(batchgen(?: [^\n]*)?)$", re.MULTILINE)
_INDENTED = re.compile(r"^ {4}(batchgen [^\n]*)$", re.MULTILINE)
_INLINE = re.compile(r"`(batchgen [^`]+)`")
_END = re.compile(r"\s(?:#|\||>|>>|&&|;|2>)\s?|  +")


@pytest.mark.parametrize("name", pages.topics())
def test_page_has_title_and_summary_and_renders(name):
    text = pages.page(name)
    assert re.match(r"# \S.*\n\n\S", text)
    assert len(pages.summary(name)) <= 110
    assert "<!--" not in text
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(Markdown(text))
    assert pages.summary(name).split("`", maxsplit=1)[0][:30] in console.export_text()


def test_pages_are_filled_in_place():
    text = "a\n<!-- batchgen:exit-codes -->\nold\n<!-- /batchgen:exit-codes -->\nb\n"
    filled = pages.fill(text)
    assert "\nold\n" not in filled
    assert "| 143 " in filled
    assert pages.fill(filled) == filled


@pytest.mark.parametrize("name", TEXTS)
def test_page_shows_only_commands_that_exist(name):
    text = TEXTS[name]
    fenced = [line for block in _FENCED.findall(text) for line in _LINE.findall(block)]
    lines = dict.fromkeys((*fenced, *_INDENTED.findall(text), *_INLINE.findall(text)))
    wrong = {line: why for line in lines if (why := _mistake(line))}
    assert wrong == {}


def _mistake(line: str) -> str | None:
    """Return what is wrong with the commands and options of a line, if anything is."""
    try:
        words = shlex.split(_END.split(line, maxsplit=1)[0])[1:]
    except ValueError:
        return None  # a line with a quote that goes on in the next one
    command: click.Command = batchgen
    ctx = click.Context(batchgen, info_name="batchgen")
    if words and words[0].endswith(":"):
        return None  # the subject of a message
    while words:
        word = words.pop(0)
        if word == "--":
            return None
        if word.startswith("-") and len(word) > 1:
            name = word.partition("=")[0]
            option = next((one for one in command.get_params(ctx) if name in (*one.opts, *one.secondary_opts)), None)
            if option is None:
                return f"no option {name} of {command.name}"
            if not (getattr(option, "is_flag", False) or getattr(option, "count", False) or "=" in word):
                del words[:1]
        elif isinstance(command, click.Group) and word.strip("[]<>.,…").isupper() is False:
            found = command.get_command(ctx, word)
            if found is None:
                return f"no command {word} of {command.name}"
            command, ctx = found, click.Context(found, info_name=word, parent=ctx)
    return None


def _commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    def walk(group: click.Group, parent: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
        for name in group.list_commands(parent):
            command = group.get_command(parent, name)
            assert command is not None
            ctx = click.Context(command, info_name=name, parent=parent)
            yield ctx.command_path, command, ctx
            if isinstance(command, click.Group):
                yield from walk(command, ctx)

    return walk(batchgen, click.Context(batchgen, info_name="batchgen"))


def _summary(command):
    return command.help.partition("\n")[0]


def test_command_help_has_a_summary_examples_and_a_page():
    without_page = {"batchgen completion", "batchgen help"}
    for path, command, ctx in _commands():
        text = command.get_help(ctx)
        topics = re.findall(r"^See: batchgen help (\S+)$", text, re.MULTILINE)
        assert topics == [] if path in without_page else topics[0] in pages.topics(), path
        assert re.fullmatch(r"[A-Z].*\.", _summary(command)), path
        assert command.examples, path
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert re.fullmatch(r"(?s)[A-Z].*\.", option.help or ""), (path, option.name)


def test_list_of_commands_has_the_first_line_of_each_help():
    lines = {name: entry.summary for name, entry in batchgen.entries.items()}
    assert lines == {name: _summary(batchgen.get_command(click.Context(batchgen), name)) for name in lines}
