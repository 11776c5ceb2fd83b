"""A far side that holds its answers back, from a process of its own, on loopback.

``/small/...`` answers after 50 ms, ``/big/...`` with an image of about 3.5 MB, and ``/hold/N/...`` with that image too,
but only when N requests are there: then N calls are in flight, however long it took to send them. ``/late/S/...``
answers with that image after S seconds. ``/answered`` lists when each numbered order was answered.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from .apart import environment
from .pictures import answer

SMALL = b'{"created": 1760000000, "data": [{"url": "https://img.example.com/0123456789abcdef.png"}]}'
_LATENCY = 0.05
_PIECE = 64 * 1024
#: Seconds after which held answers go out even if not all have come, and after which the server ends by itself.
_PATIENCE, _LIFE = 400.0, 1200.0
_NUMBER = re.compile(rb"item (\d+)")


class _Far:
    def __init__(self, side: int) -> None:
        self._big = answer(side)
        self._here: Counter[int] = Counter()
        self._all_here: dict[int, asyncio.Event] = {}
        self._answered: dict[int, float] = {}

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        number = _NUMBER.search(await request.read())
        what, *rest = request.path.strip("/").split("/")
        if what == "small":
            await asyncio.sleep(_LATENCY)
            return web.Response(body=SMALL, content_type="application/json")
        if what == "answered":
            return web.json_response(self._answered)
        if what == "hold":
            await self._hold(int(rest[0]))
        if what == "late":
            await asyncio.sleep(float(rest[0]))
        response = await self._stream(request)
        if number is not None:
            self._answered[int(number[1])] = time.time()
        return response

    async def _hold(self, count: int) -> None:
        self._here[count] += 1
        complete = self._all_here.setdefault(count, asyncio.Event())
        if self._here[count] == count:
            complete.set()
            del self._here[count], self._all_here[count]  # the next so many are held again
        async with asyncio.timeout(_PATIENCE):
            await complete.wait()

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        # piece by piece: a body handed over whole would lie in this process once for every call
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(self._big)
        await response.prepare(request)
        view = memoryview(self._big)
        for start in range(0, len(view), _PIECE):
            await response.write(view[start : start + _PIECE])
        return response


async def _serve(side: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        web.Server(_Far(side).serve, access_log=None), "127.0.0.1", 0, backlog=2048
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.sleep(_LIFE)


@contextmanager
def far(side: int = 1024) -> Iterator[str]:
    """Run the far side; its base URL."""
    command = [sys.executable, "-m", "tests.bench.far", str(side)]
    with subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().decode().strip()
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
