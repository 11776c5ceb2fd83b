"""2 MB images into an object store, 64 at once: the stage of uploads beside obstore alone."""

from __future__ import annotations

import asyncio
import atexit
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from itertools import count

from batchgen.engine.uploads import Uploads
from batchgen.files.object_tree import ObjectTree
from batchgen.files.tree_file import Label
from batchgen.object_url import ObjectUrl

from .apart import MissingToolError, apart
from .figures import Row, rows
from .meter import Meter
from .settings import Settings
from .sink import sink

_SIZE, _AT_ONCE = 2_000_000, 64
_SIDECAR = b"{" + b" " * 1_500 + b"}"
_HOW = {
    "obstore": "obstore alone",
    "images": "batchgen: uploads without sidecars",
    "sidecars": "batchgen: uploads with sidecars",
}


def uploads(settings: Settings) -> list[Row]:
    """The uploads of many images by each way, each in a process of its own, to a sink."""
    if find_spec("obstore") is None:
        raise MissingToolError("this needs obstore: pip install 'batchgen[cloud]'")
    samples: dict[str, list[dict[str, float]]] = {way: [] for way in _HOW}
    with sink() as endpoint:
        for _ in range(settings.pairs):
            for way in _HOW:
                number = 8 if settings.short else 640
                samples[way].append(apart(measure, way=way, endpoint=endpoint, number=number))
    cases = {
        how: {
            "speed": ([_SIZE / 1e6 * took["per_second"] for took in samples[way]], "MB/s"),
            "cpu": ([took["cpu_ms"] for took in samples[way]], "ms/image"),
            "space": ([took["peak_mb"] for took in samples[way]], "MB"),
        }
        for way, how in _HOW.items()
    }
    return rows("2 MB images to an object store, 64 at once", cases)


def measure(way: str, endpoint: str, number: int) -> dict[str, float]:
    """Upload *number* images."""
    os.environ |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench-0000"}
    os.environ["AWS_REGION"] = "us-east-1"
    return asyncio.run(_measure(_WAYS[way](f"{way}-{secrets.token_hex(8)}"), number))


async def _measure(one: Callable[[bytes], Awaitable[None]], number: int) -> dict[str, float]:
    images = [secrets.token_bytes(_SIZE) for _ in range(8)]
    numbers = count()

    async def work(until: int) -> None:
        while (turn := next(numbers)) < until:
            await one(images[turn % len(images)])

    async def run(until: int) -> None:
        await asyncio.gather(*(work(until) for _ in range(_AT_ONCE)))

    await run(_AT_ONCE)  # connections are open, and all is loaded
    numbers = count()
    with Meter() as meter:
        await run(number)
    return meter.took(number)


def _obstore(prefix: str) -> Callable[[bytes], Awaitable[None]]:
    import obstore
    from obstore.store import from_url

    store, numbers = from_url("s3://bench", client_options={"allow_http": True}), count()

    # A process that ends right after the last call may abort; batchgen waits for that (files/object_store.py).
    atexit.register(time.sleep, 0.25)

    async def one(data: bytes) -> None:
        await obstore.put_async(store, f"{prefix}/{next(numbers)}.png", data, use_multipart=False)

    return one


def _batchgen(prefix: str, sidecar: bytes | None) -> Callable[[bytes], Awaitable[None]]:
    tree, numbers, stage = ObjectTree(ObjectUrl.parse(f"s3://bench/{prefix}")), count(), Uploads()

    async def one(data: bytes) -> None:
        place, name = stage.place(), f"{next(numbers)}.png"
        await place.take()
        try:
            # The executor hashes every image for the job database, in a thread, whatever its folder is.
            await stage.publish([tree.upload(name, data, sha256="0" * 64, sidecar=sidecar, label=_label(name))])
        finally:
            place.leave()

    return one


def _label(name: str) -> Label:
    return Label(job=name, attempt="0" * 32)


_WAYS: dict[str, Callable[[str], Callable[[bytes], Awaitable[None]]]] = {
    "obstore": _obstore,
    "images": lambda prefix: _batchgen(prefix, None),
    "sidecars": lambda prefix: _batchgen(prefix, _SIDECAR),
}
