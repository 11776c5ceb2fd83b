"""Source images: the planned ones, whole, and fetched once."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import httpx
import pytest
from PIL import Image, ImageFile

from batchgen.errors import StoreError
from batchgen.fault import Cause, Charged, Fault, ProviderError
from batchgen.files.source_cache import SourceCache
from batchgen.files.spool import Scratch, Spool
from batchgen.task import Kind, Source, Task
from tests.rawserver import RawServer, answer, in_turn, says, serve


def picture(kind: str = "PNG", colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), colour).save(buffer, kind)
    return buffer.getvalue()


def task(*images: Source, mask: Source | None = None) -> Task:
    return Task(kind=Kind.EDIT, prompt="x", provider="p", model="m", images=images, mask=mask)


async def over_http(url: str, sink: Scratch) -> None:
    """Fetch from loopback too, which the real way never does."""
    async with httpx.AsyncClient(trust_env=False) as client:
        found = await client.get(url)
    if found.status_code != 200:
        raise ProviderError(Fault(cause=Cause.INVALID, message=f"HTTP {found.status_code}"))
    sink.keep_head(found.status_code, {})
    sink.write(found.content)


async def never(url: str, sink: Scratch) -> None:
    raise AssertionError("nothing had to be fetched")


def inputs(tmp_path: Path, fetch: Callable[[str, Scratch], Awaitable[None]] = over_http) -> SourceCache:
    return SourceCache(tmp_path / "state" / "inputs", Spool(tmp_path / "state" / "spool"), fetch)


def stored(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "state" / "inputs").iterdir())


def content(source: Source) -> bytes:
    return Path(source.path or "").read_bytes()


def rewrite(source: Source, data: bytes) -> None:
    Path(source.path or "").write_bytes(data)


def remove(source: Source) -> None:
    Path(source.path or "").unlink()


@pytest.mark.parametrize(("kind", "mime"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
async def test_a_source_at_a_url_becomes_a_file_named_by_its_content(tmp_path, kind, mime):
    async with serve(answer(picture(kind), headers={"Content-Type": "text/plain"})) as server:
        found = await inputs(tmp_path).with_local_files(task(Source(url=f"{server.url}/photo.txt")))
    (source,) = found.images
    assert (source.url, source.mime, source.size_bytes) == (None, mime, len(picture(kind)))
    assert content(source) == picture(kind)
    assert [str(path) for path in stored(tmp_path)] == [source.path]


async def test_a_url_is_fetched_once_in_a_run_and_in_the_next(tmp_path):
    async with serve(answer(picture())) as server:
        source = Source(url=f"{server.url}/a.png")
        first = inputs(tmp_path)
        one = await first.with_local_files(task(source, source, mask=source))
        two = await first.with_local_files(task(source))
        three = await inputs(tmp_path).with_local_files(task(source))
    assert len(server.requests) == 1
    assert {*one.images, one.mask, *two.images, *three.images} == {one.images[0]}


async def test_many_jobs_that_ask_at_once_fetch_once(tmp_path):
    async with serve(answer(picture())) as server:
        shared, found = inputs(tmp_path), []

        async def ask() -> None:
            found.append(await shared.with_local_files(task(Source(url=f"{server.url}/a.png"))))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(ask)
    assert len(server.requests) == 1
    assert len({one.images for one in found}) == 1


async def test_other_urls_are_other_files(tmp_path):
    async with serve(in_turn(answer(picture(colour="red")), answer(picture(colour="blue")))) as server:
        found = await inputs(tmp_path).with_local_files(
            task(Source(url=f"{server.url}/a"), Source(url=f"{server.url}/b"))
        )
    one, two = map(content, found.images)
    assert (one, two) == (picture(colour="red"), picture(colour="blue"))


async def test_everything_else_of_the_task_stays(tmp_path):
    async with serve(answer(picture())) as server:
        local = Source(path="/photos/table.jpg", sha256="0" * 64, mime="image/jpeg", size_bytes=5)
        asked = task(local, Source(url=f"{server.url}/a.png"), mask=local)
        found = await inputs(tmp_path).with_local_files(asked)
    assert (found.images[0], found.mask) == (local, local)
    assert (found.prompt, found.kind) == (asked.prompt, asked.kind)


async def test_local_files_need_no_fetching_and_wait_for_nobody(tmp_path):
    started = anyio.Event()

    async def stuck(url: str, sink: Scratch) -> None:
        started.set()
        await anyio.sleep_forever()

    shared, local = inputs(tmp_path, stuck), task(Source(path="/photos/table.jpg"))
    assert await inputs(tmp_path, never).with_local_files(local) == local
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shared.with_local_files, task(Source(url="https://slow.test/a.png")))
        await started.wait()
        with anyio.fail_after(1):
            assert await shared.with_local_files(local) == local
        tasks.cancel_scope.cancel()


async def test_a_slow_url_holds_up_no_other(tmp_path):
    started = anyio.Event()

    async def fetch(url: str, sink: Scratch) -> None:
        if "slow" in url:
            started.set()
            await anyio.sleep_forever()
        sink.write(picture())

    shared = inputs(tmp_path, fetch)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shared.with_local_files, task(Source(url="https://slow.test/a.png")))
        await started.wait()
        with anyio.fail_after(1):
            found = await shared.with_local_files(task(Source(url="https://quick.test/a.png")))
        tasks.cancel_scope.cancel()
    assert found.images[0].mime == "image/png"


DAMAGED = {
    "html": b"<html>not found</html>",
    "empty": b"",
    "cut": picture("JPEG")[:-40],
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "gif": b"GIF89a" + bytes(30),
    "whole gif": picture("GIF"),  # whole, but no provider takes it
    "whole tiff": picture("TIFF"),
    "half with an end": picture("JPEG")[:-60] + b"\xff\xd9",
}


@pytest.mark.parametrize("body", DAMAGED.values(), ids=DAMAGED)
async def test_incomplete_source_image_is_invalid_and_not_kept(tmp_path, body):
    async with serve(answer(body)) as server:
        url = f"{server.url}/a.png"
        with pytest.raises(ProviderError) as caught:
            await inputs(tmp_path).with_local_files(task(Source(url=url)))
    assert (caught.value.fault.cause, caught.value.fault.charged) == (Cause.INVALID, Charged.NO)
    assert url in caught.value.fault.message
    assert stored(tmp_path) == []
    assert list((tmp_path / "state" / "spool").iterdir()) == []


async def test_after_a_failure_the_next_job_tries_again(tmp_path):
    shared = inputs(tmp_path)
    async with serve(in_turn(answer(b"no", "404 Not Found"), answer(b"<html>"), answer(picture()))) as server:
        asked = task(Source(url=f"{server.url}/a.png"))
        for _ in range(2):
            with pytest.raises(ProviderError):
                await shared.with_local_files(asked)
        found = await shared.with_local_files(asked)
    assert found.images[0].mime == "image/png"
    assert len(server.requests) == 3


async def test_a_cancelled_fetch_leaves_nothing_and_blocks_nobody(tmp_path):
    async def hanging(server: RawServer) -> None:
        await shared.with_local_files(task(Source(url=f"{server.url}/a.png")))

    shared = inputs(tmp_path)
    stall = says(then=lambda connection: connection.drain_input())
    async with serve(in_turn(stall, answer(picture()))) as server:
        with anyio.move_on_after(0.1) as scope:
            await hanging(server)
        assert scope.cancelled_caught
        with anyio.fail_after(5):
            await hanging(server)
    assert len(stored(tmp_path)) == 1


def source_file(tmp_path: Path) -> Source:
    path, data = tmp_path / "table.png", picture()
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))
    return Source(path=str(path), sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), mime="image/png")


async def test_the_planned_file_passes_however_often_it_is_looked_at(tmp_path):
    shared, source = inputs(tmp_path, never), source_file(tmp_path)
    for asked in (task(source), task(source, mask=source), task(Source(url="https://x.test/a")), task()):
        await shared.require_unchanged(asked)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("role", ["image", "mask"])
async def test_a_file_that_is_not_the_planned_one_is_invalid(tmp_path, known, role):
    shared, source = inputs(tmp_path, never), source_file(tmp_path)
    asked = task(source) if role == "image" else task(mask=source)
    if known:
        await shared.require_unchanged(asked)
    rewrite(source, picture(colour="green"))
    with pytest.raises(ProviderError, match="changed after the plan") as caught:
        await shared.require_unchanged(asked)
    assert caught.value.fault.cause is Cause.INVALID
    assert caught.value.fault.hint


async def test_a_damaged_source_is_found_before_anything_is_paid(tmp_path):
    whole = picture("JPEG")
    path = tmp_path / "half.jpg"
    path.write_bytes(whole[: len(whole) // 2])
    half = Source(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest(), mime="image/jpeg")
    with pytest.raises(ProviderError, match="cut off") as caught:
        await inputs(tmp_path, never).require_unchanged(task(half))
    assert caught.value.fault.cause is Cause.INVALID


async def test_a_lack_of_memory_says_nothing_of_the_source(tmp_path, monkeypatch):
    shared, source = inputs(tmp_path), source_file(tmp_path)

    def exhausted(_image: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(ImageFile.ImageFile, "load", exhausted)
        with pytest.raises(StoreError, match=r"not enough memory.*Nothing was sent"):
            await shared.require_unchanged(task(source))
        async with serve(answer(picture())) as server:
            with pytest.raises(StoreError, match="not enough memory"):
                await shared.with_local_files(task(Source(url=f"{server.url}/a.png")))
    await shared.require_unchanged(task(source))


async def test_a_file_that_is_gone_is_invalid(tmp_path):
    shared, source = inputs(tmp_path, never), source_file(tmp_path)
    remove(source)
    with pytest.raises(ProviderError, match="No such file") as caught:
        await shared.require_unchanged(task(source))
    assert caught.value.fault.cause is Cause.INVALID


# --- copies -----------------------------------------------------------------------------------------------------------


def turned(tmp_path: Path, **facts: object) -> Source:
    """Return a source that is stored rotated and sent upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.effect_noise((30, 20), 90).save(path, exif=exif)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Source(path=str(path), sha256=sha256, mime="image/jpeg", copy="upright", **facts)  # type: ignore[arg-type]


async def test_a_copy_is_made_once_and_stays_for_the_next_run(tmp_path, monkeypatch):
    source = turned(tmp_path)
    first = inputs(tmp_path, never)
    found = await first.with_copies(task(source, source, mask=source))
    [path] = stored(tmp_path)
    assert {*found.images, found.mask} == {found.images[0]}
    copy = found.images[0]
    assert (copy.path, copy.mime, copy.copy) == (str(path), "image/jpeg", None)
    assert (copy.sha256, copy.size_bytes) == (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
    with Image.open(path) as image:
        assert image.size == (20, 30)
    monkeypatch.setattr("batchgen.files.images.copies.make_copy", lambda *_: pytest.fail("made again"))
    assert (await inputs(tmp_path, never).with_copies(task(source))).images == (copy,)


async def test_other_content_is_another_copy(tmp_path):
    shared, copies = inputs(tmp_path, never), []
    for _ in range(2):
        copies += (await shared.with_copies(task(turned(tmp_path)))).images  # of new noise each time
    assert len(stored(tmp_path)) == len({content(source) for source in copies}) == 2


async def test_a_source_without_a_copy_is_sent_as_it_is(tmp_path):
    asked = task(Source(path="/photos/table.jpg", sha256="0" * 64), Source(url="https://x.example/a.png"))
    assert await inputs(tmp_path, never).with_copies(asked) == asked


async def test_a_copy_of_a_damaged_photo_is_a_fault_before_anything_is_sent(tmp_path):
    path = tmp_path / "a.tif"
    Image.effect_noise((90, 90), 90).save(path, compression="tiff_lzw")
    path.write_bytes(path.read_bytes()[:900])
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    asked = task(Source(path=str(path), sha256=sha256, mime="image/png", copy="png"))
    with pytest.raises(ProviderError) as caught:
        await inputs(tmp_path, never).with_copies(asked)
    assert (caught.value.fault.cause, caught.value.fault.charged) == (Cause.INVALID, Charged.NO)
    assert f"source image {path}: " in caught.value.fault.message
    path.unlink()
    with pytest.raises(ProviderError, match="No such file"):
        await inputs(tmp_path, never).with_copies(asked)
