"""Variables that nobody reads: a misspelled one would be ignored in silence, and the cap that it names with it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import click

from ..app.config import dotenv
from ..errors import nearest as spelled_like
from . import command as shape

_HEAD = f"{shape.PREFIX}_"
#: What is read elsewhere, and what a run hands to --on-finish, which may be batchgen again.
_ELSEWHERE = {
    "allow_network_state",
    "color",
    *("notify_secret", "notify_secret_file", "notify_secret_command"),
    *("batch_name", "run_id", "exit_code", "exit_words", "needs_person", "jobs_total", "jobs_done", "jobs_pending"),
    *("jobs_failed", "jobs_unknown", "run_images", "run_usd", "spent_usd", "output_folder"),
}
ALWAYS = frozenset(f"{_HEAD}{name}".upper() for name in (*_ELSEWHERE, *shape.EVERYWHERE, *shape.SHORT))
#: A provider's key may have any name.
_KEYS = ("_KEY", "_KEY_FILE", "_KEY_COMMAND", "_TOKEN", "_TOKEN_FILE", "_TOKEN_COMMAND")


@dataclass(frozen=True, kw_only=True, slots=True)
class UnknownVariable:
    """A variable of ours that no command reads."""

    name: str
    near: str | None  #: the one that is meant, most likely

    def __str__(self) -> str:
        where = f"{dotenv.origins[self.name]}: " if self.name in dotenv.origins else ""
        hint = f"did you mean {self.near}?" if self.near else "batchgen help environment"
        return f"{where}{self.name}: batchgen knows no such variable ({hint})"


def strange(ctx: click.Context, environment: Mapping[str, str] = os.environ) -> list[UnknownVariable]:
    """Return the variables that no command reads; loads other commands only where the one of *ctx* knows one not."""
    found = {name for name in environment if name.startswith(_HEAD)} - ALWAYS
    if found:
        found -= {name for _, name in _read_by(ctx)}
    if not found:
        return []
    root = ctx.find_root()
    heads = {name: f"{_HEAD}{name}_".replace("-", "_").upper() for name in _names(root)}
    likely = [name for name, head in heads.items() if any(one.startswith(head) for one in found)]
    found -= {name for one in likely for name in _known(root, [one])}
    if not found:
        return []
    known = sorted(ALWAYS.union(_known(root, _names(root), documented=True)))
    told = (UnknownVariable(name=name, near=nearest(name, known)) for name in sorted(found))
    return [one for one in told if one.near or not one.name.endswith(_KEYS)]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return which of *known* is meant by *name*: one that is spelled much alike, or that lacks only the command."""
    plain = {one.removeprefix(_HEAD): one for one in known}
    said = name.removeprefix(_HEAD)
    match = spelled_like(said, plain, cutoff=0.8)
    ending = [one for one in plain if one.endswith(f"_{said}")]
    ending.sort(key=lambda one: not one.startswith("RUN_"))
    return next((plain[one] for one in ([match] if match else []) + ending), None)


def _names(root: click.Context) -> list[str]:
    assert isinstance(root.command, click.Group)  # noqa: S101
    return root.command.list_commands(root)


def _known(parent: click.Context, names: Iterable[str], *, documented: bool = False) -> Iterator[str]:
    """Yield the variables of commands, and of the commands that these have; *documented*: not by click's own names."""
    assert isinstance(parent.command, click.Group)  # noqa: S101
    for name in names:
        command = parent.command.get_command(parent, name)
        if command is None:
            continue
        ctx = click.Context(command, info_name=name, parent=parent)
        yield from (variable for own, variable in _read_by(ctx) if own or not documented)
        if isinstance(command, click.Group):
            yield from _known(ctx, command.list_commands(ctx), documented=documented)


def _read_by(ctx: click.Context) -> Iterator[tuple[bool, str]]:
    """Yield each variable that a command reads, and whether it is one of ours; click's own has the parameter's name."""
    for parameter in ctx.command.params:
        yield from ((True, name) for name in shape.variables(ctx, parameter))
        if isinstance(parameter, click.Option) and parameter.name is not None:
            yield False, f"{ctx.auto_envvar_prefix}_{parameter.name}".upper()
