"""Long base64 texts of an answer are read as the parser reads them, wherever they are and whatever is around them."""

from __future__ import annotations

import json
import random

import orjson
import pybase64
import pytest

from batchgen.providers import jsonbody, long_texts
from batchgen.providers.jsonbody import Unreadable, read

IMAGE = pybase64.b64encode(random.Random(3).randbytes(150_000)).decode()
OTHER = pybase64.b64encode(random.Random(4).randbytes(90_000)).decode()


def dumped(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "document",
    [
        {"data": [{"b64_json": IMAGE, "revised_prompt": 'a "red" cube'}], "usage": {"n": 1}},
        {"data": [{"b64_json": IMAGE}, {"b64_json": OTHER}, {"b64_json": IMAGE}]},
        {"choices": [{"message": {"images": [{"image_url": {"url": f"data:image/png;base64,{IMAGE}"}}]}}]},
        [IMAGE],
        IMAGE,
        {IMAGE: "as a name"},
        {"text": f'first "{IMAGE}" and more'},
        {"text": f'"{IMAGE}'},
        {"text": f"{IMAGE}\n{OTHER}"},
        {"a": IMAGE[:-1] + "é", "b": IMAGE[:-2] + "\\n"},
        {"short": "aGVsbG8=", "long": "x y " * 40_000},
    ],
    ids=range(11),
)  # fmt: skip
@pytest.mark.parametrize("indent", [None, 2])
def test_long_texts_are_read_as_any_other(document, indent):
    assert read(json.dumps(document, indent=indent).encode()) == document
    assert read(dumped(document)) == document


def test_long_text_of_an_answer_is_not_parsed():
    short, texts = long_texts.cut_out(dumped({"data": [{"b64_json": IMAGE}, {"b64_json": OTHER}]}))
    assert list(texts.values()) == [IMAGE, OTHER]
    assert len(short) < 200


def test_equal_keys_leave_the_last_one():
    assert read(b'{"a": "%b", "a": "%b"}' % (IMAGE.encode(), OTHER.encode())) == {"a": OTHER}
    assert read(b'{"a": "%b", "a": 1}' % IMAGE.encode()) == {"a": 1}


def test_long_text_is_kept_by_the_lenient_reader():
    assert read(b'{"a": NaN, "b": "%b"}' % IMAGE.encode()) == {"a": None, "b": IMAGE}
    with pytest.raises(Unreadable) as caught:
        read(b'{"data": [{"b64_json": "%b"}, {"b64' % IMAGE.encode())
    assert caught.value.part == {"b64_json": IMAGE}


def by_parser(body: bytes) -> object:
    try:
        return jsonbody._normalize(orjson.loads(body), {})
    except orjson.JSONDecodeError:
        return jsonbody._normalize(jsonbody._read_leniently(jsonbody._decode(body)), {})


def verdict(reader, body: bytes) -> object:
    try:
        return reader(body)
    except Unreadable as error:
        return str(error), error.part


def value(chance: random.Random, depth: int = 0) -> object:
    encoded = pybase64.b64encode(chance.randbytes(chance.randrange(200))).decode()
    match chance.randrange(7 if depth < 4 else 4):
        case 0 | 1:
            return encoded
        case 2:
            return f"data:image/png;base64,{encoded}"
        case 3:
            odd = ('a "q" \\ é', f'"{encoded}"B', f'\\"{encoded}', "x" * chance.randrange(200), 2.5, None, 9**90)
            return chance.choice(odd)
        case 4:
            return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
        case _:
            return {chance.choice(("a", "b", "k" * 90)): value(chance, depth + 1) for _ in range(chance.randrange(4))}


def test_damaged_documents_are_read_as_by_the_parser(monkeypatch):
    monkeypatch.setattr(long_texts, "_LONG", 64)
    chance, cut = random.Random(6), 0
    for _ in range(3000):
        body = bytearray(dumped(value(chance)))
        for _ in range(chance.randrange(3)):
            at = chance.randrange(len(body))
            match chance.randrange(4):
                case 0:
                    body[at] = chance.choice(b'"\\,:{}[]A\n\x00')
                case 1:
                    body[at:at] = chance.choice((b'"', b"\\", b'\\"', b",", b"\n"))
                case 2:
                    body[at : at + 1] = b"A"
                case _:
                    del body[at + 1 :]
        data = bytes(body)
        cut += bool(long_texts.cut_out(data)[1])
        assert verdict(jsonbody._read, data) == verdict(by_parser, data), data
    assert cut > 500
