"""Reports of errors that batchgen did not foresee: one sentence on the screen, the traceback in the log."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from ..errors import BatchgenError, StoreError
from ..files import log
from . import command, environment, output

#: Characters of the error's own message in the sentence.
WIDTH = 200


class Unexpected(BatchgenError):
    """An unexpected error: a bug of batchgen, or of a plugin."""


def main_error(error: BaseException) -> BaseException:
    """Return *error*, or of a group of them the one that explains most."""
    leaves = list(_leaves(error))
    for kind in (KeyboardInterrupt, BatchgenError, OSError):
        if found := [leaf for leaf in leaves if isinstance(leaf, kind)]:
            return found[0]
    return leaves[0]


def report(error: BaseException) -> BatchgenError:
    """Return what to show of *error*, and write the traceback of an unexpected one into the log; neither holds keys."""
    one = main_error(error)
    if isinstance(one, BatchgenError):
        return one
    if isinstance(one, OSError):
        return StoreError(f"{one.filename or 'this machine'}: {one.strerror or one}")
    lines = "".join(traceback.format_exception(error)).splitlines()
    debug = command.said("--debug")
    if debug:
        output.say("\n".join(map(str, log.redacted(lines))))
    what = output.short(str(log.redacted(f"{type(one).__name__}: {one}")), WIDTH)
    file = _kept(what, lines)
    parts = [f"its traceback is in {file}"] if file else []
    parts += [] if debug else [f"run again with --debug {'to see it here' if file else 'for a traceback'}"]
    tail = f" ({'; '.join(parts)})" if parts else ""
    return Unexpected(f"an unexpected error ended this command: {what}{tail}")


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def _kept(what: str, lines: list[str]) -> Path | None:
    """Write a traceback into the log of this command, or into the project's; return None where that fails."""
    wanted = log.last() or log.LogOptions(file=_usual())
    lost: list[str] = []
    with log.logging_to(log.LogOptions(file=wanted.file, as_text=wanted.as_text, show=lost.append)):
        log.event("crash", log.ERROR, error=what, traceback=lines)
    return None if lost else wanted.file


def _usual() -> Path:
    folder = environment.folder_said(sys.argv) or Path()
    return folder.absolute() / ".batchgen" / "logs" / "batchgen.jsonl"
