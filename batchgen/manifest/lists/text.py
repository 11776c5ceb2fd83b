"""Text files as numbered lines, and txt lists: one prompt a line. Memory stays flat whatever the lines are like."""

from __future__ import annotations

import bisect
import codecs
import hashlib
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from ...files.opening import OpenError, open_file
from ..filenames import control
from .header import clean
from .rows import BadList, Content, Remark, Report, ignore

#: Bytes. A longer line is reported and never held in memory.
MAX_LINE = 16_000_000

_CHUNK = 256 * 1024
#: Lines between two offsets that are remembered, so that a row far into the file is found quickly.
_MARK_EVERY = 4096
_AS_UTF8 = "save it again as UTF-8 (in Excel: CSV UTF-8)"


class ListFile:
    """A regular file in UTF-8 that must not change from one reading to the next."""

    def __init__(self, file: str, path: str | None = None) -> None:
        """Read *path*, which messages call *file*; both are the same unless it is a copy of an object in a store."""
        self.file = file
        self._path = file if path is None else path
        self._identity: tuple[int, int, int] | None = None
        self._marks: list[tuple[int, int]] = [(1, 0)]  #: line numbers with their offsets in bytes

    def probe(self) -> None:
        """Raise BadList if the file cannot be read at all."""
        next(self.lines(), None)

    def content(self) -> Content:
        """Return the digest and the size of the file; raise BadList where it cannot be read."""
        with self._open() as handle:
            hashed = hashlib.sha256()
            while part := handle.read(_CHUNK):
                hashed.update(part)
            self._check_unchanged(handle)
            return Content(hashed.hexdigest(), handle.tell())

    def lines(self, report: Report = ignore, start: int = 1) -> Iterator[tuple[int, str]]:
        """Yield the lines from number *start* on, with their numbers and line ends.

        A line longer than MAX_LINE is reported and yielded empty. Raise BadList if the file cannot be read, is not
        UTF-8, or has changed since it was first read.
        """
        with self._open() as handle:
            number, offset = self._marks[bisect.bisect_right(self._marks, (start, 1 << 62)) - 1]
            handle.seek(offset)
            while (line := _read_line(handle)) != b"":
                if line is None:
                    message = f"the line is longer than {MAX_LINE // 1_000_000} MB"
                    report(number, 1, "too_long", message, "is it one row, and is the file a list of rows?")
                    line = b"\n"
                if number >= start:
                    yield number, self._decode(line, number)
                number += 1
                if number >= self._marks[-1][0] + _MARK_EVERY:
                    self._marks.append((number, handle.tell()))
            self._check_unchanged(handle)

    def _open(self) -> BinaryIO:
        try:
            handle = open_file(self._path)
        except OpenError as error:
            raise BadList(f"{self.file}: {error}") from None
        try:
            if not os.fstat(handle.fileno()).st_size:
                raise BadList(f"{self.file}: is empty")
            self._check_unchanged(handle)
        except BadList:
            handle.close()
            raise
        return handle

    def _check_unchanged(self, handle: BinaryIO) -> None:
        stat = os.fstat(handle.fileno())
        identity = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        self._identity = self._identity or identity
        if identity != self._identity:
            raise BadList(f"{self.file} changed while it was being read; run the command again")

    def _decode(self, line: bytes, number: int) -> str:
        if number == 1 and (line[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or line[:2].count(0) == 1):
            raise BadList(f"{self.file} is UTF-16; lists are UTF-8: {_AS_UTF8}")
        # Files that were joined have a byte order mark inside, and some programs write several.
        while line.startswith(codecs.BOM_UTF8):
            line = line[len(codecs.BOM_UTF8) :]
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            column = len(line[: error.start].decode()) + 1
            byte = f"byte 0x{line[error.start]:02x} is not UTF-8"
            raise BadList(f"{self.file}:{number}:{column}: {byte}; {_AS_UTF8}") from None


def _read_line(handle: BinaryIO) -> bytes | None:
    """Return the next line with its end, empty at the end of the file; None if it is longer than MAX_LINE."""
    line = part = handle.readline(_CHUNK)
    size = len(line)
    while part and not part.endswith(b"\n"):
        part = handle.readline(_CHUNK)
        size += len(part)
        line = line + part if size <= MAX_LINE else b""
    return line if size <= MAX_LINE else None


class TextList:
    """A txt list: rows with one column, ``prompt``; blank lines are skipped."""

    columns: tuple[str, ...] | None = ("prompt",)

    def __init__(self, source: ListFile) -> None:
        source.probe()
        self._source = source
        self._comments = 0  #: lines that look like comments
        self._first_comment = 0

    def rows(self, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield line numbers and prompts without the blanks around them."""
        self._comments = 0
        for line, text in self._source.lines(report):
            prompt = clean(text.strip()).strip()
            char = control(prompt, allow="\t")
            if char:
                column = next(at for at, letter in enumerate(text, 1) if control(letter, allow="\t\n"))
                report(line, column, "control_character", f"control character {char} is not allowed", "remove it")
            elif prompt:
                if prompt.startswith("#"):
                    self._comments += 1
                    self._first_comment = self._first_comment or line
                yield line, {"prompt": prompt}
            elif not text.isspace():
                message = "the prompt is blank: the line has only invisible characters"
                report(line, 1, "blank", message, "remove the line")

    def content(self) -> Content:
        """Return the digest and the size of the file."""
        return self._source.content()

    def place(self, line: int, column: str | None) -> tuple[int, int]:  # noqa: ARG002 - there is only one
        """Return the line and its first column."""
        return line, 1

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """Return a warning of lines that look like comments."""
        if not self._comments:
            return ()
        lines = "one line begins" if self._comments == 1 else f"{self._comments:,} lines begin"
        message = f"{lines} with # (first: line {self._first_comment}); every line is a prompt, there are no comments"
        return (("comment", message, "remove what is not a prompt"),)
