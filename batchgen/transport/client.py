"""Provider clients: send paid calls, free questions and downloads to one provider.

Every paid call has a connection of its own: the server may close a kept-alive connection at the
moment of sending, and then it is unknown whether the call arrived.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self
from urllib.parse import urlsplit

import httpx
from anyio import CancelScope, current_time, get_cancelled_exc_class, sleep

from .. import redaction
from ..errors import SettingsError
from ..fault import Cause, Fault, ProviderError
from ..providers.addresses import origin_of
from ..providers.base import Call, Reply
from ..providers.profile import Profile
from ..ready import Ready
from .addresses import private_literal
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
    unknown_outcome,
    unreached,
    why_unsent,
)
from .payload import Payload, pack
from .response import MAX_ANSWER, BufferSink, ResponseHead, Sink, decompressed, hang_up, receive
from .wire import Wire

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
    http: httpx.AsyncBaseTransport
    public_http: httpx.AsyncBaseTransport  #: for results on other hosts: reaches public addresses only

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
                gate = None if ready is None else partial(_wait, ready, timer)
                response = await self._connected(call, payload, gate)
        except TimeoutError as error:
            raise no_answer(f"no answer within {deadline:g} s", payload) from error
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
        return await self.answer(call, None, deadline)

    async def poll(self, call: Call, deadline: float) -> Reply:
        """Send a free call about a remote task; return the whole answer.

        Raises ProviderError: denied, if the key may not go to its address; anything else, if no complete answer came.
        """
        if call.billed:
            raise ValueError(f"{call.method} {call.url} is not free")
        if not self.profile.may_poll(call.url):
            host = urlsplit(call.url).netloc
            text = f"{host} is neither the host of {self.profile.name} nor on its list of other hosts for the key"
            listed = self.profile.host_to_list(call.url)
            hint = f"if it belongs to the provider: {self.profile.with_host('key_hosts', listed)}" if listed else ""
            raise ProviderError(Fault(cause=Cause.DENIED, message=f"{text} (key_hosts)", hint=hint))
        is_own = origin_of(urlsplit(call.url)) == self.profile.origin
        client = self if is_own else replace(self, http=self.public_http)
        return await client.answer(call, pack(call), deadline)

    async def answer(self, call: Call, payload: Payload | None, deadline: float) -> Reply:
        """Send a free call and return the whole answer; raise ProviderError if none came."""
        ends = current_time() + deadline
        try:
            with until(ends):
                response = await self._connected(call, payload)
        except TimeoutError as error:
            raise ProviderError(Fault(cause=Cause.UNKNOWN, message=f"no answer within {deadline:g} s")) from error
        buffer = BufferSink()
        try:
            head = await receive(response, buffer, ends, self.key, most=MAX_ANSWER)
        finally:
            with CancelScope(shield=True):
                await hang_up(response)
        if head.broken is not None and head.status < 300:
            raise unknown_outcome(head.broken, head.status)
        return Reply(status=head.status, headers=head.headers, body=decompressed(buffer.body(), head.headers))

    async def carry(
        self, call: Call, sink: Sink, deadline: float, most: int = MAX_ANSWER, ready: Ready | None = None
    ) -> ResponseHead:
        """Carry out a call of a batch once, with a file in either direction; return the head of the answer.

        *deadline* is in seconds, for the whole exchange; *most* are the bytes of the longest answer; *ready* is as for
        ``send``. Raises ProviderError if no answer came; the head shows where one broke off.
        """
        ends, payload = current_time() + deadline, pack(call)
        try:
            with until(ends) as timer:
                response = await self._connected(call, payload, None if ready is None else partial(_wait, ready, timer))
        except TimeoutError as error:
            raise no_answer(f"no answer within {deadline:g} s", payload) from error
        try:
            return await receive(response, sink, ends, self.key, most=most)
        finally:
            with CancelScope(shield=True):
                await hang_up(response)

    async def fetch(self, url: str, sink: Sink, patience: float | None = None) -> ResponseHead:
        """Download a result into *sink*, with retries; raise LostResultError if it is not allowed or not available.

        *patience* is in seconds, for all tries; None: those of the profile.
        """
        patience = min(patience or self.profile.timeout.download, self.profile.timeout.download)
        try:
            return await Download(url=url, allowed=self._hop, patience=patience, key=self.key).into(sink)
        except FlakyError as error:
            raise lost_result(url, f"{error}, in all of {patience:g} s") from error
        except LostError as error:
            raise lost_result(url, str(error), final=error.final, unlisted=error.unlisted) from error

    def _hop(self, url: str, before: str | None) -> Hop:
        """Return how to request the URL of a result. Only the provider's own origin gets the key, if it asks."""
        where = "it" if before is None else f"it was redirected to {url}, which"
        if not self.profile.may_fetch(url):
            why = f"{where} is neither https on the list of result hosts (url_hosts) nor the provider's own"
            raise LostError(why, final=True, unlisted=self.profile.host_to_list(url))
        if not keeps_tls(url, before):
            raise LostError(f"{where} is not https", final=True)
        own = origin_of(urlsplit(url)) == self.profile.origin
        if not own and private_literal(url):
            raise LostError(f"{where} has an address that is not public", final=True)
        login = self.profile.auth.headers(self.key) if own else {}
        return Hop(client=self.http if own else self.public_http, login=login)

    async def _connected(self, call: Call, payload: Payload | None, ready: Ready | None = None) -> httpx.Response:
        """Send a request and return the head of the answer; a connection that cannot be made is tried again."""
        tries = 0
        while True:
            try:
                return await self._once(call, payload, ready)
            except UnreachedError as error:
                tries += 1
                if error.final or tries == CONNECT_TRIES:
                    raise unreached(str(error), error.hint, final=error.final) from error
            await sleep(random.uniform(0, 0.2 * tries))  # noqa: S311 - no secret

    async def _once(self, call: Call, payload: Payload | None, ready: Ready | None) -> httpx.Response:
        try:
            return await self.http.handle_async_request(self._request(call, payload, ready))
        except (ProviderError, get_cancelled_exc_class()):
            raise
        except Exception as error:  # noqa: BLE001 - after any error the outcome is unknown unless nothing was sent
            if never_sent(error):
                failure: Exception = why_unsent(error, urlsplit(call.url).hostname or "")
            else:
                failure = no_answer(redaction.hidden(describe(error), [self.key]), payload)
        # Raised outside the handler: the error's own traceback holds the request's headers, and with them the key.
        raise failure

    def _request(self, call: Call, payload: Payload | None, ready: Ready | None) -> httpx.Request:
        headers = {**HEADERS, **call.headers}
        if payload is not None:
            headers |= {"Content-Type": payload.content_type, "Content-Length": str(payload.length)}
        if call.signed:
            headers |= self.profile.auth.headers(self.key)
        extensions = {"timeout": {"connect": self.profile.timeout.connect}, "ready": ready}
        body = payload or httpx.ByteStream(b"")
        return httpx.Request(call.method, call.url, headers=headers, stream=body, extensions=extensions)


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
        self._clients: dict[str, ProviderClient] = {}

    async def __aenter__(self) -> Self:
        tls = tls_context()
        http, self._public_http = Wire(tls), Wire(tls, public=True)
        for name, profile in self._profiles.items():
            self._clients[name] = ProviderClient(
                profile=profile, key=self._keys.get(name, ""), http=http, public_http=self._public_http
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

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
