"""How an answer is framed, whatever its server made of HTTP: sloppy bytes in, strict HTTP/1.1 out.  Pure.

A client's parser refuses a whole answer for one odd header.  Here nothing is refused that a browser would show: what
comes out is a clean head and a body in chunks, which every parser takes.  Where the body breaks off, what came of it
comes out, and no last chunk.
"""

from __future__ import annotations

import re
from enum import Enum, auto

#: Bytes of a head.  Providers were seen with 64 KB, in one field even.
MAX_HEAD = 128 * 1024
#: Bytes of the line before a chunk.
_MAX_SIZE_LINE = 4096
#: Bytes looked at together where chunks are small.
_WINDOW = 8192

_STATUS_LINE = re.compile(rb"\s*HTTP/[\d.]+[ \t]+(\d{3})(?:[ \t]+([^\n]*))?", re.IGNORECASE)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNPRINTABLE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]+")
_HEAD_END = re.compile(rb"\n\r?\n")
_CHUNK_SIZE = re.compile(rb"[ \t]*(?:0[xX])?([0-9a-fA-F]{1,15})[ \t]*(?:;.*)?")
#: Headers that the new framing replaces, or that would change it.
_OF_FRAMING = frozenset({b"transfer-encoding", b"content-length", b"connection", b"keep-alive", b"upgrade", b"trailer"})
_EMPTY = (204, 304)
_LAST = b"0\r\n\r\n"


class NotHttpError(Exception):
    """What came is not the head of an HTTP answer."""


class _Stage(Enum):
    HEAD = auto()
    SIZE = auto()  #: the line before a chunk
    CHUNK = auto()
    LENGTH = auto()
    SURPLUS = auto()  #: the announced length is there, and the document in it has not ended
    REST = auto()  #: everything until the connection closes
    ENDED = auto()


class Framing:
    """One answer.  ``feed`` takes bytes as they come and returns them reframed; ``close`` ends it."""

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
        """Whether all that was announced is there, but plainly not all of the document."""
        return self._stage is _Stage.SURPLUS

    def feed(self, data: bytes) -> bytes:
        """Take *data* in; raise NotHttpError where it cannot be an answer."""
        out: list[bytes] = []
        data, at = self._buffered + data, 0
        self._buffered = b""
        while at < len(data) and not self.ended:
            stage = self._stage
            few = stage is _Stage.SIZE or (stage is _Stage.CHUNK and self._left < _WINDOW)
            taken, made = self._step(data[at : at + _WINDOW] if few else data[at:])
            out.append(made)
            at += taken
            if not taken and stage is self._stage:
                self._buffered = data[at:]
                break
        return b"".join(out)

    def close(self) -> bytes:
        """Return what ends the answer, now that the connection was closed; nothing where its end is missing."""
        made = b""
        if self._stage is _Stage.SIZE and self._buffered.strip():
            rest, self._buffered = self._buffered, b""
            if self._chunks:
                return self._end() if rest.strip() == b"0" else b""
            self._plain_after_all()
            made = self.feed(rest)
        whole = self._stage in (_Stage.REST, _Stage.SURPLUS) and not self._broken
        return made + (self._end() if whole else b"")

    def give_up(self) -> bytes:
        """Return what ends an answer of which no more is waited for."""
        return b"" if self.ended else self._end()

    def _step(self, data: bytes) -> tuple[int, bytes]:
        """Return how many bytes of *data* were used, and what was made of them."""
        match self._stage:
            case _Stage.HEAD:
                return self._head(data)
            case _Stage.SIZE:
                return self._size(data)
            case _Stage.CHUNK | _Stage.LENGTH:
                piece = data[: self._left]
                self._left -= len(piece)
                made = self._body(piece)
                if not self._left:
                    made += self._filled()
                return len(piece), made
            case _:
                return len(data), self._body(data)

    def _filled(self) -> bytes:
        if self._stage is _Stage.CHUNK:
            self._stage = _Stage.SIZE
            return b""
        if self._unfinished():
            self._stage = _Stage.SURPLUS
            return b""
        return self._end()

    def _unfinished(self) -> bool:
        """Return whether the body is a JSON document that goes on past what was announced."""
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
        found = _HEAD_END.search(data, lead)
        if (found.end() if found else len(data)) > MAX_HEAD:
            raise NotHttpError(f"the head of the answer is larger than {MAX_HEAD} bytes")
        if found is None:
            return 0, b""
        first, *lines = (line.rstrip(b"\r") for line in data[lead : found.start()].split(b"\n"))
        line = _STATUS_LINE.fullmatch(first)
        if line is None:
            raise _not_http(first)
        status = int(line[1])
        if 100 <= status < 200 and status != 101:  # the answer itself follows
            return found.end(), b""
        return found.end(), self._reframed(status, line[2] or b"", _fields(lines))

    def _reframed(self, status: int, reason: bytes, fields: list[tuple[bytes, bytes]]) -> bytes:
        codings = [value.lower() for name, value in fields if name.lower() == b"transfer-encoding"]
        self._length = _length([value for name, value in fields if name.lower() == b"content-length"])
        made = b"HTTP/1.1 %d %s\r\n" % (status, _UNPRINTABLE.sub(b" ", reason))
        made += b"".join(b"%s: %s\r\n" % field for field in fields if field[0].lower() not in _OF_FRAMING)
        if status in _EMPTY:
            self._stage = _Stage.ENDED
            return made + b"Connection: close\r\n\r\n"
        made += b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        if any(b"chunked" in coding for coding in codings):
            self._stage = _Stage.SIZE
            return made
        self._unchunked()
        return made + (self._end() if self._stage is _Stage.LENGTH and not self._left else b"")

    def _plain_after_all(self) -> None:
        """Take the body as it is, though chunks were announced."""
        self._unchunked()
        self._broken = self._stage is _Stage.REST

    def _unchunked(self) -> None:
        self._left = self._length or 0
        self._stage = _Stage.REST if self._length is None else _Stage.LENGTH

    # --- chunks ---------------------------------------------------------------------------------------------------

    def _size(self, data: bytes) -> tuple[int, bytes]:
        """Take the line before a chunk, and the line end that may precede it."""
        skipped = len(data) - len(data.lstrip(b"\r\n"))
        line, newline, _ = data[skipped:].partition(b"\n")
        size = _CHUNK_SIZE.fullmatch(line.rstrip(b"\r"))
        impossible = line and not re.match(rb"[ \t]*[0-9a-fA-F]", line)
        if not newline and not impossible and len(line) <= _MAX_SIZE_LINE:
            return 0 if line else skipped, b""
        if size is None:
            if self._chunks:  # what follows is kept as it is
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
    """Return the header fields of *lines*; other lines are left out, and continuation lines are joined."""
    found: list[tuple[bytes, bytes]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if line[:1] in (b" ", b"\t") and found:
            found[-1] = (found[-1][0], found[-1][1] + b" " + _UNPRINTABLE.sub(b" ", line).strip())
        elif colon and _NAME.fullmatch(name.strip()):
            found.append((name.strip(), _UNPRINTABLE.sub(b" ", value).strip()))
    return found


def _length(values: list[bytes]) -> int | None:
    """Return the announced length; the smallest where there are several, since a document shows whether it goes on."""
    texts = [text.strip() for value in values for text in value.split(b",")]
    return min((int(text) for text in texts if text.isdigit() and len(text) <= 15), default=None)
