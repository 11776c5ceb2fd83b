"""Batches of the sandbox: OpenAI's own client against them, their states, their faults and their charges."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from batchgen.sandbox.launch import Sandbox, start
from batchgen.sandbox.log import read_log
from tests.sandbox.test_process import png, sdk
from tests.timing import patience

URL = "/v1/images/generations"
FINAL = {"completed", "failed", "expired", "cancelled"}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with start(tmp_path_factory.mktemp("sandbox"), latency="none", idle_exit=60, extra=("--draw", "small")) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[openai.OpenAI]:
    with sdk(sandbox, "/openai/v1") as client:
        yield client


def line(key: str, prompt: str = "A cat", url: str = URL, **body: Any) -> dict[str, Any]:
    return {"custom_id": key, "method": "POST", "url": url, "body": {"model": "gpt-image-2", "prompt": prompt, **body}}


def file_of(lines: list[dict[str, Any]] | bytes) -> io.BytesIO:
    raw = lines if isinstance(lines, bytes) else b"".join(json.dumps(item).encode() + b"\n" for item in lines)
    stream = io.BytesIO(raw)
    stream.name = "requests.jsonl"
    return stream


def created(client: openai.OpenAI, lines: list[dict[str, Any]] | bytes, url: str = URL, **more: Any) -> Any:
    file = client.files.create(file=file_of(lines), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=url, completion_window="24h", **more)


def until(client: openai.OpenAI, batch_id: str, *phases: str) -> Any:
    deadline = time.monotonic() + patience(20)
    while (batch := client.batches.retrieve(batch_id)).status not in (phases or FINAL):
        assert time.monotonic() < deadline, batch
        time.sleep(0.02)
    return batch


def rows(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    if file_id is None:
        return []
    return [json.loads(raw) for raw in client.files.content(file_id).read().splitlines()]


def control(sandbox: Sandbox, **order: object) -> None:
    httpx.post(f"{sandbox.url}/_sandbox/batches", json=order, trust_env=False).raise_for_status()


def states(sandbox: Sandbox) -> list[dict[str, Any]]:
    facts: list[dict[str, Any]] = httpx.get(f"{sandbox.url}/_sandbox/batches", trust_env=False).json()
    return facts


def charges(sandbox: Sandbox, *keys: str) -> list[dict[str, Any]]:
    return [item for item in read_log(sandbox.log) if item["event"] == "charge" and item["attempt"] in keys]


def test_batch_is_done_at_half_the_price(sandbox: Sandbox, client: openai.OpenAI) -> None:
    batch = created(client, [line("half-1"), line("half-2", quality="low")], metadata={"batchgen": "s1"})
    assert (batch.status, batch.metadata, batch.output_file_id) == ("validating", {"batchgen": "s1"}, None)
    batch = until(client, batch.id)
    assert (batch.status, batch.error_file_id) == ("completed", None)
    answers = {row["custom_id"]: row["response"]["body"] for row in rows(client, batch.output_file_id)}
    assert set(answers) == {"half-1", "half-2"}
    single = client.images.generate(model="gpt-image-2", prompt="A cat")
    assert answers["half-1"]["usage"] == single.usage.model_dump(exclude_none=True)
    paid = {item["attempt"]: float(item["usd"]) for item in charges(sandbox, "half-1", "half-2")}
    full = next(item for item in reversed(read_log(sandbox.log)) if item["event"] == "charge")
    assert paid["half-1"] * 2 == pytest.approx(float(full["usd"]))
    logged = [item for item in read_log(sandbox.log) if item["event"] == "batch" and item["batch"] == batch.id]
    assert [item["metadata"] for item in logged] == [{"batchgen": "s1"}]


def test_batch_of_edits_takes_uploaded_images(client: openai.OpenAI) -> None:
    image = client.files.create(file=("a.png", png((200, 30, 30)), "image/png"), purpose="vision")
    url = "/v1/images/edits"
    good = line("edit-1", "Add a hat", url, images=[{"file_id": image.id}])
    bad = line("edit-2", "Add a hat", url, images=[{"file_id": "file-none"}])
    batch = until(client, created(client, [good, bad], url).id)
    assert [row["custom_id"] for row in rows(client, batch.output_file_id)] == ["edit-1"]
    failed = rows(client, batch.error_file_id)
    assert [(row["custom_id"], row["response"]["status_code"]) for row in failed] == [("edit-2", 400)]


@pytest.mark.parametrize(
    ("lines", "code", "number"),
    [
        (b'{"custom_id": "a"\n', "invalid_json_line", 1),
        ([line("a"), line("a")], "duplicate_custom_id", 2),
        ([line("a"), {**line("b"), "custom_id": ""}], "missing_required_parameter", 2),
        ([line("a"), line("b", model="gpt-image-2.5-flare")], "mismatched_model", 2),
        ([line("a"), line("b", url="/v1/images/edits")], "invalid_url", 2),
        ([line("a", model="gpt-image-9")], "model_not_found", 1),
        ([{**line("a"), "body": {"prompt": "A cat"}}], "invalid_request", 1),
        ([line("a"), line("b", stream=True)], "streaming_unsupported", 2),
        ([line("a"), line("b"), line("c", "A [sandbox: batch-invalid]")], "invalid_request", 3),
        ([line("a", "A [sandbox: batch-full]")], "token_limit_exceeded", None),
        (b"", "empty_file", None),
    ],
)
def test_batch_that_is_invalid_fails_and_is_free(
    sandbox: Sandbox, client: openai.OpenAI, lines: Any, code: str, number: int | None
) -> None:
    before = len(read_log(sandbox.log))
    batch = until(client, created(client, lines).id)
    assert batch.status == "failed"
    assert [(problem.code, problem.line) for problem in batch.errors.data] == [(code, number)]
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    assert not any(item["event"] == "charge" for item in read_log(sandbox.log)[before:])


def test_batch_of_an_unknown_file_fails(client: openai.OpenAI) -> None:
    batch = client.batches.create(input_file_id="file-none", endpoint=URL, completion_window="24h")
    assert until(client, batch.id).errors.data[0].code == "invalid_request"


@pytest.mark.parametrize(
    "fields",
    [
        {"completion_window": "1h"},
        {"endpoint": "/v1/images"},
        {"metadata": {"a": "b" * 513}},
        {"metadata": {str(number): "" for number in range(17)}},
    ],
)
def test_batch_creation_is_strict(client: openai.OpenAI, fields: dict[str, Any]) -> None:
    body = {"input_file_id": "file-x", "endpoint": URL, "completion_window": "24h", **fields}
    with pytest.raises(openai.BadRequestError):
        client.batches.create(**body)


def test_upload_is_strict(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"\.jsonl"):
        client.files.create(file=("requests.txt", b"{}", "text/plain"), purpose="batch")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="bad").files.create(file=file_of([]), purpose="batch")
    with pytest.raises(openai.NotFoundError):
        client.files.content("file-none")


def test_cancelled_batch_keeps_what_was_done(sandbox: Sandbox, client: openai.OpenAI) -> None:
    lines = [line("c1"), line("c2", "A [sandbox: row-lost]"), line("c3", "A dog [sandbox: batch-pause=2]"), line("c4")]
    batch = created(client, lines)
    until(client, batch.id, "in_progress")
    deadline = time.monotonic() + patience(20)
    while client.batches.retrieve(batch.id).request_counts.completed < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert client.batches.cancel(batch.id).status == "cancelling"
    batch = until(client, batch.id)
    assert batch.status == "cancelled"
    assert [row["custom_id"] for row in rows(client, batch.output_file_id)] == ["c1"]
    errors = {row["custom_id"]: row["error"]["code"] for row in rows(client, batch.error_file_id)}
    assert errors == {"c3": "batch_cancelled", "c4": "batch_cancelled"}
    # The second one was made and charged, and is in no file.
    assert [item["attempt"] for item in charges(sandbox, "c1", "c2", "c3", "c4")] == ["c1", "c2"]
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)


def test_expired_batch_keeps_what_was_done(sandbox: Sandbox, client: openai.OpenAI) -> None:
    batch = until(client, created(client, [line("e1", "A [sandbox: batch-expire=1]"), line("e2")]).id)
    assert batch.status == "expired"
    assert [row["custom_id"] for row in rows(client, batch.output_file_id)] == ["e1"]
    assert [row["error"]["code"] for row in rows(client, batch.error_file_id)] == ["batch_expired"]
    assert [item["attempt"] for item in charges(sandbox, "e1", "e2")] == ["e1"]


def test_batch_waits_while_it_is_held(sandbox: Sandbox, client: openai.OpenAI) -> None:
    control(sandbox, hold=True)
    try:
        batch = created(client, [line("h1")])
        assert client.batches.retrieve(batch.id).status == "validating"
        control(sandbox, hold=False, expire=True)
        assert until(client, batch.id).status == "expired"
    finally:
        control(sandbox, hold=False)


def test_rows_can_be_odd(client: openai.OpenAI) -> None:
    lines = [
        line("o1", "A [sandbox: row-twice]"),
        line("o2", "A [sandbox: row-null]"),
        line("o3", "A [sandbox: refuse]"),
        line("o4", "A [sandbox: empty]"),
        line("o5", "A [sandbox: batch-shuffle]"),
    ]
    batch = until(client, created(client, lines).id)
    output = rows(client, batch.output_file_id)
    keys = [row["custom_id"] for row in output]
    assert sorted(keys) == ["o1", "o1", "o2", "o4", "o5"]
    assert keys != sorted(keys)
    assert [row["response"] for row in output if row["custom_id"] == "o2"] == [None]
    assert [row["custom_id"] for row in rows(client, batch.error_file_id)] == ["o3"]


def test_downloads_can_fail_and_break_off(sandbox: Sandbox, client: openai.OpenAI) -> None:
    prompts = ["A [sandbox: batch-503=1]", "A dog [sandbox: batch-cut=1]", "A cow [sandbox: row-cut]"]
    batch = until(client, created(client, [line(f"d{number}", text) for number, text in enumerate(prompts)]).id)
    with pytest.raises(openai.InternalServerError):
        client.files.content(batch.output_file_id)
    with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
        client.files.content(batch.output_file_id)
    raw = client.files.content(batch.output_file_id).read().splitlines()
    assert [json.loads(row)["custom_id"] for row in raw[:2]] == ["d0", "d1"]
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(raw[2])


def test_results_can_be_huge(client: openai.OpenAI) -> None:
    batch = until(client, created(client, [line("p1", "A [sandbox: batch-huge=3]"), line("p2")]).id)
    bodies = [row["response"]["body"] for row in rows(client, batch.output_file_id)]
    assert [len(body["padding"]) for body in bodies] == [1_500_000, 1_500_000]


def test_batch_exists_after_its_creation_was_cut(sandbox: Sandbox, client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIConnectionError):
        created(client, [line("x1", "A [sandbox: batch-drop x1]")], metadata={"batchgen": "s-cut"})
    listing = list(client.batches.list(limit=2))
    assert sum(batch.metadata == {"batchgen": "s-cut"} for batch in listing) == 1
    assert len({batch.id for batch in listing}) == len(listing) > 2


def test_batch_can_be_forgotten(sandbox: Sandbox, client: openai.OpenAI) -> None:
    batch = created(client, [line("f1", "A [sandbox: batch-forget]")])
    deadline = time.monotonic() + patience(20)
    while not any(facts["id"] == batch.id and facts["phase"] == "completed" for facts in states(sandbox)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve(batch.id)
    assert batch.id not in [item.id for item in client.batches.list()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_batches_outlive_their_server(tmp_path: Path, number: signal.Signals) -> None:
    options = {"latency": "none", "idle_exit": 60, "extra": ("--draw", "small")}
    with start(tmp_path, **options) as first:  # type: ignore[arg-type]
        with sdk(first, "/openai/v1") as client:
            done = until(client, created(client, [line("r1")]).id)
            lines = [line("r2"), line("r3"), line("r4", "A [sandbox: batch-pause=2]"), line("r5")]
            batch = created(client, lines, metadata={"batchgen": "s-restart"})
            stays = created(client, [line("r6", "A dog [sandbox: batch-pause]")])
            deadline = time.monotonic() + patience(20)
            while client.batches.retrieve(batch.id).request_counts.completed < 2:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            client.batches.cancel(stays.id)
            until(client, stays.id)
        os.kill(first.pid, number)
        first.stop()
        # As if the end had come while a row was written, after its charge.
        [part] = tmp_path.glob(f"*.files/{batch.id}-output")
        part.write_bytes(part.read_bytes()[:-10])
        with start(tmp_path, **options) as second, sdk(second, "/openai/v1") as client:  # type: ignore[arg-type]
            assert second.url == first.url
            assert client.batches.retrieve(done.id).output_file_id == done.output_file_id
            assert [row["custom_id"] for row in rows(client, done.output_file_id)] == ["r1"]
            assert client.batches.retrieve(stays.id).status == "cancelled"
            assert client.batches.retrieve(batch.id).metadata == {"batchgen": "s-restart"}
            control(second, release=True)
            batch = until(client, batch.id)
            assert batch.status == "completed"
            assert sorted(row["custom_id"] for row in rows(client, batch.output_file_id)) == ["r2", "r3", "r4", "r5"]
            keys = [item["attempt"] for item in read_log(second.log) if item["event"] == "charge"]
            assert sorted(keys) == ["r1", "r2", "r3", "r4", "r5"]
