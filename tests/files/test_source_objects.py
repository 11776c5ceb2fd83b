"""Source images in an object store, as a run fetches them."""

from __future__ import annotations

import io
from pathlib import Path

import anyio
import pytest
from PIL import Image

from batchgen.fault import Cause, ProviderError
from batchgen.files.object_catalog import ObjectCatalog, version_of
from batchgen.files.object_errors import OutageError
from batchgen.files.source_cache import SourceCache
from batchgen.files.source_objects import SourceObjects
from batchgen.files.spool import Spool
from batchgen.object_url import ObjectUrl
from batchgen.task import Kind, Source, Task


@pytest.fixture
def photos(bucket, monkeypatch):
    for name, value in bucket.env.items():
        monkeypatch.setenv(name, value)
    return ObjectUrl.parse(f"{bucket.url}/photos")


def picture(kind="PNG", size=(9, 7), mode="RGB", **options):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind, **options)
    return buffer.getvalue()


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def remove(path):
    Path(path).unlink()


def content(source):
    return Path(source.path).read_bytes()


def planned(url, preparation=None):
    facts = ObjectCatalog().find(url)
    return Source(url=str(url), etag=version_of(facts), size_bytes=facts.size_bytes, preparation=preparation)


def task(*images, mask=None):
    return Task(kind=Kind.EDIT, prompt="x", provider="p", model="m", images=images, mask=mask)


async def never(url, sink):
    raise AssertionError("the web has nothing to do with it")


def inputs(tmp_path):
    return SourceCache(tmp_path / "state" / "inputs", Spool(tmp_path / "state" / "spool"), never)


def as_stored(data, source):
    return data, "image/png"


async def test_an_object_is_fetched_once_for_many_jobs_and_runs(photos, bucket, s3_server, tmp_path):
    bucket.write("photos/a.png", picture())
    source, cache = planned(photos / "a.png"), inputs(tmp_path)
    before = s3_server.requests(f"GET /{bucket.name}/photos/a.png")
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(cache.with_objects, task(source))
    (local,) = (await inputs(tmp_path).with_objects(task(source))).images
    assert content(local) == picture()
    assert (local.url, local.mime) == (None, "image/png")
    assert s3_server.requests(f"GET /{bucket.name}/photos/a.png") - before == 1


async def test_the_same_bytes_with_another_etag_are_fetched(photos, bucket, tmp_path):
    bucket.write("photos/a.png", picture())
    source = planned(photos / "a.png")  # its etag is the hash of its bytes
    bucket.write_in_parts("photos/a.png", picture())
    assert planned(photos / "a.png").etag != source.etag
    (local,) = (await inputs(tmp_path).with_objects(task(source))).images
    assert content(local) == picture()


async def test_bytes_that_were_fetched_are_recognized_whatever_their_etag(photos, bucket, tmp_path):
    bucket.write_in_parts("photos/a.png", picture())
    source = planned(photos / "a.png")  # its etag says nothing about its bytes
    (local,) = (await inputs(tmp_path).with_objects(task(source))).images
    remove(local.path)
    bucket.write("photos/a.png", picture())
    (local,) = (await inputs(tmp_path).with_objects(task(source))).images
    assert content(local) == picture()


@pytest.mark.parametrize("change", ["written", "removed"])
async def test_another_version_than_the_planned_one_is_invalid(photos, bucket, tmp_path, change):
    bucket.write("photos/a.png", picture())
    source = planned(photos / "a.png")
    bucket.write("photos/a.png", picture(size=(8, 8))) if change == "written" else bucket.delete("photos/a.png")
    with pytest.raises(ProviderError, match="changed or removed after the plan") as caught:
        await inputs(tmp_path).with_objects(task(source))
    assert caught.value.fault.cause is Cause.INVALID


@pytest.mark.parametrize(
    ("data", "preparation", "mime", "size"),
    [
        (picture("BMP"), "png", "image/png", (9, 7)),
        (picture("JPEG", exif=turned()), "upright", "image/jpeg", (7, 9)),
        (picture("PNG"), "upright+jpeg", "image/png", (9, 7)),
    ],
)  # fmt: skip
async def test_an_object_is_prepared_where_it_needs_that(photos, bucket, tmp_path, data, preparation, mime, size):
    bucket.write("photos/a.img", data)
    (local,) = (await inputs(tmp_path).with_objects(task(planned(photos / "a.img", preparation)))).images
    with Image.open(local.path) as image:
        assert (local.mime, image.size) == (mime, size)


@pytest.mark.parametrize(
    ("data", "words"), [(b"no image", "cannot be read"), (picture()[:-20], "photos/a.png"), (picture("BMP"), "convert")]
)
async def test_an_object_that_cannot_be_sent_is_invalid(photos, bucket, tmp_path, data, words):
    bucket.write("photos/a.png", data)
    with pytest.raises(ProviderError) as caught:
        await inputs(tmp_path).with_objects(task(planned(photos / "a.png")))
    assert caught.value.fault.cause is Cause.INVALID
    assert words in f"{caught.value.fault.message} {caught.value.fault.hint}"
    assert not [*(tmp_path / "state" / "inputs").iterdir()]


@pytest.mark.parametrize(
    ("mask", "words"),
    [(picture(), "alpha"), (picture(mode="RGBA", size=(3, 3)), "as large as"), (picture(mode="RGBA"), None)],
)
async def test_a_mask_is_checked_before_it_is_sent(photos, bucket, tmp_path, mask, words):
    bucket.write("photos/a.png", picture())
    bucket.write("photos/m.png", mask)
    request = task(planned(photos / "a.png"), mask=planned(photos / "m.png"))
    if words is None:
        assert (await inputs(tmp_path).with_objects(request)).mask.mime == "image/png"
        return
    with pytest.raises(ProviderError, match=words):
        await inputs(tmp_path).with_objects(request)


async def test_an_outage_is_waited_out(photos, bucket, monkeypatch, tmp_path):
    bucket.write("photos/a.png", picture())
    source = planned(photos / "a.png")
    endpoint = bucket.endpoint
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nothing listens there

    async def end_outage():
        await anyio.sleep(0.2)
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(end_outage)
        assert (await inputs(tmp_path).with_objects(task(source))).images[0].mime == "image/png"


async def test_a_long_outage_stops_the_run_and_fails_no_job(photos, bucket, monkeypatch, tmp_path):
    bucket.write("photos/a.png", picture())
    source = planned(photos / "a.png")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(OutageError):
        await SourceObjects(tmp_path, as_stored, patience=1.5).local(source)
