"""A text file as blocks of whole lines.  A doer: it reads one file, in flat memory whatever its lines are like."""

from __future__ import annotations

import bisect
import codecs
import io
import os
from collections.abc import Iterator
from typing import BinaryIO

from ...files.opening import OpenError, open_file
from .errors import BadList, Report, ignore

#: A longer line is reported, and never held.
MAX_LINE = 16_000_000

_CHUNK = 256 * 1024
_AS_UTF8 = "save it again as UTF-8 (in Excel: CSV UTF-8)"


class ListFile:
    """One regular file in UTF-8 that stays the same however often it is read."""

    def __init__(self, path: str, file: str) -> None:
        self.file = file  #: as the user would type it
        self._path = path
        self._known: tuple[int, int, int] | None = None
        self._marks: list[tuple[int, int]] = [(1, 0)]  #: lines that a block began with, and their offsets in bytes

    def probe(self) -> None:
        """Raise BadList where the file cannot be read at all."""
        next(self.blocks(ignore), None)

    def blocks(self, report: Report, line: int = 1) -> Iterator[tuple[int, str]]:
        """Yield whole lines, many at a time and with their ends, and the number of the first.

        The first block is the one that holds *line*.  An empty line stands for one longer than MAX_LINE, which is
        reported.  Raise BadList where the file cannot be read, is no UTF-8, or has changed since it was read first.
        """
        with self._open() as handle:
            number, offset = self._marks[bisect.bisect_right(self._marks, (line, 1 << 62)) - 1]
            handle.seek(offset)
            for start, block, overlong in _whole_lines(handle):
                if number > self._marks[-1][0]:
                    self._marks.append((number, start))
                if overlong:
                    message = f"the line is longer than {MAX_LINE // 1_000_000} MB"
                    report(number, 1, "too_long", message, "is it one row, and is the file a list of rows?")
                yield number, self._decoded(block, start, number)
                number += block.count(b"\n")
            self._same(handle)

    def lines(self, line: int) -> Iterator[str]:
        """Yield the lines from *line* on, with their ends."""
        for first, block in self.blocks(ignore, line):
            for number, text in enumerate(io.StringIO(block, newline="\n"), first):
                if number >= line:
                    yield text

    def _open(self) -> BinaryIO:
        try:
            handle = open_file(self._path)
        except OpenError as error:
            raise BadList(f"{self.file}: {error}") from None
        if not os.fstat(handle.fileno()).st_size:
            handle.close()
            raise BadList(f"{self.file}: is empty")
        try:
            self._same(handle)
        except BadList:
            handle.close()
            raise
        return handle

    def _same(self, handle: BinaryIO) -> None:
        found = os.fstat(handle.fileno())
        identity = (found.st_size, found.st_mtime_ns, found.st_ino)
        if self._known is None:
            self._known = identity
        elif identity != self._known:
            raise BadList(f"{self.file} changed while it was being read; run the command again")

    def _decoded(self, block: bytes, start: int, number: int) -> str:
        if start == 0:
            marked = block[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            if marked or block[:2].count(0) == 1:
                raise BadList(f"{self.file} is UTF-16; lists are UTF-8: {_AS_UTF8}")
            block = block.removeprefix(codecs.BOM_UTF8)
        try:
            return block.decode()
        except UnicodeDecodeError as error:
            before = block[: error.start]
            line = number + before.count(b"\n")
            column = len(before[before.rfind(b"\n") + 1 :].decode()) + 1
            byte = f"byte 0x{block[error.start]:02x} is not UTF-8"
            raise BadList(f"{self.file}:{line}:{column}: {byte}; {_AS_UTF8}") from None


def _whole_lines(handle: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """Yield the offset of each block, the block, and whether it starts with the end of an overlong line."""
    start, size = handle.tell(), 0
    held: list[bytes] = []  #: the beginning of a line; nothing of an overlong one
    while chunk := handle.read(_CHUNK):
        cut = chunk.rfind(b"\n") + 1
        if not cut:
            size += len(chunk)
            held = [*held, chunk] if size <= MAX_LINE else []
            continue
        overlong = size > MAX_LINE
        if overlong:
            end = chunk.find(b"\n")
            start, chunk, cut = start + size + end, chunk[end:], cut - end
        block = b"".join((*held, chunk[:cut]))
        yield start, block, overlong
        start += len(block)
        held = [chunk[cut:]]
        size = len(held[0])
    if size:
        yield start, b"".join(held), size > MAX_LINE
