"""Provider clients: send paid calls, free questions and downloads to one provider.

Every paid call has a connection of its own (``force_close``): the server may close a kept-alive connection at the
moment of sending, and then it is unknown whether the call arrived.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Self
from urllib.parse import urlsplit

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from anyio import CancelScope, current_time, get_cancelled_exc_class
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from .. import redaction
from ..errors import SettingsError
from ..fault import Cause, Fault, ProviderError
from ..providers.base import Call, Reply
from ..providers.profile import Profile, origin_of
from .addresses import PublicResolver, private_literal
from .connection import READY, Ready, connector
from .deadline import Deadline, until
from .download import Download, Hop, keeps_tls
from .errors import (
    FlakyError,
    LostError,
    UnreachedError,
    describe,
    lost_result,
    never_sent,
    no_answer,
    own_fault,
    unknown_outcome,
    unreached,
    why_unsent,
)
from .payload import Payload, pack
from .proxies import Proxied
from .response import MAX_ANSWER, BufferSink, ResponseHead, Sink, decompressed, hang_up, receive

CONNECT_TRIES = 3
#: Seconds for which the download of a source image is tried.
SOURCE_PATIENCE = 20.0

#: Headers of every call.
HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "batchgen"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderClient:
    """A client of one provider. Neither HTTP client holds the key: only a signed call carries it, in its header."""

    profile: Profile
    key: str = field(repr=False)
    http: httpx.AsyncClient
    public_http: httpx.AsyncClient  #: for results on other hosts: reaches public addresses only

    async def send(self, call: Call, sink: Sink, deadline: float, ready: Ready | None = None) -> ResponseHead:
        """Send a paid call once; return when the whole answer is sealed in *sink*.

        *deadline* is in seconds, for the whole exchange. *ready* is awaited on every new connection (TCP, proxy and
        TLS are done by then) right before the first byte of the request is written; that wait does not count against
        the deadline, and if it fails or is cancelled, the fault is ``unreached``: nothing was sent. From the first
        byte of the answer on, cancellation waits: what arrives is stored and sealed, and the head shows where it broke
        off. Raises ProviderError if no answer came.
        """
        payload = pack(call)
        try:
            with until(current_time() + deadline) as timer:
                if ready is not None:
                    READY.set(partial(_wait, ready, timer))
                response = await self._connected(call, payload)
        except TimeoutError as error:
            raise no_answer(f"no answer within {deadline:g} s", payload) from error
        finally:
            READY.set(None)
        with CancelScope(shield=True):
            try:
                head = await receive(response, sink, timer.ends, self.key)
            finally:
                await hang_up(response)
        return head

    async def ask(self, call: Call, deadline: float) -> Reply:
        """Send a free question the way paid calls are sent; return the whole answer.

        *deadline* is in seconds, for the whole exchange. Raises ProviderError if no complete answer came, and
        ValueError for anything but an unbilled GET.
        """
        if call.method != "GET" or call.billed:
            raise ValueError(f"{call.method} {call.url} is not free")
        ends = current_time() + deadline
        try:
            with until(ends):
                response = await self._connected(call, None)
        except TimeoutError as error:
            raise ProviderError(Fault(cause=Cause.UNKNOWN, message=f"no answer within {deadline:g} s")) from error
        buffer = BufferSink()
        try:
            head = await receive(response, buffer, ends, self.key, MAX_ANSWER)
        finally:
            with CancelScope(shield=True):
                await hang_up(response)
        if head.broken is not None and head.status < 300:
            raise unknown_outcome(head.broken, head.status)
        return Reply(status=head.status, headers=head.headers, body=decompressed(buffer.body(), head.headers))

    async def fetch(self, url: str, sink: Sink, patience: float | None = None) -> ResponseHead:
        """Download a result into *sink*, with retries; raise ProviderError if it is not allowed or not available.

        *patience* is in seconds, for all tries; None: those of the profile.
        """
        patience = min(patience or self.profile.timeout.download, self.profile.timeout.download)
        try:
            return await Download(url=url, allowed=self._hop, patience=patience, key=self.key).into(sink)
        except FlakyError as error:
            raise lost_result(url, f"{error}, in all of {patience:g} s") from error
        except LostError as error:
            raise lost_result(url, str(error), final=error.final) from error

    def _hop(self, url: str, before: str | None) -> Hop:
        """Return how to request the URL of a result. Only the provider's own origin gets the key, if it asks."""
        where = "it" if before is None else f"it was redirected to {url}, which"
        if not self.profile.may_fetch(url):
            raise LostError(
                f"{where} is neither https on the list of result hosts (url_hosts) nor the provider's own", final=True
            )
        if not keeps_tls(url, before):
            raise LostError(f"{where} is not https", final=True)
        own = origin_of(urlsplit(url)) == self.profile.origin
        if not own and private_literal(url):
            raise LostError(f"{where} has an address that is not public", final=True)
        login = {"Authorization": f"Bearer {self.key}"} if own and self.key else {}
        return Hop(client=self.http if own else self.public_http, login=login)

    async def _connected(self, call: Call, payload: Payload | None) -> httpx.Response:
        headers = {**HEADERS, **call.headers}
        if payload is not None:
            headers |= {"Content-Type": payload.content_type, "Content-Length": str(payload.length)}
        if call.signed and self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, UnreachedError) and not error.final),
            stop=stop_after_attempt(CONNECT_TRIES),
            wait=wait_random_exponential(multiplier=0.2, max=2),
            reraise=True,
        )
        try:
            response: httpx.Response = await retrying(self._once, call, payload, headers)
        except UnreachedError as error:
            raise unreached(str(error), error.hint, final=error.final) from error
        return response

    async def _once(self, call: Call, payload: Payload | None, headers: Mapping[str, str]) -> httpx.Response:
        content = payload.stream() if payload is not None else None
        try:
            request = self.http.build_request(call.method, call.url, content=content, headers=dict(headers))
            return await self.http.send(request, stream=True)
        except (ProviderError, UnreachedError, get_cancelled_exc_class()):
            raise
        except Exception as error:  # noqa: BLE001 - after any error the outcome is unknown unless nothing was sent
            failure: Exception | None = own_fault(error)
            if failure is None and never_sent(error):
                failure = why_unsent(error, urlsplit(call.url).hostname or "")
            elif failure is None:
                failure = no_answer(redaction.hidden(describe(error), [self.key]), payload)
        # Raised outside the handler: the client's own error holds the request's headers, and with them the key.
        raise failure


async def _wait(ready: Ready, timer: Deadline) -> None:
    """Wait for *ready*, while *timer* is suspended; raise ProviderError (unreached) if it fails or is cancelled."""
    try:
        with timer.suspended():
            await ready()
    except get_cancelled_exc_class() as error:
        # Reported as a fault: a cancelled call of unknown state would count as possibly charged.
        raise unreached("the run was stopped before the request was sent") from error
    except ProviderError:
        raise
    except Exception as error:
        raise unreached(f"the request was not sent: {describe(error)}") from error


def tls_context() -> ssl.SSLContext:
    """Return the context that checks certificates: the bundled authorities, or those in SSL_CERT_FILE or SSL_CERT_DIR.

    Raises SettingsError.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(f"the certificates in SSL_CERT_FILE or SSL_CERT_DIR cannot be read: {error}") from error


class Transport:
    """The clients of all providers of a run, opened and closed together."""

    def __init__(
        self,
        profiles: Mapping[str, Profile],
        keys: Mapping[str, str],
        accounts: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Take the *keys* by provider; *accounts* holds all keys of a provider that has several, by account name."""
        self._profiles = profiles
        self._keys = keys
        self._accounts = accounts or {}
        self._stack = AsyncExitStack()
        self._clients: dict[str, ProviderClient] = {}

    async def __aenter__(self) -> Self:
        self._tls = tls_context()
        self._public_http = await self._open(PublicResolver())
        for name, profile in self._profiles.items():
            http = await self._open(connect=profile.timeout.connect)
            self._clients[name] = ProviderClient(
                profile=profile, key=self._keys.get(name, ""), http=http, public_http=self._public_http
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        with CancelScope(shield=True):
            await self._stack.aclose()

    def client(self, provider: str, account: str | None = None, profile: Profile | None = None) -> ProviderClient:
        """Return the client of *provider*, with the key of *account* if the provider has several.

        A provider that is no longer in the manifest has no key; with *profile* its results can still be downloaded.
        Raises KeyError for an unknown account: no other key is used instead.
        """
        if provider not in self._clients and profile is not None:
            return ProviderClient(profile=profile, key="", http=self._public_http, public_http=self._public_http)
        client = self._clients[provider]
        return client if account is None else replace(client, key=self._accounts[provider][account])

    async def fetch_source(self, url: str, sink: Sink) -> None:
        """Download a source image that the user named into *sink*; raise ProviderError (invalid) if that fails."""
        reason = ""
        try:
            await Download(url=url, allowed=self._source_hop, patience=SOURCE_PATIENCE, paid=False).into(sink)
        except (FlakyError, LostError) as error:
            reason = str(error)
        if reason:
            message = f"source image {url} cannot be fetched: {reason}"
            hint = "download it yourself and use the file"
            raise ProviderError(Fault(cause=Cause.INVALID, message=message, hint=hint))

    def _source_hop(self, url: str, before: str | None) -> Hop:
        del before
        if urlsplit(url).scheme != "https":
            raise LostError("it is not https")
        if private_literal(url):
            raise LostError("its address is not public")
        return Hop(client=self._public_http)

    async def _open(self, resolver: AbstractResolver | None = None, connect: float = 10) -> httpx.AsyncClient:
        # The second session is for proxies, which resolve names themselves and may have private addresses.
        sessions = [
            # trust_env would read netrc.
            aiohttp.ClientSession(connector=tcp, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())
            for tcp in (connector(self._tls, resolver), connector(self._tls))
        ]
        client = httpx.AsyncClient(
            transport=Proxied(self._tls, *sessions),
            timeout=httpx.Timeout(None, connect=connect),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
        )
        return await self._stack.enter_async_context(client)
