"""A run as the program makes it, and the bare loop that it is set against."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import anyio
import yaml

from batchgen.app import plan, run
from batchgen.app.project import Project
from batchgen.engine.runner import Runner
from batchgen.manifest.batch import Overlay
from batchgen.store.reader import Reader

from .apart import KEY
from .crowd import crowd
from .meter import Meter

_ORDER = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low", "n": 1}


def bare(url: str, count: int, width: int) -> dict[str, float]:
    """Ask *count* times, *width* at a time; parse, decode, write. No table, no check, nothing durable."""
    with tempfile.TemporaryDirectory() as folder, Meter() as meter:
        asyncio.run(_bare(Path(folder), url, count, width))
    return meter.took(count)


async def _bare(folder: Path, url: str, count: int, width: int) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:

        async def one(number: int) -> None:
            order = _ORDER | {"prompt": f"a photo of item {number}"}
            async with session.post(f"{url}/v1/images/generations", json=order) as response:
                answer = json.loads(await response.read())
            with open(folder / f"{number}.png", "wb") as file:  # noqa: ASYNC230, PTH123 - as a bare loop does it
                file.write(base64.b64decode(answer["data"][0]["b64_json"]))

        await crowd(one, count, width)


def batchgen(url: str, count: int, width: int) -> dict[str, float]:
    """Run a manifest of *count* jobs through the program, from its plan to its end."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        place = Project.of(root, None)
        batch = plan.read_manifest(place, _manifest(root, url, count), Overlay(concurrency=width))
        with Meter() as meter:
            ended = run.run(place, batch, run.RunOptions(), _agree, _quietly)
        assert (ended.exit_code, ended.images) == (0, count), ended
    return meter.took(count)


def flight(url: str, count: int) -> dict[str, float]:
    """Run *count* jobs, all of them in flight at once; beside the usual, say how late the loop was at worst."""
    lags: list[float] = []

    @asynccontextmanager
    async def watched(runner: Runner, _: Reader) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_lag, lags)
            yield
            lags.append(max(lane.account_gate.width for lane in runner.lanes))
            tasks.cancel_scope.cancel()

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        place = Project.of(root, None)
        batch = plan.read_manifest(place, _manifest(root, url, count), Overlay(concurrency=count))
        with Meter() as meter:
            ended = run.run(place, batch, run.RunOptions(), _agree, watched)
        assert (ended.exit_code, ended.images) == (0, count), ended
    width = lags.pop()
    return meter.took(count) | {"worst_lag": max(lags), "late": _share(lags, 0.25), "width": width}


async def _lag(lags: list[float]) -> None:
    """Note how much later than asked for the loop wakes up."""
    while True:
        before = time.perf_counter()
        await anyio.sleep(0.05)
        lags.append(time.perf_counter() - before - 0.05)


def _share(lags: list[float], bound: float) -> float:
    return sum(lag > bound for lag in lags) / len(lags)


def synced(url: str, count: int, width: int) -> int:
    """Run the same; return how often it asked the system to sync a file."""
    calls: list[int] = []
    for name in ("fsync", "fdatasync"):
        setattr(os, name, _counted(getattr(os, name), calls))
    batchgen(url, count, width)
    return len(calls)


def _counted(sync: Callable[[int], None], calls: list[int]) -> Callable[[int], None]:
    def counted(descriptor: int) -> None:
        calls.append(descriptor)
        sync(descriptor)

    return counted


def _manifest(folder: Path, url: str, count: int) -> Path:
    document = {
        "name": "bench",
        "providers": {"openai": {"base_url": url}},
        "defaults": {"provider": "openai", "size": "1024x1024", "quality": "low"},
        "jobs": [{"id": f"job-{number:05}", "prompt": f"a photo of item {number}"} for number in range(count)],
    }
    path = folder / "bench.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def _agree(_: object, __: object) -> None:
    pass


@asynccontextmanager
async def _quietly(_: Runner, __: Reader) -> AsyncIterator[None]:
    yield
