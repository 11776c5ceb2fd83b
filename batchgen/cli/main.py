"""The entry point: the root command, the standard streams, and the exit code."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

import click

from .. import __version__
from ..errors import AlreadyRunning, BatchgenError, ExitCode, StoreError, UsageError
from . import environment
from .command import Entry, LazyGroup, as_json, coloured
from .options import merge_shared, shared
from .params import PREFIX, is_on

_HELP = "Images in bulk from paid APIs: overnight, unattended, every cent accounted for."

#: The commands in the order of use.
COMMANDS = {
    "init": Entry("init", "init", "manifest", "Create a project: an example that runs at once on simulated providers."),
    "validate": Entry("plan", "validate", "manifest", "Check manifests: every mistake with file, line and column."),
    "plan": Entry("plan", "plan", "runs", "Show what a run would do and cost; sends nothing."),
    "run": Entry("run", "run", "runs", "Make the images; the same command again resumes the batch."),
    "resume": Entry("retry", "resume", "runs", "Resume what the last run left unfinished."),
    "retry": Entry("retry", "retry", "causes", "Requeue failed jobs and run them, also with other parameters."),
    "redo": Entry("retry", "redo", "runs", "Make done pictures again: shows the plan, asks, and runs these jobs."),
    "status": Entry("status", "status", "runs", "Show progress, cost and failures on one screen."),
    "watch": Entry("watch", "watch", "monitoring", "Follow a run from another terminal."),
    "usage": Entry("usage", "usage", "usage", "Show the ledger by provider and model, day, tag, run or batch."),
    "list": Entry("status", "list_", "runs", "List jobs or runs."),
    "show": Entry("status", "show", "causes", "Show one job: its request, attempts, files and cost."),
    "export": Entry("export", "export", "json", "Print one line per job for other programs; copy the files."),
    "pause": Entry("control", "pause", "control", "Send nothing more to a provider, also during a run."),
    "unpause": Entry("control", "unpause", "control", "Send to a paused or closed provider again."),
    "limit": Entry("control", "limit", "control", "Change how fast a provider is called, also during a run."),
    "cancel": Entry("control", "cancel", "control", "Cancel jobs, also during a run."),
    "unknown": Entry(
        "unknown", "unknown", "unknown", "Settle calls that may have been charged: list, retry, drop, adopt or settle."
    ),
    "verify": Entry("verify", "verify", "recovery", "Check every delivered file against its hash."),
    "db": Entry(
        "database", "db", "recovery", "Maintain the job database: path, check, backup, upgrade, vacuum, recover."
    ),
    "providers": Entry(
        "providers", "providers", "providers", "Show the providers: list, check keys and balances, models, prices."
    ),
    "doctor": Entry(
        "doctor", "doctor", "settings", "Check what a run needs: versions, settings, keys, disk, lock, job database."
    ),
    "clean": Entry("clean", "clean", "recovery", "Show or remove files that are no longer needed."),
    "schedule": Entry("schedule", "schedule", "cron", "Print a cron line, or a systemd or launchd unit."),
    "schema": Entry("init", "schema", "manifest", "Print the JSON Schema of manifests, for editors."),
    "completion": Entry("help", "completion", "", "Print the completion script for bash, zsh or fish."),
    "help": Entry("help", "help_", "", "Show a help page, or the help of a command."),
    "sandbox": Entry("sandbox", "sandbox", "sandbox", "Serve simulated providers on this machine."),
    "demo": Entry("sandbox", "demo", "sandbox", "Run the demonstration batch on simulated providers."),
}
ALIASES = {"estimate": "plan", "resume-lane": "unpause"}


class Root(LazyGroup):
    """The root command: ends with 0 where the reader of its output has seen enough."""

    examples = (
        "batchgen validate jobs/autumn.yaml",
        "batchgen run jobs/autumn.yaml --sandbox     free: simulated providers",
        "batchgen run jobs/autumn.yaml --budget 40",
    )

    def make_context(self, *args: Any, **extra: Any) -> click.Context:  # noqa: ANN401 - as click calls it
        """Read the command line; this may print help already."""
        with _broken_pipe_is_no_error():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - whatever the command returns
        """Carry the command out."""
        with _broken_pipe_is_no_error():
            return super().invoke(ctx)


@contextmanager
def _broken_pipe_is_no_error() -> Iterator[None]:
    """Exit with 0 where stdout or stderr has no reader any more; click itself would exit with 1."""
    try:
        yield
    except BrokenPipeError as error:
        if not any(_has_no_reader(stream) for stream in (sys.stdout, sys.stderr)):
            raise StoreError(f"{error.filename or 'this machine'}: {error.strerror or error}") from error
        raise click.exceptions.Exit(0) from error


def _has_no_reader(stream: TextIO) -> bool:
    from select import POLLERR, POLLHUP, POLLOUT, poll

    poller = poll()
    try:
        poller.register(stream.fileno(), POLLOUT)
    except (OSError, ValueError):
        return False
    return any(events & (POLLERR | POLLHUP) for _, events in poller.poll(0))


@click.command(
    cls=Root,
    entries=COMMANDS,
    aliases=ALIASES,
    help=_HELP,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": PREFIX,
        "max_content_width": 110,
    },
)
@click.version_option(__version__, "-V", "--version", prog_name="batchgen")
@shared
@click.pass_context
def batchgen(ctx: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - the shared options
    """Keep the shared options that come before the command."""
    ctx.obj = merge_shared(options, {})
    # .env must be loaded before the command reads its own options
    environment.load(environment.folder_option() or ctx.obj["folder"], ())


def main() -> None:
    """Run the command line and exit; ``batchgen help exit-codes`` lists the codes."""
    _prepare_streams()
    _apply_color_option(sys.argv[1:])
    try:
        code = batchgen(prog_name="batchgen", standalone_mode=False, color=coloured())
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        if as_json():
            code = _report(UsageError(error.format_message()))
        else:
            error.show()
            code = ExitCode.USAGE
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = ExitCode.INTERRUPTED
    except BatchgenError as error:
        code = _report(error, debug=is_on("--debug"))
    except UnicodeEncodeError as error:
        text = ascii(error.object)[1:-1][:80]
        message = f"{text} cannot be encoded in this locale; set PYTHONUTF8=1 or LC_ALL=C.UTF-8"
        code = _report(UsageError(message), debug=is_on("--debug"))
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - whatever it was, it is reported in one sentence
        code = _report_unexpected(error)
    _flush()
    sys.exit(code if isinstance(code, int) else 0)


def _prepare_streams() -> None:
    """Open a closed stream on /dev/null, and let none fail on a character: printing must not end a run."""
    from .output import replace_unencodable

    codecs.register_error("batchgen", replace_unencodable)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - as long as the program
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="batchgen")


def _apply_color_option(arguments: list[str]) -> None:
    """Turn --color into the variables that every library respects, before click formats help."""
    choice = os.environ.get("BATCHGEN_COLOR", "auto")
    for word, following in pairwise([*arguments, ""]):
        if word == "--color":
            choice = following
        elif word.startswith("--color="):
            choice = word.removeprefix("--color=")
    if choice in ("always", "never"):
        on, off = ("FORCE_COLOR", "NO_COLOR") if choice == "always" else ("NO_COLOR", "FORCE_COLOR")
        os.environ[on] = "1"
        os.environ.pop(off, None)


def _flush() -> None:
    """Flush both streams; without a reader, keep the interpreter from exiting with a code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _report_unexpected(error: BaseException) -> int:
    from .crash import Unexpected, main_error, report

    if isinstance(main_error(error), KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    reported = report(error)
    # report has printed the traceback of an unexpected error already
    return _report(reported, debug=is_on("--debug") and not isinstance(reported, Unexpected))


def _report(error: BatchgenError, *, debug: bool = False) -> int:
    if debug:
        raise error
    if isinstance(error, AlreadyRunning) and is_on("--quiet"):
        return error.exit_code  # usual for cron: the run before is still in progress
    from . import output
    from .render.format import error_document, error_lines

    if as_json():
        output.error_document(error_document(error))
    else:
        for line in error_lines(error):
            output.say(line)
    return error.exit_code
