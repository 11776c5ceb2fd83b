"""The header of a key: what it may be, and where it is sent."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from batchgen.providers.auth import Auth
from batchgen.providers.presets import profile


@pytest.mark.parametrize(
    ("facts", "sent"),
    [
        ({}, {"Authorization": "Bearer k-1"}),
        ({"value": "Key {key}"}, {"Authorization": "Key k-1"}),
        ({"header": "x-key", "value": "{key}"}, {"x-key": "k-1"}),
        ({"header": "api-key", "value": "{key}"}, {"api-key": "k-1"}),
    ],
)
def test_key_is_in_one_header(facts, sent):
    assert Auth(**facts).headers("k-1") == sent


def test_no_key_is_no_header():
    assert Auth().headers("") == {}


@pytest.mark.parametrize("header", ["", "Two Words", "x\r\ny", "x:y", "Host", "content-length", "Content-Type", "é"])
def test_header_that_cannot_hold_a_key_is_refused(header):
    with pytest.raises(ValidationError, match="cannot hold a key"):
        Auth(header=header)


@pytest.mark.parametrize("value", ["", "Bearer", "{key} {key}", "Bearer {key}\r\nX: y", "{Key}"])
def test_value_has_one_place_for_the_key(value):
    with pytest.raises(ValidationError, match=r"must contain \{key\} once"):
        Auth(value=value)


@pytest.mark.parametrize(
    ("query", "url"),
    [
        ({}, "https://gw.example/api/v1/images/generations"),
        ({"api-version": "preview"}, "https://gw.example/api/v1/images/generations?api-version=preview"),
        ({"a": "1 2", "b": "&"}, "https://gw.example/api/v1/images/generations?a=1+2&b=%26"),
    ],
)
def test_query_is_part_of_every_address(query, url):
    studio = profile("studio", {"preset": "gateway", "base_url": "https://gw.example", "query": query})
    assert studio.url("generate") == url
    assert studio.url_of("/v1/models?kind=image").count("?") == 1
