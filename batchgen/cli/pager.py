"""Help on a terminal: through a pager where it is longer than the screen."""

from __future__ import annotations

import os
import shlex
import sys

from . import output
from .program import as_called

#: Variables that name a pager; the first one that is set counts, and an empty one switches paging off.
_VARIABLES = ("BATCHGEN_PAGER", "PAGER")
_DEFAULT = "less"
#: Options of less, unless the user set some: end at once if all fits, keep colours, leave the text on the screen.
_LESS = "FRX"


def show(text: str) -> None:
    """Print *text*, which may contain colours, through a pager if it is longer than the terminal."""
    text = as_called(text)
    if not (_is_longer_than_screen(text) and _paged(text)):
        output.raw(text)


def _is_longer_than_screen(text: str) -> bool:
    if not (sys.stdout.isatty() and sys.stdin.isatty()) or os.environ.get("TERM", "dumb") == "dumb":
        return False
    try:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        return False
    lines = sum(1 + max(0, len(line) - 1) // max(1, columns) for line in text.splitlines())
    return rows > 0 and lines >= rows


def _paged(text: str) -> bool:
    """Show *text* with the user's pager; return False if there is none."""
    import subprocess

    command = shlex.split(next((os.environ[name] for name in _VARIABLES if name in os.environ), _DEFAULT))
    if not command or command == ["cat"]:
        return False
    environment = {"LESS": _LESS, **os.environ}
    try:
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)  # noqa: S603 - the user's own command, and no shell
    except OSError:
        return False
    try:
        pager.communicate(f"{text}\n".encode(sys.stdout.encoding or "utf-8", "batchgen"))
    except KeyboardInterrupt:
        pager.wait()  # The pager handles Ctrl-C itself.
    return True
