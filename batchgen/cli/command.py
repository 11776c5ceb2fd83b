"""Commands and groups: examples first in --help, options in sections; values also from variables and settings files.

Plain click: a library for prettier help would take longer to import than ``--help`` and completion take in all.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import nearest
from .entries import SYNONYMS, Entry
from .params import is_on, variables

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Formatter(click.HelpFormatter):
    """Click's formatter with bold headings where the terminal can show them."""

    def write_heading(self, heading: str) -> None:
        """Write a heading."""
        super().write_heading(click.style(heading, bold=True) if coloured() else heading)


def coloured() -> bool:
    """Return whether help may use bold type: on a terminal that can show it, or where colours are asked for."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (os.environ.get("TERM") != "dumb" and sys.stdout.isatty())


class _Context(click.Context):
    formatter_class = Formatter

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The options of this command in settings files.

        Read late: by then the command line has named the manifest, -C and --config. Help and completion read no file.
        """
        from .settings_file import option_values

        return {} if self.resilient_parsing else option_values(self)

    def lookup_default(self, name: str, call: bool = True) -> Any:  # noqa: ANN401 - whatever a file contains
        """Return the value of a parameter in a settings file."""
        from .settings_file import allowed

        del call
        # Other options are looked up before the command line has named the manifest, so that no file may be read yet.
        in_files = any(option.name == name for option in allowed(self.command).values())
        return self.settings.get(name) if in_files else None


#: The ``--progress`` of each command that was read, for ``as_json``.
_progress: list[str | None] = []


def as_json() -> bool:
    """Return whether errors are printed as JSON."""
    return "json" in _progress or is_on("--json")


def is_manifest(word: str) -> bool:
    """Return whether a word on the command line names a manifest or a batch of this folder."""
    from ..app.manifests import find_manifest
    from ..app.project import Project
    from ..errors import BatchgenError

    try:
        find_manifest(Project.of(Path(), None), word, "run")
    except BatchgenError:
        return False
    return True


def _with_hint(error: click.UsageError, ctx: click.Context) -> click.UsageError:
    """Return *error*, for a word too many or an unknown option with the way to write what was probably meant."""
    if isinstance(error, click.NoSuchOption):
        if meant := _meant(error.option_name, ctx):
            return click.UsageError(f"No such option: {error.option_name}; {meant}", ctx)
        if error.option_name == "--sandbox":
            return click.UsageError(f"{ctx.command_path} has no sandbox run: leave out --sandbox", ctx)
    match = re.fullmatch(r"Got unexpected extra arguments? \((.*)\)", error.message)
    if match is None:
        return error
    names = {parameter.name for parameter in ctx.command.params}
    if "manifest" in names:
        hint = "one manifest at a time: `include` in a manifest joins several into one batch"
    elif "ids" in names:
        hint = _selection_hint(match[1].split()[0], ctx)
    else:
        hint = f"{ctx.command_path} --help shows what it takes"
    return click.UsageError(f"{error.message}; {hint}", ctx)


def _selection_hint(word: str, ctx: click.Context) -> str:
    """Return how to select what *word* names: the jobs of a batch, or else the job."""
    from ..app.project import Project, open_reader
    from ..errors import BatchgenError

    given = {**(ctx.obj or {}), **{name: value for name, value in ctx.params.items() if value}}
    project = Project.of(given.get("folder", Path()), given.get("db"), sandbox=bool(given.get("sandbox")))
    try:
        with open_reader(project) as reader:
            is_batch = reader.batch_id(word) is not None
    except BatchgenError:
        is_batch = False
    if not is_batch:
        return f"to select jobs: --id {word}"
    everything = " --all" if "everything" in {parameter.name for parameter in ctx.command.params} else ""
    return f"to select the jobs of that batch: --batch {word}{everything}"


def _meant(name: str, ctx: click.Context) -> str:
    """Return what an unknown option probably means: a value of another option, or an option of ``run`` after ``--``."""
    options = [parameter for parameter in ctx.command.params if isinstance(parameter, click.Option)]
    for parameter in options:
        if isinstance(parameter.type, click.Choice) and name.lstrip("-") in parameter.type.choices:
            return f"did you mean: {parameter.opts[0]} {name.lstrip('-')}"
    root = ctx.find_root().command
    run = root.get_command(ctx, "run") if isinstance(root, LazyGroup) else None
    if run is None or all(parameter.name != "rest" for parameter in ctx.command.params):
        return ""
    is_of_run = any(name in parameter.opts for parameter in run.params)
    return f"options of run follow after --, as in  -- {name}" if is_of_run else ""


def _show_help(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    from . import pager

    del parameter
    if value and not ctx.resilient_parsing:
        pager.show(ctx.get_help())
        ctx.exit()


class Command(click.Command):
    """A command: its options also come from the environment and from settings files."""

    context_class = _Context
    examples: Sequence[str] = ()
    topic = ""  #: the help page that explains more

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; the others come from the environment, then from settings files."""
        for parameter in self.params:
            parameter.envvar = variables(ctx, parameter) or None
        try:
            rest = super().parse_args(ctx, args)
        except click.UsageError as error:
            raise _with_hint(error, ctx) from error
        _progress.append(ctx.params.get("progress"))
        # A mistake in a settings file is an error even where the command line overrides that option.
        assert isinstance(ctx, _Context)  # noqa: S101
        _ = ctx.settings
        return rest

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return click's --help, which shows a long text through a pager."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, usage, description and options."""
        for line in self.examples:
            formatter.write(f"  {line}\n")
        if self.examples:
            formatter.write("\n")
        super().format_help(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by their sections."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": [], "Which jobs": [], "Everywhere": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                # --help and --version are click's own, without a section
                sections[getattr(parameter, "section", "Everywhere")].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write which help page explains more."""
        while not getattr(ctx.command, "topic", "") and ctx.parent is not None:
            ctx = ctx.parent
        if topic := getattr(ctx.command, "topic", ""):
            formatter.write(f"\nSee: batchgen help {topic}\n")


class Group(Command, click.Group):
    """A command with subcommands."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the options."""
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of use."""
        del ctx
        return list(self.commands)

    def summaries(self) -> list[tuple[str, str]]:
        """Return the commands, each with the first line of its help."""
        return [(name, (command.help or "").partition("\n")[0]) for name, command in self.commands.items()]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands; click itself would cut the texts off."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(self.summaries())

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; variables are named after its own name, also where an alias was typed."""
        _, command, rest = super().resolve_command(ctx, args)
        return command.name if command else None, command, rest


class LazyGroup(Group):
    """A group that imports a command when it is called, so that ``--help`` need not import the program."""

    def __init__(
        self,
        groups: Mapping[str, Mapping[str, Entry]],
        aliases: Mapping[str, str],
        **attributes: Any,  # noqa: ANN401 - click's
    ) -> None:
        super().__init__(**attributes)
        self.groups = groups
        self.entries = {name: entry for group in groups.values() for name, entry in group.items()}
        self.aliases = aliases

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of use."""
        del ctx
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command and return it."""
        del ctx
        entry = self.entries.get(self.aliases.get(cmd_name, cmd_name))
        if entry is None:
            return None
        command: Command = getattr(import_module(f".commands.{entry.module}", __package__), entry.attribute)
        command.topic = entry.topic
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest the nearest one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"no such command: {args[0]!r}; {self._hint(args)}", ctx) from error

    def _hint(self, args: Sequence[str]) -> str:
        """Return the command that was probably meant."""
        word = args[0]
        if word in SYNONYMS:
            return f"did you mean: batchgen {SYNONYMS[word]}"
        near = nearest(word, [*self.entries, *self.aliases])
        if near is None and is_manifest(word):
            return f"did you mean: batchgen run {shlex.join(args)}"
        return f"did you mean {near!r}?" if near else "batchgen --help lists all of them"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the command's name."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = next((word for word in args if word in self.entries), "run")
            after = f"Options of a command come after its name: batchgen {name} {error.option_name}"
            raise click.UsageError(f"{error.format_message()} {after}", ctx) from error

    def summaries(self) -> list[tuple[str, str]]:
        """Return the commands, each with the first line of its help, without importing them."""
        return [(name, entry.summary) for name, entry in self.entries.items()]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, in groups and in one column."""
        del ctx
        width = max(len(name) for name in self.entries)
        for title, group in self.groups.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{width}}", entry.summary) for name, entry in group.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands, or else the options, that begin with *incomplete*; imports no command."""
        from click.shell_completion import CompletionItem

        items = [CompletionItem(name, help=text) for name, text in self.summaries() if name.startswith(incomplete)]
        return items or click.Command.shell_complete(self, ctx, incomplete)
