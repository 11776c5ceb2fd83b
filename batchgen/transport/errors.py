"""Transport errors, sorted by what they mean for money: which of them prove that nothing was sent."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import httpx

from ..fault import Cause, Charged, Fault, ProviderError
from .payload import Payload
from .proxies import ProxyError
from .statuses import is_temporary


class ProxyRefusedError(Exception):
    """A proxy answered that it does not connect."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the proxy refused the connection: HTTP {status}")
        self.status = status


#: Errors of the network.
TROUBLE = (httpx.HTTPError, httpx.InvalidURL, ProxyRefusedError, OSError)

#: Errors that ``wire`` raises only before the first byte of a request.
_UNSENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.LocalProtocolError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
    ProxyError,
    ProxyRefusedError,
)


class UnreachedError(Exception):
    """No connection was made, so nothing was sent; if *final*, the next one would fail for the same reason."""

    def __init__(self, message: str, hint: str = "", *, final: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        self.final = final


class FlakyError(Exception):
    """A download failed, but another try may succeed; *wait* is the pause that the server asks for, in seconds."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class LostError(Exception):
    """A download failed for good; if *final*, any other result there would fail too.

    *unlisted* is the host that the settings would have to list for it.
    """

    def __init__(self, message: str, *, final: bool = False, unlisted: str | None = None) -> None:
        super().__init__(message)
        self.final = final
        self.unlisted = unlisted


class LostResultError(ProviderError):
    """A result that was made cannot be fetched for a *reason*; *unlisted* as in ``LostError``."""

    def __init__(self, fault: Fault, reason: str, unlisted: str | None) -> None:
        super().__init__(fault)
        self.reason = reason
        self.unlisted = unlisted


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and the chain of its causes."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def never_sent(error: BaseException) -> bool:
    """Return whether no byte of the request was written."""
    return isinstance(error, _UNSENT)


def why_unsent(error: BaseException, host: str) -> UnreachedError:
    """Return why no connection was made: for a permanent reason, such as a certificate, or a temporary one."""
    for cause in causes(error):
        if isinstance(cause, ProxyError):
            return UnreachedError(str(cause), "nothing was sent; correct or unset that variable", final=True)
        if isinstance(cause, ProxyRefusedError):
            final = 400 <= cause.status < 500 and not is_temporary(cause.status)
            message = f"the proxy refused the connection to {host}: HTTP {cause.status}"
            hint = "nothing was sent; check HTTPS_PROXY and its login" if final else ""
            return UnreachedError(message, hint, final=final)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(cause, host)
    return UnreachedError(describe(error))


def _untrusted(error: BaseException, host: str) -> UnreachedError:
    reason = getattr(error, "verify_message", "") or describe(error)
    return UnreachedError(
        f"the certificate of {host} cannot be verified: {reason}",
        "nothing was sent; if the certificate is right, set SSL_CERT_FILE to the file of its authority, "
        "otherwise check base_url, the proxy and the clock of this machine",
        final=True,
    )


def unreached(message: str, hint: str = "", *, final: bool = False) -> ProviderError:
    """Return the fault of a call that was never sent; if *final*, the next one would not be sent either."""
    hint = hint or "nothing was sent; is base_url right and the network up?"
    return ProviderError(Fault(cause=Cause.UNREACHED, message=message, hint=hint, final=final))


def no_answer(message: str, payload: Payload | None) -> ProviderError:
    """Return the fault of a call without an answer: its outcome is unknown unless its body was not sent in full."""
    if payload is not None and not payload.gone:
        return unreached(f"{message}, before the request was sent in full")
    return unknown_outcome(f"{message}, after the request was sent")


def unknown_outcome(message: str, status: int | None = None) -> ProviderError:
    """Return the fault of a call whose outcome cannot be known."""
    return ProviderError(
        Fault(
            cause=Cause.UNKNOWN,
            message=message,
            charged=Charged.MAYBE,
            status=status,
            hint="it may have been carried out and charged; check the provider's own log",
        )
    )


def too_large(limit: int, status: int) -> ProviderError:
    """Return the fault of an answer that is too large."""
    message = f"the answer is larger than {limit} bytes"
    return ProviderError(Fault(cause=Cause.SPOILED, message=message, charged=Charged.YES, status=status))


def lost_result(url: str, reason: str, *, final: bool = False, unlisted: str | None = None) -> LostResultError:
    """Return the fault of a result that was made but cannot be fetched; if *final*, no other one there can be."""
    message = f"the image was made, but its URL could not be fetched: {reason} ({url})"
    fault = Fault(cause=Cause.SPOILED, message=message, charged=Charged.YES, final=final)
    return LostResultError(fault, reason, unlisted)


def describe(error: BaseException) -> str:
    """Return the message of *error*, shortened."""
    text = str(error) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "..."
