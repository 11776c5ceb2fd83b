"""Images of megabytes are read in every shape of answer, by the ways that are meant for large ones."""

from __future__ import annotations

import hashlib
import json
import random
import re
from dataclasses import replace

import pybase64
import pytest

from batchgen.fault import ProviderError
from batchgen.providers import dialect, event_stream, text_links
from batchgen.providers.base import Generation, Reply, Request
from batchgen.providers.presets import profile
from batchgen.providers.result_images import SentSources
from batchgen.task import Kind, Source, Task

IMAGE = b"\x89PNG\r\n\x1a\n" + random.Random(5).randbytes(200_000)
TEXT = pybase64.b64encode(IMAGE).decode()
URL = f"data:image/png;base64,{TEXT}"
TASK = Task(kind=Kind.GENERATE, prompt="a red cube", provider="openai", model="gpt-image-2", size="1024x1024")


def generation(body: bytes, task: Task = TASK) -> Generation:
    known = profile("openai")
    request = Request(task=task, profile=known, model=known.find(task.model)[1], attempt_id="0" * 32)
    conversation = dialect("openai_images").converse(request)
    next(conversation)
    with pytest.raises(StopIteration) as caught:
        conversation.send(Reply(status=200, headers={"content-type": "application/json"}, body=body))
    return caught.value.value


def message(**fields: object) -> bytes:
    return json.dumps({"choices": [{"message": fields}]}).encode()


def event(document: object) -> bytes:
    return b"event: x\ndata: " + json.dumps(document).encode() + b"\n\n"


SHAPES = {
    "json": json.dumps({"data": [{"b64_json": TEXT}]}).encode(),
    "escaped slashes": json.dumps({"data": [{"b64_json": TEXT}]}).replace("/", "\\/").encode(),
    "lines": json.dumps({"data": [{"b64_json": re.sub("(.{76})", r"\1\n", TEXT)}]}).encode(),
    "lines of windows": json.dumps({"data": [{"b64_json": re.sub("(.{76})", r"\1\r\n", TEXT)}]}).encode(),
    "no padding": json.dumps({"data": [{"b64_json": TEXT.rstrip("=")}]}).encode(),
    "data url": message(content="", images=[{"image_url": {"url": URL}}]),
    "data url as text": message(content=URL),
    "base64 as text": message(content=TEXT),
    "markdown": message(content=f"here ![x]({URL}) it is"),
    "html": message(content=f"here <img alt='x' src=\"{URL}\"> it is"),
    "markdown in lines": message(content=f"here ![x](data:image/png;base64,\n{TEXT})"),
    "gemini": json.dumps({"candidates": [{"content": {"parts": [{"inlineData": {"data": TEXT}}]}}]}).encode(),
    "event": event({"type": "image_generation.completed", "b64_json": TEXT}) + b"data: [DONE]\n\n",
    "event of windows": event({"b64_json": TEXT}).replace(b"\n", b"\r\n"),
    "event of a chat": event({"choices": [{"delta": {"images": [{"image_url": {"url": URL}}]}}]}),
    "events with parts of a text": event({"choices": [{"delta": {"content": URL[:100_000]}}]})
    + event({"choices": [{"delta": {"content": URL[100_000:]}}]}),
    "a body of base64": TEXT.encode(),
    "the image": IMAGE,
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_image_of_megabytes_is_found(name):
    assert [picture.data for picture in generation(SHAPES[name]).pictures] == [IMAGE]


def test_text_around_a_large_image_is_kept():
    assert generation(SHAPES["markdown"]).text == "here  it is"
    two = generation(message(content=f"![a]({URL}) and ![b]({URL.replace('png', 'PNG')}) end"), replace(TASK, n=2))
    assert len(two.pictures) == 2
    assert two.text == "and  end"


@pytest.mark.parametrize("size", [len(IMAGE), None])
def test_source_image_that_comes_back_does_not_count(size):
    source = Source(path="/a.png", sha256=hashlib.sha256(IMAGE).hexdigest(), mime="image/png", size_bytes=size)
    task = replace(TASK, kind=Kind.EDIT, images=(source,))
    with pytest.raises(ProviderError):
        generation(SHAPES["json"], task)
    other = json.dumps({"data": [{"b64_json": pybase64.b64encode(IMAGE + b"x").decode()}]}).encode()
    assert generation(other, task).pictures[0].data == IMAGE + b"x"


def test_large_data_urls_are_cut_out_as_small_ones(monkeypatch):
    chance, sent = random.Random(8), SentSources.of(TASK)

    def base64() -> str:
        return pybase64.b64encode(IMAGE[: 8 + chance.randrange(250)]).decode()

    def piece() -> str:
        end = chance.choice((" ", "\n", ")", "}", "'", ", ", "|"))
        forms = (
            f"![x](data:image/png;base64,{base64()})",
            f'<img src="data:image/webp;charset=x;base64,{base64()}" alt="x">',
            f"data:image/png;base64,{base64()}{end}",
            f"data:image/png;base64,\n{base64()}\n{base64()}{end}",
            f"data:IMAGE/PNG;BASE64,{base64()}{end}",
            f"base64,{base64()}{end}",
            f"{base64()}{end}",
            " words https://img.example/a.png and ",
            "data:image/ ",
        )
        return chance.choice(forms)

    cut = 0
    for _ in range(1500):
        text = "".join(piece() for _ in range(chance.randrange(1, 6)))
        monkeypatch.setattr(text_links, "_LARGE", 1 << 30)
        expected = text_links.pictures_in_text(text, sent)
        monkeypatch.setattr(text_links, "_LARGE", 64)
        assert text_links.pictures_in_text(text, sent) == expected, text
        cut += any(is_url for is_url, _ in text_links._long_data_urls(text))
    assert cut > 300


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_events_end_with_a_blank_line_of_any_kind(end):
    lines = (
        b"",
        b"data: {",
        b'data: "a": 1}',
        b"",
        b"",
        b": comment",
        b"",
        b'data: {"b": 2}',
        b"id: 7",
        b"",
        b"data: [DONE]",
    )
    assert event_stream.documents(end.join(lines)) == [{"a": 1}, {"b": 2}]
