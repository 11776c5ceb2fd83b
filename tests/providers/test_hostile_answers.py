"""Answers that are made to cost time, to overflow the stack, or to pass the request off as a result."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import pytest

from batchgen.fault import Cause
from batchgen.providers import event_stream, jsonbody, request_echo
from batchgen.providers.base import Reply
from batchgen.task import Kind, Source
from tests.timing import patience

from .test_dialects import B64, PNG, answer
from .test_dialects_answers import failure
from .test_sloppy_answers import GIF, OTHER, pictures, raw, stream

SOURCE = Source(path="/x/a.png", sha256=hashlib.sha256(PNG).hexdigest(), mime="image/png", size_bytes=len(PNG))


def nested(opening: str, closing: str, levels: int) -> str:
    return opening * levels + "1" + closing * levels


@pytest.mark.parametrize("levels", [200, 500, 1000, 3000])
@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("[", "]"),
        ('{"data":', "}"),
        ('{"error":', "}"),
        ('{"response":', "}"),
        ('{"details":[', "]}"),
        ('{"prompt_filter_results":{"x":', "}}"),
    ],
)
def test_a_deep_answer_is_read_like_any_other(opening: str, closing: str, levels: int) -> None:
    deep = nested(opening, closing, levels)
    beside = f'{{"data": [{{"b64_json": "{B64}"}}], "extra": {deep}}}'
    assert pictures(raw(beside.encode())) == [PNG]
    for status in (200, 400):
        fault = failure("studio", Reply(status=status, body=deep.encode(), headers={})).fault
        assert fault.cause in (Cause.EMPTY, Cause.SPOILED, Cause.INVALID, Cause.ERROR)


def test_what_is_nested_too_deeply_is_left_out() -> None:
    document = jsonbody.read(nested('{"a":', "}", 150).encode())
    levels = 0
    while isinstance(document, dict):
        document, levels = document["a"], levels + 1
    assert (document, levels) == (None, 100)


def test_a_stream_of_many_pieces_takes_one_pass() -> None:
    piece = {"choices": [{"delta": {"content": "A" * 30, "images": [1]}}]}
    body = (b"data: " + json.dumps(piece).encode() + b"\n\n" + b'data: {"type": "ping"}\n\n') * 20_000
    began = time.process_time()
    *others, chat = event_stream.documents(body)
    assert time.process_time() - began < patience(5)  # with a comparison of each to each it took a minute
    assert len(others) == 20_000
    message = chat["choices"][0]["message"]
    assert (len(message["content"]), len(message["images"])) == (600_000, 20_000)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_lines_of_a_stream_end_in_any_way(end: str) -> None:
    body = end.join(["", "", "event: x", 'data: {"a":', "data: 1}", "", "", "", "data:", "", 'data: {"b": 2}'])
    assert event_stream.documents(body.encode()) == [{"a": 1}, {"b": 2}]


def test_the_pieces_of_a_field_are_joined_by_their_kind() -> None:
    deltas: list[dict[str, Any]] = [
        {"content": None, "images": [1], "index": 0, "mixed": "a"},
        {"content": "x", "images": None, "index": 1, "mixed": ["b"]},
        {"content": "y", "images": [2], "index": None, "mixed": ["c"]},
    ]
    whole = event_stream.documents(stream(*({"choices": [{"delta": delta}]} for delta in deltas)))[-1]
    message = whole["choices"][0]["message"]
    assert message == {"content": "xy", "images": [1, 2], "index": 1, "mixed": ["b", "c"]}


def test_the_pictures_of_one_event_keep_their_order() -> None:
    event = {"type": "image_generation.completed", "data": [{"b64_json": B64}, {"b64_json": OTHER}]}
    assert pictures(raw(stream(event), "text/event-stream"), n=2) == [PNG, GIF]
    one, two = ({"b64_json": text} for text in (B64, OTHER))
    assert pictures(raw(stream(one, two), "text/event-stream"), n=2) == [PNG, GIF]


def test_a_long_answer_that_is_cut_off_is_not_read_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []

    class Counting:
        def raw_decode(self, text: str, start: int) -> tuple[Any, int]:
            starts.append(start)
            return decoder.raw_decode(text, start)

    decoder = jsonbody._DECODER
    monkeypatch.setattr(jsonbody, "_DECODER", Counting())
    monkeypatch.setattr(jsonbody, "_MORE_REREADS", 0)
    with pytest.raises(jsonbody.Unreadable):
        jsonbody.read(b"[" * 63 + b"1," * 10_000)
    assert len(starts) <= 9


@pytest.mark.parametrize("body", [PNG, B64.encode()])
def test_a_source_image_that_comes_back_bare_is_no_result(body: bytes) -> None:
    error = failure("openai", raw(body, "image/png" if body == PNG else "text/plain"), kind=Kind.EDIT, images=(SOURCE,))
    assert error.fault.cause is Cause.EMPTY
    assert "source image" in error.fault.message
    assert pictures(raw(GIF, "image/gif"), "openai", kind=Kind.EDIT, images=(SOURCE,)) == [GIF]


def test_a_source_in_a_list_of_results_is_no_result() -> None:
    error = failure("openai", answer({"data": [{"b64_json": B64}]}), kind=Kind.EDIT, images=(SOURCE,))
    assert error.fault.cause is Cause.EMPTY


def test_a_long_run_of_backslashes_is_read_once() -> None:
    began = time.process_time()
    assert request_echo.unescape_text("\\" * 200_000) == "\\" * 200_000
    assert request_echo.unescape_text(r"a\\\u0041\nb") == "aA b"
    assert time.process_time() - began < patience(5)
