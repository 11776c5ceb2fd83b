"""The sandbox wants each key in its provider's own header."""

from __future__ import annotations

import pytest

from batchgen.sandbox.keys import KeyHeader, authorise, sent_key
from batchgen.sandbox.values import Refusal

BEARER, SCHEME, BARE = KeyHeader(), KeyHeader("Authorization", "Key"), KeyHeader("x-key", "")


@pytest.mark.parametrize(
    ("header", "headers"),
    [
        (BEARER, {"Authorization": "Bearer k-1"}),
        (BEARER, {"Authorization": "bearer k-1"}),
        (SCHEME, {"Authorization": "Key k-1"}),
        (BARE, {"x-key": "k-1"}),
    ],
)
def test_key_in_its_form_is_accepted(header, headers):
    authorise(headers, header)
    assert sent_key(headers) == "k-1"


@pytest.mark.parametrize(
    ("header", "headers"),
    [
        (BEARER, {}),
        (BEARER, {"Authorization": "k-1"}),
        (BEARER, {"Authorization": "Key k-1"}),
        (BEARER, {"x-key": "k-1"}),
        (SCHEME, {"Authorization": "Bearer k-1"}),
        (BARE, {"Authorization": "Bearer k-1"}),
        (BEARER, {"Authorization": "Bearer bad-1"}),
        (BARE, {"x-key": "revoked-1"}),
    ],
)
def test_key_in_another_form_is_denied(header, headers):
    with pytest.raises(Refusal) as caught:
        authorise(headers, header)
    assert caught.value.cause == "denied"


def test_key_of_an_empty_account_is_refused_for_money():
    with pytest.raises(Refusal) as caught:
        authorise({"x-key": "poor-1"}, BARE)
    assert caught.value.cause == "money"
