"""The sandbox misbehaves as told, tells the log the truth about it, and can be started, found and killed."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import signal
import subprocess
import sys
import time

import httpx
import pytest
from PIL import Image

from batchgen.sandbox.launch import LaunchError, find, start
from batchgen.sandbox.log import read_log, totals
from tests.timing import patience

KEY = {"Authorization": "Bearer sk-test-1234"}
BODIES = {
    "aigate": ("/v1/images/generations", {"model": "openai/gpt-image-2"}),
    "gptimageapi": ("/v1/images/generate", {"model": "gpt-image-2"}),
    "aimlapi": ("/v1/images/generations", {"model": "openai/gpt-image-2"}),
    "gateway": ("/api/v1/images/generations", {"model": "gpt-image-2", "size": "1024x1024", "n": 1}),
    "openai": ("/v1/images/generations", {"model": "gpt-image-2"}),
    "openrouter": ("/api/v1/chat/completions", {"model": "google/gemini-3.1-flash-image"}),
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sandbox")
    with start(folder, latency="none", idle_exit=60, extra=("--draw", "small")) as running:
        yield running


@pytest.fixture
def http():
    with httpx.Client(trust_env=False, timeout=5, headers=KEY) as client:
        yield client


def ask(http, sandbox, provider, prompt, **more):
    path, body = BODIES[provider]
    if provider == "openrouter":
        words = {"modalities": ["image", "text"], "messages": [{"role": "user", "content": prompt}]}
    else:
        words = {"prompt": prompt}
    return http.post(sandbox.base_url(provider) + path, json={**body, **words, **more})


def charged(sandbox, prompt):
    return sum(line["event"] == "charge" and line["prompt"] == prompt for line in read_log(sandbox.log))


@pytest.mark.parametrize("provider", BODIES)
@pytest.mark.parametrize(
    "kind", ["refuse", "throttle", "overloaded", "money", "quota429", "denied", "invalid", "error500", "error502"]
)
def test_refusals_cost_nothing_and_are_json(sandbox, http, provider, kind):
    prompt = f"{provider} [sandbox: {kind}]"
    answer = ask(http, sandbox, provider, prompt)
    body = answer.json()
    statuses = {"throttle": 429, "overloaded": 503, "quota429": 429, "denied": 401, "error500": 500, "error502": 502}
    if kind in statuses:
        assert answer.status_code == statuses[kind]
    assert "error" in body or "message" in body
    assert charged(sandbox, prompt) == 0


@pytest.mark.parametrize(
    ("kind", "provider", "check"),
    [
        ("empty", "openai", lambda a: a.json()["data"] == []),
        ("text", "aigate", lambda a: a.json()["data"] == []),
        ("badjson", "aigate", lambda a: a.status_code == 200 and not a.text.endswith("}")),
        ("html200", "gateway", lambda a: a.status_code == 200 and a.text.startswith("<!DOCTYPE html>")),
        ("cloudflare524", "aigate", lambda a: a.status_code == 524 and "<title>" in a.text),
        ("gateway-timeout", "openai", lambda a: a.status_code == 504 and "error" in a.json()),
        ("nan", "aimlapi", lambda a: "NaN" in a.text),
        ("dupkey", "openai", lambda a: a.text.startswith('{"data": null, ') and a.text.count('"data"') == 2),
        ("big=3", "openai", lambda a: len(a.content) > 3_000_000 and a.json()["data"]),
        ("slow=0.2", "openai", lambda a: a.elapsed.total_seconds() >= 0.2 and a.json()["data"]),
        ("trickle=0.3", "openai", lambda a: a.elapsed.total_seconds() >= 0.3 and a.json()["data"]),
        ("badbase64", "gptimageapi", lambda a: "!!" in a.json()["data"]["images"][0]["url"]),
        ("badbase64", "openai", lambda a: "!!" in a.json()["data"][0]["b64_json"]),
    ],
)
def test_corrupted_answers_are_charged(sandbox, http, kind, provider, check):
    prompt = f"spoilt {kind} {provider} [sandbox: {kind}]"
    assert check(ask(http, sandbox, provider, prompt))
    assert charged(sandbox, prompt) == 1


def test_errors_with_status_200(sandbox, http):
    answer = ask(http, sandbox, "openai", "e [sandbox: error200]")
    assert (answer.status_code, answer.json()["error"]["code"]) == (200, "server_error")
    assert ask(http, sandbox, "gptimageapi", "e [sandbox: error200]").json()["code"] == 500
    assert charged(sandbox, "e [sandbox: error200]") == 0
    words = ask(http, sandbox, "openrouter", "w [sandbox: text]").json()["choices"][0]["message"]
    assert words["content"]
    assert "images" not in words
    assert charged(sandbox, "w [sandbox: text]") == 0


def test_image_faults(sandbox, http):
    cut = base64.b64decode(ask(http, sandbox, "openai", "[sandbox: truncated]").json()["data"][0]["b64_json"])
    with pytest.raises(OSError), Image.open(io.BytesIO(cut)) as image:
        image.load()
    assert len(ask(http, sandbox, "openai", "[sandbox: short]", n=3).json()["data"]) == 2
    assert ask(http, sandbox, "openai", "[sandbox: short]").json()["data"] == []
    with httpx.Client(trust_env=False) as bare:
        gone = ask(http, sandbox, "aigate", "[sandbox: url404]").json()["data"][0]["url"]
        assert bare.get(gone).status_code == 404
        flaky = ask(http, sandbox, "aimlapi", "[sandbox: url-flaky]").json()["data"][0]["url"]
        assert [bare.get(flaky).status_code for _ in range(3)] == [503, 503, 200]


@pytest.mark.parametrize(
    ("kind", "charges"), [("drop", 1), ("drop-before", 0), ("half-body", 1), ("stall=0.2", 1), ("stall", 1)]
)
def test_connection_faults(sandbox, http, kind, charges):
    prompt = f"break [sandbox: {kind}]"
    with httpx.Client(trust_env=False, timeout=0.5, headers=KEY) as hasty, pytest.raises(httpx.TransportError):
        ask(hasty, sandbox, "aigate", prompt)
    assert charged(sandbox, prompt) == charges


def test_redirect_target_logs_the_key(sandbox, http):
    answer = ask(http, sandbox, "openai", "[sandbox: redirect]")
    assert (answer.status_code, answer.headers["location"]) == (307, f"{sandbox.url}/_sandbox/elsewhere")
    http.post(answer.headers["location"])
    end = time.monotonic() + 5
    while time.monotonic() < end and not any(line["provider"] == "elsewhere" for line in read_log(sandbox.log)):
        time.sleep(0.02)
    assert [line["key_tail"] for line in read_log(sandbox.log) if line["provider"] == "elsewhere"] == ["1234"]


def test_directives_count_per_provider(sandbox, http):
    prompt = "count [sandbox: throttle x2 retry-after=0.2 provider=aigate]"
    statuses = [ask(http, sandbox, "aigate", prompt).status_code for _ in range(3)]
    assert statuses == [429, 429, 200]
    assert ask(http, sandbox, "openai", prompt).status_code == 200
    assert "unknown fault" in ask(http, sandbox, "openai", "[sandbox: nonsense]").text


def test_standing_faults_can_be_replaced(sandbox, http):
    control = f"{sandbox.url}/_sandbox/faults"
    rules = [{"kind": "error500", "provider": "openai", "match": "dog", "times": 1}]
    assert http.post(control, json=rules).json() == {"standing": 1}
    assert [ask(http, sandbox, "openai", "a dog").status_code for _ in range(2)] == [500, 200]
    assert http.post(control, json=[{"kind": "nonsense"}]).status_code == 400
    assert http.post(control, json={}).status_code == 400
    http.post(control, json=[])


async def test_concurrent_requests_and_limits(tmp_path):
    extra = ("--draw", "small", "--throttle", "openai=5/m", "--honour-idempotency")
    with start(tmp_path, latency="0.05", idle_exit=30, extra=extra) as own:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(trust_env=False, headers=KEY, timeout=20, limits=limits) as client:

            def post(provider, prompt, **headers):
                path, body = BODIES[provider]
                return client.post(own.base_url(provider) + path, json={**body, "prompt": prompt}, headers=headers)

            limited = await asyncio.gather(*(post("openai", "x") for _ in range(9)))
            assert sorted(answer.status_code for answer in limited) == [200] * 5 + [429] * 4
            late = next(answer for answer in limited if answer.status_code == 429)
            assert 50 < float(late.headers["retry-after"]) <= 60.1
            assert late.headers["x-ratelimit-limit-requests"] == "5"
            assert "on requests per min (RPM): Limit 5, Used 5, Requested 1." in late.json()["error"]["message"]
            free = await asyncio.gather(*(post("aigate", f"p{number}") for number in range(200)))
            assert len({answer.json()["data"][0]["b64_json"] for answer in free}) == 200
            same = await asyncio.gather(*(post("aigate", "once", **{"Idempotency-Key": "k1"}) for _ in range(3)))
            assert len({answer.content for answer in same}) == 1
            with pytest.raises(httpx.TransportError):
                await post("aigate", "d [sandbox: drop]", **{"Idempotency-Key": "k2"})
            assert (await post("aigate", "d [sandbox: drop]", **{"Idempotency-Key": "k2"})).status_code == 200
            for _ in range(2):
                answer = await post("aigate", "r [sandbox: overloaded x1]", **{"Idempotency-Key": "k3"})
            assert answer.status_code == 200
    assert totals(own.log)["aigate"]["charges"] == 200 + 1 + 1 + 1
    events = [line["event"] for line in read_log(own.log)]
    assert events.count("arrival") == events.count("answer") == 9 + 200 + 3 + 2 + 2


def test_log_survives_a_kill_and_serials_continue(tmp_path):
    own = start(tmp_path, latency="none", idle_exit=30, extra=("--draw", "small"))
    with httpx.Client(trust_env=False, headers=KEY, timeout=5) as client:
        for number in range(5):
            ask(client, own, "gateway", f"p{number}")
        os.kill(own.pid, signal.SIGKILL)
        own.process.wait(patience(5))
        assert totals(own.log)["gateway"]["charges"] == 5
        with start(tmp_path, latency="none", idle_exit=30, extra=("--draw", "small")) as again:
            assert not again.reused
            ask(client, again, "gateway", "after")
    assert max(line["serial"] for line in read_log(own.log)) == 6


def test_charge_is_durable_before_the_answer(tmp_path):
    own = start(tmp_path, latency="none", idle_exit=30, extra=("--draw", "small"))
    with httpx.Client(trust_env=False, headers=KEY, timeout=0.3) as client, pytest.raises(httpx.ReadTimeout):
        ask(client, own, "gateway", "held [sandbox: stall=30]")
    assert totals(own.log)["gateway"]["charges"] == 1
    own.stop()
    assert own.process.returncode == 0
    assert [line["event"] for line in read_log(own.log)] == ["arrival", "charge", "answer"]


def test_running_server_is_reused_and_idle_one_ends(tmp_path):
    first = start(tmp_path, latency="none", idle_exit=0.6)
    second = start(tmp_path)
    assert second.reused
    assert (second.url, second.pid) == (first.url, first.pid)
    assert os.getsid(first.pid) == first.pid
    assert first.process.wait(patience(10)) == 0
    assert find(tmp_path) is None
    assert json.loads((tmp_path / "sandbox.json").read_text())["pid"] == first.pid


def test_failed_start_shows_the_reason(tmp_path):
    with pytest.raises(LaunchError, match="unknown fault 'nonsense'"):
        start(tmp_path, extra=("--fault", "nonsense=1"))
    with pytest.raises(LaunchError, match="loopback only"):
        start(tmp_path, extra=("--host", "0.0.0.0"))


def test_start_that_takes_too_long_ends_with_its_probable_reason(tmp_path):
    never = tmp_path / "never"
    os.mkfifo(never)  # the server reads its providers before it listens, and this one never ends
    with pytest.raises(
        LaunchError, match="were not ready within 2 seconds; probably this machine is too busy"
    ) as error:
        start(tmp_path, extra=("--providers", str(never)), patience=2)
    assert "They printed nothing" in str(error.value)
    assert find(tmp_path) is None


def test_command_line_announces_its_address(tmp_path):
    command = [sys.executable, "-m", "batchgen.sandbox", "--log", str(tmp_path / "c.jsonl"), "--idle-exit", "0.2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout.startswith("http://127.0.0.1:")) == (0, True)
    assert len(done.stderr.splitlines()) == 1
