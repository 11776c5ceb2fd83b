"""What an HTTP client's errors mean for money.  A decision: which of them say that nothing was sent."""

from __future__ import annotations

import ssl

import aiohttp
import httpx

from ..fault import Cause, Charged, Fault, ProviderError
from ..payload import Payload

#: What goes wrong on the way, in whichever library's words.
TROUBLE = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError)

#: aiohttp's errors for a connection that never came about.  Its other connection errors come after sending.
_UNSENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    ssl.SSLCertVerificationError,
)


class UnreachedError(Exception):
    """No connection was made, so nothing was sent."""


class FlakyError(Exception):
    """A download failed in a way that another try may mend."""


def never_sent(error: BaseException) -> bool:
    """Return whether the connection never came about.

    httpx-aiohttp 0.2 reports a connection lost after sending as a connect timeout, so aiohttp's own error decides.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _UNSENT):
            return True
        cause = cause.__cause__
    return isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL)


def of_our_own(error: BaseException) -> ProviderError | None:
    """Return the fault that our own side of the sending raised, which the client wraps in an error of its own."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ProviderError):
        cause = cause.__cause__
    return cause


def unreached(what: str) -> ProviderError:
    """Return the fault of a call that never left."""
    hint = "nothing was sent; is base_url right and the network up?"
    return ProviderError(Fault(cause=Cause.UNREACHED, message=what, hint=hint))


def no_answer(what: str, payload: Payload | None) -> ProviderError:
    """Return the fault of a call without an answer: in doubt, unless its body had not gone out whole."""
    if payload is not None and not payload.gone:
        return unreached(f"{what}, before the request had gone out whole")
    return in_doubt(f"{what}, after the request was sent")


def in_doubt(what: str, status: int | None = None) -> ProviderError:
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


def lost_result(url: str, why: str) -> ProviderError:
    """Return the fault of a result that was made and cannot be fetched."""
    what = f"the image was made, but its URL could not be fetched: {why} ({url})"
    return ProviderError(Fault(cause=Cause.SPOILED, message=what, charged=Charged.YES))


def words(error: BaseException) -> str:
    """Return what *error* says, short."""
    text = str(error) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "..."
