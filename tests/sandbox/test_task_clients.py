"""Official clients of task providers, pointed at the sandbox: they read its answers as they read the provider's."""

from __future__ import annotations

import io
import urllib.request

import pytest
from PIL import Image

from batchgen.sandbox.launch import start
from batchgen.sandbox.log import read_log

from ..timing import patience

pytestmark = pytest.mark.slow
KEY = "sk-test-1234"
BOAT = "a boat [sandbox: task-slow=0.4]"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with start(tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=60) as running:
        yield running


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


def size_of(url):
    with urllib.request.urlopen(url, timeout=patience(20)) as answer, Image.open(io.BytesIO(answer.read())) as image:
        return image.size


def charges(sandbox, provider, prompt):
    lines = [line for line in read_log(sandbox.log) if line["provider"] == provider and line["prompt"] == prompt]
    return [line["usd"] for line in lines if line["event"] == "charge"]


@pytest.fixture
def fal(sandbox, monkeypatch):
    import fal_client
    from fal_client import client

    monkeypatch.setattr(client, "QUEUE_URL_FORMAT", f"{sandbox.base_url('fal')}/")
    made = fal_client.SyncClient(key=KEY)
    yield made
    made._client.close()  # the client itself has no way to close its connections


def test_fal_client_follows_a_request(sandbox, fal):
    import fal_client

    seen = []
    result = fal.subscribe(
        "fal-ai/nano-banana-2",
        arguments={"prompt": BOAT, "aspect_ratio": "16:9", "resolution": "1K"},
        on_queue_update=seen.append,
    )
    assert size_of(result["images"][0]["url"]) == (1344, 768)
    assert isinstance(seen[-1], fal_client.Completed)
    assert charges(sandbox, "fal", BOAT) == ["0.08"]


def test_fal_client_raises_errors_and_cancels(sandbox, fal):
    import fal_client
    from fal_client.client import FalClientHTTPError

    handle = fal.submit("fal-ai/flux/schnell", arguments={"prompt": "a boat [sandbox: task-refuse]"})
    with pytest.raises(FalClientHTTPError) as caught:
        handle.get()
    assert (caught.value.status_code, caught.value.error_type) == (422, "content_policy_violation")
    waiting = fal.submit("fal-ai/flux/schnell", arguments={"prompt": "a boat [sandbox: task-stuck]"})
    assert isinstance(waiting.status(), fal_client.Queued)
    waiting.cancel()
    ended = waiting.status()
    assert isinstance(ended, fal_client.Completed)
    assert ended.error_type == "client_cancelled"


@pytest.fixture
def replicate(sandbox):
    import replicate

    made = replicate.Client(api_token=KEY, base_url=sandbox.base_url("replicate"))
    yield made
    made._client.close()


def test_replicate_client_polls_a_prediction(sandbox, replicate):
    inputs = {"prompt": BOAT, "aspect_ratio": "2:3", "output_format": "jpg"}
    prediction = replicate.models.predictions.create("google/nano-banana-2", input=inputs)
    assert prediction.status in {"starting", "processing"}
    prediction.wait()
    assert (prediction.status, prediction.error) == ("succeeded", None)
    assert size_of(prediction.output) == (832, 1248)
    assert charges(sandbox, "replicate", BOAT) == ["0.067"]


def test_replicate_client_raises_errors_and_cancels(replicate):
    from replicate.exceptions import ModelError, ReplicateError

    with pytest.raises(ReplicateError) as caught:
        replicate.models.predictions.create("google/nano-banana-2", input={"prompt": "a boat", "lens": 50})
    assert caught.value.status == 422
    with pytest.raises(ModelError, match="flagged as sensitive"):
        replicate.run("google/nano-banana-2", input={"prompt": "a boat [sandbox: task-refuse]"})
    waiting = replicate.models.predictions.create("google/nano-banana-2", input={"prompt": "[sandbox: task-stuck]"})
    waiting.cancel()
    assert waiting.status == "canceled"


def test_replicate_client_waits_for_the_output(replicate):
    output = replicate.run("black-forest-labs/flux-schnell", input={"prompt": BOAT, "num_outputs": 2}, wait=20)
    assert len(output) == 2


def test_replicate_client_uploads_a_source_image(replicate, tmp_path):
    photo = tmp_path / "table.png"
    Image.new("RGB", (600, 400), "navy").save(photo)
    with photo.open("rb") as file:
        inputs = {"prompt": BOAT, "image_input": [file], "aspect_ratio": "1:1"}
        prediction = replicate.models.predictions.create("google/nano-banana-2", input=inputs)
    prediction.wait()
    assert (prediction.status, prediction.error) == ("succeeded", None)


@pytest.fixture
def higgsfield(sandbox):
    import higgsfield_client

    made = higgsfield_client.SyncClient(base_url=sandbox.base_url("higgsfield"), api_key=f"id:{KEY}")
    yield made
    made._client.close()


def test_higgsfield_client_follows_a_request(sandbox, higgsfield):
    import higgsfield_client

    seen = []
    model = "higgsfield-ai/soul/v2/standard"
    result = higgsfield.subscribe(model, {"prompt": BOAT, "aspect_ratio": "1:1"}, on_queue_update=seen.append)
    assert size_of(result["images"][0]["url"]) == (1024, 1024)
    assert isinstance(seen[-1], higgsfield_client.Completed)
    assert charges(sandbox, "higgsfield", BOAT) == ["0.0625"]
    refused = higgsfield.submit(model, {"prompt": "a boat [sandbox: task-refuse]"})
    assert refused.get()["status"] == "nsfw"
    waiting = higgsfield.submit(model, {"prompt": "a boat [sandbox: task-stuck]"})
    waiting.cancel()
    assert isinstance(waiting.status(), higgsfield_client.Cancelled)


def test_wavespeed_client_runs_a_model(sandbox):
    import wavespeed

    client = wavespeed.Client(api_key=KEY, base_url=sandbox.base_url("wavespeed"))
    model = "google/nano-banana-2/text-to-image"
    result = client.run(model, {"prompt": BOAT, "resolution": "1k"}, poll_interval=0.1, timeout=patience(20))
    assert size_of(result["outputs"][0]) == (1024, 1024)
    assert charges(sandbox, "wavespeed", BOAT) == ["0.07"]
    with pytest.raises(RuntimeError, match="failed"):
        client.run(model, {"prompt": "a boat [sandbox: task-fail]"}, poll_interval=0.1, timeout=patience(20))
