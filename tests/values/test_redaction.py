"""A key is hidden in every form in which it can come back, and nothing else is."""

from __future__ import annotations

import base64
import json
import os
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.redaction import Redactor, blackout, hidden, is_distinctive

KEY = "sk-Zz/canary+4711="


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04X}" for character in text)


FORMS = {
    "as it is": KEY,
    "escaped slash": KEY.replace("/", "\\/"),
    "an escape of each character": escaped(KEY),
    "lower case": escaped(KEY).lower(),
    "one character escaped": KEY.replace("Z", "\\u005a", 1),
    "mixed": KEY.replace("/", "\\u002f").replace("+", "\\+"),
    "percent": quote(KEY, safe=""),
    "percent, every character": "".join(f"%{ord(character):02x}" for character in KEY),
    "percent, twice": quote(quote(KEY, safe=""), safe=""),
    "JSON in JSON": json.dumps(json.dumps({"key": KEY.replace("/", "\\/")})),
    "JSON in JSON in JSON": json.dumps(json.dumps(json.dumps(escaped(KEY)))),
    "HTML": KEY.replace("/", "&#47;").replace("+", "&#x2B;"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_a_key_is_hidden(form):
    assert "canary" not in hidden(f"a {form} b", [KEY])
    assert "anary" not in hidden(f"a {form} b", [KEY], None)
    body = f"a {form} b".encode()
    black = blackout(body, [KEY])
    assert len(black) == len(body)
    assert b"4711" not in black
    assert b"\\u0034\\u0037" not in black.lower()
    assert (black[:2], black[-2:]) == (b"a ", b" b")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_key_is_hidden_wherever_it_is_cut(form):
    body = (f'{{"error": "x{form}", "other": "' + "y" * 700 + form + '"}').encode()
    for size in (1, 2, 3, 7, 50, 64):
        black = Redactor(KEY)
        came = b"".join(black.add(body[start : start + size]) for start in range(0, len(body), size)) + black.end()
        assert came == blackout(body, [KEY])
        assert len(came) == len(body)
        assert b"4711" not in came


def test_json_around_a_hidden_key_is_still_json():
    for form in FORMS.values():
        if not form.startswith('"'):
            text = '{"message": "' + form.replace("\\+", "+") + '"}'
            assert set(json.loads(hidden(text, [KEY], None))["message"]) == {"*"}


@given(st.binary(max_size=400), st.lists(st.integers(1, 60), min_size=1, max_size=8))
def test_a_body_without_the_key_comes_out_as_it_went_in(body, sizes):
    black, came, at = Redactor("sk-another-key-1234"), b"", 0
    while at < len(body):
        size = sizes[at % len(sizes)]
        came += black.add(body[at : at + size])
        at += size
    assert came + black.end() == body


@pytest.mark.parametrize(
    ("key", "tells"),
    [("", False), ("short", False), ("abcdefgh", False), ("abcdefghijk", False), ("abcdefghijkl", True),
     ("abcd.efgh", True), ("sk-canary-7f3a9", True), ("schl\u00fcssel-lang-genug", False)],
)  # fmt: skip
def test_key_short_enough_for_chance_is_left_in_bodies(key, tells):
    assert is_distinctive(key) is tells
    image = base64.b64encode(os.urandom(3000)) + key.encode()
    assert (blackout(image, [key]) == image) is not tells


def test_a_key_in_a_key_is_hidden_with_it():
    assert hidden("x 12345678-abcdefgh y", ["12345678", "12345678-abcdefgh"]) == "x [hidden] y"


def test_a_key_that_is_no_ascii_is_hidden_in_text():
    assert hidden("a schl\u00fcssel b", ["schl\u00fcssel"]) == "a [hidden] b"


@pytest.mark.parametrize("sent", ["id-4711:canary-secret-1234", "canary-secret-1234"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_secret_of_a_key_with_an_id_is_blacked_out_alone_too(sent, size):
    redactor = Redactor("id-4711:canary-secret-1234")
    body = f"before {sent} after".encode()
    pieces = [redactor.add(body[start : start + size]) for start in range(0, len(body), size)]
    assert b"".join([*pieces, redactor.end()]) == b"before " + b"*" * len(sent) + b" after"
