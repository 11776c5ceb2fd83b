"""Downloads of files: whole, broken off, refused, or with padding that is made while they are sent."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web

from .batch import RemoteFile
from .work import PADDING

_CHUNK = 256 * 1024
_FILLING = b"x" * _CHUNK
MEGABYTE = 1_000_000
#: What follows the fields of an answer in a row: in OpenAI's files, and in Gemini's.
_TAILS = (b'}}, "error": null}\n', b"}}\n")


async def send_file(request: web.Request, file: RemoteFile) -> web.StreamResponse:
    """Send a file; its faults are used up one by one."""
    if file.failures:
        file.failures -= 1
        return web.Response(status=503, text="upstream connect error or disconnect/reset before headers")
    cut = file.cuts > 0
    file.cuts -= cut
    pieces = _padded(file) if file.padding else _pieces(file)
    response = web.StreamResponse(headers={"Content-Type": file.mime})
    response.content_length = sum(map(len, _padded(file))) if file.padding else file.size
    await response.prepare(request)
    left = response.content_length // 2 if cut else response.content_length
    for piece in pieces:
        await response.write(piece[:left])
        left -= len(piece)
        if left <= 0:
            break
    if cut and request.transport is not None:
        request.transport.close()
        return response
    await response.write_eof()
    return response


def _pieces(file: RemoteFile) -> Iterator[bytes]:
    with file.path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            yield piece


def _padded(file: RemoteFile) -> Iterator[bytes]:
    """Yield the rows with equal parts of the padding, each as a text in the answer of its row."""
    with file.path.open("rb") as stream:
        rows = sum(1 for _ in stream)
        each = round(file.padding * MEGABYTE / max(1, rows))
        stream.seek(0)
        for row in stream:
            tail = next((tail for tail in _TAILS if row.endswith(tail)), b"")
            if not tail:
                yield row
                continue
            yield row[: -len(tail)] + f', "{PADDING}": "'.encode()
            for start in range(0, each, _CHUNK):
                yield _FILLING[: min(_CHUNK, each - start)]
            yield b'"' + tail
