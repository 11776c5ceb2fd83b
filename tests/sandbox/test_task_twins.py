"""The twins of task providers: the life of a task, its ends, its charge, and what each provider refuses."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from PIL import Image

from batchgen.sandbox.launch import start

from .task_client import TaskClient
from .task_providers import BEARER, PROVIDERS

CANCELLED = [provider for provider in PROVIDERS if provider.cancel is not None]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with start(tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=60) as running:
        yield running


@pytest.fixture(params=PROVIDERS, ids=lambda provider: provider.name)
def calls(request):
    return request.param


@pytest.fixture
def client(sandbox, calls):
    made = TaskClient(sandbox, calls.name, calls.headers)
    yield made
    made.close()


@pytest.fixture
def one(sandbox):
    """Return a function that makes the client of a provider by name."""
    made = []

    def make(name, **headers):
        calls = next(calls for calls in PROVIDERS if calls.name == name)
        made.append(TaskClient(sandbox, name, headers or calls.headers))
        return made[-1], calls

    yield make
    for client in made:
        client.close()


def submit(client, calls, prompt, **headers):
    answer = client.submit(calls.path, calls.body(prompt), **calls.also, **headers)
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


def final(client, calls, facts):
    """Poll a task to its end; return the last answer."""
    over = {calls.done, calls.failed, calls.refused}
    return client.wait(calls.poll(facts), lambda answer: calls.state(answer.json()) in over).json()


def test_task_is_done_and_charged_once(client, calls):
    stuck = submit(client, calls, "a boat [sandbox: task-stuck]")
    facts = submit(client, calls, "a boat")
    task = calls.task(facts)
    assert calls.state(client.get(calls.poll(stuck)).json()) not in {calls.done, calls.failed}
    assert client.lines("charge", calls.task(stuck)) == []
    last = final(client, calls, facts)
    assert calls.state(last) == calls.done
    for url in calls.images(last):
        with Image.open(io.BytesIO(client.download(url).content)) as image:
            image.load()
    (charge,) = client.lines("charge", task)
    assert (charge["usd"], charge["images"]) == (calls.usd, 1)
    (arrival,) = client.lines("task", task)
    assert arrival["key_tail"] == "1234"
    polls = client.lines("poll", task)
    assert [line["polls"] for line in polls] == list(range(1, len(polls) + 1))


@pytest.mark.parametrize(("fault", "end"), [("task-fail", "failed"), ("task-refuse", "refused")])
def test_ends_without_a_charge(client, calls, fault, end):
    facts = submit(client, calls, f"a boat [sandbox: {fault}]")
    assert calls.state(final(client, calls, facts)) == getattr(calls, end)
    assert client.lines("charge", calls.task(facts)) == []


def test_another_scheme_of_the_key_is_refused(sandbox, calls):
    wrong = {"x-key": "sk-test-1234"} if "Authorization" in calls.headers else BEARER
    client = TaskClient(sandbox, calls.name, wrong)
    answer = client.submit(calls.path, calls.body("a boat"), **calls.also)
    client.close()
    code = answer.json().get("code") if calls.name == "kie" else answer.status_code
    assert code == (403 if calls.name == "bfl" else 401)


def test_unknown_field_is_refused(client, calls):
    body = calls.body("a boat")
    holder = body.get("input", body)
    holder["lens"] = "50mm"
    answer = client.submit(calls.path, body, **calls.also)
    code = answer.json()["code"] if calls.name == "kie" else answer.status_code
    assert code in {400, 422}
    assert "lens" in answer.text


def test_unknown_and_lost_tasks_look_alike(client, calls):
    facts = submit(client, calls, "a boat [sandbox: task-lose]")
    lost = client.wait(calls.poll(facts), lambda _: client.lines("charge", calls.task(facts)))
    missing = client.get(calls.poll(json.loads(json.dumps(facts).replace(calls.task(facts), "nowhere"))))
    assert lost.status_code == missing.status_code
    expected = {"bfl": "Task not found", "dashscope": "UNKNOWN", "kie": "recordInfo is null"}
    assert expected.get(calls.name, "not") in missing.text.replace("Not", "not") or missing.status_code == 404


@pytest.mark.parametrize("calls", CANCELLED, ids=lambda provider: provider.name, indirect=True)
def test_cancellation_of_a_waiting_task(client, calls):
    method, address = calls.cancel
    facts = submit(client, calls, "a boat [sandbox: task-stuck]")
    assert client.send(method, address(facts)).status_code in {200, 202}
    assert calls.state(client.get(calls.poll(facts)).json()).lower() == "canceled"
    assert client.lines("charge", calls.task(facts)) == []


def test_faults_of_submissions_and_polls(client, calls):
    limited = client.submit(calls.path, calls.body("a boat [sandbox: throttle retry-after=4]"), **calls.also)
    assert limited.headers["Retry-After"] == "4"
    with pytest.raises(httpx.TransportError):
        client.submit(calls.path, calls.body("a boat [sandbox: drop]"), **calls.also)
    facts = submit(client, calls, "a boat [sandbox: poll-500 x1]")
    first = client.get(calls.poll(facts))
    assert (first.json()["code"] if calls.name == "kie" else first.status_code) == 500
    assert calls.state(final(client, calls, facts)) == calls.done


def test_higgsfield_honours_idempotency_keys(one):
    client, calls = one("higgsfield")
    body = calls.body("a boat that is bought once")

    def send(_):
        return client.submit(calls.path, body, Idempotency_Key="intent-1").json()["request_id"]

    with ThreadPoolExecutor(4) as threads:
        (task,) = set(threads.map(send, range(4)))
    client.wait(calls.poll(submit(client, calls, "a boat that is bought once", Idempotency_Key="intent-1")), bool)
    other = client.submit(calls.path, calls.body("another boat"), Idempotency_Key="intent-1")
    assert (other.status_code, "different" in other.json()["detail"]) == (422, True)
    assert len(client.lines("task", task)) == 1
    again = submit(client, calls, "a boat that is bought once", Idempotency_Key="intent-2")
    assert again["request_id"] != task


def test_higgsfield_cancels_only_waiting_tasks(one):
    client, calls = one("higgsfield")
    facts = submit(client, calls, "a boat")
    final(client, calls, facts)
    assert client.send("POST", facts["cancel_url"]).status_code == 400


def test_replicate_waits_as_preferred(one):
    client, calls = one("replicate")
    waited = client.submit(calls.path, calls.body("a boat [sandbox: task-slow=0.3]"), Prefer="wait=20")
    assert (waited.status_code, waited.json()["status"]) == (201, "succeeded")
    assert submit(client, calls, "a boat [sandbox: task-stuck]")["status"] == "starting"
    assert client.submit(calls.path, calls.body("a boat"), Prefer="wait=61").status_code == 422


def test_replicate_deadline_aborts_free_and_cancels_charged(one):
    client, calls = one("replicate")
    waiting = submit(client, calls, "a boat [sandbox: task-stuck]", Cancel_After="200ms")
    last = client.wait(calls.poll(waiting), lambda answer: answer.json()["completed_at"]).json()
    assert (last["status"], client.lines("charge", calls.task(waiting))) == ("aborted", [])
    slow = submit(client, calls, "a boat [sandbox: task-slow=20]")
    client.wait(calls.poll(slow), lambda answer: answer.json()["status"] == "processing")
    assert client.send("POST", slow["urls"]["cancel"]).json()["status"] == "canceled"
    assert len(client.lines("charge", calls.task(slow))) == 1


def test_bfl_polls_only_where_the_answer_points(one):
    client, calls = one("bfl")
    facts = submit(client, calls, "a boat")
    assert "/us1/" in facts["polling_url"]
    final(client, calls, facts)
    elsewhere = client.get(f"/v1/get_result?id={facts['id']}").json()
    assert elsewhere["status"] == "Task not found"
    assert (facts["cost"], facts["output_mp"]) == (3.0, 1.0)


def test_dashscope_refuses_synchronous_calls(one):
    client, calls = one("dashscope")
    answer = client.submit(calls.path, calls.body("a boat"))
    assert (answer.status_code, answer.json()["code"]) == (403, "AccessDenied")
    misplaced = calls.body("a boat") | {"parameters": {"prompt": "a boat"}}
    assert client.submit(calls.path, misplaced, **calls.also).status_code == 400


@pytest.mark.parametrize(
    ("name", "path", "read"),
    [
        ("kie", "/api/v1/chat/credit", lambda facts: facts["data"]),
        ("wavespeed", "/api/v3/balance", lambda facts: facts["data"]["balance"]),
        ("bfl", "/v1/credits", lambda facts: facts["credits"]),
    ],
)
def test_balance_falls_by_the_charge(one, name, path, read):
    client, calls = one(name)
    before = read(client.get(path).json())
    final(client, calls, submit(client, calls, "a boat"))
    after = read(client.get(path).json())
    units = {"kie": 200, "wavespeed": 1, "bfl": 100}[name]
    assert before - after >= 0.99 * float(calls.usd) * units


@pytest.mark.parametrize("name", ["kie", "higgsfield", "wavespeed"])
def test_source_images_are_addresses_where_the_provider_takes_no_data(one, name):
    client, _ = one(name)
    path, body = {
        "kie": ("/api/v1/jobs/createTask", {"model": "nano-banana-2"}),
        "higgsfield": ("/alibaba/qwen-image-3/edit", {}),
        "wavespeed": ("/api/v3/google/nano-banana-2/edit", {}),
    }[name]
    field = {"kie": "image_input", "higgsfield": "image_urls", "wavespeed": "images"}[name]

    def edit(url):
        fields = {"prompt": "warmer light", field: [url]}
        return client.submit(path, {**body, "input": fields} if name == "kie" else fields).json()

    assert "URL" in json.dumps(edit("data:image/png;base64,AAAA"))
    assert "URL" not in json.dumps(edit("https://example.com/boat/640/480"))
