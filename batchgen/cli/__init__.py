"""The command line: arguments in, one call of ``app``, words and an exit code out."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

import click

from .. import __version__
from ..errors import AlreadyRunning, BatchgenError, StoreError, UsageError, suggest
from . import command as shape
from . import environment
from .options import colours, given, shared

_HELP = "Images in bulk from paid APIs: overnight, unattended, every cent accounted for."
_EXAMPLES = (
    "batchgen validate jobs/autumn.yaml",
    "batchgen run jobs/autumn.yaml --sandbox     a rehearsal: free and local",
    "batchgen run jobs/autumn.yaml --budget 40",
)


if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Commands(shape.Group):
    """Loads a command's module when it is called for, so that ``--help`` need not import the program."""

    #: name -> (module below this package, attribute, first line of help), in the order of use
    table: ClassVar[dict[str, tuple[str, str, str]]] = {
        "init": ("init", "init", "Begin a project: an example that runs at once on simulated providers."),
        "validate": ("plan", "validate", "Check manifests; every mistake with file, line and column."),
        "plan": ("plan", "plan", "Say what a run would do and cost; sends nothing."),
        "run": ("run", "run", "Make the images.  Running it again goes on where it stopped."),
        "resume": ("retry", "resume", "Go on with what the last run left."),
        "retry": ("retry", "retry", "Put failed jobs back and run them, also with other parameters."),
        "status": ("status", "status", "One screen: how far it is, what it cost, what failed."),
        "watch": ("watch", "watch", "Follow a run from another terminal."),
        "usage": ("usage", "usage", "The ledger: by provider and model, day, tag, run or batch."),
        "list": ("status", "list_", "List jobs, or runs."),
        "show": ("status", "show", "One job: what was asked, every attempt, files, cost."),
        "export": ("export", "export", "A line a job, for other programs; copies of the files."),
        "pause": ("control", "pause", "Send nothing more to a provider, also while a run is on."),
        "unpause": ("control", "resume", "Let calls go to a paused or closed provider again."),
        "limit": ("control", "limit", "How fast a provider is asked, also while a run is on."),
        "cancel": ("control", "cancel", "Give jobs up, also while a run is on."),
        "unknown": ("unknown", "unknown", "Jobs that may have been bought: list, retry, drop, adopt."),
        "verify": ("unknown", "verify", "Hold every delivered file against its hash."),
        "db": ("database", "db", "The job table: path, check, backup, upgrade, vacuum, recover."),
        "providers": ("providers", "providers", "The providers: list, check keys and balances, models, prices."),
        "doctor": (
            "doctor",
            "doctor",
            "Look at what a run needs: versions, settings, keys, disk, lock, job table.",
        ),
        "clean": ("clean", "clean", "Show, or remove, what nobody needs any more."),
        "schedule": ("schedule", "schedule", "Print what starts a run by the clock: cron, systemd, launchd."),
        "schema": ("init", "schema", "Print the JSON Schema of manifests, for editors."),
        "completion": ("completion", "completion", "Print the completion script for bash, zsh or fish."),
        "help": ("help", "help_", "Show a help page, or the help of a command."),
        "sandbox": ("sandbox", "sandbox", "Serve simulated providers on this machine."),
        "demo": ("sandbox", "demo", "Run the demonstration batch on simulated providers."),
    }
    other_names: ClassVar[dict[str, str]] = {"estimate": "plan", "resume-lane": "unpause"}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of use."""
        del ctx
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; its module is loaded now."""
        del ctx
        name = self.other_names.get(cmd_name, cmd_name)
        if name not in self.table:
            return None
        module, attribute, _ = self.table[name]
        command: click.Command = getattr(import_module(f".commands.{module}", __package__), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest the one that was meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            hint = suggest(args[0], [*self.table, *self.other_names], "batchgen --help lists all of them")
            raise click.UsageError(f"no such command: {args[0]!r}; {hint}", ctx) from error

    def make_context(self, *args: Any, **extra: Any) -> click.Context:  # noqa: ANN401 - as click calls it
        """Read what was said; help may be printed by this already."""
        with _read_to_the_end():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - whatever the command returns
        """Carry the command out."""
        with _read_to_the_end():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in self.table.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands, or options, that begin so; loads no command."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=text) for name, (_, _, text) in self.table.items() if name.startswith(incomplete)
        ]
        return found or click.Command.shell_complete(self, ctx, incomplete)


@contextmanager
def _read_to_the_end() -> Iterator[None]:
    """End well where the reader of our output has seen enough; click itself would end with 1."""
    try:
        yield
    except BrokenPipeError as error:
        if not any(_unread(stream) for stream in (sys.stdout, sys.stderr)):
            raise StoreError(f"{error.filename or 'this machine'}: {error.strerror or error}") from error
        raise click.exceptions.Exit(0) from error


def _unread(stream: TextIO) -> bool:
    """Tell whether nobody reads *stream* any more."""
    from select import POLLERR, POLLHUP, POLLOUT, poll

    asked = poll()
    try:
        asked.register(stream.fileno(), POLLOUT)
    except (OSError, ValueError):
        return False
    return any(events & (POLLERR | POLLHUP) for _, events in asked.poll(0))


@click.command(
    cls=Commands,
    help=_HELP,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": shape.PREFIX,
        "max_content_width": 110,
    },
)
@click.version_option(__version__, "-V", "--version", prog_name="batchgen")
@shared
@click.pass_context
def batchgen(ctx: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - the shared options
    """Keep what was said before the command's name."""
    ctx.obj = given(options, {})
    # before the command reads its own options
    environment.load(environment.folder_said(sys.argv) or ctx.obj["folder"], ())


batchgen.examples = _EXAMPLES


def main() -> None:
    """Run the command line; exit with a code of the table in the README."""
    codecs.register_error("batchgen", _replaced)
    _complete()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="batchgen")  # a locale without UTF-8 must not end a run
    colours(sys.argv[1:])
    try:
        code = batchgen(prog_name="batchgen", standalone_mode=False, color=shape.coloured())
    except click.exceptions.Exit as leave:
        code = leave.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = 130
    except BatchgenError as error:
        code = _tell(error)
    except UnicodeEncodeError as error:
        what = ascii(error.object)[1:-1][:80]
        code = _tell(UsageError(f"{what} is no text in this locale; set PYTHONUTF8=1, or LC_ALL=C.UTF-8"))
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - whatever it was, it is reported in one sentence
        code = _unexpected(error)
    _flush()
    sys.exit(code if isinstance(code, int) else 0)


def _complete() -> None:
    """Put nothing where a stream was closed: a service may have begun so, and what is said must not end a run."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - as long as the program


def _replaced(error: UnicodeError) -> tuple[str, int]:
    from .output import replaced

    return replaced(error)


def _flush() -> None:
    """Write out what is buffered; where the reader is gone, keep the interpreter from ending with a code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _unexpected(error: BaseException) -> int:
    from .crash import Unexpected, main_error, report

    if isinstance(main_error(error), KeyboardInterrupt):
        return 130
    shown = report(error)
    # the traceback of an unexpected error is on the screen already
    return _tell(shown, debug=shape.said("--debug") and not isinstance(shown, Unexpected))


def _tell(error: BatchgenError, *, debug: bool | None = None) -> int:
    if shape.said("--debug") if debug is None else debug:
        raise error
    if isinstance(error, AlreadyRunning) and shape.said("--quiet"):
        return error.exit_code  # from cron it is the ordinary case: the run before still works
    from .output import tell_error

    tell_error(error, as_json=shape.as_json())
    return error.exit_code
