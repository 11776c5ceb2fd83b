"""The dialect of remote tasks against the sandbox's twins: every model of every preset, and every kind of failure."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Mapping
from itertools import product
from typing import Any

import httpx
import pytest

from batchgen.fault import Cause, Charged, Fault, ProviderError
from batchgen.providers import dialect
from batchgen.providers.base import Call, DataUrl, Generation, Reply, Request, Wait
from batchgen.providers.presets import profile
from batchgen.providers.pricing import charge
from batchgen.sandbox.dialects import TASK_DIALECTS
from batchgen.sandbox.launch import start
from batchgen.sandbox.log import read_log
from batchgen.task import Kind, Source, Task

from ..timing import patience
from .test_dialects import PNG

KEY = "id:sk-test-1234"
WEB = Source(url="https://shop.example/table/640/480")
PRESETS = list(TASK_DIALECTS)
CASES = [
    (name, model, kind)
    for name in PRESETS
    for model, facts in profile(name).models.items()
    for kind in Kind
    if facts.rules(kind) is not None
]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with start(tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=60) as running:
        yield running


@pytest.fixture
def play(sandbox):
    """Return a function that carries a conversation over real connections."""
    with httpx.Client(trust_env=False, timeout=patience(20)) as http:

        def run(order: Request) -> Generation:
            conversation = dialect(order.model.dialect or order.profile.dialect).converse(order)
            step = next(conversation)
            while True:
                reply = None
                if isinstance(step, Call):
                    reply = send(http, step, order)
                elif isinstance(step, Wait):
                    time.sleep(0.05)  # the providers of the sandbox are faster than those whom the waits suit
                try:
                    step = conversation.send(reply)
                except StopIteration as end:
                    return end.value

        yield run


def send(http: httpx.Client, call: Call, order: Request) -> Reply:
    auth = order.profile.auth.headers(KEY) if call.signed else {}
    answer = http.request(call.method, call.url, json=filled(call.json), headers={**call.headers, **auth})
    return Reply(
        status=answer.status_code, body=answer.content, headers={k.lower(): v for k, v in answer.headers.items()}
    )


def filled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: filled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [filled(item) for item in value]
    if isinstance(value, DataUrl):
        text = base64.b64encode(PNG).decode()
        return text if value.bare else f"data:image/png;base64,{text}"
    return value


def order_at(sandbox, name: str, model: str, prompt: str, **fields: Any) -> Request:
    at = profile(name).model_copy(update={"base_url": sandbox.base_url(name)})
    _, facts = at.find(model)
    task = Task(**{"kind": Kind.GENERATE, "prompt": prompt, "provider": name, "model": model, **fields})
    return Request(task=task, profile=at, model=facts, attempt_id=uuid.uuid4().hex)


def charge_of(sandbox, prompt: str) -> list[str]:
    return [line["usd"] for line in read_log(sandbox.log) if line["event"] == "charge" and line["prompt"] == prompt]


@pytest.mark.parametrize(("name", "model", "kind"), CASES, ids=str)
def test_models_of_presets_are_made_and_booked_as_charged(sandbox, play, name, model, kind):
    prompt = f"a boat by {model} at {name}, {kind}"
    order = order_at(sandbox, name, model, prompt, kind=kind, images=(WEB,) if kind is Kind.EDIT else ())
    generation = play(order)
    assert len(generation.pictures) == 1
    (usd,) = charge_of(sandbox, prompt)
    booked = charge(generation.usage, order.task, order.model).usd
    assert booked is None or booked == pytest.approx(float(usd) * 1e9, rel=0.001)


def fault_at(sandbox, play, name: str, directive: str) -> Fault:
    with pytest.raises(ProviderError) as caught:
        play(order_at(sandbox, name, profile(name).default_model, f"a boat [sandbox: {directive}]"))
    return caught.value.fault


FAULTS = {
    "task-refuse": Cause.REFUSED,
    "task-fail": Cause.ERROR,
    "task-lose": Cause.UNKNOWN,
    "refuse": Cause.REFUSED,
    "throttle": Cause.THROTTLED,
    "money": Cause.MONEY,
    "denied": Cause.DENIED,
}


@pytest.mark.parametrize(("name", "directive"), list(product(PRESETS, FAULTS)), ids=str)
def test_faults_are_classified(sandbox, play, name, directive):
    fault, cause = fault_at(sandbox, play, name, directive), FAULTS[directive]
    assert fault.cause is cause, fault
    if cause is Cause.UNKNOWN:
        assert (fault.charged, fault.final) == (Charged.MAYBE, True)
    if directive in {"throttle", "money", "denied"}:
        assert fault.charged is Charged.NO
