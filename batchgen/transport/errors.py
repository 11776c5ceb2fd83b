"""What an HTTP client's errors mean for money.  A decision: which of them say that nothing was sent."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import aiohttp
import httpx

from ..fault import Cause, Charged, Fault, ProviderError
from .payload import Payload
from .proxies import ProxyError

#: What goes wrong on the way, in whichever library's words.
TROUBLE = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError)

#: aiohttp's errors for a connection that never came about.  Its other connection errors come after sending.
_UNSENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    ssl.SSLCertVerificationError,
)


class UnreachedError(Exception):
    """No connection was made, so nothing was sent; *final*: the next one would fail for the same reason."""

    def __init__(self, what: str, hint: str = "", *, final: bool = False) -> None:
        super().__init__(what)
        self.hint = hint
        self.final = final


class FlakyError(Exception):
    """A download failed in a way that another try may fix; *wait* is what the far side asked for, in seconds."""

    def __init__(self, what: str, wait: float = 0.0) -> None:
        super().__init__(what)
        self.wait = wait


class LostError(Exception):
    """A download failed for good; *final*: so would that of any other result there."""

    def __init__(self, what: str, *, final: bool = False) -> None:
        super().__init__(what)
        self.final = final


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and what it was raised from, in turn."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def never_sent(error: BaseException) -> bool:
    """Return whether the connection never came about.

    httpx-aiohttp 0.2 reports a connection lost after sending as a connect timeout, so aiohttp's own error decides.
    """
    if any(isinstance(cause, _UNSENT) for cause in causes(error)):
        return True
    return isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL | ProxyError)


def why_unsent(error: BaseException, host: str) -> UnreachedError:
    """Return why no connection came about: for a reason that stays, such as a certificate, or one that may pass."""
    for cause in causes(error):
        if isinstance(cause, ProxyError):
            return UnreachedError(str(cause), "nothing was sent; correct or unset that variable", final=True)
        if isinstance(cause, aiohttp.ClientHttpProxyError):
            final = 400 <= cause.status < 500 and cause.status not in (408, 425, 429)
            what = f"the proxy refused the connection to {host}: HTTP {cause.status} {cause.message[:100]}".rstrip()
            return UnreachedError(
                what, "nothing was sent; look at HTTPS_PROXY and its login" if final else "", final=final
            )
        if isinstance(cause, aiohttp.ClientConnectorCertificateError):
            return _untrusted(cause.certificate_error, host)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(cause, host)
    return UnreachedError(describe(error))


def _untrusted(error: BaseException, host: str) -> UnreachedError:
    why = getattr(error, "verify_message", "") or describe(error)
    return UnreachedError(
        f"the certificate of {host} does not verify: {why}",
        "nothing was sent; if the certificate is right, name the file of its authority in SSL_CERT_FILE, "
        "otherwise look at base_url, the proxy and the clock of this machine",
        final=True,
    )


def own_fault(error: BaseException) -> ProviderError | None:
    """Return the fault that our own side of the sending raised, which the client wraps in an error of its own."""
    return next((cause for cause in causes(error) if isinstance(cause, ProviderError)), None)


def unreached(what: str, hint: str = "", *, final: bool = False) -> ProviderError:
    """Return the fault of a call that never left; *final*: the next one would not leave either."""
    hint = hint or "nothing was sent; is base_url right and the network up?"
    return ProviderError(Fault(cause=Cause.UNREACHED, message=what, hint=hint, final=final))


def no_answer(what: str, payload: Payload | None) -> ProviderError:
    """Return the fault of a call without an answer: in doubt, unless its body had not gone out whole."""
    if payload is not None and not payload.gone:
        return unreached(f"{what}, before the request had gone out whole")
    return unknown_outcome(f"{what}, after the request was sent")


def unknown_outcome(what: str, status: int | None = None) -> ProviderError:
    """Return the fault of a call that nobody can know the outcome of."""
    return ProviderError(
        Fault(
            cause=Cause.UNKNOWN,
            message=what,
            charged=Charged.MAYBE,
            status=status,
            hint="it may have been carried out and charged; the provider's own log can tell",
        )
    )


def too_large(limit: int, status: int) -> ProviderError:
    """Return the fault of an answer over the cap."""
    what = f"the answer is larger than {limit} bytes"
    return ProviderError(Fault(cause=Cause.SPOILED, message=what, charged=Charged.YES, status=status))


def lost_result(url: str, why: str, *, final: bool = False) -> ProviderError:
    """Return the fault of a result that was made and cannot be fetched; *final*: nor could another one like it."""
    what = f"the image was made, but its URL could not be fetched: {why} ({url})"
    return ProviderError(Fault(cause=Cause.SPOILED, message=what, charged=Charged.YES, final=final))


def why_broken(error: BaseException) -> str:
    """Return why an answer broke off, in words."""
    text = describe(error)
    if any(isinstance(cause, aiohttp.ClientPayloadError) for cause in causes(error)):
        was = "reset" if "reset" in text.lower() else "closed"
        return f"the connection was {was} before the end of the answer"
    return text


def describe(error: BaseException) -> str:
    """Return what *error* says, short."""
    text = str(error) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "..."
