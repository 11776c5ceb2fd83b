"""HTTP framing: the head and the body of an answer, from the bytes of a connection.

A client's usual parser rejects a whole answer for one odd header. This one accepts whatever a browser would show. It
copies no body: a piece that lies within one read is passed on as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

#: Bytes of a head. Some providers send 64 KB, even in one field.
MAX_HEAD = 128 * 1024
#: Bytes of the line before a chunk.
_MAX_SIZE_LINE = 4096

_STATUS_LINE = re.compile(rb"\s*HTTP/[\d.]+[ \t]+(\d{3})(?:[ \t]+([^\n]*))?", re.IGNORECASE)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNPRINTABLE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]+")
_HEAD_END = re.compile(rb"\n\r?\n")
_CHUNK_SIZE = re.compile(rb"[ \t]*(?:0[xX])?([0-9a-fA-F]{1,15})[ \t]*(?:;.*)?")
#: Headers that describe this connection, and not the answer.
_OF_FRAMING = frozenset({b"transfer-encoding", b"content-length", b"connection", b"keep-alive", b"upgrade", b"trailer"})
_EMPTY = (204, 304)


class NotHttpError(Exception):
    """The bytes are not the head of an HTTP answer."""


@dataclass(frozen=True, slots=True)
class Head:
    """The status of an answer, and its header fields except those of the framing."""

    status: int
    fields: list[tuple[bytes, bytes]]


class _Stage(Enum):
    HEAD = auto()
    SIZE = auto()  #: the line before a chunk
    CHUNK = auto()
    LENGTH = auto()
    SURPLUS = auto()  #: the announced length has arrived, but the document in it has not ended
    REST = auto()  #: everything until the connection closes
    ENDED = auto()


class Framing:
    """One answer. ``feed`` takes bytes as they arrive and returns those of the body; ``close`` ends the answer."""

    __slots__ = ("_begun", "_broken", "_buffered", "_chunks", "_ends", "_left", "_length", "_stage", "head")

    def __init__(self) -> None:
        """Begin with the head."""
        self.head: Head | None = None
        self._stage = _Stage.HEAD
        self._buffered = b""
        self._left = 0
        self._length: int | None = None
        self._chunks = 0
        self._begun = self._ends = b""
        self._broken = False

    @property
    def ended(self) -> bool:
        """Whether the body is complete."""
        return self._stage is _Stage.ENDED

    @property
    def surplus(self) -> bool:
        """Whether the announced length has arrived, but plainly not the whole document."""
        return self._stage is _Stage.SURPLUS

    def feed(self, data: bytes) -> list[bytes]:
        """Return the pieces of the body in *data*; raise NotHttpError if it cannot be an answer."""
        pieces: list[bytes] = []
        data, at = self._buffered + data, 0
        self._buffered = b""
        while at < len(data) and not self.ended:
            stage = self._stage
            if stage in (_Stage.HEAD, _Stage.SIZE):
                taken = self._line(data[at : at + _MAX_SIZE_LINE + 8] if stage is _Stage.SIZE else data[at:])
                if not taken and stage is self._stage:
                    self._buffered = data[at:]
                    break
            else:
                counted = stage in (_Stage.CHUNK, _Stage.LENGTH)
                piece = data[at : at + self._left] if counted else data[at:]
                self._body(piece, counted=counted)
                pieces.append(piece)
                taken = len(piece)
            at += taken
        return pieces

    def close(self) -> list[bytes]:
        """End the answer, now that the connection is closed; return the rest of the body.

        It has ``ended`` after that unless its end is missing.
        """
        pieces: list[bytes] = []
        if self._stage is _Stage.SIZE and self._buffered.strip():
            rest, self._buffered = self._buffered, b""
            if self._chunks:
                if rest.strip() == b"0":
                    self.give_up()
                return []
            self._plain_after_all()
            pieces = self.feed(rest)
        if self._stage in (_Stage.REST, _Stage.SURPLUS) and not self._broken:
            self.give_up()
        return pieces

    def give_up(self) -> None:
        """End an answer whose rest is not waited for any longer."""
        self._stage = _Stage.ENDED

    def _line(self, data: bytes) -> int:
        """Read a head or the size of a chunk; return how many bytes of *data* that took, 0 if they are too few."""
        return self._head(data) if self._stage is _Stage.HEAD else self._size(data)

    def _body(self, piece: bytes, *, counted: bool) -> None:
        if not self._begun:
            self._begun = piece.lstrip()[:1]
        self._ends = piece.rstrip()[-1:] or self._ends
        if counted:
            self._left -= len(piece)
        if not counted or self._left:
            return
        if self._stage is _Stage.CHUNK:
            self._stage = _Stage.SIZE
        else:
            self._stage = _Stage.SURPLUS if self._unfinished() else _Stage.ENDED

    def _unfinished(self) -> bool:
        """Return whether the body is a JSON document that continues beyond the announced length."""
        return self._begun.startswith((b"{", b"[")) and not self._ends.endswith((b"}", b"]"))

    # --- the head -------------------------------------------------------------------------------------------------

    def _head(self, data: bytes) -> int:
        lead = len(data) - len(data.lstrip(b"\r\n"))
        if not b"HTTP/".startswith(data[lead : lead + 5].upper()):
            raise _not_http(data[lead:])
        end = _HEAD_END.search(data, lead)
        if (end.end() if end else len(data)) > MAX_HEAD:
            raise NotHttpError(f"the head of the answer is larger than {MAX_HEAD} bytes")
        if end is None:
            return 0
        first, *lines = (line.rstrip(b"\r") for line in data[lead : end.start()].split(b"\n"))
        line = _STATUS_LINE.fullmatch(first)
        if line is None:
            raise _not_http(first)
        status = int(line[1])
        if 100 <= status < 200 and status != 101:  # the answer itself follows
            return end.end()
        self._begin(status, _fields(lines))
        return end.end()

    def _begin(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        chunked = any(b"chunked" in value.lower() for name, value in fields if name.lower() == b"transfer-encoding")
        self._length = _length([value for name, value in fields if name.lower() == b"content-length"])
        own = [field for field in fields if field[0].lower() not in _OF_FRAMING]
        self.head = Head(status, own)
        if status in _EMPTY:
            self.give_up()
        elif chunked:
            self._stage = _Stage.SIZE
        else:
            self._unchunked()
            if self._stage is _Stage.LENGTH and not self._left:
                self.give_up()

    def _plain_after_all(self) -> None:
        """Take the body as it is, although chunks were announced."""
        self._unchunked()
        self._broken = self._stage is _Stage.REST

    def _unchunked(self) -> None:
        self._left = self._length or 0
        self._stage = _Stage.REST if self._length is None else _Stage.LENGTH

    # --- chunks ---------------------------------------------------------------------------------------------------

    def _size(self, data: bytes) -> int:
        """Read the line before a chunk, and the line end that may precede it."""
        skipped = len(data) - len(data.lstrip(b"\r\n"))
        line, newline, _ = data[skipped:].partition(b"\n")
        size = _CHUNK_SIZE.fullmatch(line.rstrip(b"\r"))
        impossible = line and not re.match(rb"[ \t]*[0-9a-fA-F]", line)
        if not newline and not impossible and len(line) <= _MAX_SIZE_LINE:
            return 0 if line else skipped
        if size is None:
            if self._chunks:  # the rest is kept as it is
                self._broken, self._stage = True, _Stage.REST
                return skipped
            self._plain_after_all()
            return 0
        self._chunks += 1
        self._left = int(size[1], 16)
        if not self._left:
            self.give_up()
            return skipped + len(line) + 1
        self._stage = _Stage.CHUNK
        return skipped + len(line) + 1


def _not_http(data: bytes) -> NotHttpError:
    start = data.partition(b"\r")[0].partition(b"\n")[0][:60].decode("ascii", "backslashreplace")
    return NotHttpError(f"the answer is not HTTP; it begins with {start!r}")


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the header fields in *lines*; other lines are dropped, and continuation lines are joined."""
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] = (fields[-1][0], fields[-1][1] + b" " + _UNPRINTABLE.sub(b" ", line).strip())
        elif colon and _NAME.fullmatch(name.strip()):
            fields.append((name.strip(), _UNPRINTABLE.sub(b" ", value).strip()))
    return fields


def _length(values: list[bytes]) -> int | None:
    """Return the announced length, the smallest of several, since a document shows whether it continues."""
    texts = [text.strip() for value in values for text in value.split(b",")]
    return min((int(text) for text in texts if text.isdigit() and len(text) <= 15), default=None)
