"""Downloads of results from a provider's CDN and of source images: free, so retried.

A result is paid for, so every temporary failure is waited out: a CDN may lag behind its provider, a server may restart.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import httpx
from anyio import CancelScope, current_time, fail_after, sleep

from ..fault import ProviderError
from .addresses import NotPublicError
from .errors import TROUBLE, FlakyError, LostError, causes, describe
from .proxies import ProxyError
from .response import ResponseHead, Sink, hang_up, receive
from .statuses import is_temporary

#: Seconds for one try, and the longest silence within it.
TIMEOUT = 120.0
SILENCE = 30.0
#: Seconds before the second try, doubled before each further one, and the longest pause.
FIRST_WAIT = 0.3
LONGEST_WAIT = 30.0
#: The longest pause that is granted to a server (Retry-After).
LONGEST_STATED = 60.0
HOPS = 10

_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "batchgen"}
_REDIRECTS = (301, 302, 303, 307, 308)
#: Last bytes of image files: a download that broke off after them is complete.
_ENDS = (b"IEND\xaeB`\x82", b"\xff\xd9", b"\x00;")


@dataclass(frozen=True, kw_only=True, slots=True)
class Hop:
    """How to request a URL: by which client, and with which login if the server asks for one."""

    client: httpx.AsyncBaseTransport
    login: Mapping[str, str] = field(default_factory=dict)


#: Returns how to request a URL, given the one that redirected to it; raises LostError if that is forbidden.
Allowed = Callable[[str, str | None], Hop]


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """One download: its URL, its rules, and the seconds for which it is tried."""

    url: str
    allowed: Allowed
    patience: float
    paid: bool = True  #: a result, so that any refusal may be temporary; a missing source image is not waited for
    key: str = ""  #: blacked out if the server repeats it

    async def into(self, sink: Sink) -> ResponseHead:
        """Fetch it into *sink*, with retries.

        Raises FlakyError if the last try failed too, and LostError if no try can succeed.
        """
        ends, wait = current_time() + self.patience, FIRST_WAIT
        while True:
            inspector = _Inspector(sink)
            try:
                head = await self._once(inspector)
                reason = inspector.not_an_image(head)
                # Binary data is returned in the end; files.images decides whether it is an image.
                if reason is None or (current_time() >= ends and inspector.binary):
                    return head
                failure = FlakyError(reason)
            except FlakyError as error:
                failure = error
            left = ends - current_time()
            if left <= 0:
                raise failure
            # Jitter keeps many downloads from coming back at once; the last try is at the very end.
            pause = max(wait * random.uniform(0.8, 1.2), min(failure.wait, LONGEST_STATED))  # noqa: S311 - no secret
            await sleep(min(pause, left))
            wait = min(wait * 2, LONGEST_WAIT)

    async def _once(self, sink: _Inspector) -> ResponseHead:
        url, before, login = self.url, None, False
        for _ in range(HOPS + 2):
            hop = self.allowed(url, before)
            response = await self._request(hop, url, login=login)
            try:
                status = response.status_code
                if status in _REDIRECTS and "location" in response.headers:
                    url, before = _target(url, response.headers["location"]), url
                    login = False
                    continue
                if status in (401, 403) and hop.login and not login and before is None:
                    login = True
                    continue
                self._require_success(response)
                return await receive(response, sink, current_time() + TIMEOUT, self.key, silence=self._silence)
            except ProviderError as error:
                raise FlakyError(error.fault.message) from error
            finally:
                with CancelScope(shield=True):
                    await hang_up(response)
        raise FlakyError(f"it was redirected more than {HOPS} times")

    @property
    def _silence(self) -> float:
        return min(SILENCE, TIMEOUT, max(1.0, self.patience))

    async def _request(self, hop: Hop, url: str, *, login: bool) -> httpx.Response:
        headers = {**_HEADERS, **(hop.login if login else {})}
        timeout = {"timeout": {"connect": min(10.0, self._silence)}}
        try:
            with fail_after(self._silence):
                return await hop.client.handle_async_request(
                    httpx.Request("GET", url, headers=headers, extensions=timeout)
                )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, ProxyError) as error:
            raise LostError(describe(error), final=True) from error
        except TROUBLE as error:  # TimeoutError is an OSError
            for cause in causes(error):
                if isinstance(cause, NotPublicError):
                    raise LostError(str(cause), final=True) from error
            raise FlakyError(describe(error)) from error

    def _require_success(self, response: httpx.Response) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        temporary = is_temporary(status)
        if status == 410 or not (self.paid or temporary):
            raise LostError(f"HTTP {status}")
        raise FlakyError(f"HTTP {status}", _whole_seconds(response.headers.get("retry-after", "")))


def _target(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise FlakyError(f"it was redirected to {location[:200]!r}, which is not a valid address") from error


def _whole_seconds(retry_after: str) -> float:
    text = retry_after.strip()
    return float(text) if text.isdigit() and len(text) < 10 else 0.0


class _Inspector:
    """A sink that passes everything on to another one, and remembers how the body begins and ends."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._start, self._end, self._length = b"", b"", 0

    def keep_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Start over."""
        self._start, self._end, self._length = b"", b"", 0
        self._sink.keep_head(status, headers)

    def write(self, chunk: bytes) -> None:
        """Pass a piece on."""
        self._start = (self._start + chunk[:64])[:64]
        self._end = (self._end + chunk)[-64:]
        self._length += len(chunk)
        self._sink.write(chunk)

    def seal(self, *, whole: bool = True) -> None:
        """Pass the end on."""
        self._sink.seal(whole=whole)

    @property
    def binary(self) -> bool:
        """Whether the body is not text, and so may be an image that was cut off."""
        return any(byte < 9 or byte > 126 for byte in self._start)

    def not_an_image(self, head: ResponseHead) -> str | None:
        """Return why the body cannot be the whole image; None if it may be."""
        kind = head.headers.get("content-type", "").partition(";")[0].strip().lower()
        begins = self._start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        if not self._length:
            return f"the body is empty (HTTP {head.status})"
        if begins.startswith((b"<!doctype html", b"<html")) or (kind == "text/html" and begins.startswith(b"<")):
            return "the server returned a web page instead of the image"
        if begins.startswith((b"{", b"[")):
            return "the server returned a JSON document instead of the image"
        if begins.startswith((b"<?xml", b"<error")) and b"<svg" not in begins:
            return "the server returned an XML document instead of the image"
        return head.broken if head.broken is not None and not self._whole() else None

    def _whole(self) -> bool:
        if self._start[:4] == b"RIFF":
            return self._length >= int.from_bytes(self._start[4:8], "little") + 8
        return self._end.rstrip(b"\0\r\n").endswith(_ENDS)


def keeps_tls(url: str, before: str | None) -> bool:
    """Return whether a redirect from *before* to *url* does not leave TLS."""
    return before is None or urlsplit(url).scheme == "https" or urlsplit(before).scheme == "http"
