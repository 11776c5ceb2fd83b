"""Options that every command takes, before or after its name, and the selection that many take."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import cleandoc
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError, suggest
from ..planning.selection import ORPHANED
from . import command as shape
from . import environment

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..app.project import Project
    from ..planning.selection import Selection

Function = Callable[..., Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """What the shared options say."""

    folder: Path
    db: Path | None
    as_json: bool
    quiet: bool
    verbose: int

    def project(self, *, sandbox: bool = False) -> Project:
        """Return where the project keeps its state."""
        from ..app.project import Project

        return Project.of(self.folder, self.db, sandbox=sandbox)

    def file(self, path: Path) -> Path:
        """Return *path* as seen from the working folder."""
        return self.folder.absolute() / path


def colours(arguments: Sequence[str]) -> None:
    """Pass on what *arguments* and the environment say of colours to everything that writes.

    Before click reads them: its help has chosen by then.
    """
    said = os.environ.get("BATCHGEN_COLOR", "auto")
    for word, value in pairwise([*arguments, ""]):
        said = value if word == "--color" else word.removeprefix("--color=") if word.startswith("--color=") else said
    if said in ("always", "never"):
        on, off = ("FORCE_COLOR", "NO_COLOR") if said == "always" else ("NO_COLOR", "FORCE_COLOR")
        os.environ[on] = "1"
        os.environ.pop(off, None)


_FOLDER = click.Path(file_okay=False, exists=True, path_type=Path)
#: Eager: all that other options may come from is known before these are looked up.
_SHARED = (
    click.option("-C", "folder", type=_FOLDER, metavar="DIR", is_eager=True, help="Work in DIR."),
    click.option(
        "--db",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        is_eager=True,
        help="The job table. Default: .batchgen/batchgen.db in the working folder.",
    ),
    click.option(
        "--config",
        type=click.Path(dir_okay=False, exists=True, path_type=Path),
        metavar="FILE",
        expose_value=False,
        is_eager=True,
        callback=environment.use_config,
        help="Your own settings. Default: ~/.config/batchgen/config.yaml.",
    ),
    click.option(
        "--env-file",
        type=click.Path(dir_okay=False, exists=True, path_type=Path),
        multiple=True,
        metavar="FILE",
        expose_value=False,
        is_eager=True,
        callback=environment.use_files,
        help="Variables, beside those of .env; given again: more of them.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout."),
    click.option("-q", "--quiet", is_flag=True, help="Say only what needs a person."),
    click.option("-v", "--verbose", count=True, help="Say more."),
    click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        expose_value=False,  # see colours
        help="Colours; auto: at a terminal, where NO_COLOR does not forbid them.",
    ),
    click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks."),
)


#: Commands that begin whatever the variables say; doctor tells of them itself.
_UNCHECKED = ("help", "completion", "doctor")


def shared(function: Function) -> Function:
    """Give a command the shared options."""
    for option in reversed(_SHARED):
        function = option(function)
    return function


def given(options: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Take the shared options out of *options*; what was said before the command's name holds where not said again."""
    return {
        "folder": options.pop("folder") or before.get("folder") or Path(),
        "db": options.pop("db") or before.get("db"),
        "as_json": options.pop("as_json") or before.get("as_json", False),
        "quiet": options.pop("quiet") or before.get("quiet", False),
        "verbose": options.pop("verbose") or before.get("verbose", 0),
    }


def command(name: str, *examples: str) -> Callable[[Function], click.Command]:
    """Make a function (session, **options) -> exit code a command with the shared options; help shows *examples*."""

    def make(function: Function) -> click.Command:
        @click.command(name, cls=shape.Command, help=cleandoc(function.__doc__ or ""))
        @shared
        @click.pass_context
        def call(ctx: click.Context, /, **options: Any) -> Any:  # noqa: ANN401 - click passes on what a command returns
            session = Session(**given(options, ctx.obj or {}))
            environment.load(session.folder, ())
            environment.warn_of_ignored(session.folder)
            if name not in _UNCHECKED:
                environment.check(ctx)
            return function(session, **options)

        # options declared on the function come before the shared ones
        call.params[:0] = reversed(getattr(function, "__click_params__", []))
        call.examples = examples
        return call

    return make


def group(name: str, *examples: str) -> Callable[[Function], click.Group]:
    """Make a function a command with commands of its own; the shared options may stand before their names as well."""

    def make(function: Function) -> click.Group:
        @click.group(name, cls=shape.Group, help=cleandoc(function.__doc__ or ""))
        @shared
        @click.pass_context
        def call(ctx: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - the shared options
            ctx.obj = given(options, ctx.obj or {})

        call.examples = examples
        return call

    return make


def files(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete the name of a file, where a word may be that of a file or something else."""
    from click.shell_completion import CompletionItem

    del ctx, parameter
    return [CompletionItem(incomplete, type="file")]


def _causes(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a cause that there is not: it would select no job, in silence."""
    if not value:
        return value
    from ..fault import Cause

    known = [str(cause) for cause in Cause]
    for cause in value:
        if cause not in known:
            raise click.BadParameter(f"{cause!r} is no cause of failure: {suggest(cause, known)}", ctx, parameter)
    return value


def _some_causes(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from ..fault import Cause

    del ctx, parameter
    return [cause.value for cause in Cause if cause.startswith(incomplete)]


sandbox = click.option("--sandbox", is_flag=True, help="The rehearsal: its own job table and output.")
batch = click.option("--batch", metavar="NAME", help="Which batch. Default: the one that ran last.")
keep_changed = click.option(
    "--keep-changed", is_flag=True, help="Leave done jobs as they are, also where the manifest asks for something else."
)


def selecting(function: Function) -> Function:
    """Give a command the options that select jobs: OR within an option given twice, AND between options.

    Of what these select, ``--sample`` draws some at random, and ``--limit`` takes the first of what is left.
    """
    for option in reversed(
        (
            click.option("--id", "ids", multiple=True, metavar="GLOB", help="Jobs whose id matches."),
            click.option("--tag", "tags", multiple=True, metavar="TAG", help="Jobs with this tag."),
            click.option("--provider", "providers", multiple=True, metavar="NAME", help="Jobs of this provider."),
            click.option("--model", "models", multiple=True, metavar="NAME", help="Jobs of this model."),
            click.option("--kind", "kinds", multiple=True, type=click.Choice(["generate", "edit"]), help="By kind."),
            click.option(
                "--status",
                "states",
                multiple=True,
                type=click.Choice(["pending", "running", "done", "failed", "unknown", "cancelled", "orphaned"]),
                help="Jobs that stand so.",
            ),
            click.option(
                "--cause",
                "causes",
                multiple=True,
                metavar="CAUSE",
                callback=_causes,
                shell_complete=_some_causes,
                help="Jobs that failed so; help causes lists them.",
            ),
            click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Of these the first N."),
            click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Of these N at random."),
            click.option("--seed", type=int, default=0, metavar="K", help="Another K draws another sample."),
            click.option("--shard", metavar="I/N", help="The I-th of N parts, the same ones on every machine."),
        )
    ):
        function = option(function)
    return function


def selection(options: dict[str, Any]) -> Selection:
    """Take the selection out of *options*; raise UsageError."""
    from ..planning.selection import Selection

    return Selection(
        ids=options.pop("ids"),
        tags=options.pop("tags"),
        providers=options.pop("providers"),
        models=options.pop("models"),
        kinds=options.pop("kinds"),
        states=options.pop("states"),
        causes=options.pop("causes"),
        shard=_shard(options.pop("shard")),
        sample=options.pop("sample"),
        seed=options.pop("seed"),
        limit=options.pop("limit"),
    )


def of_manifest(chosen: Selection) -> Selection:
    """Return *chosen* for a command about the jobs of a manifest; raise UsageError where it names those in none."""
    if ORPHANED in chosen.states:
        raise UsageError("--status orphaned: those jobs stand in the manifest no more; batchgen list lists them")
    return chosen


def spoken(chosen: Selection) -> str:
    """Return the options that say *chosen*, as a person would type them."""
    several = {
        "--id": chosen.ids,
        "--tag": chosen.tags,
        "--provider": chosen.providers,
        "--model": chosen.models,
        "--kind": chosen.kinds,
        "--status": chosen.states,
        "--cause": chosen.causes,
        "--shard": [f"{chosen.shard[0]}/{chosen.shard[1]}"] if chosen.shard else [],
    }
    return " ".join(f"{name} {shlex.quote(value)}" for name, values in several.items() for value in values)


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
    if found is None:
        raise UsageError(f"--shard takes a part and how many parts there are, such as 1/4, not {text!r}")
    number, parts = int(found[1]), int(found[2])
    if not 1 <= number <= parts:
        raise UsageError(f"--shard {text}: of {parts} parts, take one from 1/{parts} to {parts}/{parts}")
    return number, parts
