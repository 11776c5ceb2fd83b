"""The bare loops that batchgen is set against: what a person writes in ten minutes, keeping nothing but images."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from .apart import KEY
from .crowd import crowd
from .meter import Meter

_ORDER = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low", "n": 1}
_Save = Callable[[aiohttp.ClientSession, dict[str, Any], Path], Awaitable[None]]


def inline(url: str, count: int, width: int) -> dict[str, float]:
    """Ask *count* times, *width* at a time; parse, decode, write. No table, no check, nothing durable."""
    return _measure(_decode, url, count, width)


def linked(url: str, count: int, width: int) -> dict[str, float]:
    """Ask *count* times, *width* at a time; fetch the image of each link, hash it, write it and sync it."""
    return _measure(_fetch, url, count, width)


def _measure(save: _Save, url: str, count: int, width: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="bench-loop-") as folder, Meter() as meter:
        asyncio.run(_loop(save, Path(folder), url, count, width))
    return meter.took(count)


async def _loop(save: _Save, folder: Path, url: str, count: int, width: int) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:

        async def one(number: int) -> None:
            order = _ORDER | {"prompt": f"a photo of item {number}"}
            async with session.post(f"{url}/v1/images/generations", json=order) as response:
                answer = json.loads(await response.read())
            await save(session, answer["data"][0], folder / f"{number}.png")

        await crowd(one, count, width)


async def _decode(_: aiohttp.ClientSession, item: dict[str, Any], path: Path) -> None:
    path.write_bytes(base64.b64decode(item["b64_json"]))  # noqa: ASYNC240 - as a bare loop does it


async def _fetch(session: aiohttp.ClientSession, item: dict[str, Any], path: Path) -> None:
    async with session.get(item["url"]) as response:
        data = await response.read()
    digest = hashlib.sha256(data)
    with open(path, "wb") as file:  # noqa: ASYNC230, PTH123 - as a bare loop does it
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    assert digest.digest()
