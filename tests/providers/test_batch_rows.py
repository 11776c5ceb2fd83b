"""Places of values in rows: exact for any JSON, and an error for anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.providers.batch_rows import BrokenRow, key_in, members, rest_after, short_value

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
_OBJECTS = st.dictionaries(st.text(), _VALUES, max_size=5)


@given(_OBJECTS, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_members_are_exact_for_any_object(document: dict[str, Any], ascii_only: bool, indent: Any) -> None:
    raw = b" \n" + json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode() + b"\n"
    assert {key: json.loads(raw[start:end]) for key, (start, end) in members(raw).items()} == document


@given(st.binary(max_size=200))
def test_members_of_any_bytes_are_inside_or_an_error(raw: bytes) -> None:
    try:
        places = members(raw)
    except BrokenRow:
        return
    assert all(0 <= start < end <= len(raw) for start, end in places.values())


@given(_OBJECTS, st.data())
def test_members_of_a_cut_object_are_an_error(document: dict[str, Any], data: st.DataObject) -> None:
    raw = json.dumps(document).encode()
    end = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(BrokenRow):
        members(raw[:end])


def test_members_of_the_last_of_two_equal_keys() -> None:
    raw = b'{"a": 1, "a": [2]}'
    assert raw[slice(*members(raw)["a"])] == b"[2]"


@pytest.mark.parametrize("backslashes", [1, 2, 3, 4])
def test_text_ends_at_its_own_quote(backslashes: int) -> None:
    text = "a" + "\\" * backslashes + '"' + "b" + "\\" * backslashes
    raw = json.dumps({"a": text, "b": 1}).encode()
    places = members(raw)
    assert short_value(raw, places["a"]) == text
    assert short_value(raw, places["b"]) == 1


def test_value_that_is_long_is_not_read() -> None:
    raw = json.dumps({"a": "x" * 70_000}).encode()
    assert short_value(raw, members(raw)["a"]) is None


def test_key_of_a_broken_row() -> None:
    assert key_in(b'{"custom_id": "a\\u00e9", "response": {"bo', "custom_id") == "a\u00e9"
    assert key_in(b'{"custom_id": "a', "custom_id") is None
    assert rest_after(b'{"key": "k", "response" : {"x', "response") == b'{"x'
    assert rest_after(b"nothing", "response") == b"nothing"
