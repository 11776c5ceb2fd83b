"""The sandbox refuses what the providers' documents refuse: pure checks, no socket."""

from __future__ import annotations

import base64
import io
from decimal import Decimal
from typing import Any

import pytest
from PIL import Image, ImageChops

from batchgen.sandbox.canvas import fit
from batchgen.sandbox.dialects import DIALECTS
from batchgen.sandbox.drawing import draw_picture
from batchgen.sandbox.editing import inner, insets, place
from batchgen.sandbox.faults import FaultBook, parse_directive, parse_rate, parse_rule, split_prompt
from batchgen.sandbox.log import read_log
from batchgen.sandbox.server import require_loopback
from batchgen.sandbox.timing import Latency, Throttle
from batchgen.sandbox.values import Form, Order, Refusal, Trace, Upload

GPT = {"model": "openai/gpt-image-2", "prompt": "A cat"}
PLAIN = {"model": "gpt-image-2", "prompt": "A cat"}
FULL = {**PLAIN, "size": "1024x1024", "n": 1}
GEMINI = {
    "model": "google/gemini-3.1-flash-image-preview",
    "messages": [{"role": "user", "content": [{"type": "text", "text": "A cat"}]}],
    "modalities": ["image", "text"],
}
TRACE = Trace(serial=1, now=1_780_000_000.5, path="/p/v1/x", request_id="abc")


def png(size: tuple[int, int] = (64, 48), colour: Any = (200, 30, 30), mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def upload(name: str, data: bytes, mime: str = "image/png") -> Upload:
    return Upload(name=name, filename="a.png", mime=mime, data=data)


def no_fetch(url: str) -> bytes:
    raise AssertionError(url)


def read(provider: str, kind: str, fields: dict[str, Any], *files: Upload) -> Order:
    return DIALECTS[provider].read(Form(fields=fields, files=files, multipart=bool(files)), kind, no_fetch)


def refused(provider: str, kind: str, fields: dict[str, Any], *files: Upload) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(provider, kind, fields, *files)
    return caught.value


@pytest.mark.parametrize(
    ("provider", "kind", "fields"),
    [
        ("aigate", "generation", {**GPT, "size": "2048x880", "resolution": "2k", "quality": "high", "n": 2}),
        ("openai", "generation", {**PLAIN, "size": "3840x2160", "background": "transparent", "output_format": "webp"}),
        ("openai", "generation", {**PLAIN, "model": "gpt-image-2.5-flare", "quality": "max"}),
        ("aimlapi", "generation", {**GPT, "size": "1536x1024", "response_format": "b64_json", "moderation": "low"}),
        ("gptimageapi", "generation", {**PLAIN, "size": "9:21", "quality": "low", "n": 3, "background": "opaque"}),
        ("gateway", "generation", FULL),
        ("aigate", "chat", GEMINI),
        ("openrouter", "chat", {**GEMINI, "image_config": {"aspect_ratio": "16:9", "image_size": "2K"}}),
    ],
)
def test_documented_requests_pass(provider, kind, fields):
    assert read(provider, kind, fields).prompt == "A cat"


@pytest.mark.parametrize(
    ("provider", "kind", "fields", "code"),
    [
        ("aigate", "generation", {**GPT, "response_format": "b64_json"}, "unknown_parameter"),
        ("aigate", "generation", {**GPT, "model": "gpt-image-2"}, "model_not_found"),
        ("aigate", "generation", {**GPT, "model": GEMINI["model"]}, "unsupported_model"),
        ("aigate", "edit", {**GPT, "model": GEMINI["model"]}, "unsupported_model"),
        ("aigate", "chat", {**GEMINI, "model": "openai/gpt-image-2"}, "unsupported_model"),
        ("aigate", "chat", {**GEMINI, "modalities": ["text"]}, "invalid_value"),
        ("aigate", "generation", {**GPT, "resolution": "8k"}, "invalid_value"),
        ("openai", "generation", {**PLAIN, "response_format": "url"}, "unknown_parameter"),
        ("openai", "generation", {**PLAIN, "resolution": "1k"}, "unknown_parameter"),
        ("openai", "generation", {**PLAIN, "size": "1000x1000"}, "invalid_value"),
        ("openai", "generation", {**PLAIN, "size": "512x512"}, "invalid_value"),
        ("openai", "generation", {**PLAIN, "size": "3840x1024"}, "invalid_value"),
        ("openai", "generation", {**PLAIN, "size": "3856x2160"}, "invalid_value"),
        ("openai", "generation", {**PLAIN, "model": "gpt-image-1.5", "size": "2048x2048"}, "invalid_value"),
        ("openai", "generation", {**PLAIN, "model": "gpt-image-1"}, "model_not_found"),
        ("openai", "generation", {**PLAIN, "quality": "max"}, "invalid_value"),
        ("openai", "generation", {**PLAIN, "n": 11}, "integer_out_of_range"),
        ("openai", "generation", {**PLAIN, "n": True}, "invalid_type"),
        ("openai", "generation", {**PLAIN, "background": "transparent", "output_format": "jpeg"}, "invalid_value"),
        ("openai", "generation", {**PLAIN, "prompt": "x" * 32_001}, "string_above_max_length"),
        ("openai", "generation", {**PLAIN, "stream": True}, "unsupported_value"),
        ("openai", "generation", {"model": "gpt-image-2"}, "missing_required_parameter"),
        ("aimlapi", "generation", {**GPT, "n": 2}, "integer_out_of_range"),
        ("aimlapi", "generation", {**GPT, "size": "auto"}, "invalid_value"),
        ("aimlapi", "generation", {**GPT, "size": "2048x2048"}, "invalid_value"),
        ("aimlapi", "generation", {**GPT, "quality": "auto"}, "invalid_value"),
        ("aimlapi", "generation", {**GPT, "user": "me"}, "unknown_parameter"),
        ("aimlapi", "edit", {**GPT, "images": [{"image_url": "https://x/y.png"}]}, "unsupported_content_type"),
        ("gptimageapi", "generation", {**PLAIN, "size": "1024x1024"}, "invalid_value"),
        ("gptimageapi", "generation", {**PLAIN, "output_format": "png"}, "unknown_parameter"),
        ("gateway", "generation", {**FULL, "quality": "high"}, "unknown_parameter"),
        *[
            ("gateway", "generation", {k: v for k, v in FULL.items() if k != gone}, "missing_required_parameter")
            for gone in FULL
        ],
        ("openrouter", "chat", {**GEMINI, "image_config": {"aspect_ratio": "7:3"}}, "invalid_value"),
        ("openai", "edit", {**PLAIN}, "missing_required_parameter"),
        ("openai", "edit", {**PLAIN, "images": [{"image_url": "ftp://x/y.png"}]}, "invalid_value"),
        ("openai", "edit", {**PLAIN, "images": [{"image_url": "data:image/png;base64,!"}]}, "invalid_base64"),
        ("openai", "edit", {**PLAIN, "images": [{"file_id": 7}]}, "invalid_value"),
        ("openai", "edit", {**PLAIN, "images": [{"image_url": "https://x/y"}] * 17}, "array_above_max_length"),
    ],
)
def test_undocumented_requests_are_refused(provider, kind, fields, code):
    assert refused(provider, kind, fields).code == code


def test_multipart_edits_follow_file_rules():
    mask = png((64, 48), (0, 0, 0, 0), "RGBA")
    order = read("aimlapi", "edit", {**GPT, "n": "3"}, upload("image[]", png()), upload("mask", mask))
    assert (order.n, len(order.sources), order.as_url) == (3, 1, True)
    for name in ("openai", "aimlapi"):
        fields = GPT if name == "aimlapi" else PLAIN
        image = upload("image", png())
        cases = {
            "duplicate_parameter": (image, image),
            "unsupported_file_mimetype": (upload("image", png(), "application/octet-stream"),),
            "invalid_image_file": (upload("image", png()[:60]),),
            "invalid_mask": (image, upload("mask", png())),
            "invalid_mask_image_format": (image, upload("mask", png((32, 32), (0, 0, 0, 0), "RGBA"))),
            "file_too_large": (image, upload("mask", b"x" * 4_000_000)),
            "array_above_max_length": (upload("image[]", png()),) * 17,
            "unknown_parameter": (image, upload("photo", png())),
        }
        for code, files in cases.items():
            assert refused(name, "edit", fields, *files).code == code
    assert refused("openai", "edit", {**PLAIN, "moderation": "low"}, upload("image", png())).code == "unknown_parameter"
    fidelity = {**PLAIN, "input_fidelity": "high"}
    assert refused("openai", "edit", fidelity, upload("image", png())).code == "invalid_input_fidelity_model"


def test_error_envelopes_differ_by_provider():
    def envelope(name, cause, kind="generation", message=None):
        reply = DIALECTS[name].refuse(Refusal(cause, message), TRACE, kind)
        return reply.status, reply.payload

    assert envelope("openai", "refuse")[1]["error"]["code"] == "moderation_blocked"
    assert set(envelope("openai", "invalid")[1]["error"]) == {"message", "type", "param", "code"}
    assert envelope("openai", "money") == (
        400,
        {
            "error": {
                "message": "Billing hard limit has been reached.",
                "type": "invalid_request_error",
                "param": None,
                "code": "billing_hard_limit_reached",
            }
        },
    )
    status, body = envelope("aimlapi", "money")
    assert (status, set(body)) == (403, {"message", "path", "requestId", "statusCode", "timestamp"})
    assert "run out of credits" in body["message"]
    assert envelope("aimlapi", "invalid", message="n is 2")[1]["message"] == "Body validation error! n is 2"
    assert envelope("aimlapi", "invalid")[1]["path"] == "/v1/x"
    assert envelope("gptimageapi", "refuse")[0] == 200
    assert envelope("gptimageapi", "refuse")[1]["code"] != 0
    assert set(envelope("gateway", "throttle")[1]["error"]) == {"message", "type", "code"}
    status, body = envelope("openrouter", "refuse")
    assert (status, body["error"]["code"], body["error"]["metadata"]["reasons"]) == (403, 403, ["violence"])
    status, body = envelope("aigate", "refuse", "chat")
    assert (status, body["choices"][0]["finish_reason"]) == (200, "content_filter")


def test_prices_equal_manual_sums():
    def bill(name, kind, fields, images=1):
        return DIALECTS[name].price(read(name, kind, fields), images)

    four = {"prompt": "x" * 16}  # four tokens
    assert bill("openai", "generation", {**PLAIN, **four}).usd == Decimal("0.05303")
    assert bill("aigate", "generation", {**GPT, **four, "quality": "low"}).usage == {
        "input_tokens": 4,
        "output_tokens": 196,
        "total_tokens": 200,
    }
    assert bill("aigate", "chat", GEMINI).usd == Decimal("0.0672")
    assert bill("aigate", "chat", {**GEMINI, "model": "google/gemini-3-pro-image"}).usd == Decimal("0.134")
    assert bill("gptimageapi", "generation", {**PLAIN, "quality": "high"}, 2).credits == 24
    assert bill("gptimageapi", "generation", PLAIN).usd is None
    assert bill("gateway", "generation", FULL, 3).usd == Decimal("0.15")
    aiml = bill("aimlapi", "generation", GPT)
    assert aiml.usd == aiml.credits / 2_000_000
    assert Decimal(repr(aiml.usage["usd_spent"])) == aiml.usd
    router = bill("openrouter", "chat", GEMINI)
    assert Decimal(repr(router.usage["cost"])) == router.usd == Decimal("0.067201")


def halves(mode: str = "RGB") -> Image.Image:
    """A picture that is red on its left and blue on its right."""
    picture = Image.new(mode, (300, 200), (200, 20, 30))
    picture.paste((20, 40, 190), (150, 0, 300, 200))
    return picture


def drawn(order: Order, index: int = 0) -> Image.Image:
    with Image.open(io.BytesIO(draw_picture(order, provider="p", serial=1, index=index, seed=0))) as picture:
        picture.load()
        return picture


@pytest.mark.parametrize(("width", "height"), [(900, 600), (512, 512), (400, 800)])
def test_edits_line_up_with_the_source(width, height):
    order = Order(kind="edit", model="m", prompt="Darker", width=width, height=height, sources=(halves(),))
    left, top, right, bottom = place(order)
    assert (right - left) / (bottom - top) == pytest.approx(1.5, abs=0.02)
    middle, row = (left + right) // 2, top + (bottom - top) * 3 // 4
    for index in range(12):
        picture = drawn(order, index)
        assert picture.size == (width, height)
        # The border between the halves stays where it was, whatever the light.
        beside = [picture.getpixel((middle + offset, row)) for offset in (-20, -6, 6, 20)]
        assert max(abs(one - other) for one, other in zip(beside[1], beside[2], strict=True)) > 20, index


def test_edits_differ_from_the_source_and_from_each_other():
    order = Order(kind="edit", model="m", prompt="Swap", width=300, height=200, sources=(halves(),))
    made = [drawn(order, index) for index in range(8)]
    assert len({picture.tobytes() for picture in made}) == 8
    upper = (0, 0, 300, 180)  # without the line of text
    assert all(ImageChops.difference(picture, halves()).crop(upper).getbbox() for picture in made)


def test_edits_show_every_further_source():
    others = [Image.new("RGB", (60, 80), (220, 20 + 9 * number, 200)) for number in range(7)]
    order = Order(kind="edit", model="m", prompt="Add", width=512, height=512, sources=(halves(), *others))
    picture = drawn(order)
    for other, box in zip(others, insets(place(order), 7), strict=True):
        left, top, right, bottom = fit(other.size, box)
        assert picture.getpixel(((left + right) // 2, (top + bottom) // 2)) == other.getpixel((0, 0))


def test_edits_change_only_the_open_area_of_a_mask():
    mask = Image.new("RGBA", (300, 200), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (150, 40, 290, 120))
    other = Image.new("RGB", (40, 40), (0, 255, 0))
    order = Order(kind="edit", model="m", prompt="P", width=300, height=200, sources=(halves(), other), mask=mask)
    for index in range(6):
        changed = ImageChops.difference(drawn(order, index), halves()).crop((0, 0, 300, 180)).getbbox()
        assert changed is not None
        assert (changed[0] >= 149, changed[1] >= 39, changed[2] <= 291, changed[3] <= 121) == (True,) * 4, changed
    left, top, right, bottom = fit(other.size, insets(inner((150, 40, 290, 120)), 1)[0])
    assert drawn(order).getpixel(((left + right) // 2, (top + bottom) // 2)) == (0, 255, 0)


@pytest.mark.parametrize("prompt", ["", "word", "Ω" * 900, "long " * 400, "w" * 300])
@pytest.mark.parametrize("size", [(48, 48), (1024, 640), (768, 1792)])
def test_drawing_accepts_any_prompt(prompt, size):
    order = Order(kind="generation", model="m", prompt=prompt, width=size[0], height=size[1], transparent=True)
    with Image.open(io.BytesIO(draw_picture(order, provider="p", serial=1, index=0, seed=0))) as drawn:
        drawn.load()
        assert (drawn.size, drawn.mode, drawn.getpixel((0, 0))[3]) == (size, "RGBA", 0)


def test_directives_are_read_and_removed():
    words = "A cat [sandbox: throttle x2 retry-after=0.2] on a mat [sandbox:stall=5 provider=aigate]"
    prompt, faults = split_prompt(words)
    assert prompt == "A cat on a mat"
    assert [(fault.kind, fault.times, fault.retry_after, fault.value) for fault in faults] == [
        ("throttle", 2, 0.2, None),
        ("stall", None, None, 5.0),
    ]
    assert faults[1].provider == "aigate"
    assert parse_directive("refused").kind == "refuse"
    assert parse_rate("stall:3=0.25").amount == 3
    for bad in ("", "nonsense", "throttle soon", "stall=soon"):
        with pytest.raises(ValueError):
            parse_directive(bad)
    for bad in ("throttle", "throttle=2", "what=0.1"):
        with pytest.raises(ValueError):
            parse_rate(bad)
    with pytest.raises(ValueError):
        parse_rule({"kind": "refuse", "soon": 1})


def test_faults_strike_as_often_as_requested():
    book = FaultBook(7, [parse_rule({"kind": "error500", "times": 1, "provider": "openai", "match": "dog"})])

    def kinds(provider, prompt, count=3):
        found = [
            book.pick(serial=n, provider=provider, prompt=prompt, directives=split_prompt(prompt)[1])
            for n in range(count)
        ]
        return [fault.kind if fault else None for fault in found]

    assert kinds("aigate", "A dog") == [None] * 3
    assert kinds("openai", "A dog") == ["error500", None, None]
    assert kinds("aigate", "x [sandbox: drop x1][sandbox: empty x1]") == ["drop", "empty", None]
    by_chance = [FaultBook(seed, [parse_rate("drop=0.5")]) for seed in (1, 1, 2)]
    runs = [
        [bool(each.pick(serial=n, provider="p", prompt="", directives=())) for n in range(200)] for each in by_chance
    ]
    assert runs[0] == runs[1] != runs[2]
    assert 60 < sum(runs[0]) < 140


def test_throttle_latency_and_loopback():
    now = [0.0]
    window = Throttle.parse("2/s", lambda: now[0])
    assert (window.admit(), window.admit()) == (0.0, 0.0)
    assert window.admit() == 1.0
    now[0] = 1.0
    assert window.admit() == 0.0
    for bad in ("2", "0/s", "x/m", "5/w"):
        with pytest.raises(ValueError):
            Throttle.parse(bad, lambda: 0.0)
    assert Latency.parse("1.5").seconds == 1.5
    with pytest.raises(ValueError):
        Latency.parse("soon")
    require_loopback("::1")
    with pytest.raises(ValueError):
        require_loopback("0.0.0.0")


def test_log_skips_a_torn_last_line(tmp_path):
    log = tmp_path / "charges.jsonl"
    log.write_bytes(b'{"event":"arrival"}\n{"event":"char')
    assert read_log(log) == [{"event": "arrival"}]
    assert read_log(tmp_path / "none") == []


def test_data_urls_and_json_mask_are_accepted():
    def data_url(data):
        return "data:image/png;base64," + base64.b64encode(data).decode()

    mask = png((64, 48), (0, 0, 0, 0), "RGBA")
    fields = {**GPT, "images": [{"image_url": data_url(png())}] * 2, "mask": {"image_url": data_url(mask)}}
    order = read("aigate", "edit", fields)
    assert len(order.sources) == 2
    assert order.mask is not None
