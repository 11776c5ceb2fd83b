"""Where result URLs lead: images kept in memory for a while, with faults of their own."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from aiohttp import web

from .values import Link

#: Older results expire once this many bytes are kept, as real result URLs do after an hour.
MOST_BYTES = 256_000_000
#: So many failures are failures for good.
FOR_GOOD = 1_000_000
_CODES = {403: "AccessDenied", 404: "NoSuchKey", 410: "Gone", 503: "SlowDown"}


@dataclass(kw_only=True, slots=True)
class Stored:
    """One file, and how it misbehaves."""

    data: bytes
    mime: str
    link: Link = field(default_factory=Link)
    asked: int = 0  #: how often it was asked for

    @property
    def gone(self) -> bool:
        """Tell whether nobody will ever get it."""
        return self.link.times >= FOR_GOOD


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


def serve(shelf: Shelf, request: web.Request, elsewhere: str) -> web.Response:
    """Answer a download; a request that carries a key is refused, as signed URLs refuse it, where none is asked for."""
    stored = shelf.get(request.path)
    link = Link() if stored is None else stored.link
    keyed = "Authorization" in request.headers
    if keyed and not link.keyed:
        return _failed(400, "InvalidArgument", "Only one auth mechanism allowed")
    if stored is None:
        return _failed(404, _CODES[404])
    if link.keyed and not keyed:
        return web.json_response({"error": {"message": "No API key was given"}}, status=401)
    stored.asked += 1
    if stored.asked <= link.times:
        return _failed(link.first, _CODES[link.first])
    if link.elsewhere:
        return web.Response(status=302, headers={"Location": elsewhere})
    hop = int(request.query.get("hop", "0"))
    if hop < link.hops:
        return web.Response(status=302, headers={"Location": f"{request.path}?hop={hop + 1}"})
    return web.Response(body=stored.data, content_type="application/octet-stream" if link.untyped else stored.mime)


def _failed(status: int, code: str, message: str = "") -> web.Response:
    more = f"<Message>{message}</Message>" if message else ""
    text = f"<Error><Code>{code}</Code>{more}</Error>"
    return web.Response(status=status, text=text, content_type="application/xml")
