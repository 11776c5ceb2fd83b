"""Every shape is on the wire what its name says: seen by a client that reads nothing but bytes."""

from __future__ import annotations

import base64
import gzip
import io
import json
import socket
import time
import zlib
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from PIL import Image, UnidentifiedImageError

from batchgen.sandbox.dialects.dialect import PAID_BY_PICTURE
from batchgen.sandbox.launch import Sandbox, start
from batchgen.sandbox.log import read_log
from batchgen.sandbox.shapes import CHARGED, FREE, GOOD, SHAPES

PATHS = {
    "openai": ("/v1/images/generations", {"model": "gpt-image-2"}),
    "gptimageapi": ("/v1/images/generate", {"model": "gpt-image-2"}),
    "aimlapi": ("/v1/images/generations", {"model": "openai/gpt-image-2"}),
    "gateway": ("/api/v1/images/generations", {"model": "gpt-image-2", "size": "1024x1024", "n": 1}),
    "openrouter": ("/api/v1/chat/completions", {"model": "google/gemini-3.1-flash-image"}),
}


@dataclass(frozen=True, kw_only=True)
class Raw:
    """An answer as it came, to the end of the connection."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    @property
    def json(self):
        return json.loads(self.body)

    def header(self, name: str) -> list[str]:
        lines = [line.partition(b":") for line in self.head.split(b"\r\n")[1:]]
        return [value.strip().decode() for key, _, value in lines if key.strip().lower() == name.encode()]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sandbox")
    with start(folder, latency="none", idle_exit=60, extra=("--draw", "small")) as running:
        yield running


class Asker:
    """Asks in words that no other test uses, so that the charges are its own."""

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        self.sandbox, self.name = sandbox, name.replace("[", "(").replace("]", ")")

    def __call__(
        self, directive: str, provider: str = "openai", n: int | None = None, sources: tuple[str, ...] = ()
    ) -> Raw:
        path, body = PATHS[provider]
        prompt = self.prompt(directive, provider)
        if provider == "openrouter":
            parts = [{"type": "text", "text": prompt}]
            parts += [{"type": "image_url", "image_url": {"url": source}} for source in sources]
            body = body | {"modalities": ["image", "text"], "messages": [{"role": "user", "content": parts}]}
        else:
            body = body | {"prompt": prompt}
        return talk(self.sandbox.url, f"/{provider}{path}", json.dumps(body | ({"n": n} if n else {})).encode())

    def prompt(self, directive: str, provider: str) -> str:
        return f"A cat, {provider}, {self.name} [sandbox: {directive}]"

    def charges(self, directive: str, provider: str = "openai") -> list[str]:
        prompt = self.prompt(directive, provider)
        lines = read_log(self.sandbox.log)
        return [line["usd"] for line in lines if line["event"] == "charge" and line["prompt"] == prompt]


@pytest.fixture
def ask(sandbox, request):
    return Asker(sandbox, request.node.name)


def talk(url: str, path: str, body: bytes | None = None, key: str = "sk-test-1234") -> Raw:
    """Send one request; read to the end of the connection."""
    place = urlsplit(url)
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", f"Host: {place.netloc}", "Connection: close"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"] if body is not None else []
    with socket.create_connection((place.hostname, place.port), 5) as line:
        line.sendall("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        data = b""
        while part := line.recv(65536):
            data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    return Raw(head=head, body=rest)


def fetch(sandbox, url: str, key: str = "") -> Raw:
    place = urlsplit(url)
    return talk(sandbox.url, place.path + (f"?{place.query}" if place.query else ""), key=key)


def picture(data: bytes | str) -> str:
    """Decode a picture to its last pixel; return its format."""
    raw = base64.b64decode(data, validate=True) if isinstance(data, str) else data
    with Image.open(io.BytesIO(raw)) as image:
        image.load()
        return str(image.format)


def unchunked(body: bytes) -> tuple[bytes, bool]:
    """Return what stands in chunks, and whether the last one came."""
    found = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return found, True
        found, body = found + rest[:length], rest[length + 2 :]
    return found, False


# --- each shape is charged as its group says, and works for each kind of provider -------------------------------------

#: Providers that charge by the picture: an answer without one is free, whatever usage it states.
PER_PICTURE = ("gateway", "gptimageapi")
CHARGED_ONCE = [name for groups in (GOOD, CHARGED) for group in groups.values() for name in group]


@pytest.mark.parametrize("name", CHARGED_ONCE)
def test_good_shapes_are_charged_once(ask, name):
    for provider in PATHS:
        fits = SHAPES[name].endpoint in ("", "chat" if provider == "openrouter" else "images")
        source = (f"{'data:image/png;base64,'}{base64.b64encode(tiny()).decode()}",) if provider == "openrouter" else ()
        answer = ask(name, provider, sources=source)
        is_free = name in PAID_BY_PICTURE and provider in PER_PICTURE
        assert len(ask.charges(name, provider)) == (1 if fits and not is_free else 0), provider
        assert fits or (answer.status in (200, 400) and b"is a shape of answers to" in answer.body)


@pytest.mark.parametrize("name", [name for group in FREE.values() for name in group])
def test_refusals_are_not_charged(ask, name):
    for provider in ("openai", "openrouter"):
        ask(name, provider)
        assert ask.charges(name, provider) == []


def tiny() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (1, 2, 3)).save(buffer, "PNG")
    return buffer.getvalue()


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_json_shapes_are_not_strict_json(ask):
    assert ask("repeated-key").body.count(b'"created"') == 2
    assert ask("repeated-data").body.startswith(b'{"data": [], ')
    assert b"NaN" in ask("not-a-number").body
    with pytest.raises(ValueError, match="Invalid control character"):
        ask("control-character").json  # noqa: B018 - it raises
    with pytest.raises(UnicodeDecodeError):
        ask("broken-utf8").body.decode()
    with pytest.raises(UnicodeEncodeError):
        ask("lone-surrogate").json["caption"].encode()
    assert b"1e99999999999999999999," in ask("huge-exponent").body
    with pytest.raises(ValueError, match="digits"):
        ask("long-number").json  # noqa: B018
    for name in ("text-before", "text-after"):
        with pytest.raises(ValueError, match=r"Expecting value|Extra data"):
            ask(name).json  # noqa: B018
    assert ask("byte-order-mark").body.startswith(b"\xef\xbb\xbf{")
    assert ask("blank-lines").body.startswith(b"\n" * 20 + b"{")
    for name in ("not-a-number", "repeated-data", "blank-lines"):
        assert picture(ask(name).json["data"][0]["b64_json"]) == "PNG"


def test_error_shapes_keep_the_picture(ask):
    assert ask("error-null").json["error"] is None
    assert set(ask("error-null-fields").json["error"].values()) == {None}
    assert set(ask("error-empty").json["error"].values()) == {""}
    assert ask("error-empty-text").json["error"] == ""
    assert ask("error-list", "openrouter").json["error"] == ["upscaled by the provider"]
    beside = ask("error-beside").json
    assert (beside["error"]["code"], len(beside["data"])) == ("moderation_blocked", 1)
    less = ask("error-beside-less", n=3).json
    assert (less["error"]["code"], len(less["data"])) == ("moderation_blocked", 2)
    [good, filtered] = ask("item-filtered", n=2).json["data"]
    assert (picture(good["b64_json"]), filtered["b64_json"]) == ("PNG", None)


# --- framing ----------------------------------------------------------------------------------------------------------


def test_framing_shapes(ask):
    cut = ask("no-last-chunk")
    body, ended = unchunked(cut.body)
    assert (json.loads(body)["data"] != [], ended, cut.header("content-length")) == (True, False, [])
    long = ask("long-length")
    assert int(long.header("content-length")[0]) == len(long.body) + 2
    assert long.json["data"]
    both = ask("length-and-chunks")
    body, ended = unchunked(both.body)
    assert ([int(text) for text in both.header("content-length")], ended) == ([len(body)], True)
    assert both.header("transfer-encoding") == ["chunked"]
    wrong = ask("wrong-length-and-chunks")
    assert (wrong.header("content-length"), wrong.header("transfer-encoding")) == (["10"], ["chunked"])
    assert len(ask("length-twice").header("content-length")) == 2
    old = ask("until-closed")
    assert (old.head[:8], old.header("content-length"), bool(old.json["data"])) == (b"HTTP/1.0", [], True)
    early = ask("early-hints")
    assert (early.status, early.body.startswith(b"HTTP/1.1 200 OK\r\n")) == (103, True)
    assert ask("trailing-lines").body.endswith(b"}\r\n\r\n")
    assert b"\r\nBad Header Name: x\r\n" in ask("odd-header").head
    for size in (20_000, 60_000):
        assert len(ask(f"big-header={size}").head) > size
        assert ask(f"big-header={size}").json["data"]


def test_compression_shapes(ask):
    packed = {
        "gzip": (["gzip"], gzip.decompress),
        "gzip-claimed": (["gzip"], bytes),
        "gzip-unannounced": ([], gzip.decompress),
        "deflate": (["deflate"], zlib.decompress),
        "raw-deflate": (["deflate"], lambda body: zlib.decompress(body, -zlib.MAX_WBITS)),
    }
    for name, (announced, unpack) in packed.items():
        answer = ask(name)
        assert (name, answer.header("content-encoding")) == (name, announced)
        assert json.loads(unpack(answer.body))["data"]
    members = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    assert len(members.decompress(ask("gzip-members").body)) == 100
    assert members.unused_data.startswith(b"\x1f\x8b")


# --- bodies -----------------------------------------------------------------------------------------------------------


def events(body: bytes) -> list[dict]:
    lines = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def test_body_shapes_are_not_json(ask):
    raw = ask("raw-image")
    assert (raw.header("content-type"), picture(raw.body)) == (["image/png"], "PNG")
    stream = ask("event-stream")
    assert stream.header("content-type") == ["text/event-stream"]
    kinds = [event["type"] for event in events(stream.body)]
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    last = events(stream.body)[-1]
    assert (picture(last["b64_json"]), last["usage"]["output_tokens"]) == ("PNG", 1767)
    assert ask("event-stream-as-json").header("content-type")[0].startswith("application/json")
    chat = ask("event-stream", "openrouter")
    assert chat.body.endswith(b"data: [DONE]\n\n")
    urls = [
        image["image_url"]["url"]
        for event in events(chat.body)
        for image in event["choices"][0]["delta"].get("images", [])
    ]
    assert [picture(url.partition(",")[2]) for url in urls] == ["PNG"]
    assert events(chat.body)[-1]["usage"]["cost"] > 0
    assert {event["type"] for event in events(ask("event-stream-previews").body)} == {"image_generation.partial_image"}
    assert b'"images"' not in ask("event-stream-previews", "openrouter").body


# --- places -----------------------------------------------------------------------------------------------------------

PLACES = {
    "in-images": lambda a: a["images"][0]["url"],
    "in-output": lambda a: a["output"][0]["b64_json"],
    "in-result": lambda a: a["result"]["b64_json"],
    "in-results": lambda a: a["results"][0]["b64_json"],
    "in-artifacts": lambda a: a["artifacts"][0]["base64"],
    "in-output-text": lambda a: a["output"],
    "in-envelope": lambda a: a["data"]["images"][0]["b64_json"],
    "in-result-envelope": lambda a: a["result"]["data"][0]["b64_json"],
    "in-output-envelope": lambda a: a["output"]["results"][0]["b64_json"],
    "in-envelope-result": lambda a: a["data"]["result"]["b64_json"],
    "item-text": lambda a: a["data"][0],
    "item-data-url": lambda a: a["data"][0],
    "item-link": lambda a: a["data"][0],
    "item-base64": lambda a: a["data"][0]["base64"],
    "item-image-base64": lambda a: a["data"][0]["image_base64"],
    "item-url": lambda a: a["data"][0]["url"],
    "item-url-data": lambda a: a["data"][0]["url"],
    "item-url-percent": lambda a: unquote(a["data"][0]["url"]),
    "item-image-url": lambda a: a["data"][0]["image_url"],
    "item-image-url-object": lambda a: a["data"][0]["image_url"]["url"],
    "item-uri": lambda a: a["data"][0]["uri"],
    "item-link-and-base64": lambda a: a["data"][0]["b64_json"],
}


def test_place_shapes_are_all_tested():
    assert list(PLACES) == list(GOOD["A good picture in another place (images):"])
    assert list(CHAT) == list(GOOD["A good picture in another place (chat):"])


def seen(sandbox, text: str) -> str:
    """Return the format of a picture in base64, in a data URL or behind an address."""
    if text.startswith("http"):
        return picture(fetch(sandbox, text).body)
    return picture(text.partition("base64,")[2] if text.startswith("data:") else text)


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("provider", ["openai", "gptimageapi", "gateway"])
def test_image_shapes_place_the_picture(sandbox, ask, name, provider):
    answer = ask(name, provider).json
    assert seen(sandbox, PLACES[name](answer)) == "PNG"
    assert provider != "openai" or "usage" in answer


def _between(text: str, before: str, after: str) -> str:
    return text.partition(before)[2].partition(after)[0]


CHAT = {
    "chat-empty-entries": lambda m: _between(m["content"], "](", ")"),
    "chat-some-empty": lambda m: m["images"][1]["image_url"]["url"],
    "chat-parts": lambda m: m["content"][1]["image_url"]["url"],
    "chat-inline-data": lambda m: m["content"][0]["inline_data"]["data"],
    "chat-inline-data-camel": lambda m: m["content"][1]["inlineData"]["data"],
    "chat-multi-mod": lambda m: m["multi_mod_content"][1]["inline_data"]["data"],
    "chat-markdown": lambda m: _between(m["content"], "![a picture](", ")"),
    "chat-markdown-link": lambda m: _between(m["content"], "![a picture](", ")"),
    "chat-html": lambda m: _between(m["content"], 'src="', '"'),
    "chat-html-link": lambda m: _between(m["content"], "src='", "'"),
    "chat-link": lambda m: _between(m["content"], "[Download](", ")"),
    "chat-address": lambda m: m["content"].removeprefix("Here is your image: ").removesuffix("."),
    "chat-data-url": lambda m: m["content"],
    "chat-json": lambda m: json.loads(m["content"])["images"][0]["b64_json"],
    "chat-same-twice": lambda m: m["images"][1]["image_url"]["url"],
    "chat-echo": lambda m: m["images"][0]["image_url"]["url"],
}


@pytest.mark.parametrize("name", CHAT)
def test_chat_shapes_place_the_picture(sandbox, ask, name):
    answer = ask(name, "openrouter").json
    assert seen(sandbox, CHAT[name](answer["choices"][0]["message"])) == "PNG"
    assert answer["usage"]["cost"] > 0


def test_echo_shapes_return_the_sources(ask):
    source = f"data:image/png;base64,{base64.b64encode(tiny()).decode()}"
    echoed = ask("chat-echo", "openrouter", sources=(source,)).json["choices"][0]["message"]["images"]
    assert [image["image_url"]["url"] == source for image in echoed] == [True, False]
    only = ask("chat-echo-only", "openrouter", sources=(source,)).json["choices"][0]["message"]
    assert (source in only["content"], "images" in only) == (True, False)


# --- pictures ---------------------------------------------------------------------------------------------------------


def sent(ask, name: str) -> str:
    return str(ask(name).json["data"][0]["b64_json"])


def test_base64_shapes(ask):
    bare = sent(ask, "base64-no-padding")
    assert len(bare) % 4 != 0
    assert picture(bare + "=" * (-len(bare) % 4)) == "PNG"
    assert "\r\n" in sent(ask, "base64-lines")
    assert " " in sent(ask, "base64-blanks")
    safe = sent(ask, "base64-url-safe")
    assert not set("+/") & set(safe)
    assert picture(base64.urlsafe_b64decode(safe)) == "PNG"
    escaped = sent(ask, "base64-percent")
    assert picture(unquote(escaped)) == "PNG"
    assert "%2B" in escaped
    assert sent(ask, "base64-data-url").count("data:image/png;base64,") == 1
    assert sent(ask, "base64-data-url-twice").startswith("data:image/png;base64," * 2)
    assert ask("base64-data-url-twice", "openrouter").body.count(b"base64,") == 3
    assert "%2B" in ask("base64-percent", "gptimageapi").json["data"]["images"][0]["url"]


def test_file_format_shapes(ask):
    for name in ("jpeg", "gif", "avif", "bmp", "tiff", "webp"):
        assert picture(sent(ask, name)).lower() == name
    for name, end in (("jpeg-video", b"\xff"), ("jpeg-padding", bytes(4096)), ("jpeg-trailer", b"trailer")):
        data = base64.b64decode(sent(ask, name))
        assert (picture(data), data.endswith(end), data.endswith(b"\xff\xd9")) == ("JPEG", True, False)
    half = base64.b64decode(sent(ask, "jpeg-cut-closed"))
    assert half.endswith(b"\xff\xd9")
    whole = base64.b64decode(sent(ask, "jpeg"))
    assert len(half) < len(whole) * 0.8
    for name in ("svg", "unknown-format"):
        with pytest.raises(UnidentifiedImageError):
            picture(sent(ask, name))


# --- addresses --------------------------------------------------------------------------------------------------------


def address(ask, directive: str) -> str:
    return str(ask(directive).json["data"][0]["url"])


def test_result_urls_behave_as_requested(sandbox, ask):
    for directive, statuses in {
        "url": [200],
        "url-403": [403, 403, 200],
        "url-403=3": [403, 403, 403, 200],
        "url-404": [404, 404, 200],
        "url-gone": [410] * 4,
        "url-denied": [403] * 4,
        "url-no-type": [200],
    }.items():
        url = address(ask, directive)
        assert [fetch(sandbox, url).status for _ in statuses] == statuses, directive
    assert fetch(sandbox, address(ask, "url-no-type")).header("content-type") == ["application/octet-stream"]
    keyed = address(ask, "url-needs-key")
    assert [fetch(sandbox, keyed).status, fetch(sandbox, keyed, "sk-test-1234").status] == [401, 200]
    assert fetch(sandbox, address(ask, "url"), "sk-test-1234").status == 400
    assert address(ask, "url-relative").startswith("/openai/cdn/")
    assert urlsplit(address(ask, "url-foreign")).hostname == "pictures.example.test"


def test_redirect_shapes(sandbox, ask):
    url = address(ask, "url-redirect=2")
    for hop in (1, 2):
        moved = fetch(sandbox, url)
        assert (moved.status, moved.header("location")) == (302, [f"{urlsplit(url).path}?hop={hop}"])
        url = moved.header("location")[0]
    assert picture(fetch(sandbox, url).body) == "PNG"
    away = fetch(sandbox, address(ask, "url-elsewhere"))
    assert urlsplit(away.header("location")[0]).hostname == "localhost"


def test_downloads_with_a_key_are_logged(sandbox, ask):
    url = address(ask, "url-needs-key")
    for key in ("", "sk-test-5678"):
        fetch(sandbox, url, key)

    def lines() -> list[tuple[int, str]]:
        logged = [line for line in read_log(sandbox.log) if line["event"] == "download"]
        return [(line["status"], line["key_tail"]) for line in logged if line["path"] == urlsplit(url).path]

    end = time.monotonic() + 5
    while len(lines()) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert lines() == [(401, ""), (200, "5678")]


# --- errors and charges -----------------------------------------------------------------------------------------------


def test_misleading_error_shapes(ask):
    assert "A cat" in ask("echo-400").json["error"]["message"]
    assert ask("echo-422").json["detail"][0]["input"].startswith("A cat")
    assert (ask("echo-422").status, ask("echo-400").status, ask("echo-403").status) == (422, 400, 403)
    quota = ask("quota-per-minute=2")
    assert (quota.status, quota.json["error"]["details"][1]["retryDelay"]) == (429, "2s")
    silent = ask("throttle-silent")
    assert (silent.status, silent.header("retry-after")) == (429, [])
    wall = ask("firewall")
    assert (wall.status, wall.header("content-type")[0].split(";")[0]) == (403, "text/html")
    assert [ask(name).status for name in ("model-missing", "model-denied")] == [404, 403]
    for name in FREE["Refused with status 200:"]:
        assert ask(name).status == 200
    assert ask("error200-success").json == {
        "success": False, "message": "Insufficient credits, please top up", "code": 402,
    }  # fmt: skip


def test_log_has_the_real_charge(ask):
    listed = Decimal(ask_usd(ask, "url"))
    assert Decimal(ask_usd(ask, "price-factor=5")) == listed * 5
    tokens = ask("price-factor=5").json["usage"]["output_tokens"]
    assert tokens == 5 * 1767
    usage = ask("price-factor=2", "aimlapi").json["meta"]["usage"]
    assert usage["credits_used"] == 2_000_000 * Decimal(str(usage["usd_spent"]))
    own = ask("cost-own-key", "openrouter").json["usage"]
    assert (own["cost"], own["cost_details"]) == (0, {"upstream_inference_cost": 0.0387})
    assert ask.charges("cost-own-key", "openrouter") == ["0.0387"]
    ask("cost-own-key-fee", "openrouter")
    assert ask.charges("cost-own-key-fee", "openrouter") == ["0.0407"]
    assert ask("litellm-cost", "gateway").header("x-litellm-response-cost") == ["5.3e-05"]
    assert ask.charges("litellm-cost", "gateway") == ["0.000053"]
    assert ask("litellm-zero", "gateway").header("x-litellm-response-cost") == ["0.0"]
    beside = ask("tokens-zero-beside").json["usage"]
    assert (beside["input_tokens"], beside["prompt_tokens"] > 0, beside["completion_tokens"]) == (0, True, 1767)
    assert ask("details-zero").json["usage"]["input_tokens_details"] == {"text_tokens": 0, "image_tokens": 0}


def ask_usd(ask, directive: str) -> str:
    before = len(ask.charges(directive))
    ask(directive)
    return ask.charges(directive)[before]


def test_charged_shapes_without_a_picture(ask):
    refused = ask("refused-charged", "openrouter").json
    assert refused["choices"][0]["native_finish_reason"] == "IMAGE_SAFETY"
    assert (refused["usage"]["cost"], ask.charges("refused-charged", "openrouter")) == (0.04, ["0.04"])
    for provider in ("openai", "openrouter"):
        empty = ask("empty-charged", provider).json
        assert empty["usage"]
        assert "base64" not in json.dumps(empty)
        failed = ask("error-charged", provider)
        assert (failed.status, bool(failed.json["usage"])) == (500, True)
    assert (ask("refused-usage").status, ask("refused-usage").json["usage"]["output_tokens"]) == (400, 1767)
    assert ask("error-litellm-zero").header("x-litellm-response-cost") == ["0"]
    assert ask("pending").json == {"task_id": "t-1", "status": "processing"}
    assert picture(bytes.fromhex(ask("odd-place").json["blob"]["hex"])) == "PNG"


def test_help_page_lists_every_shape():
    from batchgen.cli.render import pages

    told = pages.page("sandbox-faults")
    for name, shape in SHAPES.items():
        assert f"- `{name}`: " in told
        assert shape.about in " ".join(told.split())
    assert max(len(line) for line in told.splitlines()) <= 120


def test_http_client_reads_valid_shapes(sandbox):
    """The shapes that are no more than HTTP allows do not disturb a client of the common kind."""
    with httpx.Client(trust_env=False, timeout=5, headers={"Authorization": "Bearer sk-test-1234"}) as client:
        for name in ("gzip", "deflate", "early-hints", "blank-lines", "repeated-key", "big-header=6000"):
            body = {"model": "gpt-image-2", "prompt": f"A dog [sandbox: {name}]"}
            assert client.post(f"{sandbox.url}/openai/v1/images/generations", json=body).json()["data"], name
