"""Answers in forms that no document names, each with a picture that was paid for, or a fault that has a name."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any
from urllib.parse import quote

import pytest

from batchgen.fault import FIREWALL, Cause, Charged, Fault, ProviderError, Scope
from batchgen.providers.base import Reply
from batchgen.providers.error_mapping import fault_of
from batchgen.redaction import Redactor
from batchgen.task import Kind, Source
from batchgen.transport.content_coding import decompress
from batchgen.transport.response import BufferSink, _Pieces

from .test_dialects import B64, GATEWAY, PNG, answer, profile, request, start
from .test_dialects_answers import failure
from .test_hostile_answers import SOURCE
from .test_sloppy_answers import ITEM, WHOLE, pictures, raw

CHAT = {"choices": [{"message": {"content": f"![x](data:image/png;base64,{B64})"}}]}
#: A picture long enough for lines, which begins as a PNG does and has plus signs in its base64.
LONG = PNG[:-12] + bytes(range(256)) * 4 + PNG[-12:]
LONG64 = base64.b64encode(LONG).decode()
LINES = [LONG64[at : at + 76] for at in range(0, len(LONG64), 76)]


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(WHOLE, id="a document that is called a stream"),
        pytest.param(json.dumps(json.loads(WHOLE), indent=1).encode(), id="in lines"),
        pytest.param(json.dumps(CHAT).encode(), id="a chat"),
        pytest.param(b": PROCESSING\n\n: PROCESSING\n\n" + WHOLE, id="comments before a document"),
        pytest.param(b'{"status": "queued"}\n' + WHOLE + b"\n", id="a document a line"),
        pytest.param(f"data: data:image/png;base64,{B64}\n\ndata: [DONE]\n\n".encode(), id="a data URL as an event"),
        pytest.param(b"data:" + B64.encode() + b"\n\n", id="base64 as an event"),
    ],
)
def test_a_picture_is_found_whatever_is_called_a_stream(body: bytes, content_type: str) -> None:
    assert pictures(raw(body, content_type)) == [PNG]


@pytest.mark.parametrize("document", [None, []])
def test_an_answer_that_says_nothing_is_empty(document: Any) -> None:
    fault = failure("studio", answer(document)).fault
    assert (fault.cause, fault.final) == (Cause.EMPTY, False)


def test_a_stream_without_events_cannot_be_read() -> None:
    assert failure("studio", raw(b": ping\n\n", "text/event-stream")).fault.cause is Cause.SPOILED


@pytest.mark.parametrize(
    "document",
    [
        {"images": [ITEM], "output": [{"b64_json": LONG64}]},
        {"image": B64, "result": LONG64},
        {"data": [{"image": B64}], "images": [{"b64_json": LONG64}]},
        {"output": {"image": f"data:image/png;base64,{B64}", "result": LONG64}},
        {"items": [{"b64_json": B64}], "pictures": [{"b64_json": LONG64}]},
    ],
)
def test_a_source_in_an_earlier_place_does_not_hide_the_result(document: Any) -> None:
    assert pictures(answer(document), "openai", kind=Kind.EDIT, images=(SOURCE,)) == [LONG]


@pytest.mark.parametrize(
    "echo", ["https://my.host/a b.png", "https://my.host/a%20b.png", "https://my.host/%61%20b.png"]
)
def test_the_address_of_a_source_is_known_again_in_any_encoding(echo: str) -> None:
    source = Source(url="https://my.host/a b.png", mime="image/png")
    document = {"images": [{"url": echo}], "output": [{"b64_json": LONG64}]}
    assert pictures(answer(document), "openai", kind=Kind.EDIT, images=(source,)) == [LONG]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(LONG64.replace("+", " "), id="plus signs that came back as blanks"),
        pytest.param(
            "\\n".join(LONG64[at : at + 76] for at in range(0, len(LONG64), 76)), id="line breaks escaped twice"
        ),
        pytest.param("\n".join(LONG64[at : at + 76] for at in range(0, len(LONG64), 76)), id="lines"),
        pytest.param(" ".join(LONG64[at : at + 76] for at in range(0, len(LONG64), 76)), id="lines with blanks"),
        pytest.param(quote(quote(LONG64, safe=""), safe=""), id="percent-encoded twice"),
        pytest.param(quote(quote(f"data:image/png;base64,{LONG64}", safe=""), safe=""), id="a data URL encoded twice"),
        pytest.param(base64.b64encode(LONG[:400]).decode() + base64.b64encode(LONG[400:]).decode(), id="two pieces"),
        pytest.param("data:image/png," + quote(LONG), id="a data URL without base64"),
        pytest.param("image/png;base64," + LONG64, id="a data URL without data:"),
        pytest.param(base64.b64encode(LONG64.encode()).decode(), id="base64 of base64"),
        pytest.param(base64.b64encode(f"data:image/png;base64,{LONG64}".encode()).decode(), id="base64 of a data URL"),
    ],
)
def test_a_picture_as_text_is_decoded(text: str) -> None:
    assert pictures(answer({"data": [{"b64_json": text}]})) == [LONG]


def test_a_drawing_in_a_plain_data_url_is_a_placeholder() -> None:
    placeholder = "data:image/svg+xml,%3Csvg%20xmlns='http://www.w3.org/2000/svg'/%3E"
    assert failure("studio", answer({"data": [{"url": placeholder}]})).fault.cause is Cause.SPOILED


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\r\n" + PNG, "application/octet-stream"),
        (B64.encode(), "image/png"),
        (f"data:image/png;base64,{B64}".encode(), "image/png"),
        (WHOLE.decode().encode("utf-16-le"), "application/json"),
        (WHOLE.decode().encode("utf-16-be"), "application/json"),
        (json.dumps({"output_text": f"here: data:image/png;base64,{B64}"}).encode(), "application/json"),
        (json.dumps({"choices": [{"text": f"![a](data:image/png;base64,{B64})"}]}).encode(), "application/json"),
    ],
)
def test_a_body_in_an_odd_form_is_read(body: bytes, content_type: str) -> None:
    assert pictures(raw(body, content_type)) == [PNG]


def test_padding_between_the_members_of_a_gzip_file_is_skipped() -> None:
    parts = [gzip.compress(part, mtime=0) for part in (b"one", b" and ", b"two")]
    assert decompress(b"\0\0\0".join(parts), {"content-encoding": "gzip"}, 1000) == b"one and two"


@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b"data:[DONE]", b"data: [DONE]\r\n"])
def test_the_last_event_ends_a_stream(end: bytes) -> None:
    pieces = _Pieces(BufferSink(), Redactor(""), 200, 1000)
    pieces.add(b'data: {"a": 1}\n\n' + end)
    assert pieces.document_ended()


@pytest.mark.parametrize(
    "document",
    [
        {"result": "error", "message": "insufficient credits"},
        {"err_code": 402, "err_msg": "Insufficient credits"},
        {"errcode": 40001, "errmsg": "insufficient balance"},
        {"error_msg": "insufficient credits"},
    ],
)
def test_an_error_in_a_success_is_that_error(document: Any) -> None:
    fault = failure("studio", answer(document)).fault
    assert fault.cause is Cause.MONEY
    assert "nsufficient" in fault.message


@pytest.mark.parametrize("word", ["ok", "success", "", None, 0])
def test_a_field_for_an_error_that_says_all_is_well_is_none(word: Any) -> None:
    assert pictures(answer({"errcode": 0, "errmsg": word, "data": [ITEM]})) == [PNG]
    assert failure("studio", answer({"errcode": 0, "errmsg": word, "data": []})).fault.cause is Cause.EMPTY


def test_a_block_by_cloudflare_as_a_document_fails_its_job_alone() -> None:
    document = {"title": "Error 1020: Access denied", "status": 403, "error_code": 1020, "cloudflare_error": True}
    fault = fault_of(Reply(status=403, body=json.dumps(document).encode()), profile("openai"), None, None)
    assert (fault.cause, fault.code) == (Cause.REFUSED, FIREWALL)
    other = {"title": "Forbidden", "status": 403, "detail": "no access to this model"}
    fault = fault_of(Reply(status=403, body=json.dumps(other).encode()), profile("openai"), None, None)
    assert (fault.cause, fault.scope) == (Cause.DENIED, Scope.MODEL)


@pytest.mark.parametrize("final", [True, False])
def test_lost_image_reports_whether_the_loss_is_final(final: bool) -> None:
    conversation, _ = start(request("studio", GATEWAY, n=2))
    call = conversation.send(answer({"data": [ITEM, {"url": "https://elsewhere.example/x.png"}]}))
    assert (call.method, call.billed) == ("GET", False)
    lost = Fault(cause=Cause.ERROR, message="that host is not allowed", charged=Charged.NO, final=final)
    with pytest.raises(StopIteration) as end:
        conversation.throw(ProviderError(lost))
    made = end.value.value
    assert [picture.data for picture in made.pictures] == [PNG]
    assert (made.shortfall.cause, made.shortfall.final) == (Cause.SPOILED, final)
    assert "that host is not allowed" in made.note
