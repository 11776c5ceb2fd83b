"""Request bodies: JSON with images as data URLs, or multipart, streamed from disk and never whole in memory."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pybase64
from anyio import to_thread

from ..fault import Cause, Fault, ProviderError
from ..providers.base import Call, DataUrl
from ..task import Source

#: A multiple of 3, so that each piece's base64 joins the next without padding.
PIECE = 768 * 1024


@dataclass(frozen=True, slots=True)
class _File:
    """A piece of the body that is read from a file."""

    path: Path
    base64: bool
    stamp: tuple[int, int, int]  #: inode, time of change and size when it was measured

    @property
    def size(self) -> int:
        return self.stamp[2]

    @property
    def length(self) -> int:
        return -(-self.size // 3) * 4 if self.base64 else self.size


@dataclass(slots=True)
class Payload(httpx.AsyncByteStream):
    """A body ready to be sent. Until ``gone``, its end has not been passed on, so the provider cannot act on it."""

    content_type: str
    pieces: tuple[bytes | _File, ...]
    gone: bool = False

    @property
    def length(self) -> int:
        """Return the number of bytes on the wire."""
        return sum(len(piece) if isinstance(piece, bytes) else piece.length for piece in self.pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body; raise ProviderError (invalid) if a source image has changed since it was measured."""
        self.gone = False
        *before, last = self.pieces
        for piece in before:
            async for chunk in _chunks(piece):
                yield chunk
        self.gone = True
        async for chunk in _chunks(last):
            yield chunk

    def read(self) -> Iterator[bytes]:
        """Yield the body for a file on this machine; this waits for the disk, so it belongs in a thread."""
        for piece in self.pieces:
            yield from [piece] if isinstance(piece, bytes) else _read(piece)


def _read(piece: _File) -> Iterator[bytes]:
    try:
        with piece.path.open("rb") as file:
            while chunk := file.read(PIECE):
                yield pybase64.b64encode(chunk) if piece.base64 else chunk
    except OSError as error:
        raise _unreadable(piece.path, error) from error


async def _chunks(piece: bytes | _File) -> AsyncIterator[bytes]:
    if isinstance(piece, bytes):
        yield piece
        return
    left = piece.size
    try:
        with piece.path.open("rb") as file:
            while left:
                chunk = await to_thread.run_sync(file.read, min(PIECE, left))
                left -= len(chunk)
                # Checked before the last piece is sent: a provider cannot act on a body that is never complete.
                if not chunk or (not left and _stamp(os.fstat(file.fileno())) != piece.stamp):
                    message = f"source image {piece.path} changed while it was being sent"
                    raise ProviderError(Fault(cause=Cause.INVALID, message=message))
                yield pybase64.b64encode(chunk) if piece.base64 else chunk
    except OSError as error:
        raise _unreadable(piece.path, error) from error


def pack(call: Call) -> Payload | None:
    """Return the body of *call*, or None if it has none; raise ProviderError if a source image is gone."""
    if call.json is not None:
        return _json_payload(call.json)
    if call.file is not None:
        return Payload(call.file.mime or "application/octet-stream", (_file(call.file, base64=False), b""))
    return _multipart(call) if call.files or call.form else None


def _json_payload(document: Any) -> Payload:  # noqa: ANN401 - a JSON document
    placeholders: dict[str, DataUrl] = {}
    secret = secrets.token_hex(16)

    def placeholder(value: object) -> str:
        if not isinstance(value, DataUrl):
            raise TypeError(f"{value!r} does not belong in a JSON body")
        text = f"{secret}{len(placeholders)}."
        placeholders[text] = value
        return text

    text = json.dumps(document, default=placeholder, ensure_ascii=False, separators=(",", ":"))
    pieces: list[bytes | _File] = []
    for mark, image in placeholders.items():
        before, _, text = text.partition(mark)
        prefix = "" if image.bare else f"data:{image.source.mime};base64,"
        head = f"{before}{prefix}".encode("utf-8", "replace")
        pieces += [head, _file(image.source, base64=True)]
    return Payload("application/json", (*pieces, text.encode("utf-8", "replace")))


def _multipart(call: Call) -> Payload:
    boundary = f"batchgen-{secrets.token_hex(16)}"
    pieces: list[bytes | _File] = []
    for name, value in call.form:
        pieces.append(_part_head(boundary, f'name="{name}"') + value.encode("utf-8", "replace") + b"\r\n")
    for part in call.files:
        head = _part_head(boundary, f'name="{part.name}"; filename="{_quoted(part.filename)}"', part.mime)
        pieces += [head, _file(part.source, base64=False), b"\r\n"]
    return Payload(f"multipart/form-data; boundary={boundary}", (*pieces, f"--{boundary}--\r\n".encode()))


def _part_head(boundary: str, disposition: str, mime: str | None = None) -> bytes:
    kind = f"Content-Type: {mime}\r\n" if mime else ""
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n{kind}\r\n".encode()


def _quoted(filename: str) -> str:
    # As in browsers: a quote or line break in a name must not end the header.
    return filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _file(source: Source, *, base64: bool) -> _File:
    if source.path is None:
        raise ProviderError(Fault(cause=Cause.INVALID, message=f"{source.url} was not fetched"))
    try:
        return _File(Path(source.path), base64, _stamp(Path(source.path).stat()))
    except OSError as error:
        raise _unreadable(Path(source.path), error) from error


def _stamp(facts: os.stat_result) -> tuple[int, int, int]:
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


def _unreadable(path: Path, error: OSError) -> ProviderError:
    hint = "put the file back, then: batchgen retry --cause invalid"
    return ProviderError(Fault(cause=Cause.INVALID, message=f"source image {path}: {error.strerror}", hint=hint))
