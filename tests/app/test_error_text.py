"""An error that ends a run says that nothing was sent only where that is so."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from batchgen.app.recovery.resumed import SentCalls
from batchgen.errors import StoreError
from batchgen.fault import Cause, Fault


def settled(cause=None, *, resumed=False):
    """Return what a listener receives: who, what, and how it ended."""
    fault = None if cause is None else Fault(cause=cause, message="x")
    event = SimpleNamespace(fault=fault) if fault else SimpleNamespace()
    return None, SimpleNamespace(attempt=SimpleNamespace(resumed=resumed)), SimpleNamespace(event=event)


@pytest.mark.parametrize(
    ("ended", "message"),
    [
        ([], "no room. Nothing was sent: free the disk"),
        ([settled(Cause.UNREACHED), settled(resumed=True)], "no room. Nothing was sent: free the disk"),
        ([settled()], "no room. This call was not sent; 1 call was before: free the disk"),
        ([settled(Cause.ERROR), settled()], "no room. This call was not sent; 2 calls were before: free the disk"),
    ],
)
def test_nothing_was_sent_is_stated_only_where_true(ended, message):
    sent = SentCalls()
    for one in ended:
        sent.record(*one)
    with pytest.raises(StoreError) as caught, sent.corrected():
        raise StoreError("no room. Nothing was sent: free the disk")
    assert str(caught.value) == message
