"""What goes out: exactly as long as announced, byte for byte as json.dumps or a browser would have it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tracemalloc
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.policy import HTTP
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.fault import Cause, ProviderError
from batchgen.providers.base import Call, DataUrl, FilePart
from batchgen.task import Source
from batchgen.transport.payload import PIECE, Payload, pack

SIZES = [0, 1, 2, 3, 4, 5, PIECE - 1, PIECE, PIECE + 1, PIECE + 2, 2 * PIECE]


def file(folder: Path, size: int, name: str = "a.png", *, hashed: bool = True) -> Source:
    data = Random(size).randbytes(size)
    path = folder / name
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))  # long ago, so that any change shows in it
    digest = hashlib.sha256(data).hexdigest() if hashed else None
    return Source(path=str(path), mime="image/png", size_bytes=size, sha256=digest)


def content(source: Source) -> bytes:
    return Path(source.path or "").read_bytes()


def json_call(document: dict) -> Call:
    return Call(method="POST", url="https://x.test/v1", json=document)


def packed(call: Call) -> Payload:
    payload = pack(call)
    assert payload is not None
    return payload


async def sent(payload: Payload) -> bytes:
    return b"".join([chunk async for chunk in payload])


async def collect(body: AsyncIterator[bytes], chunks: list[bytes]) -> None:
    async for chunk in body:
        chunks.append(chunk)  # noqa: PERF401 - what came before the end that is expected here


def inlined(document: object) -> object:
    """The same document with every image written into it, the plain way."""
    match document:
        case DataUrl(source=source):
            data = Path(source.path or "").read_bytes()
            return f"data:{source.mime};base64,{base64.b64encode(data).decode()}"
        case dict():
            return {key: inlined(value) for key, value in document.items()}
        case list() | tuple():
            return [inlined(value) for value in document]
        case _:
            return document


def plain(document: object) -> bytes:
    return json.dumps(inlined(document), ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize("size", SIZES)
async def test_json_with_an_image_is_what_json_dumps_makes_of_it(tmp_path, size):
    document = {"model": "m", "prompt": 'Zoë "q" \\ \n ネコ', "image": DataUrl(source=file(tmp_path, size)), "n": 1}
    payload = packed(json_call(document))
    body = await sent(payload)
    assert body == plain(document)
    assert payload.length == len(body)
    assert payload.content_type == "application/json"


async def test_json_takes_bare_base64(tmp_path: Path) -> None:
    source = file(tmp_path, 5)
    body = await sent(packed(json_call({"image": DataUrl(source=source, bare=True)})))
    assert json.loads(body) == {"image": base64.b64encode(content(source)).decode()}


async def test_many_images_are_in_their_own_places(tmp_path):
    sources = [file(tmp_path, size, f"{size}.png") for size in (10, 11, 12, PIECE + 5)]
    urls = [DataUrl(source=source) for source in sources]
    document = {
        "images": [{"image_url": url} for url in urls],
        "mask": urls[0],  # the same file twice
        "messages": [{"content": [{"type": "text", "text": "x"}, {"image_url": {"url": urls[2]}}]}],
    }
    payload = packed(json_call(document))
    body = await sent(payload)
    assert body == plain(document)
    assert payload.length == len(body)


texts = st.text(st.characters(exclude_categories=("Cs",)))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(texts, json_values, max_size=5))
async def test_any_json_goes_out_as_itself(document):
    payload = packed(json_call(document))
    body = await sent(payload)
    assert body == plain(document)
    assert json.loads(body) == document
    assert payload.length == len(body)


@pytest.mark.parametrize("place", ["before", "behind", "alone"])
async def test_half_a_character_in_a_prompt_goes_out_as_a_question_mark(tmp_path, place):
    image = DataUrl(source=file(tmp_path, 4))
    documents = {
        "before": {"prompt": "a \ud800 b", "image": image},
        "behind": {"image": image, "prompt": "a \ud800 b"},
        "alone": {"prompt": "a \ud800 b"},
    }
    payload = packed(json_call(documents[place]))
    body = await sent(payload)
    assert json.loads(body)["prompt"] == "a ? b"
    assert payload.length == len(body)


def test_what_is_no_json_is_a_mistake_of_ours():
    with pytest.raises(TypeError, match="does not belong"):
        pack(json_call({"image": Path("x")}))


def multipart(tmp_path: Path, *sizes: int) -> Call:
    parts = tuple(
        FilePart(name="image[]", source=file(tmp_path, size, f"{n}.png"), filename=f"{n}.png", mime="image/png")
        for n, size in enumerate(sizes)
    )
    return Call(
        method="POST",
        url="https://x.test",
        form=(("prompt", "Zoë\r\n--x ネコ"), ("n", "2"), ("empty", "")),
        files=parts,
    )


@pytest.mark.parametrize("sizes", [(), (0,), (1, PIECE), (PIECE + 1, 7, 2 * PIECE)])
async def test_multipart_reads_the_same_in_another_parser(tmp_path, sizes):
    call = multipart(tmp_path, *sizes)
    payload = packed(call)
    body = await sent(payload)
    assert payload.length == len(body)
    found = message_from_bytes(f"Content-Type: {payload.content_type}\r\n\r\n".encode() + body, policy=HTTP)
    assert found.get_content_type() == "multipart/form-data"
    parts = list(found.iter_parts())
    names = [part.get_param("name", header="content-disposition") for part in parts]
    assert names == ["prompt", "n", "empty"] + ["image[]"] * len(sizes)
    texts = [part.get_payload(decode=True).decode() for part in parts[:3]]
    assert texts == ["Zoë\r\n--x ネコ", "2", ""]
    for part, ours in zip(parts[3:], call.files, strict=True):
        assert part.get_filename() == ours.filename
        assert part.get_content_type() == "image/png"
        assert part.get_payload(decode=True) == content(ours.source)


@pytest.mark.parametrize("filename", ['a"; name="evil', "a\r\nX-Evil: 1\r\n\r\nbody", "ネコ.png", "a\\b.png"])
async def test_a_file_name_never_ends_its_header(tmp_path, filename):
    part = FilePart(name="image", source=file(tmp_path, 5), filename=filename, mime="image/png")
    body = await sent(packed(Call(method="POST", url="https://x.test", files=(part,))))
    head, _, rest = body.partition(b"\r\n\r\n")
    assert len(head.split(b"\r\n")) == 3
    assert head.count(b'name="') == 2
    assert rest.startswith(Random(5).randbytes(5))


async def test_every_body_has_a_boundary_of_its_own(tmp_path):
    call = multipart(tmp_path, 3)
    assert packed(call).content_type != packed(call).content_type


@pytest.mark.parametrize("size", SIZES)
async def test_file_as_a_body_goes_out_as_it_is(tmp_path, size):
    source = file(tmp_path, size)
    payload = packed(Call(method="POST", url="https://x.test", file=source))
    assert (payload.content_type, payload.length) == ("image/png", size)
    assert await sent(payload) == content(source)


def test_a_call_without_a_body_has_none():
    assert pack(Call(method="GET", url="https://x.test")) is None


def test_a_source_that_is_gone_is_reported_before_anything_is_sent(tmp_path):
    source = file(tmp_path, 5)
    Path(source.path or "").unlink()
    with pytest.raises(ProviderError) as caught:
        pack(json_call({"image": DataUrl(source=source)}))
    assert caught.value.fault.cause is Cause.INVALID
    assert "No such file" in caught.value.fault.message
    assert caught.value.fault.hint


def test_a_url_where_bytes_are_wanted_is_invalid():
    with pytest.raises(ProviderError) as caught:
        pack(json_call({"image": DataUrl(source=Source(url="https://x.test/a.png"))}))
    assert caught.value.fault.cause is Cause.INVALID


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def grow(path: Path) -> None:
    with path.open("ab") as found:
        found.write(b"more than there was")


def change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("mishap", [shrink, grow, change, Path.unlink, lambda path: os.truncate(path, 0)])
@pytest.mark.parametrize("size", [10, PIECE, 2 * PIECE + 1])
@pytest.mark.parametrize("shape", ["json", "multipart", "file"])
async def test_file_changed_after_measuring_never_goes_out_whole(tmp_path, mishap, size, shape):
    source = file(tmp_path, size)
    part = FilePart(name="image", source=source, filename="a.png", mime="image/png")
    calls = {
        "json": json_call({"image": DataUrl(source=source)}),
        "multipart": Call(method="POST", url="x", files=(part,)),
        "file": Call(method="POST", url="x", file=source),
    }
    payload = packed(calls[shape])
    mishap(Path(source.path or ""))
    chunks: list[bytes] = []
    with pytest.raises(ProviderError) as caught:
        await collect(aiter(payload), chunks)
    count = sum(map(len, chunks))
    assert caught.value.fault.cause is Cause.INVALID
    assert str(tmp_path / "a.png") in caught.value.fault.message
    assert count < payload.length
    assert not payload.gone


async def test_a_file_that_grows_in_the_middle_of_sending_is_noticed(tmp_path):
    source = file(tmp_path, 3 * PIECE, hashed=False)
    payload = packed(json_call({"image": DataUrl(source=source)}))
    body = aiter(payload)
    chunks = [await anext(body)]
    grow(Path(source.path or ""))
    with pytest.raises(ProviderError, match="changed while"):
        await collect(body, chunks)
    assert sum(map(len, chunks)) < payload.length


async def test_a_body_is_gone_only_when_its_last_piece_is_handed_over(tmp_path):
    payload = packed(json_call({"image": DataUrl(source=file(tmp_path, 2 * PIECE)), "prompt": "x"}))
    assert not payload.gone
    states = [payload.gone async for _ in payload]
    assert states[-1]
    assert not any(states[:-1])
    assert len(states) > 3


async def test_a_second_stream_starts_over(tmp_path):
    payload = packed(json_call({"image": DataUrl(source=file(tmp_path, PIECE + 1)), "prompt": "x"}))
    first = await sent(payload)
    assert payload.gone
    again = aiter(payload)
    await anext(again)
    assert not payload.gone
    await again.aclose()
    assert await sent(payload) == first


@pytest.mark.parametrize("shape", ["json", "multipart", "file"])
async def test_a_large_file_goes_out_in_flat_memory(tmp_path, shape):
    path = tmp_path / "big.png"
    with path.open("wb") as found:
        found.truncate(50_000_000)
    source = Source(path=str(path), mime="image/png")
    part = FilePart(name="image", source=source, filename="a.png", mime="image/png")
    call = (
        json_call({"image": DataUrl(source=source)}) if shape == "json" else Call(method="POST", url="x", files=(part,))
    )
    tracemalloc.start()
    try:
        payload, count = packed(call), 0
        async for chunk in payload:
            count += len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == payload.length > 50_000_000
    assert peak < 8_000_000
