"""The only module that speaks HTTP: a Call goes out, a Reply comes back.  A doer: sockets.

Repeated here is only what cannot cost money: a connection that was never made, and the download of a result.  All else
belongs to ``retry.judge``, through the job table.

Every paid call has a connection of its own (``force_close``): one kept alive may be closed by the far side at the
moment of sending, and then nobody knows whether the call arrived.
"""

from __future__ import annotations

import socket
import ssl
import zlib
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from anyio import CancelScope, current_time, fail_after, get_cancelled_exc_class, to_thread
from httpx_aiohttp import AiohttpTransport
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from .fault import Cause, Charged, Fault, ProviderError
from .links import is_public, origin_of, refusal
from .payload import Payload, pack
from .providers.base import Call
from .providers.profile import Profile

#: Bytes of one body, API answers and results alike.  Ten 4K images in base64 stay below it.
MAX_BODY = 256 * 1024 * 1024
#: Seconds for one download of a result.
DOWNLOAD_TIMEOUT = 120.0
DOWNLOAD_TRIES = 4
CONNECT_TRIES = 3

_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "batchgen"}
#: aiohttp's errors for a connection that never came about.  Its other connection errors come after sending.
_UNSENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    ssl.SSLCertVerificationError,
)


class Sink(Protocol):
    """Where an answer goes while it arrives; a spool slot is one."""

    def keep_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Keep the status and the headers."""

    def write(self, chunk: bytes) -> None:
        """Keep a piece of the body."""

    def seal(self) -> None:
        """Make the whole answer durable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The head of an answer whose body lies in the sink.  Header names are lower case."""

    status: int
    headers: Mapping[str, str]


class UnreachedError(Exception):
    """No connection was made, so nothing was sent."""


class FlakyError(Exception):
    """A download failed in a way that another try may mend."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """The way to one provider.  Neither client holds the key: it goes into the one header of a signed call."""

    profile: Profile
    key: str = field(repr=False)
    client: httpx.AsyncClient
    bare: httpx.AsyncClient  #: for results elsewhere: reaches public addresses only

    async def send(self, call: Call, sink: Sink, deadline: float) -> Head:
        """Send a paid call once; return when the whole answer is sealed in *sink*.

        *deadline* is seconds for all of it.  From the first byte of the answer on, cancellation waits: what arrives is
        kept.  Raises ProviderError where no whole answer came.
        """
        ends = current_time() + deadline
        payload = pack(call)
        response = await self._head(call, payload, deadline)
        with CancelScope(shield=True):
            try:
                return await _receive(response, sink, ends)
            finally:
                await _hang_up(response)

    async def fetch(self, url: str, sink: Sink) -> Head:
        """Download a result into *sink*, with retries; raise ProviderError where it may not or cannot be had."""
        if reason := refusal(url, self.profile.url_hosts, self.profile.origin):
            raise _lost_result(url, reason)
        client = self.client if origin_of(url) == origin_of(self.profile.origin) else self.bare
        again = AsyncRetrying(
            retry=retry_if_exception_type(FlakyError),
            stop=stop_after_attempt(DOWNLOAD_TRIES),
            wait=wait_random_exponential(multiplier=0.3, max=10),
            reraise=True,
        )
        try:
            return await again(_download, client, url, sink)
        except FlakyError as error:
            raise _lost_result(url, str(error)) from error

    async def _head(self, call: Call, payload: Payload | None, deadline: float) -> httpx.Response:
        headers = {**_HEADERS, **call.headers}
        if payload is not None:
            headers |= {"Content-Type": payload.content_type, "Content-Length": str(payload.length)}
        if call.signed:
            headers["Authorization"] = f"Bearer {self.key}"
        again = AsyncRetrying(
            retry=retry_if_exception_type(UnreachedError),
            stop=stop_after_attempt(CONNECT_TRIES),
            wait=wait_random_exponential(multiplier=0.2, max=2),
            reraise=True,
        )
        try:
            with fail_after(deadline):
                return await again(self._once, call, payload, headers)
        except UnreachedError as error:
            raise ProviderError(
                Fault(
                    cause=Cause.UNREACHED,
                    message=str(error),
                    hint="nothing was sent; is base_url right and the network up?",
                )
            ) from error
        except TimeoutError as error:
            raise _doubt(f"no answer within {deadline:g} s", payload) from error

    async def _once(self, call: Call, payload: Payload | None, headers: Mapping[str, str]) -> httpx.Response:
        content = payload.stream() if payload is not None else None
        request = self.client.build_request(call.method, call.url, content=content, headers=dict(headers))
        try:
            return await self.client.send(request, stream=True)
        except (ProviderError, get_cancelled_exc_class()):
            raise
        except Exception as error:
            if _never_sent(error):
                raise UnreachedError(_words(error)) from error
            raise _doubt(_words(error), payload) from error


class Transport:
    """The lines to all providers of a run, opened and closed together."""

    def __init__(self, profiles: Mapping[str, Profile], keys: Mapping[str, str]) -> None:
        self._profiles = profiles
        self._keys = keys
        self._stack = AsyncExitStack()
        self._lines: dict[str, Line] = {}

    async def __aenter__(self) -> Self:
        tls = httpx.create_ssl_context()
        bare = await self._open(aiohttp.TCPConnector(ssl=tls, limit=0, resolver=PublicResolver()), proxied=True)
        for name, profile in self._profiles.items():
            connector = aiohttp.TCPConnector(ssl=tls, limit=0, force_close=True)
            client = await self._open(connector, proxied=not profile.is_loopback, connect=profile.timeout.connect)
            self._lines[name] = Line(profile=profile, key=self._keys[name], client=client, bare=bare)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with CancelScope(shield=True):
            await self._stack.aclose()

    def line(self, provider: str) -> Line:
        """Return the way to *provider*."""
        return self._lines[provider]

    async def _open(self, connector: aiohttp.TCPConnector, *, proxied: bool, connect: float = 10) -> httpx.AsyncClient:
        # proxies of the environment are for the internet, never for this machine
        session = aiohttp.ClientSession(
            connector=connector, trust_env=proxied, cookie_jar=aiohttp.DummyCookieJar(), max_field_size=16_384
        )
        client = httpx.AsyncClient(
            transport=AiohttpTransport(client=session),
            timeout=httpx.Timeout(None, connect=connect),
            follow_redirects=False,
            trust_env=False,
        )
        return await self._stack.enter_async_context(client)


class PublicResolver(AbstractResolver):
    """Resolve names to public addresses only.  What it returns is connected to: a name cannot change its mind."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of *host*; raise OSError where one of them is not public."""
        found = await self._inner.resolve(host, port, family)
        for entry in found:
            if not is_public(entry["host"]):
                raise OSError(f"{host} leads to {entry['host']}, which is not a public address")
        return found

    async def close(self) -> None:
        """Release nothing: threads belong to the loop."""


def inflated(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return *body* without a compression nobody asked for; raise ProviderError (spoiled) where that fails."""
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding in ("", "identity"):
        return body
    unpacker = zlib.decompressobj(wbits=47 if coding in ("gzip", "x-gzip", "deflate") else 0)
    with suppress(zlib.error):
        if coding in ("gzip", "x-gzip", "deflate"):
            plain = unpacker.decompress(body, MAX_BODY)
            if unpacker.eof:
                return plain
    raise ProviderError(
        Fault(
            cause=Cause.SPOILED, message=f"the answer is compressed ({coding}) and cannot be read", charged=Charged.YES
        )
    )


async def _receive(response: httpx.Response, sink: Sink, ends: float) -> Head:
    head = Head(status=response.status_code, headers={name.lower(): text for name, text in response.headers.items()})
    sink.keep_head(head.status, head.headers)
    length = 0
    try:
        with fail_after(max(0.0, ends - current_time())):
            async for chunk in response.aiter_raw():
                length += len(chunk)
                if length > MAX_BODY:
                    raise ProviderError(
                        Fault(
                            cause=Cause.SPOILED,
                            message=f"the answer is larger than {MAX_BODY} bytes",
                            charged=Charged.YES,
                            status=head.status,
                        )
                    )
                sink.write(chunk)
    except (TimeoutError, httpx.HTTPError, aiohttp.ClientError, ConnectionError) as error:
        # an error answer says what it has to say in its status
        if head.status < 300:
            what = f"the answer broke off after {length} bytes: {_words(error)}"
            raise _cut_off(what, head) from error
    await to_thread.run_sync(sink.seal)
    return head


async def _download(client: httpx.AsyncClient, url: str, sink: Sink) -> Head:
    try:
        with fail_after(DOWNLOAD_TIMEOUT):
            response = await client.send(
                client.build_request("GET", url, headers={**_HEADERS, "Accept": "image/*"}), stream=True
            )
    except TimeoutError as error:
        raise FlakyError(f"no answer within {DOWNLOAD_TIMEOUT:g} s") from error
    except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
        raise FlakyError(_words(error)) from error
    try:
        if response.status_code in (408, 425, 429) or response.status_code >= 500:
            raise FlakyError(f"HTTP {response.status_code}")
        return await _receive(response, sink, current_time() + DOWNLOAD_TIMEOUT)
    except ProviderError as error:
        raise FlakyError(error.fault.message) from error
    finally:
        with CancelScope(shield=True):
            await _hang_up(response)


async def _hang_up(response: httpx.Response) -> None:
    # what closing a broken connection has to say was said before
    with suppress(httpx.HTTPError, aiohttp.ClientError, OSError):
        await response.aclose()


def _never_sent(error: BaseException) -> bool:
    """Return whether the connection never came about.

    httpx-aiohttp 0.2 reports a connection lost after sending as a connect timeout, so aiohttp's own error decides.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _UNSENT):
            return True
        cause = cause.__cause__
    return isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL)


def _doubt(what: str, payload: Payload | None) -> ProviderError:
    if payload is not None and not payload.gone:
        return ProviderError(
            Fault(
                cause=Cause.UNREACHED,
                message=f"{what}, before the request had gone out whole",
                hint="it cannot have been carried out",
            )
        )
    return ProviderError(
        Fault(
            cause=Cause.UNKNOWN,
            message=f"{what}, after the request was sent",
            charged=Charged.MAYBE,
            hint="it may have been carried out and charged; the provider's own log can tell",
        )
    )


def _cut_off(what: str, head: Head) -> ProviderError:
    return ProviderError(
        Fault(cause=Cause.UNKNOWN, message=f"{what} (HTTP {head.status})", charged=Charged.MAYBE, status=head.status)
    )


def _lost_result(url: str, why: str) -> ProviderError:
    return ProviderError(
        Fault(
            cause=Cause.SPOILED,
            message=f"the image was made, but its URL could not be fetched: {why} ({url})",
            charged=Charged.YES,
        )
    )


def _words(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "..."
