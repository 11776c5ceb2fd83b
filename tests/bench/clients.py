"""Which HTTP client: requests a second and CPU for each, by how many are in flight."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import httpx
from anyio import to_thread
from httpx_aiohttp import AiohttpTransport

from batchgen.files.spool import Spool
from batchgen.providers.base import Call
from batchgen.providers.presets import profile
from batchgen.transport import Transport

from .apart import KEY, apart
from .crowd import crowd
from .far import far
from .figures import Row, rows
from .meter import Meter
from .settings import Settings

_ORDER = {"model": "gpt-image-2", "prompt": "a red cube", "size": "1024x1024"}
_PATH = "/v1/images/generations"
_HOW = {
    "aiohttp": "bare aiohttp",
    "aiohttp_once": "aiohttp, a connection per call",
    "httpx": "httpx",
    "httpx_aiohttp": "httpx over aiohttp",
    "line": "batchgen: ProviderClient and spool",
}

_One = Callable[[int], Awaitable[object]]


def clients(settings: Settings) -> list[Row]:
    """Small answers at 50, 400 and 1000 in flight, large ones at 50."""
    found: list[Row] = []
    with far(64 if settings.short else 1024) as url:
        for path, width, count in (
            [("small", 8, 16)]
            if settings.short
            else [("small", 50, 1000), ("small", 400, 2400), ("small", 1000, 3000), ("big", 50, 200)]
        ):
            cases = {}
            for client, how in _HOW.items():
                # plain httpx is so slow here that it gets fewer
                some = max(width, count // 4) if client == "httpx" and path == "small" else count
                took = apart(measure, client=client, url=f"{url}/{path}", count=some, width=width)
                cases[how] = {
                    "speed": (took["per_second"], "requests/s"),
                    "cpu": (took["cpu_ms"], "ms/request"),
                    "space": (took["peak_mb"], "MB"),
                }
            size = "small answers after 50 ms" if path == "small" else "3.5 MB answers"
            found += rows(f"HTTP client: {size}, {width} in flight", cases)
    return found


def measure(client: str, url: str, count: int, width: int) -> dict[str, float]:
    """Send *count* requests, *width* at a time."""

    async def carry() -> Meter:
        async with AsyncExitStack() as stack:
            one = await _CLIENTS[client](stack, url)
            await one(0)
            with Meter() as meter:
                await crowd(one, count, width)
        return meter

    return asyncio.run(carry()).took(count)


async def _aiohttp(stack: AsyncExitStack, url: str, **connector: Any) -> _One:
    session = await stack.enter_async_context(
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, **connector))
    )

    async def one(_: int) -> None:
        async with session.post(url + _PATH, json=_ORDER) as response:
            await response.read()

    return one


async def _aiohttp_once(stack: AsyncExitStack, url: str) -> _One:
    return await _aiohttp(stack, url, force_close=True)


async def _httpx(stack: AsyncExitStack, url: str, **settings: Any) -> _One:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    client = await stack.enter_async_context(
        httpx.AsyncClient(limits=limits, timeout=None, trust_env=False, **settings)
    )

    async def one(_: int) -> None:
        await client.post(url + _PATH, json=_ORDER)

    return one


async def _httpx_aiohttp(stack: AsyncExitStack, url: str) -> _One:
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    return await _httpx(stack, url, transport=AiohttpTransport(client=session))


async def _line(stack: AsyncExitStack, url: str) -> _One:
    spool = Spool(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "spool")
    transport = Transport({"openai": profile("openai", {"base_url": url})}, {"openai": KEY})
    line = (await stack.enter_async_context(transport)).client("openai")
    call = Call(method="POST", url=line.profile.url("generate"), json=_ORDER)

    async def one(number: int) -> None:
        # a number comes up twice at most: once before the clock runs
        with await to_thread.run_sync(spool.open, f"{number:032x}", {}, 65_536) as slot:
            await line.send(call, slot, 60)
        spool.release(f"{number:032x}", delivered=True)

    return one


_CLIENTS: dict[str, Callable[[AsyncExitStack, str], Awaitable[_One]]] = {
    "aiohttp": _aiohttp,
    "aiohttp_once": _aiohttp_once,
    "httpx": _httpx,
    "httpx_aiohttp": _httpx_aiohttp,
    "line": _line,
}
