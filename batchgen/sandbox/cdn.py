"""Where result URLs lead: images kept in memory for a while, with faults of their own."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from aiohttp import web

#: Older results expire once this many bytes are kept, as real result URLs do after an hour.
MOST_BYTES = 256_000_000


@dataclass(kw_only=True, slots=True)
class Stored:
    """One file, and how it misbehaves."""

    data: bytes
    mime: str
    missing: bool = False  #: answers 404
    failures: int = 0  #: so many requests get 503 first


class Shelf:
    """Keep the newest files, by provider and name."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, Stored] = OrderedDict()
        self._bytes = 0

    def put(self, path: str, stored: Stored) -> None:
        """Keep a file under the path of its URL."""
        self._files[path] = stored
        self._bytes += len(stored.data)
        while self._bytes > MOST_BYTES and len(self._files) > 1:
            _, oldest = self._files.popitem(last=False)
            self._bytes -= len(oldest.data)

    def get(self, path: str) -> Stored | None:
        """Return a file that is still there."""
        return self._files.get(path)


def serve(shelf: Shelf, request: web.Request) -> web.Response:
    """Answer a download; a request that carries a key is refused, as signed URLs refuse it."""
    if "Authorization" in request.headers:
        text = "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>"
        return web.Response(status=400, text=text, content_type="application/xml")
    stored = shelf.get(request.path)
    if stored is None or stored.missing:
        return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>", content_type="application/xml")
    if stored.failures > 0:
        stored.failures -= 1
        return web.Response(status=503, text="<Error><Code>SlowDown</Code></Error>", content_type="application/xml")
    return web.Response(body=stored.data, content_type=stored.mime)
