"""The way to each provider.  A doer: sockets.

Every paid call has a connection of its own (``force_close``): one kept alive may be closed by the far side at the
moment of sending, and then nobody knows whether the call arrived.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
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
from .connection import connector
from .deadline import until
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
#: Seconds for which a source image is tried that the user named.
SOURCE_PATIENCE = 20.0

#: What every call says of itself.
HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "batchgen"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderClient:
    """The way to one provider.  Neither client holds the key: it goes into the one header of a signed call."""

    profile: Profile
    key: str = field(repr=False)
    client: httpx.AsyncClient
    bare: httpx.AsyncClient  #: for results elsewhere: reaches public addresses only

    async def send(self, call: Call, sink: Sink, deadline: float) -> ResponseHead:
        """Send a paid call once; return when the whole answer is sealed in *sink*.

        *deadline* is seconds for all of it.  From the first byte of the answer on, cancellation waits: what arrives is
        kept and sealed, and the head shows where it broke off.  Raises ProviderError where no answer came.
        """
        ends = current_time() + deadline
        payload = pack(call)
        try:
            with until(ends):
                response = await self._connected(call, payload)
        except TimeoutError as error:
            raise no_answer(f"no answer within {deadline:g} s", payload) from error
        with CancelScope(shield=True):
            try:
                head = await receive(response, sink, ends, self.key)
            finally:
                await hang_up(response)
        return head

    async def ask(self, call: Call, deadline: float) -> Reply:
        """Send a question that costs nothing, on the way of the paid calls; return the whole answer.

        *deadline* is seconds for all of it.  Raises ProviderError where no whole answer came, and ValueError for
        anything but a GET that nobody bills.
        """
        if call.method != "GET" or call.billed:
            raise ValueError(f"{call.method} {call.url} is not free")
        ends = current_time() + deadline
        try:
            with until(ends):
                response = await self._connected(call, None)
        except TimeoutError as error:
            late = Fault(cause=Cause.UNKNOWN, message=f"no answer within {deadline:g} s")
            raise ProviderError(late) from error
        memory = BufferSink()
        try:
            head = await receive(response, memory, ends, self.key, MAX_ANSWER)
        finally:
            with CancelScope(shield=True):
                await hang_up(response)
        if head.broken is not None and head.status < 300:
            raise unknown_outcome(head.broken, head.status)
        return Reply(status=head.status, headers=head.headers, body=decompressed(memory.body(), head.headers))

    async def fetch(self, url: str, sink: Sink, patience: float | None = None) -> ResponseHead:
        """Download a result into *sink*, with retries; raise ProviderError where it may not or cannot be had.

        *patience* is seconds for all tries; None: those of the profile.
        """
        patience = min(patience or self.profile.timeout.download, self.profile.timeout.download)
        try:
            return await Download(url=url, allowed=self._hop, patience=patience, key=self.key).into(sink)
        except FlakyError as error:
            raise lost_result(url, f"{error}, in all of {patience:g} s") from error
        except LostError as error:
            raise lost_result(url, str(error), final=error.final) from error

    def _hop(self, url: str, before: str | None) -> Hop:
        """Return how a result's address is asked; the key goes to the provider's own origin, if that asks for it."""
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
        return Hop(client=self.client if own else self.bare, login=login)

    async def _connected(self, call: Call, payload: Payload | None) -> httpx.Response:
        headers = {**HEADERS, **call.headers}
        if payload is not None:
            headers |= {"Content-Type": payload.content_type, "Content-Length": str(payload.length)}
        if call.signed and self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        again = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, UnreachedError) and not error.final),
            stop=stop_after_attempt(CONNECT_TRIES),
            wait=wait_random_exponential(multiplier=0.2, max=2),
            reraise=True,
        )
        try:
            response: httpx.Response = await again(self._once, call, payload, headers)
        except UnreachedError as error:
            raise unreached(str(error), error.hint, final=error.final) from error
        return response

    async def _once(self, call: Call, payload: Payload | None, headers: Mapping[str, str]) -> httpx.Response:
        content = payload.stream() if payload is not None else None
        try:
            request = self.client.build_request(call.method, call.url, content=content, headers=dict(headers))
            return await self.client.send(request, stream=True)
        except (ProviderError, get_cancelled_exc_class()):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was: what cannot be shown to be unsent is in doubt
            mishap: Exception | None = own_fault(error)
            if mishap is None and never_sent(error):
                mishap = why_unsent(error, urlsplit(call.url).hostname or "")
            elif mishap is None:
                mishap = no_answer(redaction.hidden(describe(error), [self.key]), payload)
        # raised out here: the client's own error holds the headers of the request, and so the key
        raise mishap


def tls_context() -> ssl.SSLContext:
    """Return what checks certificates: the authorities that come along, or those that SSL_CERT_FILE or _DIR names.

    Raises SettingsError.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: {error}"
        ) from error


class Transport:
    """The lines to all providers of a run, opened and closed together."""

    def __init__(
        self,
        profiles: Mapping[str, Profile],
        keys: Mapping[str, str],
        accounts: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Take a key by provider; where a provider has several, *accounts* has all of them by their names."""
        self._profiles = profiles
        self._keys = keys
        self._accounts = accounts or {}
        self._stack = AsyncExitStack()
        self._clients: dict[str, ProviderClient] = {}

    async def __aenter__(self) -> Self:
        self._tls = tls_context()
        self._bare = await self._open(PublicResolver())
        for name, profile in self._profiles.items():
            client = await self._open(connect=profile.timeout.connect)
            self._clients[name] = ProviderClient(
                profile=profile, key=self._keys.get(name, ""), client=client, bare=self._bare
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with CancelScope(shield=True):
            await self._stack.aclose()

    def client(self, provider: str, account: str | None = None, profile: Profile | None = None) -> ProviderClient:
        """Return the way to *provider*, with the key of that *account* where it has several.

        A provider that is no longer in the manifest has no key; with *profile* its results can still be downloaded.
        Raises KeyError for an unknown account: no other key is used in its place.
        """
        if provider not in self._clients and profile is not None:
            return ProviderClient(profile=profile, key="", client=self._bare, bare=self._bare)
        line = self._clients[provider]
        return line if account is None else replace(line, key=self._accounts[provider][account])

    async def fetch_source(self, url: str, sink: Sink) -> None:
        """Download a source image that the user named into *sink*; raise ProviderError (invalid) where it cannot be."""
        why = ""
        try:
            await Download(url=url, allowed=self._source_hop, patience=SOURCE_PATIENCE, paid=False).into(sink)
        except (FlakyError, LostError) as error:
            why = str(error)
        if why:
            what = f"source image {url} cannot be fetched: {why}"
            raise ProviderError(Fault(cause=Cause.INVALID, message=what, hint="download it yourself and name the file"))

    def _source_hop(self, url: str, before: str | None) -> Hop:
        del before
        if urlsplit(url).scheme != "https":
            raise LostError("it is not https")
        if private_literal(url):
            raise LostError("its address is not public")
        return Hop(client=self._bare)

    async def _open(self, resolver: AbstractResolver | None = None, connect: float = 10) -> httpx.AsyncClient:
        # a proxy resolves names itself, and may have a private address
        sessions = [
            # trust_env would read netrc
            aiohttp.ClientSession(connector=made, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())
            for made in (connector(self._tls, resolver), connector(self._tls))
        ]
        client = httpx.AsyncClient(
            transport=Proxied(self._tls, *sessions),
            timeout=httpx.Timeout(None, connect=connect),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
        )
        return await self._stack.enter_async_context(client)
