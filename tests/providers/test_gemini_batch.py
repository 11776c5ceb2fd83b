"""Gemini's batches, against the examples of its documents and the live captures named in the module."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from batchgen.fault import Cause, Charged, ProviderError
from batchgen.providers.base import Reply
from batchgen.providers.batch_base import BatchOrder, BatchState
from batchgen.providers.batch_rules import Fate, fate_of, lacks_results
from batchgen.providers.gemini_batch import GeminiBatch
from batchgen.providers.presets import profile
from batchgen.task import Kind, Source
from tests.providers.test_openai_batch import answer, talk

HOME = "https://generativelanguage.googleapis.com"
GEMINI = profile("gemini")
BATCHES = GeminiBatch()
ORDER = BatchOrder(submission_id="s" * 32, kind=Kind.EDIT, model="gemini-3.1-flash-image", input_file="files/abc123")


def operation(state: str = "BATCH_STATE_PENDING", **facts: Any) -> dict[str, Any]:
    """Return an operation as the live captures show it."""
    metadata = {
        "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
        "model": "models/gemini-3.1-flash-image",
        "displayName": f"batchgen-{'s' * 32}",
        "inputConfig": {"fileName": "files/abc123"},
        "createTime": "2026-09-01T10:00:00.123456789Z",
        "updateTime": "2026-09-01T10:00:01Z",
        "batchStats": {"requestCount": "2", "pendingRequestCount": "2"},
        "state": state,
        "name": "batches/xyz",
        **facts,
    }
    return {"name": "batches/xyz", "metadata": metadata}


def polled(document: dict[str, Any]) -> Any:
    return talk(BATCHES.poll(GEMINI, "batches/xyz"), answer(document))[1]


def test_upload_is_resumable_and_stays_at_home() -> None:
    file = Source(path="/tmp/r.jsonl", size_bytes=77)
    target = "https://elsewhere.example.com/upload/v1beta/files?upload_id=u1&upload_protocol=resumable"
    calls, file_id = talk(
        BATCHES.upload(GEMINI, file, "batchgen-1"),
        Reply(status=200, body=b"", headers={"x-goog-upload-url": target}),
        answer({"file": {"name": "files/abc123", "state": "ACTIVE", "mimeType": "application/jsonl"}}),
    )
    start, finish = calls
    assert file_id == "files/abc123"
    assert (start.url, start.json) == (f"{HOME}/upload/v1beta/files", {"file": {"display_name": "batchgen-1"}})
    assert start.headers["X-Goog-Upload-Header-Content-Length"] == "77"
    assert start.headers["X-Goog-Upload-Command"] == "start"
    assert finish.url == f"{HOME}/upload/v1beta/files?upload_id=u1&upload_protocol=resumable"
    assert finish.file is not None
    assert finish.file.path == "/tmp/r.jsonl"
    assert finish.headers == {"X-Goog-Upload-Offset": "0", "X-Goog-Upload-Command": "upload, finalize"}
    assert not any(call.billed for call in calls)


@pytest.mark.parametrize(
    "reply",
    [
        answer({}, 403),
        Reply(status=200, body=b"{}"),
        Reply(status=200, body=b"", headers={"x-goog-upload-url": "http://[::1"}),
    ],
)
def test_upload_without_an_address_fails(reply: Reply) -> None:
    with pytest.raises(ProviderError):
        talk(BATCHES.upload(GEMINI, Source(path="/r", size_bytes=1), "n"), reply)


def test_create_is_by_file_and_carries_our_id() -> None:
    calls, batch = talk(BATCHES.create(GEMINI, ORDER), answer(operation()))
    assert calls[0].billed
    assert calls[0].url == f"{HOME}/v1beta/models/gemini-3.1-flash-image:batchGenerateContent"
    name = f"batchgen-{'s' * 32}"
    assert calls[0].json == {"batch": {"displayName": name, "inputConfig": {"fileName": "files/abc123"}}}
    assert (batch.id, batch.state, batch.submission_id) == ("batches/xyz", BatchState.QUEUED, "s" * 32)
    assert batch.deadline_at == datetime(2026, 9, 3, 10, 0, 0, 123456, tzinfo=UTC)
    assert batch.counts == {"requestCount": 2, "pendingRequestCount": 2}


def test_create_of_a_malformed_file_is_refused_and_free() -> None:
    error = {"error": {"code": 400, "message": "Request contains an invalid argument.", "status": "INVALID_ARGUMENT"}}
    with pytest.raises(ProviderError) as caught:
        talk(BATCHES.create(GEMINI, ORDER), answer(error, 400))
    assert (caught.value.fault.cause, caught.value.fault.charged) == (Cause.INVALID, Charged.NO)


def test_create_without_a_name_is_unknown() -> None:
    with pytest.raises(ProviderError) as caught:
        talk(BATCHES.create(GEMINI, ORDER), answer({}))
    assert (caught.value.fault.cause, caught.value.fault.charged) == (Cause.UNKNOWN, Charged.MAYBE)


@pytest.mark.parametrize("prefix", ["BATCH_STATE_", "JOB_STATE_"])
@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("PENDING", BatchState.QUEUED),
        ("RUNNING", BatchState.RUNNING),
        ("SUCCEEDED", BatchState.DONE),
        ("PARTIALLY_SUCCEEDED", BatchState.DONE),
        ("FAILED", BatchState.FAILED),
        ("CANCELLING", BatchState.RUNNING),
        ("CANCELLED", BatchState.CANCELLED),
        ("EXPIRED", BatchState.EXPIRED),
        ("UNSPECIFIED", BatchState.RUNNING),
    ],
)
def test_state_words(prefix: str, word: str, state: BatchState) -> None:
    assert polled(operation(prefix + word)).state is state


@pytest.mark.parametrize("place", ["metadata", "response"])
def test_results_are_one_file(place: str) -> None:
    document = operation("BATCH_STATE_SUCCEEDED", endTime="2026-09-01T12:00:00Z")
    if place == "metadata":
        document["metadata"]["output"] = {"responsesFile": "files/batch-xyz"}
    else:
        document["response"] = {"responsesFile": "files/batch-xyz"}
    batch = polled(document)
    assert not lacks_results(batch)
    url = f"{HOME}/download/v1beta/files/batch-xyz:download?alt=media"
    assert [file.call.url for file in BATCHES.results(GEMINI, batch)] == [url]


def test_times_that_are_out_of_range_are_ignored() -> None:
    batch = polled(operation("BATCH_STATE_RUNNING", createTime="9999-12-31T23:59:59Z"))
    assert (batch.created_at, batch.deadline_at) == (None, None)


def test_results_that_are_not_there_are_waited_for() -> None:
    batch = polled(operation("BATCH_STATE_SUCCEEDED"))
    assert lacks_results(batch)
    assert BATCHES.results(GEMINI, batch) == ()


@pytest.mark.parametrize("word", ["FAILED", "EXPIRED", "CANCELLED"])
def test_ended_batch_without_results_proves_nothing(word: str) -> None:
    batch = polled({**operation(f"BATCH_STATE_{word}"), "error": {"code": 13, "message": "Internal error"}})
    assert not lacks_results(batch)
    assert fate_of(batch, 1, None) is Fate.UNKNOWN
    assert (batch.fault is not None) is (word == "FAILED")


def test_poll_of_a_batch_that_is_gone_is_unknown_for_good() -> None:
    with pytest.raises(ProviderError) as caught:
        talk(BATCHES.poll(GEMINI, "batches/xyz"), answer({"error": {"code": 404, "status": "NOT_FOUND"}}, 404))
    assert (caught.value.fault.cause, caught.value.fault.final) == (Cause.UNKNOWN, True)


def test_find_reads_every_page() -> None:
    other = operation(displayName="somebody else's", inputConfig={"fileName": "files/other"})
    first = {"operations": [{**other, "name": "batches/1"}], "nextPageToken": "t1"}
    calls, listing = talk(BATCHES.find(GEMINI, ORDER), answer(first), answer({"operations": [operation()]}))
    assert [batch.id for batch in listing.batches] == ["batches/xyz"]
    assert listing.complete
    queries = [call.url.partition("?")[2] for call in calls]
    assert queries == ["pageSize=100", "pageSize=100&pageToken=t1"]


@pytest.mark.parametrize(
    ("page", "complete"),
    [
        ({}, True),
        ({"nextPageToken": ""}, True),
        ({"operations": None}, False),
        ({"error": {}}, False),
        ({"nextPageToken": 7}, False),
        ({"nextPageToken": "\ud800"}, False),
    ],
)
def test_find_of_nothing(page: dict[str, Any], complete: bool) -> None:
    _, listing = talk(BATCHES.find(GEMINI, ORDER), answer(page))
    assert (listing.batches, listing.complete) == ((), complete)


def test_find_ends_when_pages_repeat() -> None:
    page = answer({"operations": [], "nextPageToken": "t"})
    assert not talk(BATCHES.find(GEMINI, ORDER), page, page)[1].complete


def test_removal_is_of_the_file_of_requests() -> None:
    call = BATCHES.removal(GEMINI, "files/abc123")
    assert (call.method, call.url, call.billed, call.json) == ("DELETE", f"{HOME}/v1beta/files/abc123", False, None)


def test_cancel_has_an_empty_body() -> None:
    calls, _ = talk(BATCHES.cancel(GEMINI, "batches/xyz"), answer({}))
    assert (calls[0].method, calls[0].json, calls[0].billed) == ("POST", {}, False)
    assert calls[0].url == f"{HOME}/v1beta/batches/xyz:cancel"


@pytest.mark.parametrize("row", [{"key": "k"}, {"metadata": {"key": "k"}}])
def test_row_of_a_success_is_the_answer_of_a_single_call(row: dict[str, Any]) -> None:
    response = {"candidates": [{"content": {"parts": [{"inlineData": {"data": "aGk="}}]}}], "usageMetadata": {}}
    found = BATCHES.read_row(json.dumps({**row, "response": response}).encode() + b"\n")
    assert found is not None
    assert found.reply is not None
    assert (found.key, found.reply.status, json.loads(found.reply.body)) == ("k", 200, response)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 3, "message": "bad"}, 400),
        ({"code": 8, "message": "quota"}, 429),
        ({"code": 13, "message": "internal"}, 500),
        ({"code": 1, "message": "cancelled"}, 504),
        ({"code": 4, "message": "deadline"}, 504),
        ({"code": 503, "message": "x"}, 503),
        ({"message": "x"}, 504),
        (None, 504),
    ],
)
def test_row_of_an_error_has_its_http_status(error: Any, status: int) -> None:
    row = BATCHES.read_row(json.dumps({"key": "k", "error": error}).encode())
    assert row is not None
    assert row.reply is not None
    assert row.reply.status == status
    assert "error" in json.loads(row.reply.body)


def test_row_that_is_cut_off_keeps_its_key_and_the_rest() -> None:
    row = BATCHES.read_row(b'{"key":"k","response":{"candidates":[{"content"')
    assert row is not None
    assert row.reply is not None
    assert (row.key, row.reply.body, bool(row.reply.broken)) == ("k", b'{"candidates":[{"content"', True)


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"key": 1, "response": {}}', b'{"response": {}}', b"nonsense"])
def test_row_without_a_key_is_none(raw: bytes) -> None:
    assert BATCHES.read_row(raw) is None
