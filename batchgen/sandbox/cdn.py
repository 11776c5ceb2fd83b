"""Result URLs: images kept in memory for a while, with faults of their own."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from aiohttp import web

from .keys import HEADERS
from .values import Link

#: Older results expire once this many bytes are kept, as real result URLs do after an hour.
MOST_BYTES = 256_000_000
#: As many failures as this are permanent.
FOR_GOOD = 1_000_000
_CODES = {403: "AccessDenied", 404: "NoSuchKey", 410: "Gone", 503: "SlowDown"}


@dataclass(kw_only=True, slots=True)
class StoredFile:
    """A result file, and how its address behaves."""

    data: bytes
    mime: str
    link: Link = field(default_factory=Link)
    asked: int = 0  #: number of requests for it
    until: float = math.inf  #: the time at which the address expires

    @property
    def gone(self) -> bool:
        """Whether every download of it fails."""
        return self.link.times >= FOR_GOOD


class ResultStore:
    """The newest result files and the uploads of clients, by the path of their URL."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._files: OrderedDict[str, StoredFile] = OrderedDict()
        self._uploads: dict[str, StoredFile] = {}
        self._bytes = 0

    def put(self, path: str, stored: StoredFile) -> None:
        """Add a file; the oldest ones expire."""
        self._files[path] = stored
        self._bytes += len(stored.data)
        while self._bytes > self._most_bytes and len(self._files) > 1:
            _, oldest = self._files.popitem(last=False)
            self._bytes -= len(oldest.data)

    def put_upload(self, path: str, stored: StoredFile) -> None:
        """Add a source image of a client, which stays for its lifetime whatever the results need."""
        self._uploads[path] = stored

    def get(self, path: str) -> StoredFile | None:
        """Return a file that has not expired."""
        stored = self._files.get(path) or self._uploads.get(path)
        return None if stored is None or time.time() >= stored.until else stored


def serve(results: ResultStore, request: web.Request, elsewhere: str) -> web.Response:
    """Answer a download; like signed URLs, refuse a request with a key unless the address needs one."""
    stored = results.get(request.path)
    link = Link() if stored is None else stored.link
    has_key = any(name in request.headers for name in HEADERS)
    if has_key and not link.needs_key:
        return _failed(400, "InvalidArgument", "Only one auth mechanism allowed")
    if stored is None:
        return _failed(404, _CODES[404])
    if link.needs_key and not has_key:
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
