"""The sandbox as a process: the official SDK against it, real images, the charge log."""

from __future__ import annotations

import base64
import io
from decimal import Decimal

import httpx
import openai
import pytest
from PIL import Image

from batchgen.sandbox.canvas import fit
from batchgen.sandbox.editing import inner, insets
from batchgen.sandbox.launch import Sandbox, start
from batchgen.sandbox.log import read_log, totals

KEY = {"Authorization": "Bearer sk-test-1234"}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with start(tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=60) as running:
        yield running


@pytest.fixture
def http():
    with httpx.Client(trust_env=False, timeout=20, headers=KEY) as client:
        yield client


def sdk(sandbox: Sandbox, base: str, key: str = "sk-test-1234") -> openai.OpenAI:
    transport = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(api_key=key, base_url=f"{sandbox.url}{base}", max_retries=0, timeout=20, http_client=transport)


def opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.convert("RGBA")


def image_bytes(item: object) -> bytes:
    if item.b64_json:
        return base64.b64decode(item.b64_json, validate=True)
    return download(item.url).content


def download(url: str) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=20) as bare:  # a result URL takes no key
        return bare.get(url)


def png(colour: tuple[int, ...], size: tuple[int, int] = (80, 60), mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("base", "model"),
    [
        ("/aigate/v1", "openai/gpt-image-2"),
        ("/aimlapi/v1", "openai/gpt-image-2"),
        ("/gateway/api/v1", "gpt-image-2"),
        ("/openai/v1", "gpt-image-2"),
    ],
)
def test_sdk_generates(sandbox, base, model):
    with sdk(sandbox, base) as client:
        for prompt in ("A red apple on a white table", "A blue boat"):
            answer = client.images.generate(model=model, prompt=prompt, size="1536x1024", n=1)
            assert opened(image_bytes(answer.data[0])).size == (1536, 1024)
        if "gateway" in base or "aigate" in base:
            with pytest.raises(openai.BadRequestError, match="nknown parameter"):
                client.images.generate(model=model, prompt="x", size="1024x1024", n=1, response_format="url")
        else:
            with pytest.raises(openai.BadRequestError):
                client.images.generate(model=model, prompt="x", size="1024x1024", n=1, extra_body={"style": "vivid"})


@pytest.mark.parametrize(
    ("base", "model"),
    [("/aigate/v1", "openai/gpt-image-2"), ("/aimlapi/v1", "openai/gpt-image-2"), ("/openai/v1", "gpt-image-2")],
)
def test_sdk_edits_several_images_with_a_mask(sandbox, base, model):
    red, green = (200, 20, 30), (20, 190, 60)
    files = [("t-rex.png", png(red), "image/png"), ("crown.png", png(green), "image/png")]
    mask = ("mask.png", png((0, 0, 0, 0), mode="RGBA"), "image/png")
    with sdk(sandbox, base) as client:
        answer = client.images.edit(model=model, image=files, mask=mask, prompt="Put the crown on its head", n=2)
        single = client.images.edit(model=model, image=files[0], prompt="Darker")
    drawn = [opened(image_bytes(item)) for item in answer.data]
    assert drawn[0].tobytes() != drawn[1].tobytes()
    for picture in drawn:
        left, top, right, bottom = fit((80, 60), insets(inner(fit((80, 60), (0, 0, 1024, 1024))), 1)[0])
        assert picture.getpixel(((left + right) // 2, (top + bottom) // 2))[:3] == green
    assert opened(image_bytes(single.data[0])).size == (1024, 1024)


def test_sdk_maps_each_refusal_to_its_own_class(sandbox):
    body = {"model": "gpt-image-2", "prompt": "x"}
    for key, error in (("bad-key", openai.AuthenticationError), ("poor-key", openai.BadRequestError)):
        with sdk(sandbox, "/openai/v1", key) as client, pytest.raises(error):
            client.images.generate(**body)
    with sdk(sandbox, "/openai/v1") as client:
        with pytest.raises(openai.NotFoundError):
            client.images.generate(model="dall-e-3", prompt="x")
        with pytest.raises(openai.RateLimitError) as caught:
            client.images.generate(model="gpt-image-2", prompt="x [sandbox: throttle retry-after=0.2]")
    assert caught.value.response.headers["retry-after"] == "0.2"
    assert "try again in 200ms" in str(caught.value)


def test_chat_edits_an_image_url_and_reports_its_cost(sandbox, http):
    body = {
        "model": "google/gemini-3.1-flash-image-preview",
        "modalities": ["image", "text"],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Add a small orange cat"},
                    {"type": "image_url", "image_url": {"url": "https://picsum.photos/seed/test/800/600"}},
                ],
            }
        ],
    }
    answer = http.post(f"{sandbox.base_url('aigate')}/v1/chat/completions", json=body).json()
    message = answer["choices"][0]["message"]
    head, _, data = message["images"][0]["image_url"]["url"].partition(",")
    assert (head, message["content"], "usage" in answer) == ("data:image/png;base64", None, False)
    assert opened(base64.b64decode(data)).size == (1024, 1024)
    url = f"{sandbox.base_url('openrouter')}/api/v1/chat/completions"
    body["image_config"] = {"aspect_ratio": "16:9"}
    answer = http.post(url, json=body).json()
    assert answer["usage"]["cost"] > 0.0672
    assert answer["usage"]["completion_tokens_details"]["image_tokens"] == 1120
    with sdk(sandbox, "/openrouter/api/v1") as client:
        reply = client.chat.completions.create(
            model=body["model"], messages=body["messages"], extra_body={"modalities": ["image", "text"]}
        )
    assert reply.choices[0].finish_reason == "stop"


def test_formats_and_transparency(sandbox, http):
    url = f"{sandbox.base_url('openai')}/v1/images/generations"
    for output_format in ("png", "jpeg", "webp"):
        body = {"model": "gpt-image-2", "prompt": "A fox", "output_format": output_format}
        if output_format != "jpeg":
            body["background"] = "transparent"
        answer = http.post(url, json=body).json()
        data = base64.b64decode(answer["data"][0]["b64_json"])
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert image.format == output_format.upper()
            assert output_format == "jpeg" or image.getpixel((0, 0))[3] == 0
        assert len(data) < 400_000


def test_answers_have_urls_envelopes_and_headers(sandbox, http):
    answer = http.post(
        f"{sandbox.base_url('gptimageapi')}/v1/images/generate",
        json={"model": "gpt-image-2", "prompt": "A bottle", "size": "4:3", "quality": "high", "n": 2},
    ).json()
    urls = [image["url"] for image in answer["data"]["images"]]
    assert (answer["code"], answer["message"], len(set(urls))) == (0, "ok", 2)
    assert opened(download(urls[0]).content).size == (1360, 1024)
    assert http.get(urls[0]).status_code == 400  # a key has no business there
    answer = http.post(
        f"{sandbox.base_url('aimlapi')}/v1/images/generations",
        json={"model": "openai/gpt-image-2", "prompt": "A T-Rex"},
        headers={"X-Client-Request-Id": "attempt-1"},
    )
    usage = answer.json()["meta"]["usage"]
    assert answer.headers["x-client-request-id"] == "attempt-1"
    assert Decimal(str(usage["usd_spent"])) * 2_000_000 == usage["credits_used"]
    statuses = set()
    for number in range(9):
        body = {"model": "openai/gpt-image-2", "prompt": f"A T-Rex {number}", "quality": "low"}
        statuses.add(http.post(f"{sandbox.base_url('aimlapi')}/v1/images/generations", json=body).status_code)
    assert statuses == {200, 201}


def test_free_endpoints(sandbox, http):
    models = httpx.get(f"{sandbox.base_url('aigate')}/v1/models", trust_env=False).json()
    assert "openai/gpt-image-2" in {model["id"] for model in models["data"]}
    balance = http.get(f"{sandbox.base_url('aigate')}/v1/balance").json()
    assert balance["total"] == pytest.approx(balance["used"] + balance["balance"])
    assert http.get(f"{sandbox.base_url('aimlapi')}/v2/billing").json()["currency"] == "USD"
    assert "limit_remaining" in http.get(f"{sandbox.base_url('openrouter')}/api/v1/key").json()["data"]
    poor = http.get(f"{sandbox.base_url('aimlapi')}/v2/billing", headers={"Authorization": "Bearer poor-1"})
    assert poor.json()["current_balance"] == 0
    assert http.get(f"{sandbox.base_url('openai')}/v1/images/edits").status_code == 405
    lost = http.post(f"{sandbox.base_url('gptimageapi')}/v1/images/edit", json={})
    assert (lost.status_code, lost.json()["data"]) == (404, None)
    assert http.get(sandbox.url).text.startswith("batchgen sandbox")


def test_invalid_bodies_get_the_error_envelope(sandbox, http):
    url = f"{sandbox.base_url('openai')}/v1/images/generations"
    for content, kind in ((b"{", "application/json"), (b"[]", "application/json"), (b"a=1", "text/plain")):
        answer = http.post(url, content=content, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    edits = f"{sandbox.base_url('openai')}/v1/images/edits"
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    assert http.post(edits, content=b"--y\r\n", headers=broken).status_code == 400
    double = [("image", ("a.png", png((1, 2, 3)), "image/png"))] * 2
    answer = http.post(edits, data={"model": "gpt-image-2", "prompt": "x"}, files=double)
    assert answer.json()["error"]["code"] == "duplicate_parameter"


def test_result_urls_are_sources_and_missing_ones_are_refused(sandbox, http):
    made = http.post(
        f"{sandbox.base_url('aimlapi')}/v1/images/generations", json={"model": "openai/gpt-image-2", "prompt": "One"}
    ).json()["data"][0]["url"]
    url = f"{sandbox.base_url('aigate')}/v1/images/edits"
    for source, status in ((made, 200), (f"{sandbox.url}/aimlapi/cdn/none.png", 400), ("https://sandbox-404/a", 400)):
        body = {"model": "openai/gpt-image-2", "prompt": "Again", "images": [{"image_url": source}]}
        assert http.post(url, json=body).status_code == status


def test_log_has_every_request_with_exact_sums(tmp_path):
    with (
        start(tmp_path, latency="none", idle_exit=30) as own,
        httpx.Client(trust_env=False, headers=KEY, timeout=20) as client,
    ):
        gateway = f"{own.base_url('gateway')}/api/v1/images/generations"
        body = {"model": "gpt-image-2", "size": "1024x1024", "n": 2}
        for prompt in ("one", "two", "three [sandbox: refuse]"):
            headers = {"X-Client-Request-Id": f"attempt-{prompt}", "Idempotency-Key": "k"}
            client.post(gateway, json={**body, "prompt": prompt}, headers=headers)
        credit = f"{own.base_url('gptimageapi')}/v1/images/generate"
        client.post(credit, json={"model": "gpt-image-2", "prompt": "x", "quality": "low"})
        live = client.get(f"{own.url}/_sandbox/totals").json()
        assert client.get(f"{own.url}/_sandbox/log").status_code == 200
    zero = Decimal(0)
    assert totals(own.log) == {
        "gateway": {"charges": 2, "images": 4, "usd": Decimal("0.2"), "credits": zero},
        "gptimageapi": {"charges": 1, "images": 1, "usd": zero, "credits": Decimal(2)},
    }
    assert live["gateway"] == {"charges": 2, "images": 4, "usd": "0.2", "credits": "0"}
    lines = read_log(own.log)
    assert len({frozenset(line) for line in lines}) == 1
    assert [line["event"] for line in lines if line["serial"] == 1] == ["arrival", "charge", "answer"]
    assert [line["event"] for line in lines if line["serial"] == 3] == ["arrival", "answer"]
    charge = next(line for line in lines if line["event"] == "charge")
    assert (charge["attempt"], charge["idempotency_key"], charge["key_tail"]) == ("attempt-one", "k", "1234")
    assert charge["source"] == "127.0.0.1"
    assert (charge["usd"], charge["prompt"], charge["kind"], charge["n"]) == ("0.1", "one", "generation", 2)
