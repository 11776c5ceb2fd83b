"""Faults of calls that this machine ended: by a bug, or because the run died."""

from __future__ import annotations

from dataclasses import replace

from ..fault import Cause, Charged, Fault, ProviderError


def own_fault(what: str, *, sent: bool, status: int | None) -> Fault:
    """Return the fault of a call that a bug ended; after sending, its result is unknown."""
    if not sent:
        return Fault(cause=Cause.ERROR, message=f"an error in batchgen itself, before anything was sent: {what}")
    if status is None:
        return replace(lost().fault, message=f"an error in batchgen itself while the answer was awaited: {what}")
    return Fault(cause=Cause.ERROR, message=f"an error in batchgen itself: {what}", charged=Charged.MAYBE)


def lost() -> ProviderError:
    """Return the error of a call whose run died before its answer came."""
    return ProviderError(
        Fault(
            cause=Cause.UNKNOWN,
            message="the run ended while the request was in flight",
            charged=Charged.MAYBE,
            hint="it may have been carried out and charged; check the provider's own log",
        )
    )
