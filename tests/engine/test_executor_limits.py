"""Limits that a provider states, from its socket to the outcome of an attempt."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from batchgen.engine.executor import Executor
from batchgen.engine.readers import Readers
from batchgen.fault import Cause, RateLimitInfo
from batchgen.files.source_cache import SourceCache
from batchgen.files.spool import Spool
from batchgen.job import Attempt, Delivered, Missed
from batchgen.providers.presets import profile
from batchgen.sandbox.launch import start
from batchgen.task import Kind, Task
from batchgen.transport import Transport

MODELS = {
    "openai": "gpt-image-2",
    "aigate": "openai/gpt-image-2",
    "openrouter": "google/gemini-3.1-flash-image-preview",
    "aimlapi": "openai/gpt-image-2",
    "gptimageapi": "gpt-image-2",
}
#: What a refused call is told where 20 in a minute may pass; how long to wait is said by all but aimlapi.
REFUSED = {
    "openai": RateLimitInfo(limit=20, used=20, window_seconds=60),
    "aigate": RateLimitInfo(limit=20, used=20, window_seconds=60),
    "openrouter": RateLimitInfo(limit=20, remaining=0),
    "aimlapi": None,
    "gptimageapi": None,
}


def order(provider: str, folder, number: int) -> Attempt:
    task = Task(kind=Kind.GENERATE, prompt=f"a cat {number}", provider=provider, model=MODELS[provider], n=1)
    return Attempt(
        id=f"{provider.encode().hex()[:30]:0<30}{number:02}",
        job_id=number,
        claim=1,
        batch="b",
        key=f"{provider}-{number}",
        task=task,
        fingerprint="1:0",
        folder=str(folder / "output"),
        output=f"{provider}-{number}",
        sidecar=False,
    )


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    limits = [word for name in MODELS for word in ("--throttle", f"{name}=20/m")]
    extra = ("--draw", "small", "--honour-idempotency", *limits)
    with start(tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=60, extra=extra) as running:
        yield running


async def test_a_limit_reaches_the_outcome_of_an_attempt(sandbox, tmp_path):
    def complain(error: OSError) -> None:
        raise error

    profiles = {name: profile(name, {"base_url": sandbox.base_url(name)}) for name in MODELS}
    spool = Spool(tmp_path / "spool")
    async with Transport(profiles, dict.fromkeys(MODELS, "sk-test-1234")) as transport:
        workshop = Executor(
            transport=transport,
            spool=spool,
            inputs=SourceCache(tmp_path / "inputs", spool, transport),
            root=tmp_path,
            readers=Readers(1),
            alarm=complain,
        )
        for name, hint in REFUSED.items():
            first = await workshop.run(order(name, tmp_path, 1), at_once)
            assert isinstance(first, Delivered), first
            stated = RateLimitInfo(limit=20, remaining=19, reset_seconds=3, window_seconds=60)
            assert first.limit == (stated if name == "openai" else None)
            again = await workshop.run(replace(order(name, tmp_path, 1), resumed=True), at_once)
            assert isinstance(again, Delivered), "an answer in the spool is finished"
            assert again.limit is None, "the limit of an earlier run is not that of today"
            exhaust(sandbox.base_url(name), name)
            late = await workshop.run(order(name, tmp_path, 2), at_once)
            assert isinstance(late, Missed)
            assert late.fault.cause is Cause.THROTTLED
            assert (late.fault.retry_after is None) == (name == "aimlapi")
            limit = late.fault.limit
            if name == "openrouter":
                assert limit is not None
                assert limit.reset_seconds is not None
                assert 0 < limit.reset_seconds <= 61
                limit = RateLimitInfo(limit=limit.limit, remaining=limit.remaining)
            assert limit == hint


async def at_once() -> None:
    """Let a request go."""


def exhaust(base_url: str, name: str) -> None:
    """Use up what may pass: calls that say nothing count as well."""
    path = {"openrouter": "/api/v1/chat/completions", "gptimageapi": "/v1/images/generate"}
    with httpx.Client(trust_env=False, headers={"Authorization": "Bearer sk-test-1234"}) as client:
        for _ in range(19):
            assert client.post(base_url + path.get(name, "/v1/images/generations"), json={}).status_code != 429
