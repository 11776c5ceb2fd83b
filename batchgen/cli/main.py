"""The entry point: the root command, the standard streams, and the exit code."""

from __future__ import annotations

import codecs
import gc
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

import click

from ..errors import AlreadyRunning, BatchgenError, ExitCode, StoreError, UsageError
from ..version import __version__
from . import environment
from .command import LazyGroup, as_json, coloured
from .entries import ALIASES, GROUPS
from .options import early_sandbox, merge_shared, shared
from .params import PREFIX, is_on
from .program import as_called

_HELP = "Images in bulk from paid APIs: overnight, unattended, every cent accounted for."


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
    groups=GROUPS,
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
@early_sandbox
@click.pass_context
def batchgen(ctx: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - the shared options
    """Keep the shared options that come before the command."""
    ctx.obj = merge_shared(options, {})
    # .env must be loaded before the command reads its own options
    environment.load(environment.folder_option() or ctx.obj["folder"], ())


def main() -> None:
    """Run the command line and exit; ``batchgen help exit-codes`` lists the codes."""
    _prepare_streams()
    _hide_library_warnings()
    _apply_color_option(sys.argv[1:])
    try:
        code = batchgen(prog_name="batchgen", standalone_mode=False, color=coloured())
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        if as_json():
            code = _report(UsageError(error.format_message()))
        else:
            _show_usage_error(error)
            code = ExitCode.USAGE
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = _report_interrupt()
    except BatchgenError as error:
        code = _report(error, debug=is_on("--debug"))
    except UnicodeEncodeError as error:
        text = ascii(error.object)[1:-1][:80]
        message = f"{text} cannot be encoded in this locale; set PYTHONUTF8=1 or LC_ALL=C.UTF-8"
        code = _report(UsageError(message), debug=is_on("--debug"))
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - whatever it was, it is reported in one sentence
        code = _report_unexpected(error)
    _flush()
    gc.freeze()  # at its exit, Python would look at every object once more
    sys.exit(code if isinstance(code, int) else 0)


def _show_usage_error(error: click.ClickException) -> None:
    from io import StringIO

    from . import output

    text = StringIO()
    error.show(text)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # it may contain bold headings
        click.echo(as_called(text.getvalue()), nl=False, err=True)
    else:
        output.say(text.getvalue().rstrip("\n"))


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


def _hide_library_warnings() -> None:
    """Keep warnings of libraries off the terminal, unless Python is asked for them; those of a run are in its log."""
    if not sys.warnoptions:
        warnings.showwarning = lambda *_args, **_options: None


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


def _report_interrupt() -> int:
    from . import output

    if not is_on("--quiet"):
        output.say("interrupted")
    return ExitCode.INTERRUPTED


def _report_unexpected(error: BaseException) -> int:
    from .crash import Unexpected, main_error, report

    if isinstance(main_error(error), KeyboardInterrupt):
        return _report_interrupt()
    reported = report(error)
    # report has printed the traceback of an unexpected error already
    return _report(reported, debug=is_on("--debug") and not isinstance(reported, Unexpected))


def _report(error: BatchgenError, *, debug: bool = False) -> int:
    if debug:
        from .crash import show_traceback

        show_traceback(error)
        return ExitCode.UNEXPECTED
    if (isinstance(error, AlreadyRunning) or error.already_reported) and is_on("--quiet"):
        return error.exit_code  # usual for cron: the run before is still in progress, or met the same error
    from . import output
    from .render.format import error_document, error_lines

    if as_json():
        output.error_document(error_document(error))
    else:
        for line in error_lines(error):
            output.say(line)
    return error.exit_code
