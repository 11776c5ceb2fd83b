"""How commands look: examples first, options in sections; and every long option settable by the environment.

Plain click: a library for prettier help would take most of the time that ``--help`` and completion have.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

PREFIX = "BATCHGEN"
#: Options of every command.
EVERYWHERE = ("db", "config", "env_file", "json", "quiet", "verbose", "debug")
#: Those of a run that have a short form too: BATCHGEN_BUDGET beside BATCHGEN_RUN_BUDGET.
RUNS = ("run", "resume", "retry")
SHORT = (
    "budget",
    "yes",
    "no_input",
    "concurrency",
    "out",
    "progress",
    "wait_lock",
    "stop_at",
    "max_time",
    "max_failures",
    "fail_on",
)

#: Options that select jobs.
SELECTION = ("id", "tag", "provider", "model", "kind", "status", "cause", "limit", "sample", "seed", "shard")


_Record = tuple[str, str]


class Formatter(click.HelpFormatter):
    """Click's own, with headings in bold on a terminal that may show it."""

    def write_heading(self, heading: str) -> None:
        """Write a heading."""
        super().write_heading(click.style(heading, bold=True) if coloured() else heading)


def coloured() -> bool:
    """Return whether help may have bold type: on a terminal that can, or where colours are asked for."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (os.environ.get("TERM") != "dumb" and sys.stdout.isatty())


class _Context(click.Context):
    formatter_class = Formatter


def long_name(parameter: click.Parameter) -> str | None:
    """Return the long name of an option as variables are named, "wait_lock"; None where it has none."""
    found = [name for name in parameter.opts if name.startswith("--")]
    return found[0][2:].replace("-", "_") if found and isinstance(parameter, click.Option) else None


def variables(ctx: click.Context, parameter: click.Parameter) -> list[str]:
    """Return the variables that set an option, the first that is there counts."""
    name = long_name(parameter)
    if name is None or name in ("help", "version"):
        return []
    found = [f"{ctx.auto_envvar_prefix}_{name}"]
    if name in EVERYWHERE or (name in SHORT and ctx.command.name in RUNS):
        found.append(f"{PREFIX}_{name}")
    return [one.upper() for one in dict.fromkeys(found)]


def as_json() -> bool:
    """Tell whether what goes wrong is wanted as JSON."""
    return "json" in _progress or said("--json")


def said(option: str) -> bool:
    """Tell whether a switch was given anywhere on the command line, or by its variable."""
    short = {"--quiet": "-q"}.get(option, option)
    value = os.environ.get(f"{PREFIX}_{option.lstrip('-').upper()}", "").lower()
    return bool({option, short} & set(sys.argv)) or value in ("1", "true", "t", "yes", "y", "on")


#: What each command that was read says of ``--progress``, wherever it was said.
_progress: list[str | None] = []


class _Shaped(click.Command):
    """What commands and groups have in common."""

    context_class = _Context
    examples: Sequence[str] = ()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; what they leave out, from the environment, then from settings files."""
        from .settings_file import FromFiles

        for parameter in self.params:
            parameter.envvar = variables(ctx, parameter) or None
        files = FromFiles(ctx)
        ctx.default_map = files  # type: ignore[assignment]  # click only ever reads it
        rest = super().parse_args(ctx, args)
        _progress.append(ctx.params.get("progress"))
        files.require()
        return rest

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, usage, what it does, and the options."""
        for line in self.examples:
            formatter.write(f"  {line}\n")
        if self.examples:
            formatter.write("\n")
        super().format_help(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options: this command's own, those that select jobs, those of every command."""
        own, selecting, everywhere = list[_Record](), list[_Record](), list[_Record]()
        selects = any(long_name(parameter) == "sample" for parameter in self.params)
        for parameter in self.get_params(ctx):
            record, name = parameter.get_help_record(ctx), long_name(parameter)
            if record is None or not isinstance(parameter, click.Option):
                continue
            if name in EVERYWHERE or name in ("help", "version") or parameter.name == "folder":
                everywhere.append(record)
            elif selects and name in SELECTION:
                selecting.append(record)
            else:
                own.append(record)
        for title, records in (("Options", own), ("Which jobs", selecting), ("Everywhere", everywhere)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Command(_Shaped):
    """A command."""


class Group(_Shaped, click.Group):
    """A command with commands of its own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the options."""
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of use."""
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; its variables are named by its own name, also where it was called by another."""
        _, command, rest = super().resolve_command(ctx, args)
        return command.name if command else None, command, rest
