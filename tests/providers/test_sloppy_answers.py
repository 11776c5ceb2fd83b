"""A paid picture is a delivered picture: answers that hold one, in every envelope gateways were reported to use."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import urllib.parse
from typing import Any

import pytest

from batchgen import redaction
from batchgen.fault import Cause, Fault, ProviderError
from batchgen.providers import jsonbody
from batchgen.providers.base import Call, Reply
from batchgen.task import Kind, Source

from .test_dialects import B64, GATEWAY, GEMINI, PNG, answer, finish, request, start
from .test_dialects_answers import DATA_URL, chat, failure

GIF = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"
OTHER = base64.b64encode(GIF).decode()
ITEM = {"b64_json": B64}
USAGE = {"input_tokens": 12, "output_tokens": 1000}
#: The last line is a short one.
WRAPPED = "\n".join([B64[:40], B64[40:-6].rstrip("="), B64[-6:].rstrip("=")])
LINK = "https://openrouter.ai/x.png"


def pictures(reply: Reply, provider: str = "studio", **fields: Any) -> list[bytes]:
    conversation, _ = start(request(provider, GATEWAY if provider == "studio" else None, **fields))
    return [picture.data for picture in finish(conversation, reply).pictures]


def raw(body: bytes, content_type: str = "application/json") -> Reply:
    return Reply(status=200, body=body, headers={"content-type": content_type})


WHOLE = json.dumps({"created": 1, "data": [ITEM], "usage": USAGE}).encode()


@pytest.mark.parametrize(
    "body",
    [
        WHOLE[:-1] + b', "created": 2}',
        WHOLE[:-1] + b', "latency": NaN, "cost": -Infinity}',
        WHOLE[:-1] + b', "note": "line\nbreak\x01"}',
        WHOLE[:-1] + b', "revised": "caf\xc3"}',
        WHOLE[:-1] + b', "x": 1e99999999999999999999}',
        WHOLE[:-1] + b', "x": 1e-99999999999999999999, "y": NaN}',
        WHOLE[:-1] + b', "x": 1e999, "y": -1E+400}',
        WHOLE[:-1] + b', "x": ' + b"9" * 5000 + b"}",
        WHOLE[:-1] + b', "x": 0.' + b"1" * 6000 + b"}",
        WHOLE + b"\n\n-- served by gateway 7 --",
        b"Warning: [deprecated] use v2 {soon}\n" + WHOLE,
        b")]}',\n" + WHOLE,
        b'[1]\n{"ok": true}\n' + WHOLE,
        b"\xef\xbb\xbf" + WHOLE,
        b"\xef\xbb\xbf\xef\xbb\xbf" + WHOLE,
        WHOLE.decode().encode("utf-16"),
        b"\n" * 20 + WHOLE + b"\n\n",
        json.dumps(WHOLE.decode()).encode(),
        WHOLE + b"\0\0\0",
        repr({"created": 1, "data": [ITEM], "error": None}).encode(),
        WHOLE[:-1] + b', "x": ' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"data": [{b64_json: "' + B64.encode() + b'"',
    ],
)
def test_json_is_read_as_it_comes(body: bytes) -> None:
    assert pictures(raw(body)) == [PNG]


@pytest.mark.parametrize(
    "document",
    [
        {"data": [B64]},
        {"images": [{"url": DATA_URL}]},
        {"images": [DATA_URL]},
        {"output": [{"base64": B64}]},
        {"output": DATA_URL},
        {"result": {"image_base64": B64}},
        {"results": [{"image_url": {"url": DATA_URL}}]},
        {"artifacts": [{"base64": B64, "seed": 1}]},
        {"code": 0, "message": "ok", "data": {"images": [{"b64_json": B64}]}},
        {"code": 200, "msg": "ok", "data": {"images": [{"url": DATA_URL}]}},
        {"response": {"data": [ITEM]}},
        {"payload": {"images": [ITEM]}},
        {"result": {"output": {"images": [{"uri": DATA_URL}]}}},
        [{"data": [ITEM]}],
        ITEM,
        {"predictions": [{"bytesBase64Encoded": B64, "mimeType": "image/png"}]},
        {"output": [{"type": "reasoning"}, {"type": "image_generation_call", "result": B64}]},
        {
            "candidates": [
                {"content": {"parts": [{"text": "hi"}, {"inlineData": {"mimeType": "image/png", "data": B64}}]}}
            ]
        },
        {"data": [{"image": {"base64": B64}}]},
        {"data": [{"b64_json": [B64]}]},
        {"data": [{"url": [DATA_URL]}]},
        {"data": [{"img_url": DATA_URL}]},
        {"data": [{"b64_json": "!!!!notbase64", "url": DATA_URL}]},
        {"binary_data_base64": [B64]},
        {"img": B64},
        {"data": {"resultJson": json.dumps({"resultUrls": [DATA_URL]})}},
        {"choices": [{"message": {"content": None, "images": [{"image_url": {"url": DATA_URL}}]}}]},
    ],
)
def test_every_place(document: Any) -> None:
    assert pictures(answer(document)) == [PNG]


@pytest.mark.parametrize(
    "message",
    [
        {"content": f"![image]({DATA_URL})", "images": [{"type": "image_url", "image_url": {"url": ""}}]},
        {"content": f'<img alt="a" src="{DATA_URL}" width=3>'},
        {"content": f"<img src='{DATA_URL}'/>"},
        {"content": f"here: {DATA_URL}\nenjoy!"},
        {"content": B64},
        {"content": WRAPPED},
        {"content": f"Here it is:\n{B64}\nEnjoy!"},
        {"content": f"![x](data:image/png;base64,{WRAPPED})"},
        {"content": f'<img src="data:image/png;base64,{WRAPPED}">'},
        {"content": json.dumps({"images": [ITEM]})},
        {"content": "```json\n" + json.dumps({"images": [ITEM]}) + "\n```"},
        {"multi_mod_content": [{"text": "x"}, {"inline_data": {"mime_type": "image/png", "data": B64}}]},
        {"content": [{"type": "text", "text": "x"}, {"type": "image", "source": {"type": "base64", "data": B64}}]},
        {"content": {"parts": [{"inline_data": {"data": B64}}]}},
    ],
)
def test_every_place_in_a_chat(message: dict[str, Any]) -> None:
    assert pictures(chat(message), "openrouter", model=GEMINI) == [PNG]


@pytest.mark.parametrize(
    ("document", "url"),
    [
        ({"data": [{"b64_json": LINK}]}, LINK),
        ({"data": [{"b64_json": "!!!!notbase64", "url": LINK}]}, LINK),
        ({"urls": [LINK]}, LINK),
        ({"data": [{"url": f"/word/{'x' * 80}.png"}]}, f"https://openrouter.ai/word/{'x' * 80}.png"),
        ({"data": {"image_urls": [LINK]}}, LINK),
        ({"data": {"resultUrls": [LINK]}}, LINK),
        ({"data": [{"url": f"<{LINK}>"}]}, LINK),
        ({"data": [{"url": LINK.replace("x.png", "my x.png")}]}, LINK.replace("x.png", "my%20x.png")),
    ],
)
def test_addresses_in_every_place(document: Any, url: str) -> None:
    conversation, _ = start(request("openrouter", model=GEMINI))
    assert conversation.send(answer(document)).url == url
    assert finish(conversation, Reply(status=200, body=PNG)).pictures[0].data == PNG


@pytest.mark.parametrize(
    "document",
    [
        {"id": "t", "status_url": "https://openrouter.ai/s"},
        {"id": "t", "urls": {"get": "https://openrouter.ai/s"}},
    ],
)
def test_an_address_that_is_no_result_is_not_followed(document: Any) -> None:
    assert failure("openrouter", answer(document), model=GEMINI).fault.cause is Cause.EMPTY


@pytest.mark.parametrize(
    "content",
    [
        f"Here is your image: {LINK}",
        f"Done. {LINK}.",
        f"[Download]({LINK})",
        f"![x]({LINK})",
        f'<img src="{LINK}">',
        f"<{LINK}>",
        f"**{LINK}**",
        "![x](/x.png)",
    ],
)
def test_links_in_a_text_are_followed(content: str) -> None:
    conversation, _ = start(request("openrouter", model=GEMINI))
    assert conversation.send(chat({"content": content})).url == LINK
    assert finish(conversation, Reply(status=200, body=PNG)).pictures[0].data == PNG


@pytest.mark.parametrize(
    "content", ["see https://elsewhere.example/rules", "see [our rules](https://elsewhere.example/)"]
)
def test_a_link_to_a_host_that_is_not_allowed_is_text(content: str) -> None:
    error = failure("openrouter", chat({"content": content}), model=GEMINI)
    assert (error.fault.cause, error.fault.final) == (Cause.EMPTY, False)
    assert content in error.fault.message


def test_a_link_that_yields_no_image_is_text() -> None:
    page = Reply(status=200, body=b"<html>our terms</html>")
    error = failure("openrouter", chat({"content": f"I may not. See {LINK}"}), page, model=GEMINI)
    assert error.fault.cause is Cause.EMPTY


def test_what_the_request_sent_is_no_result() -> None:
    source = Source(path="/x/a.png", sha256=hashlib.sha256(PNG).hexdigest(), mime="image/png", size_bytes=len(PNG))
    fields = {"model": GEMINI, "kind": Kind.EDIT, "images": (source, Source(url=LINK))}
    parts = [
        {"image_url": {"url": DATA_URL}},
        {"image_url": {"url": LINK}},
        {"image_url": {"url": f"data:image/gif;base64,{OTHER}"}},
    ]
    echo = [{"image_url": {"url": DATA_URL}}, {"image_url": {"url": LINK}}]
    assert pictures(chat({"images": parts}), "openrouter", **fields) == [GIF]
    assert failure("openrouter", chat({"images": echo}), **fields).fault.cause is Cause.EMPTY
    named = {"model": GEMINI, "prompt": f"like {LINK}"}
    assert failure("openrouter", chat({"content": f"As in {LINK}"}), **named).fault.cause is Cause.EMPTY
    for key in ("input", "request", "source_image", "reference_images", "mask", "thumbnails", "partial_images"):
        assert failure("studio", answer({key: {"images": [{"b64_json": B64}]}})).fault.cause is Cause.EMPTY


@pytest.mark.parametrize(
    "text",
    [
        B64.rstrip("="),
        "\n".join(B64[i : i + 20] for i in range(0, len(B64), 20)),
        "  " + B64 + "\r\n",
        B64.replace("+", "-").replace("/", "_"),
        B64.replace("+", "-").replace("/", "_").rstrip("="),
        f"data:image/png;base64,{DATA_URL}",
        f"base64,{B64}",
        f"b'{B64}'",
        "data:image/png;base64," + urllib.parse.quote(B64, safe=""),
        urllib.parse.quote(DATA_URL, safe=""),
        f'"{B64}"',
    ],
)
@pytest.mark.parametrize("key", ["b64_json", "url", "image"])
def test_every_form_of_base64(text: str, key: str) -> None:
    assert pictures(answer({"data": [{key: text}]})) == [PNG]


def test_relative_url_named_in_the_prompt_is_a_result() -> None:
    conversation, _ = start(request("studio", GATEWAY, prompt="Make /files/a.png nicer"))
    assert conversation.send(answer({"data": [{"url": "/files/a.png"}]})).url == "https://gw.example.com/files/a.png"


def test_a_relative_url_belongs_to_the_called_one() -> None:
    conversation, _ = start(request("studio", GATEWAY))
    call = conversation.send(answer({"data": [{"url": "/files/a.png"}]}))
    assert call.url == "https://gw.example.com/files/a.png"
    conversation, _ = start(request("studio", GATEWAY))
    assert conversation.send(answer({"data": [{"url": "//gw.example.com/b"}]})).url == "https://gw.example.com/b"


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream", ""])
def test_an_image_sent_raw(content_type: str) -> None:
    assert pictures(raw(PNG, content_type)) == [PNG]


# --- streams ------------------------------------------------------------------


def stream(*events: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\r\n\r\n" for event in events) + b"data: [DONE]\n\n"


PARTIAL = {"type": "image_generation.partial_image", "b64_json": OTHER, "partial_image_index": 0}
COMPLETED = {"type": "image_generation.completed", "b64_json": B64, "usage": USAGE}


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
def test_a_stream_of_images(content_type: str) -> None:
    conversation, _ = start(request("studio", GATEWAY))
    body = b": keep-alive\n\nevent: x\n" + stream(PARTIAL, PARTIAL, COMPLETED)
    result = finish(conversation, raw(body, content_type))
    assert [picture.data for picture in result.pictures] == [PNG]
    assert result.usage.output_tokens == 1000


def test_a_stream_of_partial_images_holds_no_result() -> None:
    assert failure("studio", raw(stream(PARTIAL), "text/event-stream")).fault.cause is Cause.EMPTY


def test_a_stream_of_a_chat() -> None:
    def delta(part: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"choices": [{"delta": part, **more}]}

    body = stream(
        delta({"role": "assistant", "content": "Here "}),
        delta({"content": "you are"}),
        delta({"images": [{"image_url": {"url": DATA_URL}}]}, finish_reason="stop"),
        {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "cost": 0.04}},
    )
    conversation, _ = start(request("openrouter", model=GEMINI))
    result = finish(conversation, raw(body, "text/event-stream"))
    assert ([picture.data for picture in result.pictures], result.text) == ([PNG], "Here you are")
    assert result.usage.usd == 40_000_000


def test_an_error_in_a_stream_is_that_error() -> None:
    body = stream({"type": "error", "error": {"code": "moderation_blocked", "message": "no"}})
    assert failure("studio", raw(body, "text/event-stream")).fault.cause is Cause.REFUSED


# --- errors beside pictures, and instead of them ------------------------------


@pytest.mark.parametrize(
    "error", [None, {}, "", [], {"message": None, "type": None, "code": None}, {"message": "", "code": ""}]
)
def test_an_empty_error_is_none(error: Any) -> None:
    assert pictures(answer({"data": [ITEM], "error": error})) == [PNG]


def test_an_error_beside_a_picture_is_a_note() -> None:
    conversation, _ = start(request("openai", n=2))
    blocked = {"message": "1 of 2 images were filtered", "code": "moderation_blocked"}
    result = finish(conversation, answer({"data": [ITEM], "error": blocked, "usage": USAGE}))
    assert len(result.pictures) == 1
    assert result.note == "1 of 2 images were filtered"
    assert result.shortfall is not None
    assert result.shortfall.cause is Cause.REFUSED


def test_a_warning_beside_a_picture_is_a_note() -> None:
    conversation, _ = start(request("studio", GATEWAY))
    result = finish(conversation, answer({"data": [ITEM], "warnings": [{"message": "the size was rounded"}]}))
    assert (result.note, result.shortfall) == ("the size was rounded", None)


@pytest.mark.parametrize("document", [{}, {"foo": {"bar": 1}}, {"data": [{"blob": "zzz"}]}, {"ok": True}])
def test_an_unknown_shape_is_not_bought_again(document: Any) -> None:
    fault = failure("aigate", answer(document)).fault
    assert (fault.cause, fault.final) == (Cause.EMPTY, True)


@pytest.mark.parametrize("document", [{"data": []}, {"data": None}, {"data": [{"url": None, "b64_json": None}]}])
def test_a_known_shape_without_a_picture_may_be_tried_again(document: Any) -> None:
    fault = failure("aigate", answer(document)).fault
    assert (fault.cause, fault.final) == (Cause.EMPTY, False)


@pytest.mark.parametrize("document", [{"task_id": "t-1", "status": "processing"}, {"status": "pending", "data": []}])
def test_a_task_instead_of_an_image_is_not_bought_again(document: Any) -> None:
    fault = failure("aigate", answer(document)).fault
    assert (fault.cause, fault.final) == (Cause.EMPTY, True)
    assert "task" in fault.message


def test_a_result_host_that_is_not_allowed_is_not_bought_again() -> None:
    conversation, _ = start(request("openai"))
    conversation.send(answer({"data": [{"url": "https://elsewhere.example/a.png"}], "usage": USAGE}))
    stop = ProviderError(Fault(cause=Cause.SPOILED, message="not on the list", final=True))
    with pytest.raises(ProviderError) as caught:
        conversation.throw(stop)
    assert (caught.value.fault.cause, caught.value.fault.final) == (Cause.SPOILED, True)
    assert caught.value.usage is not None
    assert caught.value.usage.output_tokens == 1000


def test_what_broke_off_and_can_be_read_is_whole() -> None:
    reply = Reply(status=200, body=WHOLE, broken="the connection was closed")
    conversation, _ = start(request("studio", GATEWAY))
    assert finish(conversation, reply).pictures[0].data == PNG


def test_whole_image_is_taken_from_an_answer_cut_off_later() -> None:
    assert pictures(Reply(status=200, body=WHOLE[:-40], broken="the connection was closed")) == [PNG]
    assert pictures(raw(WHOLE[:-40])) == [PNG]


@pytest.mark.parametrize(
    "body", [WHOLE[:60], b"", gzip.compress(WHOLE, mtime=0)[:50], b'{"usage": {"cost": 1}, "data": [{"b64_json": "iVBO']
)
def test_what_broke_off_and_cannot_be_read_is_unknown(body: bytes) -> None:
    fault = failure("studio", Reply(status=200, body=body, broken="the connection was closed")).fault
    assert fault.cause is Cause.UNKNOWN
    assert fault.message == "the connection was closed"


def test_an_error_states_its_cost() -> None:
    document = {"error": {"message": "failed", "code": 500}, "usage": {"prompt_tokens": 5, "completion_tokens": 7}}
    error = failure("openai", answer(document, status=500))
    assert error.usage is not None
    assert error.usage.output_tokens == 7


def test_a_document_after_text_is_found_once_and_quickly() -> None:
    assert jsonbody.read(b"[x " * 50 + b'{"a": 1}') == {"a": 1}
    with pytest.raises(jsonbody.Unreadable):
        jsonbody.read(b"[" * 300_000)
    with pytest.raises(jsonbody.Unreadable):
        jsonbody.read(b'{"a": ' * 100_000)


def test_a_call_of_a_link_is_never_paid() -> None:
    conversation, _ = start(request("openrouter", model=GEMINI))
    call = conversation.send(chat({"content": LINK}))
    assert isinstance(call, Call)
    assert (call.billed, call.signed) == (False, False)


def test_a_body_that_is_an_address_leads_to_the_image() -> None:
    conversation, _ = start(request("openrouter", model=GEMINI))
    assert conversation.send(raw(LINK.encode() + b"\n", "text/plain")).url == LINK
    assert finish(conversation, Reply(status=200, body=PNG)).pictures[0].data == PNG


@pytest.mark.parametrize("value", [B64, DATA_URL])
def test_an_image_that_was_cut_off_with_its_answer_is_unknown(value: str) -> None:
    cut = Reply(status=200, body=b'{"data": [{"url": "' + value[:-40].encode(), headers={}, broken="closed")
    assert failure("studio", cut).fault.cause is Cause.UNKNOWN
    whole = Reply(status=200, body=b'{"data": [{"url": "' + value.encode() + b'", "re', headers={}, broken="closed")
    assert pictures(whole) == [PNG]


@pytest.mark.parametrize("text", [B64, DATA_URL])
def test_a_download_in_base64_is_the_image(text: str) -> None:
    conversation, _ = start(request("openrouter", model=GEMINI))
    conversation.send(chat({"content": f"![x]({LINK})"}))
    assert finish(conversation, Reply(status=200, body=text.encode())).pictures[0].data == PNG


def test_a_key_in_pieces_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_KNOWN", {"abcdef-1234567"})
    parts = [{"type": "text", "text": "key abcdef-"}, {"type": "text", "text": "1234567 ok"}]
    conversation, _ = start(request("openrouter", model=GEMINI))
    images = [{"image_url": {"url": DATA_URL}}]
    assert finish(conversation, chat({"content": parts, "images": images})).text == "key [hidden] ok"
    fault = failure("openrouter", chat({"content": parts}), model=GEMINI).fault
    assert "1234567" not in fault.message
