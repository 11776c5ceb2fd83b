"""Kit for whole runs in this process against raw-socket servers, with the real job database, spool and files.

Two promises are checked after every run: each request that reached a server has a row in the job database, and the
key is in no file.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from batchgen.app import plan, run
from batchgen.app.project import Project
from batchgen.cli.render.live import follower
from tests.acceptance.kit import CANARY, SECRET, Line, Workspace
from tests.rawserver import Behaviour, Connection, RawServer, Received, answer

KEY_ENV = "STUDIO_KEY"
#: What one image costs at the provider of these tests.
PRICE, NANO = "0.05", 50_000_000
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


# --- servers ------------------------------------------------------------------------------------------------------


class Stage:
    """Raw-socket server with a loop and a thread of its own; a run has this thread to itself."""

    def __init__(self, behaviour: Behaviour, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.raw = RawServer(behaviour, scheme="https" if tls else "http")
        self._tls, self._host = tls, host
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._listener: asyncio.Server | None = None
        asyncio.run_coroutine_threadsafe(self.listen(), self._loop).result(5)

    @property
    def url(self) -> str:
        return self.raw.url

    @property
    def requests(self) -> list[Received]:
        return self.raw.requests

    @property
    def posts(self) -> list[Received]:
        return [request for request in self.requests if request.method == "POST"]

    @property
    def gets(self) -> list[Received]:
        return [request for request in self.requests if request.method == "GET"]

    async def listen(self) -> None:
        """Open the port, the same one again after ``deafen``."""
        self._listener = await asyncio.start_server(
            self.raw._serve, self._host, self.raw.port, ssl=self._tls, limit=1 << 20
        )
        self.raw.port = self._listener.sockets[0].getsockname()[1]

    def deafen(self) -> None:
        """Close the port: connections are refused from now on."""
        assert self._listener is not None
        self._listener.close()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _end(self) -> None:
        self.deafen()
        tasks = tuple(self.raw._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


class _Heard(Connection):
    """A connection whose request was read already."""

    def __init__(self, connection: Connection, heard: Received) -> None:
        super().__init__(connection.server, connection.reader, connection.writer)
        self.heard = heard

    async def request(self, *, body: bool = True) -> Received:
        del body
        return self.heard


def by_path(post: Behaviour, **gets: Behaviour) -> Behaviour:
    """Paid calls meet *post*; a GET meets the behaviour whose name its path ends with."""

    async def behave(connection: Connection) -> None:
        heard = await connection.request()
        chosen = post if heard.method == "POST" else gets[heard.target.rpartition("/")[2].partition("?")[0]]
        await chosen(_Heard(connection, heard))

    return behave


def by_prompt(default: Behaviour | None = None, **outcome: Behaviour) -> Behaviour:
    """Each prompt meets its own behaviour."""

    async def behave(connection: Connection) -> None:
        heard = await connection.request()
        prompt = prompt_of(heard)
        chosen = outcome.get(prompt, default)
        assert chosen is not None, prompt
        await chosen(_Heard(connection, heard))

    return behave


def in_order(*behaviours: Behaviour) -> Behaviour:
    """The first request meets the first behaviour, and so on; the last one stays."""
    count = 0

    async def behave(connection: Connection) -> None:
        nonlocal count
        chosen = behaviours[min(count, len(behaviours) - 1)]
        count += 1
        await chosen(connection)

    return behave


def after(seconds: float, then: Behaviour) -> Behaviour:
    """Take *seconds* over it."""

    async def behave(connection: Connection) -> None:
        heard = await connection.request()
        await asyncio.sleep(seconds)
        await then(_Heard(connection, heard))

    return behave


def prompt_of(request: Received) -> str:
    body = json.loads(request.body)
    if "prompt" in body:
        return body["prompt"]
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else next(part["text"] for part in content if part["type"] == "text")


# --- answers ------------------------------------------------------------------------------------------------------


def drawing(form: str = "PNG", size: tuple[int, int] = (48, 32), shade: int = 7, **options: Any) -> bytes:
    """Return a small whole image."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").point(lambda value: (value + shade) % 256).save(
        buffer, form, **options
    )
    return buffer.getvalue()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def document(*pictures: bytes, **more: Any) -> bytes:
    """Return a good answer's body with these pictures (one, if none is given)."""
    return listing(*({"b64_json": b64(data)} for data in pictures or (drawing(),)), **more)


def listing(*items: Any, **more: Any) -> bytes:
    return json.dumps({"created": 1, "data": list(items), **more}).encode()


def shows(*pictures: bytes, **more: Any) -> Behaviour:
    """A good answer."""
    return answer(document(*pictures, **more))


def fails(status: str, error: Any = None, /, headers: Mapping[str, str] | None = None, **fields: Any) -> Behaviour:
    """An error answer in OpenAI's envelope."""
    body = {"error": error if error is not None else {"message": "no", "type": None, "code": None, **fields}}
    return answer(json.dumps(body).encode(), status, headers)


# --- runs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """How a run ended."""

    ended: run.RunResult
    seconds: float

    @property
    def code(self) -> int:
        return self.ended.exit_code

    def lane(self, provider: str = "studio") -> run.LaneResult:
        return next(lane for lane in self.ended.lanes if lane.provider == provider)


@dataclass(kw_only=True)
class Site(Workspace):
    """A user's folder and the servers of its providers."""

    stages: list[Stage] = field(default_factory=list)

    def serve(self, behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> Stage:
        stage = Stage(behaviour, tls)
        self.stages.append(stage)
        return stage

    def write(self, jobs: Sequence[str | Line], providers: Mapping[str, Line], **top: Any) -> Path:
        """Write a manifest; a job given as text is its id and its prompt."""
        body: Line = {
            "name": "batch",
            "retry": {"attempts": 4, "first_wait": 0.01, "max_wait": 0.05},
            "providers": dict(providers),
            **top,
            "jobs": [{"id": job, "prompt": job} if isinstance(job, str) else job for job in jobs],
        }
        body.setdefault("defaults", {"provider": next(iter(providers))})
        path = self.folder / "m.yaml"
        path.write_text(yaml.safe_dump(body, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return path

    def run_all(
        self,
        stage: Stage | str,
        *jobs: str | Line,
        terms: run.RunOptions | None = None,
        also: Mapping[str, Line] | None = None,
        top: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> RunOutcome:
        """Run a batch whose provider ``studio`` is *stage* (or an address); *settings* are the provider's."""
        providers = {"studio": studio(stage, **settings), **(also or {})}
        return self.carry_out(self.write(jobs or ("a",), providers, **(top or {})), terms)

    def carry_out(self, path: Path, terms: run.RunOptions | None = None) -> RunOutcome:
        """Run the manifest at *path* as the command line would, without its output."""
        place = Project.of(self.folder, None)
        began = time.monotonic()
        ended = run.run(
            place,
            plan.read_manifest(place, path),
            terms or run.RunOptions(),
            lambda _batch, _plan: None,
            follower("none"),
        )
        outcome = RunOutcome(ended=ended, seconds=time.monotonic() - began)
        self.check()
        return outcome

    def check(self) -> None:
        """Assert what holds after every run."""
        attempts = self.rows("select * from attempts")
        posts = [request for stage in self.stages for request in stage.posts]
        keyed = {request.headers["idempotency-key"] for request in posts if "idempotency-key" in request.headers}
        assert len(keyed) + sum("idempotency-key" not in request.headers for request in posts) <= len(attempts)
        assert not [row for row in attempts if row["state"] == "open"]
        assert {row["id"] for row in attempts} == set(self.ledger())
        assert leaks(self.folder) == []

    def job(self, key: str = "a") -> Line:
        return self.jobs()[key]

    def bill(self, key: str = "a") -> list[tuple[str, int | None, int | None]]:
        """Return the ledger of a job, attempt by attempt: charged, nano-USD, nano-USD at risk."""
        ledger = self.ledger()
        rows = [ledger[attempt["id"]] for attempt in self.job(key)["attempts"]]
        return [(row["charged"], row["usd"], row["at_risk_usd"]) for row in rows]

    def states(self) -> dict[str, tuple[str, str | None]]:
        return {key: (job["state"], job["cause"]) for key, job in self.jobs().items()}

    def causes(self, key: str = "a") -> list[str | None]:
        return [attempt["cause"] for attempt in self.job(key)["attempts"]]

    def kept(self) -> list[Path]:
        """Return the raw answers that were kept for inspection."""
        return sorted((self.state / "spool").glob("*.kept"))

    def close(self) -> None:
        for stage in self.stages:
            stage.close()


def apart(stage: Stage, names: Iterable[str]) -> tuple[list[Line], dict[str, Line]]:
    """Return a job for each prompt and a provider for each job: what one gets says nothing of the others' lanes."""
    keys = {name: name.replace(" ", "-") for name in names}
    jobs: list[Line] = [{"id": key, "prompt": name, "provider": key} for name, key in keys.items()]
    return jobs, {key: studio(stage) for key in keys.values()}


def studio(stage: Stage | str, **settings: Any) -> Line:
    """Return the settings of a provider that is *stage*: an unknown gateway with a price."""
    known: Line = {
        "preset": "gateway",
        "base_url": stage if isinstance(stage, str) else stage.url,
        "api_key_env": KEY_ENV,
        "tariff": {"usd_per_image": float(PRICE)},
        "limits": {"concurrency": 1},
        "timeout": {"connect": 2, "total": 20, "download": 1},
    }
    return known | settings


@contextmanager
def site(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Yield a folder with a key in the environment and no proxies."""
    for name in PROXIES:
        patch.delenv(name, raising=False)
        patch.delenv(name.lower(), raising=False)
    patch.setenv(KEY_ENV, CANARY)
    made = Site(folder=folder)
    try:
        yield made
    finally:
        made.close()


def leaks(folder: Path, secret: str = SECRET) -> list[Path]:
    """Return the files under *folder* that hold *secret*."""
    return [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
