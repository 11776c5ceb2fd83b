"""Options that every command takes, before or after its name, and those that select jobs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..database_url import Database
from ..errors import UsageError
from ..object_url import Folder, is_object_url, typed_folder
from ..picture import SUSPECT_KINDS
from ..planning.selection import MARKED, ORPHANED
from . import environment, output
from .command import Command, Group
from .params import CAUSE, COUNT, SEED, SHARD, DatabaseType, Option, Parsed

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..app.project import Project
    from ..planning.selection import IdList, Selection

Function = Callable[..., Any]

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
#: A folder, or a place in an object store.
OUTPUT = Parsed("DIR", lambda text: typed_folder(text) if is_object_url(text) else Path(text))
EXISTING_FILE = click.Path(dir_okay=False, exists=True, path_type=Path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """The shared options of one command."""

    folder: Path
    db: Database | None
    as_json: bool
    quiet: bool
    verbose: int
    sandbox: bool = False  #: --sandbox of the command itself

    def project(self) -> Project:
        """Return where the project keeps its state."""
        from ..app.project import Project

        project = Project.of(self.folder, self.db, sandbox=self.sandbox)
        from_variable = environment.names_database(self.db)
        return replace(project, db_from_variable=from_variable, again=environment.options_of_run())

    def file(self, path: Path) -> Path:
        """Return *path* as seen from the working folder."""
        return self.folder.absolute() / path

    def destination(self, place: Folder) -> Folder:
        """Return an output folder as seen from the working folder."""
        return self.file(place) if isinstance(place, Path) else place

    def manifest(self, word: str | None, *, last_first: bool = False) -> Path:
        """Return the manifest that *word* names, and print which one it is unless the user typed its path."""
        from ..app import manifests

        choice = manifests.find_manifest(self.project(), word, command_name(), last_first=last_first)
        if choice.note and not (self.as_json or self.quiet):
            output.say(choice.note)
        return choice.path

    def print(
        self, document: Mapping[str, Any], lines: Iterable[str], write: Callable[[str], None] = output.data
    ) -> None:
        """Print a result: with --json the document, or else the lines."""
        if self.as_json:
            output.document({"schema_version": 1, **document})
        else:
            from .render.format import hanging

            for line in hanging(lines, output.columns()):
                write(line)


option = partial(click.option, cls=Option)
_everywhere = partial(option, section="Everywhere")
_selecting = partial(option, section="Which jobs")


def options(*decorators: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Combine several options into one decorator; --help lists them in this order."""

    def decorate(function: Function) -> Function:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


# Eager: other options may come from the files that these name.
shared = options(
    _everywhere(
        "-C",
        "folder",
        type=click.Path(file_okay=False, exists=True, path_type=Path),
        metavar="DIR",
        is_eager=True,
        help="Working folder.",
    ),
    _everywhere(
        "--db",
        type=DatabaseType(),
        is_eager=True,
        help="Job database: a file, or postgresql+psycopg://USER@HOST/NAME. Default: .batchgen/batchgen.db in DIR.",
    ),
    _everywhere(
        "--config",
        type=EXISTING_FILE,
        expose_value=False,
        is_eager=True,
        callback=environment.use_config,
        help="Your own settings. Default: ~/.config/batchgen/config.yaml.",
    ),
    _everywhere(
        "--env-file",
        type=EXISTING_FILE,
        multiple=True,
        expose_value=False,
        is_eager=True,
        callback=environment.use_files,
        help="File of variables, in addition to .env; may be repeated.",
    ),
    _everywhere("--json", "as_json", is_flag=True, help="Print one JSON document on stdout."),
    _everywhere("-q", "--quiet", is_flag=True, help="Print only when action is needed."),
    _everywhere("-v", "--verbose", count=True, help="Log more."),
    _everywhere(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        expose_value=False,  # read before click formats help; see main
        help="Colours; auto: on a terminal, unless NO_COLOR is set.",
    ),
    _everywhere("--debug", is_flag=True, expose_value=False, help="Show tracebacks."),
)


#: --sandbox before the name of a command, which takes it itself.
early_sandbox = _everywhere("--sandbox", is_flag=True, hidden=True)


def merge_shared(values: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Take the shared options out of *values*, completed by those *before* the command's name."""
    return {
        "folder": values.pop("folder") or before.get("folder") or Path(),
        "db": environment.typed_database(click.get_current_context(), values.pop("db")) or before.get("db"),
        "as_json": values.pop("as_json") or before.get("as_json", False),
        "quiet": values.pop("quiet") or before.get("quiet", False),
        "verbose": values.pop("verbose") or before.get("verbose", 0),
        "sandbox": values.pop("sandbox", False) or before.get("sandbox", False),
    }


#: Commands that always use the sandbox.
_SANDBOX_ONLY = ("demo", "sandbox")
#: Commands that work whatever the variables are; doctor reports misspelt ones itself.
_UNCHECKED = ("help", "completion", "doctor")


def command(name: str, *examples: str) -> Callable[[Function], click.Command]:
    """Make a function (session, **options) -> exit code a command with the shared options; --help shows *examples*."""

    def make(function: Function) -> click.Command:
        @click.command(name, cls=Command, help=cleandoc(function.__doc__ or ""))
        @shared
        @click.pass_context
        def call(ctx: click.Context, /, **values: Any) -> Any:  # noqa: ANN401 - click passes on what a command returns
            session = Session(**merge_shared(values, ctx.obj or {}))
            if session.sandbox and name not in _SANDBOX_ONLY and all(each.name != "sandbox" for each in call.params):
                raise UsageError(f"{ctx.command_path} has no sandbox run: leave out --sandbox")
            environment.load(session.folder, ())
            environment.warn_of_ignored(session.folder)
            if name not in _UNCHECKED:
                environment.check(ctx)
            if word := values.pop("batch_word", None):
                from ..app.manifests import batch_name

                values["batch"] = values["batch"] or batch_name(session.project(), word)
            return function(session, **values)

        # options declared on the function come before the shared ones
        call.params[:0] = reversed(getattr(function, "__click_params__", []))
        call.examples = examples
        return call

    return make


def group(name: str, *examples: str, default: str = "") -> Callable[[Function], click.Group]:
    """Make a function a command with subcommands, of which *default* runs without a name; --help shows *examples*."""

    def make(function: Function) -> click.Group:
        @click.group(name, cls=Group, help=cleandoc(function.__doc__ or ""), invoke_without_command=bool(default))
        @shared
        @early_sandbox
        @click.pass_context
        def call(ctx: click.Context, /, **values: Any) -> Any:  # noqa: ANN401 - click passes on what a command returns
            ctx.obj = merge_shared(values, ctx.obj or {})
            return ctx.invoke(call.commands[default]) if default and not ctx.invoked_subcommand else None

        call.examples = examples
        return call

    return make


def complete_files(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete file names, where a word may be a file or something else."""
    from click.shell_completion import CompletionItem

    del ctx, parameter
    return [CompletionItem(incomplete, type="file")]


def command_name() -> str:
    """Return the name of the current command as typed after ``batchgen``: "run", or "db recover"."""
    return click.get_current_context().command_path.partition(" ")[2]


#: A batch as an argument of commands that have --batch and no other argument: its name or its manifest.
batch_argument = click.argument("batch_word", metavar="[BATCH]", required=False, shell_complete=complete_files)
#: A manifest, in every command that takes one: a path, a folder, a batch's name, ``-`` or nothing.
manifest_argument = click.argument(
    "manifest", metavar="[MANIFEST|BATCH|-]", required=False, shell_complete=complete_files
)
sandbox = option(
    "--sandbox", is_flag=True, help="Use simulated providers, with a job database and output of their own."
)
batch = option("--batch", metavar="NAME", help="Batch. Default: the one that ran last.")
keep_changed = option(
    "--keep-changed", is_flag=True, help="Keep the images of done jobs whose manifest entry has changed."
)


def read_id_list(ctx: click.Context, parameter: click.Parameter, name: str | None) -> IdList | None:
    """Read the ids of ``--ids-from``; raise UsageError."""
    del parameter
    if name is None:
        return None
    from ..manifest.id_files import parse_ids, read_ids
    from ..planning.selection import IdList

    folder: Path = ctx.params.get("folder") or (ctx.obj or {}).get("folder") or Path()
    if name == "-":
        text = sys.stdin.buffer.read().decode("utf-8", errors="replace")
        return IdList(name, parse_ids(text.splitlines(), "stdin"))
    return IdList(name, read_ids(name, folder.absolute()))


#: States of jobs, as --status takes them.
STATES = ("pending", "running", "done", "failed", "unknown", "cancelled", "orphaned")
#: Options that select jobs: OR within an option given twice, AND between options. Of the jobs that these select,
#: ``--sample`` draws some at random, and ``--limit`` takes the first of those.
selecting = options(
    _selecting("--id", "ids", multiple=True, metavar="GLOB", help="Jobs whose id matches."),
    _selecting(
        "--ids-from",
        "listed",
        metavar="FILE",
        callback=read_id_list,
        help="Jobs whose ids are in FILE, one on each line, or in its column id; - is stdin.",
    ),
    _selecting("--tag", "tags", multiple=True, metavar="TAG", help="Jobs with this tag."),
    _selecting("--provider", "providers", multiple=True, metavar="NAME", help="Jobs of this provider."),
    _selecting("--model", "models", multiple=True, metavar="NAME", help="Jobs of this model."),
    _selecting("--kind", "kinds", multiple=True, type=click.Choice(["generate", "edit"]), help="Jobs of this kind."),
    _selecting("--status", "states", multiple=True, type=click.Choice(STATES), help="Jobs in this state."),
    _selecting(
        "--cause", "causes", multiple=True, type=CAUSE, help="Jobs that failed for this cause (batchgen help causes)."
    ),
    _selecting("--limit", type=COUNT, help="Only the first N matching jobs."),
    _selecting("--sample", type=COUNT, help="Only N matching jobs, at random."),
    _selecting("--seed", type=SEED, default=0, metavar="K", help="Seed of --sample; another K draws other jobs."),
    _selecting("--shard", type=SHARD, help="Part I of N; the same parts on every machine."),
)
#: Options that select jobs by what is known of their pictures.
judging = options(
    _selecting(
        "--marked",
        "marks",
        multiple=True,
        type=click.Choice(MARKED),
        help="Pictures with this mark; none: neither pick nor reject; a number: at least so many stars.",
    ),
    _selecting(
        "--suspect",
        "suspects",
        multiple=True,
        type=click.Choice(SUSPECT_KINDS),
        help="Pictures that report or verify --deep found suspect.",
    ),
)

_SELECTION = ("ids", "listed", "tags", "providers", "models", "kinds", "states", "causes")
_COUNTED = ("shard", "sample", "seed", "limit")
_JUDGING = ("marks", "suspects")  #: only commands about pictures have these


def selection(values: dict[str, Any]) -> Selection:
    """Take the selection out of *values*."""
    from ..planning.selection import Selection

    return Selection(
        **{name: values.pop(name) for name in (*_SELECTION, *_COUNTED)},
        **{name: values.pop(name, ()) for name in _JUDGING},
    )


def of_manifest(chosen: Selection) -> Selection:
    """Return *chosen* for a command about the jobs of a manifest; raise UsageError for jobs that are in none."""
    if ORPHANED in chosen.states:
        raise UsageError("--status orphaned: those jobs are no longer in the manifest; list shows them")
    return chosen


def as_options(chosen: Selection) -> str:
    """Return the options that select *chosen*, as typed in a shell."""
    several = {
        "--id": chosen.ids,
        "--tag": chosen.tags,
        "--provider": chosen.providers,
        "--model": chosen.models,
        "--kind": chosen.kinds,
        "--status": chosen.states,
        "--cause": chosen.causes,
        "--marked": chosen.marks,
        "--suspect": chosen.suspects,
        "--shard": [f"{chosen.shard[0]}/{chosen.shard[1]}"] if chosen.shard else [],
    }
    if chosen.listed is not None:
        several[chosen.listed.option] = [chosen.listed.file]
    return " ".join(f"{name} {shlex.quote(value)}" for name, values in several.items() for value in values)
