"""A real terminal of a given size, and what stands on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Sequence

from tests.forkserver import Popen
from tests.timing import patience

from .kit import Workspace

_MOVES = re.compile(r"\x1b\[\??(\d*)([A-Za-z])")


def on_terminal(
    project: Workspace, words: Sequence[object], term: str, columns: int = 100, rows: int = 30, **env: str
) -> tuple[str, int]:
    """Run batchgen on a terminal of that size; return everything it wrote, and its exit code."""
    project.axis.push()
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {name: text for name, text in project.environment().items() if name not in ("NO_COLOR", "COLUMNS")}
    process = Popen(
        [*project.program, *map(str, words)],
        cwd=project.folder, env=environment | {"TERM": term, "BATCHGEN_PAGER": ""} | env, stdin=theirs, stdout=theirs,
        stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    seen, end = b"", time.monotonic() + 30
    try:
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    piece = os.read(ours, 65536)
                except OSError:  # Linux: the other side is closed
                    break
                if not piece:
                    break
                seen += piece
    finally:
        os.close(ours)
        if process.poll() is None and time.monotonic() >= end:
            process.kill()
        process.wait(patience(10))
    project.axis.pull()
    return project.axis.text(seen.decode(errors="replace")), process.returncode


class Screen:
    """What a terminal shows: as much of one as a live table needs (new lines, up, erase a line, styles ignored)."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = self.column = 0

    def feed(self, text: str) -> Screen:
        """Take in what a program wrote."""
        at = 0
        while at < len(text):
            found = _MOVES.match(text, at)
            if found:
                self._move(found[2], int(found[1] or 1))
                at = found.end()
                continue
            self._put(text[at])
            at += 1
        return self

    @property
    def shown(self) -> list[str]:
        """Return the lines, without blanks at their ends."""
        return [line.rstrip() for line in self.lines]

    def _move(self, what: str, number: int) -> None:
        if what == "A":
            self.row = max(0, self.row - number)
        elif what == "K":
            self.lines[self.row] = ""
        else:
            assert what in "hlm", what  # the cursor hidden or shown, colours

    def _put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row, self.column = self.row + 1, 0
            self.lines += [""] * (self.row + 1 - len(self.lines))
        else:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1
