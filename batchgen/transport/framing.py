"""HTTP framing: sloppy bytes in, strict HTTP/1.1 out.

A client's parser rejects a whole answer for one odd header. This module accepts whatever a browser would show, and
emits a clean head and a chunked body, which every parser accepts. If the body breaks off, so does what it emits:
there is no last chunk.
"""

from __future__ import annotations

import re
from enum import Enum, auto

#: Bytes of a head. Some providers send 64 KB, even in one field.
MAX_HEAD = 128 * 1024
#: Bytes of the line before a chunk.
_MAX_SIZE_LINE = 4096
#: Bytes examined at once while chunks are small.
_WINDOW = 8192

_STATUS_LINE = re.compile(rb"\s*HTTP/[\d.]+[ \t]+(\d{3})(?:[ \t]+([^\n]*))?", re.IGNORECASE)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNPRINTABLE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]+")
_HEAD_END = re.compile(rb"\n\r?\n")
_CHUNK_SIZE = re.compile(rb"[ \t]*(?:0[xX])?([0-9a-fA-F]{1,15})[ \t]*(?:;.*)?")
#: Headers that the new framing replaces, or that would affect it.
_OF_FRAMING = frozenset({b"transfer-encoding", b"content-length", b"connection", b"keep-alive", b"upgrade", b"trailer"})
_EMPTY = (204, 304)
_LAST = b"0\r\n\r\n"


class NotHttpError(Exception):
    """The bytes are not the head of an HTTP answer."""


class _Stage(Enum):
    HEAD = auto()
    SIZE = auto()  #: the line before a chunk
    CHUNK = auto()
    LENGTH = auto()
    SURPLUS = auto()  #: the announced length has arrived, but the document in it has not ended
    REST = auto()  #: everything until the connection closes
    ENDED = auto()


class Framing:
    """One answer. ``feed`` takes bytes as they arrive and returns them reframed; ``close`` ends the answer."""

    def __init__(self) -> None:
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

    def feed(self, data: bytes) -> bytes:
        """Return *data* reframed; raise NotHttpError if it cannot be an answer."""
        out: list[bytes] = []
        data, at = self._buffered + data, 0
        self._buffered = b""
        while at < len(data) and not self.ended:
            stage = self._stage
            small = stage is _Stage.SIZE or (stage is _Stage.CHUNK and self._left < _WINDOW)
            taken, reframed = self._step(data[at : at + _WINDOW] if small else data[at:])
            out.append(reframed)
            at += taken
            if not taken and stage is self._stage:
                self._buffered = data[at:]
                break
        return b"".join(out)

    def close(self) -> bytes:
        """Return the end of the answer, now that the connection is closed; nothing if its end is missing."""
        body = b""
        if self._stage is _Stage.SIZE and self._buffered.strip():
            rest, self._buffered = self._buffered, b""
            if self._chunks:
                return self._end() if rest.strip() == b"0" else b""
            self._plain_after_all()
            body = self.feed(rest)
        whole = self._stage in (_Stage.REST, _Stage.SURPLUS) and not self._broken
        return body + (self._end() if whole else b"")

    def give_up(self) -> bytes:
        """Return the end of an answer whose rest is not waited for any longer."""
        return b"" if self.ended else self._end()

    def _step(self, data: bytes) -> tuple[int, bytes]:
        """Return how many bytes of *data* were consumed, and their reframed form."""
        match self._stage:
            case _Stage.HEAD:
                return self._head(data)
            case _Stage.SIZE:
                return self._size(data)
            case _Stage.CHUNK | _Stage.LENGTH:
                piece = data[: self._left]
                self._left -= len(piece)
                reframed = self._body(piece)
                if not self._left:
                    reframed += self._end_piece()
                return len(piece), reframed
            case _:
                return len(data), self._body(data)

    def _end_piece(self) -> bytes:
        if self._stage is _Stage.CHUNK:
            self._stage = _Stage.SIZE
            return b""
        if self._unfinished():
            self._stage = _Stage.SURPLUS
            return b""
        return self._end()

    def _unfinished(self) -> bool:
        """Return whether the body is a JSON document that continues beyond the announced length."""
        return self._begun.startswith((b"{", b"[")) and not self._ends.endswith((b"}", b"]"))

    def _body(self, piece: bytes) -> bytes:
        if not self._begun:
            self._begun = piece.lstrip()[:1]
        self._ends = piece.rstrip()[-1:] or self._ends
        return b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b""

    def _end(self) -> bytes:
        self._stage = _Stage.ENDED
        return _LAST

    # --- the head -------------------------------------------------------------------------------------------------

    def _head(self, data: bytes) -> tuple[int, bytes]:
        lead = len(data) - len(data.lstrip(b"\r\n"))
        if not b"HTTP/".startswith(data[lead : lead + 5].upper()):
            raise _not_http(data[lead:])
        end = _HEAD_END.search(data, lead)
        if (end.end() if end else len(data)) > MAX_HEAD:
            raise NotHttpError(f"the head of the answer is larger than {MAX_HEAD} bytes")
        if end is None:
            return 0, b""
        first, *lines = (line.rstrip(b"\r") for line in data[lead : end.start()].split(b"\n"))
        line = _STATUS_LINE.fullmatch(first)
        if line is None:
            raise _not_http(first)
        status = int(line[1])
        if 100 <= status < 200 and status != 101:  # the answer itself follows
            return end.end(), b""
        return end.end(), self._reframed(status, line[2] or b"", _fields(lines))

    def _reframed(self, status: int, reason: bytes, fields: list[tuple[bytes, bytes]]) -> bytes:
        codings = [value.lower() for name, value in fields if name.lower() == b"transfer-encoding"]
        self._length = _length([value for name, value in fields if name.lower() == b"content-length"])
        head = b"HTTP/1.1 %d %s\r\n" % (status, _UNPRINTABLE.sub(b" ", reason))
        head += b"".join(b"%s: %s\r\n" % field for field in fields if field[0].lower() not in _OF_FRAMING)
        if status in _EMPTY:
            self._stage = _Stage.ENDED
            return head + b"Connection: close\r\n\r\n"
        head += b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        if any(b"chunked" in coding for coding in codings):
            self._stage = _Stage.SIZE
            return head
        self._unchunked()
        return head + (self._end() if self._stage is _Stage.LENGTH and not self._left else b"")

    def _plain_after_all(self) -> None:
        """Take the body as it is, although chunks were announced."""
        self._unchunked()
        self._broken = self._stage is _Stage.REST

    def _unchunked(self) -> None:
        self._left = self._length or 0
        self._stage = _Stage.REST if self._length is None else _Stage.LENGTH

    # --- chunks ---------------------------------------------------------------------------------------------------

    def _size(self, data: bytes) -> tuple[int, bytes]:
        """Read the line before a chunk, and the line end that may precede it."""
        skipped = len(data) - len(data.lstrip(b"\r\n"))
        line, newline, _ = data[skipped:].partition(b"\n")
        size = _CHUNK_SIZE.fullmatch(line.rstrip(b"\r"))
        impossible = line and not re.match(rb"[ \t]*[0-9a-fA-F]", line)
        if not newline and not impossible and len(line) <= _MAX_SIZE_LINE:
            return 0 if line else skipped, b""
        if size is None:
            if self._chunks:  # the rest is kept as it is
                self._broken, self._stage = True, _Stage.REST
                return skipped, b""
            self._plain_after_all()
            return 0, b""
        self._chunks += 1
        self._left = int(size[1], 16)
        if not self._left:
            return skipped + len(line) + 1, self._end()
        self._stage = _Stage.CHUNK
        return skipped + len(line) + 1, b""


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
