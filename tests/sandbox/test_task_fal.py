"""The fal twin: statuses, results, errors, cancellation and faults as its documents describe them."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from batchgen.sandbox.dialects.fal import status
from batchgen.sandbox.dialects.task import Progress, Task
from batchgen.sandbox.launch import start
from batchgen.sandbox.log import read_log
from batchgen.sandbox.values import Trace

from .task_client import TaskClient

KEY = {"Authorization": "Key sk-test-1234"}
MODEL = "/fal-ai/flux/schnell"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with start(tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=60) as running:
        yield running


@pytest.fixture
def fal(sandbox):
    client = TaskClient(sandbox, "fal", KEY)
    yield client
    client.close()


def over(answer):
    return answer.status_code == 200


def is_json(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def submitted(fal, prompt, **fields):
    answer = fal.submit(MODEL, {"prompt": prompt, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_submission_names_addresses_of_owner_and_app(fal):
    facts = submitted(fal, "a boat")
    place = f"{fal.base}/fal-ai/flux/requests/{facts['request_id']}"
    assert facts["status"] == "IN_QUEUE"
    assert (facts["response_url"], facts["status_url"], facts["cancel_url"]) == (
        place,
        f"{place}/status",
        f"{place}/cancel",
    )


def test_status_is_202_until_the_task_is_over(fal):
    waiting = submitted(fal, "a boat [sandbox: task-stuck]")
    answer = fal.get(waiting["status_url"])
    assert (answer.status_code, answer.json()["status"], answer.json()["queue_position"]) == (202, "IN_QUEUE", 0)
    assert fal.get(waiting["response_url"]).status_code == 400
    facts = submitted(fal, "a boat")
    last = fal.wait(facts["status_url"], over).json()
    assert (last["status"], "error" in last) == ("COMPLETED", False)


def test_status_of_a_running_task():
    task = Task(id="1", serial=1, url="http://x/fal", model="fal-ai/flux/dev", fields={}, created=0.0)
    task.state = Progress.RUNNING
    answer = status(task, Trace(serial=1, now=0.0, path="/", request_id="r"))
    assert (answer.status, answer.payload["status"], answer.payload["logs"]) == (202, "IN_PROGRESS", None)


def test_result_has_images_at_addresses_and_one_charge(fal):
    facts = submitted(fal, "two boats", num_images=2, image_size={"width": 640, "height": 384})
    fal.wait(facts["status_url"], over)
    result = fal.get(facts["response_url"]).json()
    for item in result["images"]:
        with Image.open(io.BytesIO(fal.download(item["url"]).content)) as image:
            assert image.size == (640, 384) == (item["width"], item["height"])
    (charge,) = fal.lines("charge", facts["request_id"])
    assert (charge["images"], charge["usd"]) == (2, "0.006")
    assert len(fal.lines("task", facts["request_id"])) == 1


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer sk-test-1234"}, {"Authorization": "Key bad-key"}, {"x-key": "sk-test-1234"}],
)
def test_another_scheme_is_refused(sandbox, headers):
    client = TaskClient(sandbox, "fal", headers)
    answer = client.submit(MODEL, {"prompt": "a boat"})
    client.close()
    assert (answer.status_code, answer.json()["detail"]) == (
        401,
        "Authentication is required to access this application.",
    )


def test_wrong_body_is_a_task_that_fails_free(fal):
    facts = submitted(fal, "a boat", size="1024x1024")
    ended = fal.wait(facts["status_url"], over)
    result = fal.get(facts["response_url"])
    assert ended.json()["error_type"] == ended.headers["X-Fal-Error-Type"] == "value_error"
    assert (result.status_code, result.json()["detail"][0]["loc"]) == (422, ["body", "size"])
    assert result.headers["X-Fal-Retryable"] == "false"
    assert fal.lines("charge", facts["request_id"]) == []


def test_unknown_model_and_unknown_task(fal):
    assert fal.submit("/fal-ai/nothing", {"prompt": "a boat"}).status_code == 404
    assert fal.get("/fal-ai/flux/requests/none/status").status_code == 404


@pytest.mark.parametrize(
    ("kind", "status", "word", "charges"),
    [
        ("task-fail", 500, "internal_server_error", 0),
        ("task-fail-charged", 500, "internal_server_error", 1),
        ("task-refuse", 422, "content_policy_violation", 0),
        ("task-refuse-charged", 422, "content_policy_violation", 1),
        ("task-cancel", 499, "client_cancelled", 0),
    ],
)
def test_ends_that_a_prompt_asks_for(fal, kind, status, word, charges):
    facts = submitted(fal, f"a boat [sandbox: {kind}]")
    fal.wait(facts["status_url"], over)
    result = fal.get(facts["response_url"])
    assert (result.status_code, result.json()["detail"][0]["type"]) == (status, word)
    assert len(fal.lines("charge", facts["request_id"])) == charges


def test_lost_task_is_charged_and_unknown(fal):
    facts = submitted(fal, "a boat [sandbox: task-lose]")
    answer = fal.wait(facts["status_url"], lambda _: fal.lines("charge", facts["request_id"]))
    assert answer.status_code == 404


def test_cancelled_task_costs_nothing(fal):
    facts = submitted(fal, "a boat [sandbox: task-stuck]")
    answer = fal.send("PUT", facts["cancel_url"])
    assert (answer.status_code, answer.json()["status"]) == (202, "CANCELLATION_REQUESTED")
    assert fal.get(facts["response_url"]).status_code == 499
    assert fal.send("PUT", facts["cancel_url"]).json()["status"] == "ALREADY_COMPLETED"
    assert fal.lines("charge", facts["request_id"]) == []
    assert len(fal.lines("cancel", facts["request_id"])) == 2


def test_faults_of_polls_strike_the_first_polls(fal):
    facts = submitted(fal, "a boat [sandbox: poll-500 x2]")
    assert [fal.get(facts["status_url"]).status_code for _ in range(2)] == [500, 500]
    fal.wait(facts["status_url"], over)
    polls = fal.lines("poll", facts["request_id"])
    assert [line["polls"] for line in polls] == list(range(1, len(polls) + 1))
    limited = submitted(fal, "a boat [sandbox: poll-429 x1 retry-after=7]")
    answer = fal.get(limited["status_url"])
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    odd = submitted(fal, "a boat [sandbox: task-stuck] [sandbox: poll-odd x1]")
    assert [fal.get(odd["status_url"]).json()["status"] for _ in range(2)] == ["MIGRATING", "IN_QUEUE"]


def test_result_address_can_be_expired(fal):
    facts = submitted(fal, "a boat [sandbox: result-expired]")
    fal.wait(facts["status_url"], over)
    url = fal.get(facts["response_url"]).json()["images"][0]["url"]
    assert fal.download(url).status_code == 404


def test_polls_can_be_at_another_host(fal):
    facts = submitted(fal, "a boat [sandbox: poll-elsewhere]")
    assert facts["status_url"].startswith("http://localhost:")
    assert over(fal.wait(facts["status_url"], over))


@pytest.mark.parametrize(("kind", "status"), [("cloudflare524", 524), ("html200", 200), ("badjson", 200)])
def test_spoiled_answer_to_a_submission_leaves_a_task(fal, kind, status):
    prompt = f"a boat at sea [sandbox: {kind}]"
    answer = fal.submit(MODEL, {"prompt": prompt})
    assert answer.status_code == status
    assert not is_json(answer.text)
    lines = [line for line in read_log(fal.sandbox.log) if line["prompt"] == prompt]
    assert [line["event"] for line in lines if line["event"] in {"task", "charge"}][:1] == ["task"]


def test_fault_of_pictures_in_answers_is_refused(fal):
    assert fal.submit(MODEL, {"prompt": "a boat [sandbox: badbase64]"}).status_code == 422


def test_fault_of_the_submission_leaves_a_task(fal):
    answer = fal.submit(MODEL, {"prompt": "a boat lost on the way [sandbox: gateway-timeout]"})
    assert answer.status_code == 504
    tasks = [line for line in read_log(fal.sandbox.log) if line["event"] == "task" and "on the way" in line["prompt"]]
    assert len(tasks) == 1
    refused = fal.submit(MODEL, {"prompt": "a boat [sandbox: throttle retry-after=3]"})
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "3")
