"""Google's own client against the twin of Gemini: a witness that batches are as it expects them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchgen.sandbox.launch import Sandbox, start
from batchgen.sandbox.log import read_log
from tests.timing import patience

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_proxies")]
MODEL = "gemini-3.1-flash-image"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with start(tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=60, extra=("--draw", "small")) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Any]:
    from google import genai

    options = genai.types.HttpOptions(base_url=f"{sandbox.url}/gemini", api_version="v1beta", timeout=20_000)
    with genai.Client(api_key="sk-test-1234", vertexai=False, http_options=options) as client:
        yield client


def uploaded(client: Any, folder: Path, *prompts: str) -> str:
    """Upload a file of requests, and return its name."""
    path = folder / "requests.jsonl"
    config = {"responseModalities": ["TEXT", "IMAGE"]}
    lines = [
        {"key": f"k{number}", "request": {"contents": [{"parts": [{"text": prompt}]}], "generationConfig": config}}
        for number, prompt in enumerate(prompts)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    file = client.files.upload(file=path, config={"display_name": "requests", "mime_type": "application/jsonl"})
    return str(file.name)


def submitted(client: Any, folder: Path, *prompts: str) -> Any:
    """Upload a file of requests, and create its batch."""
    file = uploaded(client, folder, *prompts)
    return client.batches.create(model=MODEL, src=file, config={"display_name": "batchgen-test"})


def ended(client: Any, job: Any) -> Any:
    deadline = time.monotonic() + patience(30)
    while not job.done:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        job = client.batches.get(name=job.name)
    return job


def test_batch_by_file(client: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    from google.genai.types import GenerateContentResponse, JobState

    job = submitted(client, tmp_path, "A cat", "A dog [sandbox: error500]")
    assert (job.state, job.display_name) == (JobState.JOB_STATE_PENDING, "batchgen-test")
    job = ended(client, job)
    assert job.state is JobState.JOB_STATE_SUCCEEDED
    rows = [json.loads(raw) for raw in client.files.download(file=job.dest.file_name).splitlines()]
    assert [row["key"] for row in rows] == ["k0", "k1"]
    answer = GenerateContentResponse.model_validate(rows[0]["response"])
    images = [part.inline_data for part in answer.candidates[0].content.parts if part.inline_data]
    assert [image.mime_type for image in images] == ["image/png"]
    assert rows[1]["error"]["code"] == 13
    assert job.name in [each.name for each in client.batches.list(config={"page_size": 1})]
    charges = [line for line in read_log(sandbox.log) if line["event"] == "charge" and line["attempt"] == "k0"]
    single = client.models.generate_content(model=MODEL, contents="A cat")
    assert single.candidates[0].content.parts
    full = [line for line in read_log(sandbox.log) if line["event"] == "charge"][-1]
    assert float(charges[-1]["usd"]) * 2 == pytest.approx(float(full["usd"]))


def test_batch_is_cancelled_and_deleted(client: Any, tmp_path: Path) -> None:
    from google.genai.errors import ClientError
    from google.genai.types import JobState

    job = submitted(client, tmp_path, "A cow", "A pig [sandbox: batch-pause=1]")
    client.batches.cancel(name=job.name)
    assert ended(client, job).state is JobState.JOB_STATE_CANCELLED
    client.batches.delete(name=job.name)
    with pytest.raises(ClientError, match="404"):
        client.batches.get(name=job.name)


def test_files_of_requests_can_be_deleted_and_those_of_results_cannot(client: Any, tmp_path: Path) -> None:
    from google.genai.errors import ClientError

    file = uploaded(client, tmp_path, "A cat")
    job = ended(client, client.batches.create(model=MODEL, src=file, config={"display_name": "batchgen-test"}))
    client.files.delete(name=file)
    with pytest.raises(ClientError, match="403"):
        client.files.get(name=file)
    with pytest.raises(ClientError, match="cannot be more than 40 characters"):
        client.files.delete(name=job.dest.file_name)
    assert client.files.download(file=job.dest.file_name)


def test_malformed_request_refuses_the_batch(client: Any, tmp_path: Path) -> None:
    from google.genai.errors import ClientError

    path = tmp_path / "requests.jsonl"
    path.write_text('{"key": "a", "request": {"contents": [{"parts": [{"text": "A"}]}], "nonsense": 1}}\n')
    file = client.files.upload(file=path, config={"mime_type": "application/jsonl"})
    with pytest.raises(ClientError, match="400"):
        client.batches.create(model=MODEL, src=file.name, config={"display_name": "bad"})
