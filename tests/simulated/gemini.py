"""Gemini's own API on the virtual clock, in the place of its sockets: calls, flex, files, batches, and prices.

By ai.google.dev ("Image generation", "Flex inference", "Batch API", "Files API") and google-genai 3.6.1. The
list of charges is the witness. A request of a batch is carried out, and charged, at a time of its own between the
creation of the batch and its end. A batch that was cancelled or has expired has no results, whatever was charged.
"""

from __future__ import annotations

import base64
import io
import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import anyio
import httpx
from PIL import Image

from .clock import Clock

KEY = "key-of-the-night"
#: Tokens of a picture, and nano-USD for a token that goes in and one that comes out, of gemini-3-pro-image.
PICTURE_TOKENS, PRICE_IN, PRICE_OUT = 1120, 2_000, 120_000
#: A model at the same price that has neither batches nor flex.
OTHER = "gemini-other-image"
HOUR = 3600.0
_MODEL = re.compile(r"/v1beta/models/([a-z0-9.-]+):(generateContent|batchGenerateContent)")
_BATCH = re.compile(r"/v1beta/batches/([a-z0-9]+)(:cancel)?")


class Tier(StrEnum):
    """At which price a request was carried out."""

    STANDARD = "standard"
    FLEX = "flex"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Sale:
    """One request that was carried out and charged. Times are virtual seconds."""

    at: float
    job: str
    tier: Tier
    usd: int  #: nano-USD


@dataclass(kw_only=True, slots=True)
class RemoteJob:
    """A batch at the provider."""

    name: str
    title: str
    file: str
    rows: Sequence[Mapping[str, Any]]
    created: float
    ends: float
    errors: frozenset[int] = frozenset()  #: rows that it will answer with 503
    cancelled: float | None = None

    def done_at(self, row: int) -> float:
        """Return when a row is, or would have been, carried out."""
        return self.created + (self.ends - self.created) * (row + 1) / len(self.rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Habits:
    """How the provider behaves."""

    batch_hours: Sequence[float] = (4.0,)  #: of each batch in order; further ones take the last of them
    enqueued: int | None = None  #: unfinished batches that it accepts
    row_errors: float = 0.0  #: share of the rows of a batch that end with 503, free
    sheds: Callable[[float], float] = lambda _at: 0.0  #: share of the flex calls that are shed at a time
    flex_minutes: tuple[float, float] = (1.0, 15.0)
    seconds: float = 40.0  #: of a standard call, as the median


@dataclass(kw_only=True, slots=True)
class Gemini(httpx.AsyncBaseTransport):
    """The provider, as an HTTP client sees it."""

    clock: Clock
    habits: Habits = field(default_factory=Habits)
    chance: random.Random = field(default_factory=lambda: random.Random(16))
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)  #: by kind of call and HTTP status
    jobs: list[RemoteJob] = field(default_factory=list)
    calls: list[Sale] = field(default_factory=list)  #: sales of calls outside of batches
    _files: dict[str, bytes] = field(default_factory=dict)
    _picture: str = field(default_factory=lambda: _png())  # noqa: PLW0108 - it is defined below

    def sales(self) -> list[Sale]:
        """Return everything that was charged by now."""
        return sorted(
            [*self.calls, *(sale for job in self.jobs for sale in self._sales(job))], key=lambda each: each.at
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        await anyio.sleep(0.05 + 0.1 * self.chance.random())
        if (ready := request.extensions.get("ready")) is not None:
            await ready()
        body = b"".join([piece async for piece in request.stream])  # type: ignore[union-attr]
        path = request.url.path
        if request.headers.get("x-goog-api-key") != KEY:
            return self._refuse("key", 400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.")
        if match := _MODEL.fullmatch(path):
            document = json.loads(body)
            if match[1] not in {"gemini-3-pro-image", OTHER}:
                return self._refuse(
                    "model", 404, "NOT_FOUND", f"models/{match[1]} is not found for API version v1beta."
                )
            return await self._generate(document) if match[2] == "generateContent" else self._create(document)
        if match := _BATCH.fullmatch(path):
            return self._batch(match[1], cancel=bool(match[2]))
        if path == "/v1beta/batches":
            return self._answer("list", {"operations": [self._operation(job) for job in self.jobs]})
        if path == "/upload/v1beta/files":
            return self._upload(request, body)
        if path.startswith("/download/v1beta/files/"):
            return self._download(path.split("/")[4].partition(":")[0])
        return self._refuse("path", 404, "NOT_FOUND", "Requested entity was not found.")

    # --- calls --------------------------------------------------------------------

    async def _generate(self, document: Mapping[str, Any]) -> httpx.Response:
        tier = Tier(document.get("service_tier", "standard"))
        if tier is Tier.FLEX:
            if self.chance.random() < self.habits.sheds(self.clock.seconds):
                await anyio.sleep(1 + self.chance.random())
                return self._refuse("flex", 503, "UNAVAILABLE", "The model is overloaded. Please try again later.")
            first, last = self.habits.flex_minutes
            seconds = 60 * self.chance.uniform(first, last)
        else:
            seconds = self.chance.lognormvariate(math.log(self.habits.seconds), 0.3)
        ends = self.clock.seconds + seconds
        self.calls.append(Sale(ends, _job(document), tier, _price(document, tier)))  # also if the client hangs up
        await anyio.sleep(seconds)
        return self._answer(tier.value, self._content(document), headers={"x-gemini-service-tier": tier.value})

    def _content(self, document: Mapping[str, Any]) -> dict[str, Any]:
        tokens_in = _tokens(document)
        image = {"inlineData": {"mimeType": "image/png", "data": self._picture}}
        return {
            "candidates": [{"content": {"role": "model", "parts": [image]}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {
                "promptTokenCount": tokens_in,
                "candidatesTokenCount": PICTURE_TOKENS,
                "totalTokenCount": tokens_in + PICTURE_TOKENS,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens_in}],
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": PICTURE_TOKENS}],
            },
            "modelVersion": "gemini-3-pro-image",
        }

    # --- batches --------------------------------------------------------------------

    def _create(self, document: Mapping[str, Any]) -> httpx.Response:
        batch, habits = document["batch"], self.habits
        file = batch["inputConfig"]["fileName"]
        if file not in self._files:
            return self._refuse("batch", 404, "NOT_FOUND", f"{file} is not found.")
        unfinished = sum(self._state(job) == "RUNNING" for job in self.jobs)
        if habits.enqueued is not None and unfinished >= habits.enqueued:
            return self._refuse("batch", 429, "RESOURCE_EXHAUSTED", "Enqueued tokens of batches exceed your quota.")
        rows = [json.loads(line) for line in self._files[file].splitlines()]
        if len({row["key"] for row in rows}) != len(rows):
            return self._refuse("batch", 400, "INVALID_ARGUMENT", "Duplicate key in the input file.")
        hours = habits.batch_hours[min(len(self.jobs), len(habits.batch_hours) - 1)]
        job = RemoteJob(
            name=f"b{len(self.jobs) + 1:03}",
            title=batch["displayName"],
            file=file,
            rows=rows,
            created=self.clock.seconds,
            ends=self.clock.seconds + hours * HOUR,
            errors=frozenset(row for row in range(len(rows)) if self.chance.random() < habits.row_errors),
        )
        self.jobs.append(job)
        return self._answer("batch", self._operation(job))

    def _batch(self, name: str, *, cancel: bool) -> httpx.Response:
        job = next((job for job in self.jobs if job.name == name), None)
        if job is None:
            return self._refuse("poll", 404, "NOT_FOUND", "Requested entity was not found.")
        if not cancel:
            return self._answer("poll", self._operation(job))
        if self._state(job) == "RUNNING":
            job.cancelled = self.clock.seconds
        return self._answer("cancel", {})

    def _state(self, job: RemoteJob) -> str:
        if job.cancelled is not None:
            return "CANCELLED"
        return "SUCCEEDED" if self.clock.seconds >= job.ends else "RUNNING"

    def _operation(self, job: RemoteJob) -> dict[str, Any]:
        state = self._state(job)
        ended = job.cancelled or (job.ends if state == "SUCCEEDED" else None)
        facts: dict[str, Any] = {
            "name": f"batches/{job.name}",
            "displayName": job.title,
            "state": f"BATCH_STATE_{state}",
            "createTime": self._time(job.created),
            "inputConfig": {"fileName": job.file},
            "batchStats": {"requestCount": str(len(job.rows))},
        }
        if ended is not None:
            facts["endTime"] = self._time(ended)
        if state == "SUCCEEDED":
            facts["output"] = {"responsesFile": f"files/batch-{job.name}"}
        return {"name": f"batches/{job.name}", "metadata": facts, "done": ended is not None}

    def _sales(self, job: RemoteJob) -> list[Sale]:
        until = min(self.clock.seconds, job.ends if job.cancelled is None else job.cancelled)
        return [
            Sale(at, _job(row["request"]), Tier.BATCH, _price(row["request"], Tier.BATCH))
            for number, row in enumerate(job.rows)
            if number not in job.errors and (at := job.done_at(number)) <= until
        ]

    # --- files ----------------------------------------------------------------------

    def _upload(self, request: httpx.Request, body: bytes) -> httpx.Response:
        if request.headers.get("x-goog-upload-command") == "start":
            target = str(request.url.copy_with(query=b"upload_id=1"))
            return self._answer("upload", {}, headers={"x-goog-upload-url": target})
        name = f"files/f{len(self._files) + 1}"
        self._files[name] = body
        return self._answer("upload", {"file": {"name": name, "sizeBytes": str(len(body)), "state": "ACTIVE"}})

    def _download(self, name: str) -> httpx.Response:
        job = next((job for job in self.jobs if f"batch-{job.name}" == name), None)
        if job is None or self._state(job) != "SUCCEEDED":
            return self._refuse("download", 404, "NOT_FOUND", "Requested entity was not found.")
        failed = {"error": {"code": 14, "message": "The model is overloaded. Please try again later."}}
        rows = [
            {"key": row["key"], **(failed if number in job.errors else {"response": self._content(row["request"])})}
            for number, row in enumerate(job.rows)
        ]
        self.chance.shuffle(rows)  # the order is not promised
        self.answers["download", 200] += 1
        return _response(200, b"\n".join(json.dumps(row).encode() for row in rows) + b"\n", {})

    # --- answers --------------------------------------------------------------------

    def _time(self, seconds: float) -> str:
        moment: datetime = self.clock.start + timedelta(seconds=seconds)
        return moment.isoformat().replace("+00:00", "Z")

    def _answer(
        self, kind: str, document: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        self.answers[kind, 200] += 1
        return _response(200, json.dumps(document).encode(), headers or {})

    def _refuse(self, kind: str, status: int, word: str, message: str) -> httpx.Response:
        self.answers[kind, status] += 1
        return _response(
            status, json.dumps({"error": {"code": status, "message": message, "status": word}}).encode(), {}
        )


class _Body(httpx.AsyncByteStream):
    """The body of an answer, which arrives at once."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def pump(self, take: Callable[[bytes], None]) -> None:
        """Hand the body over."""
        take(self._content)

    def stop(self, error: BaseException | None = None) -> None:
        """Do nothing: the body has arrived."""

    async def __aiter__(self) -> Any:
        yield self._content


def _response(status: int, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
    fields = {"content-type": "application/json", "content-length": str(len(content)), **headers}
    return httpx.Response(status, headers=fields, stream=_Body(content))


def _job(document: Mapping[str, Any]) -> str:
    text: str = document["contents"][0]["parts"][0]["text"]
    return text


def _tokens(document: Mapping[str, Any]) -> int:
    return math.ceil(len(_job(document)) / 4)


def _price(document: Mapping[str, Any], tier: Tier) -> int:
    full = _tokens(document) * PRICE_IN + PICTURE_TOKENS * PRICE_OUT
    return full if tier is Tier.STANDARD else full // 2


def _png() -> str:
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
