"""Uploads: bounded, retried by themselves, ended after a long outage or a refusal."""

import asyncio

import pytest

from batchgen.engine import uploads
from batchgen.engine.uploads import Uploads
from batchgen.files.object_errors import OutageError, StoreRefusal
from batchgen.files.object_tree import Part, Upload

pytestmark = pytest.mark.asyncio


class Store:
    """A tree whose first writes fail with these errors."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.names = []

    async def put_soon(self, part, _is_superseded):
        if self.errors:
            raise self.errors.pop(0)
        self.names.append(part.name)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(uploads, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(uploads, "_LONGEST_WAIT", 0.002)


def upload(store, *names):
    return Upload(store, tuple(Part(name, b"x", {}) for name in names))


async def test_upload_is_tried_again_until_it_succeeds():
    shown, store = [], Store(OutageError("away"), OutageError("away"), OutageError("away"))
    await Uploads(shown.append).publish([upload(store, "a.png", "a.png.json")])
    assert store.names == ["a.png", "a.png.json"]
    assert [text.partition(".")[0] for text in shown] == [
        "away",
        "the object store answers again, after 0 s; no image was lost",
    ]


async def test_long_outage_ends_the_uploads():
    store = Store(*[OutageError("away")] * 9)
    with pytest.raises(OutageError, match="kept in the spool"):
        await Uploads(patience=0.0).publish([upload(store, "a.png")])
    assert len(store.errors) >= 6


async def test_refusal_ends_the_upload_at_once():
    store = Store(StoreRefusal("no permission"), StoreRefusal("no permission"))
    with pytest.raises(StoreRefusal, match=r"no permission\. The answers are kept in the spool"):
        await Uploads().publish([upload(store, "a.png")])
    assert len(store.errors) == 1


async def test_places_are_bounded_and_come_back():
    stage = Uploads(width=2)
    first, second, third = stage.place(), stage.place(), stage.place()
    await first.take()
    await first.take()
    await second.take()
    waiting = asyncio.create_task(third.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    first.leave()
    first.leave()
    await waiting
    fourth = asyncio.create_task(stage.place().take())
    await asyncio.sleep(0)
    assert not fourth.done()
    second.leave()
    await fourth
