"""The dialect of remote tasks against the sandbox's twins, each preset over a real connection."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from batchgen.fault import Cause, Charged, Fault, ProviderError
from batchgen.providers.base import Call, Generation, Remember, Reply, Request
from batchgen.providers.presets import preset_names, profile
from batchgen.providers.task import RemoteTask
from batchgen.sandbox.launch import Sandbox, start
from batchgen.sandbox.log import read_log
from batchgen.task import Kind, Task

from ..timing import patience

NAMES = [name for name in preset_names() if profile(name, {"base_url": "https://x.example"}).dialect == "task"]
#: A key of the form that the provider gives out.
KEYS = {"higgsfield": "0123-id:0123-secret"}


class Driver:
    """Carries conversations over plain HTTP, and keeps what they remember."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox, self.handles, self.paid = sandbox, list[dict[str, Any]](), 0
        self._http = httpx.Client(trust_env=False, timeout=patience(20))

    def close(self) -> None:
        self._http.close()

    def request(self, name: str, prompt: str, **fields: Any) -> Request:
        spoken = profile(name, {"base_url": self.sandbox.base_url(name)})
        title, model = spoken.find()
        task = Task(kind=Kind.GENERATE, prompt=prompt, provider=name, model=title, **fields)
        return Request(task=task, profile=spoken, model=model, attempt_id=uuid4().hex)

    def carry_out(self, order: Request, most_polls: int = 400) -> Generation | Fault | None:
        """Return the result, the fault, or None if the task is not over after so many polls."""
        conversation, polls = RemoteTask().converse(order), 0
        step = next(conversation)
        try:
            while polls <= most_polls:
                if isinstance(step, Call):
                    polls += not step.billed
                    step = conversation.send(self.send(order, step))
                    continue
                if isinstance(step, Remember):
                    self.handles.append(dict(step.handle))
                else:
                    time.sleep(0.02)
                step = conversation.send(None)
        except StopIteration as end:
            return end.value
        except ProviderError as error:
            return error.fault
        return None

    def send(self, order: Request, call: Call) -> Reply:
        self.paid += call.billed
        key = KEYS.get(order.profile.name, "sk-test-1234")
        headers = {**call.headers, **(order.profile.auth.headers(key) if call.signed else {})}
        answer = self._http.request(call.method, call.url, json=call.json, headers=headers)
        return Reply(status=answer.status_code, body=answer.content, headers=dict(answer.headers))

    def charges(self) -> int:
        return len([line for line in read_log(self.sandbox.log) if line["event"] == "charge"])


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with start(tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=60) as running:
        yield running


@pytest.fixture
def driver(sandbox: Sandbox) -> Iterator[Driver]:
    driver = Driver(sandbox)
    yield driver
    driver.close()


@pytest.mark.parametrize("name", NAMES)
def test_preset_gets_its_image(driver: Driver, name: str) -> None:
    before = driver.charges()
    result = driver.carry_out(driver.request(name, "a red apple on a white table"))
    assert isinstance(result, Generation), result
    assert len(result.pictures) == 1
    assert (driver.paid, driver.charges() - before) == (1, 1)


@pytest.mark.parametrize("name", NAMES)
def test_preset_continues_from_its_handle(driver: Driver, name: str) -> None:
    order = driver.request(name, "a red apple [sandbox: task-slow=1]")
    before = driver.charges()
    assert driver.carry_out(order, most_polls=1) is None
    result = driver.carry_out(replace(order, handle=driver.handles[0]))
    assert isinstance(result, Generation), result
    assert (driver.paid, driver.charges() - before) == (1, 1)


@pytest.mark.parametrize("name", NAMES)
def test_preset_reads_failures(driver: Driver, name: str) -> None:
    failed = driver.carry_out(driver.request(name, "a red apple [sandbox: task-fail]"))
    assert isinstance(failed, Fault)
    assert failed.cause is Cause.ERROR
    assert (failed.charged is Charged.NO) == (name in ("dashscope", "fal", "higgsfield"))
    refused = driver.carry_out(driver.request(name, "a red apple [sandbox: task-refuse]"))
    assert isinstance(refused, Fault)
    assert refused.cause is Cause.REFUSED
    lost = driver.carry_out(driver.request(name, "a red apple [sandbox: task-lose]"))
    assert isinstance(lost, Fault)
    assert (lost.cause, lost.charged, lost.final) == (Cause.UNKNOWN, Charged.MAYBE, True)
    expired = driver.carry_out(driver.request(name, "a red apple [sandbox: result-expired]"))
    assert isinstance(expired, Fault)
    assert (expired.cause, expired.charged, expired.final) == (Cause.SPOILED, Charged.YES, True)


@pytest.mark.parametrize("name", NAMES)
def test_preset_cancels(driver: Driver, name: str) -> None:
    order = driver.request(name, "a red apple [sandbox: task-slow=60]")
    driver.carry_out(order, most_polls=0)
    call = RemoteTask().cancellation(replace(order, handle=driver.handles[0]))
    if call is None:
        assert name in ("bfl", "dashscope", "kie", "wavespeed")  # their documents have no cancellation
        return
    assert driver.send(order, call).status < 300
