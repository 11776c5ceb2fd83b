"""Unexpected errors: one sentence on the screen, the traceback in the log; neither contains keys."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

from ..errors import BatchgenError, StoreError
from ..files import log
from . import environment, output
from .params import is_on
from .render.width import short

#: Characters of the error's own message in the sentence.
WIDTH = 200


class Unexpected(BatchgenError):
    """An unexpected error: a bug of batchgen, or of a plugin."""


def main_error(error: BaseException) -> BaseException:
    """Return *error*, or the most specific one of a group."""
    leaves = list(_leaves(error))
    for kind in (KeyboardInterrupt, BatchgenError, OSError):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    return leaves[0]


def report(error: BaseException) -> BatchgenError:
    """Log the traceback of an unexpected error, and return the error to print."""
    main = main_error(error)
    if isinstance(main, BatchgenError):
        return main
    if isinstance(main, OSError):
        return StoreError(f"{main.filename or 'this machine'}: {main.strerror or main}")
    lines = "".join(traceback.format_exception(error)).splitlines()
    debug = is_on("--debug")
    if debug:
        show_traceback(error)
    message = short(str(log.redacted(f"{type(main).__name__}: {main}")), WIDTH)
    file = _log(message, lines)
    hints = [f"its traceback is in {file}"] if file else []
    if not debug:
        hints.append(f"run again with --debug {'to see it here' if file else 'for a traceback'}")
    hint = f" ({'; '.join(hints)})" if hints else ""
    return Unexpected(f"an unexpected error ended this command: {message}{hint}")


def show_traceback(error: BaseException) -> None:
    """Print the traceback of an error, without the secrets that libraries put into their messages."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    output.say("\n".join(map(str, log.redacted(lines))))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _log(message: str, lines: list[str]) -> Path | None:
    wanted = log.last() or log.LogOptions(file=_project_log())
    failures: list[str] = []
    with log.logging_to(log.LogOptions(file=wanted.file, as_text=wanted.as_text, show=failures.append)):
        log.event("crash", log.ERROR, error=message, traceback=lines)
    return None if failures else wanted.file


def _project_log() -> Path:
    folder = environment.folder_option() or Path()
    return folder.absolute() / ".batchgen" / "logs" / "batchgen.jsonl"
