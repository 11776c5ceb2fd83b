"""OpenAI's batches, against the examples of its documents and the live captures named in the module."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from batchgen.fault import Cause, Charged, ProviderError
from batchgen.providers import batches_of
from batchgen.providers.base import Call, DataUrl, Reply, Request
from batchgen.providers.batch_base import BatchDialect, BatchOrder, BatchState, Talk
from batchgen.providers.batch_rules import Fate, collect_by, fate_of, fault_of_line, lost_row
from batchgen.providers.presets import profile
from batchgen.task import Kind, Source, Task

OPENAI = profile("openai")
MODEL = OPENAI.models["gpt-image-2"]
ORDER = BatchOrder(submission_id="s" * 32, kind=Kind.GENERATE, model="gpt-image-2", input_file="file-abc123")
#: The batch object of the API reference.
BATCH: dict[str, Any] = {
    "id": "batch_abc123",
    "object": "batch",
    "endpoint": "/v1/images/generations",
    "errors": None,
    "input_file_id": "file-abc123",
    "completion_window": "24h",
    "status": "validating",
    "output_file_id": None,
    "error_file_id": None,
    "created_at": 1711471533,
    "in_progress_at": None,
    "expires_at": 1711557933,
    "finalizing_at": None,
    "completed_at": None,
    "failed_at": None,
    "expired_at": None,
    "cancelling_at": None,
    "cancelled_at": None,
    "request_counts": {"total": 0, "completed": 0, "failed": 0},
    "metadata": {"batchgen": "s" * 32},
}


def batches() -> BatchDialect:
    found = batches_of(OPENAI, MODEL)
    assert found is not None
    return found


def talk(generator: Talk[Any], *replies: Reply) -> tuple[list[Call], Any]:
    """Play the provider's side; return the calls and the result."""
    calls = [next(generator)]
    try:
        for reply in replies:
            calls.append(generator.send(reply))  # noqa: PERF401 - extend() would swallow StopIteration
    except StopIteration as end:
        return calls, end.value
    raise AssertionError("the talk has not ended")


def answer(document: object, status: int = 200) -> Reply:
    return Reply(status=status, body=json.dumps(document).encode())


def request(**fields: Any) -> Request:
    task = Task(kind=Kind.GENERATE, prompt="A cat", provider="openai", model="gpt-image-2", **fields)
    return Request(task=task, profile=OPENAI, model=MODEL, attempt_id="a" * 32)


def polled(**fields: Any) -> Any:
    return talk(batches().poll(OPENAI, "batch_abc123"), answer({**BATCH, **fields}))[1]


def test_line_is_the_body_of_the_single_call() -> None:
    line = batches().line(request(quality="low", size="1024x1024"), "key-1", {})
    body = {"model": "gpt-image-2", "prompt": "A cat", "quality": "low", "size": "1024x1024"}
    assert line == {"custom_id": "key-1", "method": "POST", "url": "/v1/images/generations", "body": body}


def test_line_of_an_edit_refers_to_uploaded_images() -> None:
    cat, table = Source(path="/p/cat.png", mime="image/png"), Source(path="/p/table.png", mime="image/png")
    remote = Source(url="https://example.com/c.png")
    edit = request()
    task = replace(edit.task, kind=Kind.EDIT, images=(cat, table, remote, cat), mask=table)
    edit = replace(edit, task=task)
    assert batches().sources(edit) == (cat, table)
    body = batches().line(edit, "k", {"/p/cat.png": "file-1"})["body"]
    assert body["images"] == [
        {"file_id": "file-1"},
        {"image_url": DataUrl(source=table)},
        {"image_url": "https://example.com/c.png"},
        {"file_id": "file-1"},
    ]
    assert body["mask"] == {"image_url": DataUrl(source=table)}
    assert batches().line(edit, "k", {})["url"] == "/v1/images/edits"


def test_upload_is_free_and_a_file_for_batches() -> None:
    file = Source(path="/tmp/requests.jsonl")
    calls, file_id = talk(batches().upload(OPENAI, file, "s1"), answer({"id": "file-abc123", "object": "file"}))
    assert file_id == "file-abc123"
    assert (calls[0].url, calls[0].billed, calls[0].signed) == ("https://api.openai.com/v1/files", False, True)
    assert calls[0].form == (("purpose", "batch"),)
    assert [(part.name, part.filename, part.source) for part in calls[0].files] == [("file", "s1.jsonl", file)]


def test_create_is_billed_and_carries_our_id() -> None:
    calls, batch = talk(batches().create(OPENAI, ORDER), answer(BATCH))
    assert calls[0].billed
    assert calls[0].json == {
        "input_file_id": "file-abc123",
        "endpoint": "/v1/images/generations",
        "completion_window": "24h",
        "metadata": {"batchgen": "s" * 32},
    }
    assert (batch.id, batch.state, batch.submission_id) == ("batch_abc123", BatchState.QUEUED, "s" * 32)
    assert batch.deadline_at == datetime.fromtimestamp(1711557933, UTC)


@pytest.mark.parametrize("reply", [answer({"object": "batch"}), Reply(status=200, body=b"<html>"), answer([])])
def test_create_without_an_id_is_unknown(reply: Reply) -> None:
    with pytest.raises(ProviderError) as error:
        talk(batches().create(OPENAI, ORDER), reply)
    assert (error.value.fault.cause, error.value.fault.charged) == (Cause.UNKNOWN, Charged.MAYBE)


def test_create_refused_costs_nothing() -> None:
    refusal = {
        "error": {"message": "Incorrect API key provided", "type": "invalid_request_error", "code": "invalid_api_key"}
    }
    with pytest.raises(ProviderError) as error:
        talk(batches().create(OPENAI, ORDER), answer(refusal, 401))
    assert (error.value.fault.cause, error.value.fault.charged) == (Cause.DENIED, Charged.NO)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("validating", BatchState.QUEUED),
        ("in_progress", BatchState.RUNNING),
        ("finalizing", BatchState.RUNNING),
        ("cancelling", BatchState.RUNNING),
        ("completed", BatchState.DONE),
        ("failed", BatchState.FAILED),
        ("expired", BatchState.EXPIRED),
        ("cancelled", BatchState.CANCELLED),
        ("paused", BatchState.RUNNING),
    ],
)
def test_state_words(word: str, state: BatchState) -> None:
    batch = polled(status=word)
    assert (batch.state, batch.word) == (state, word)
    assert batch.state.is_final is (word in ("completed", "failed", "expired", "cancelled"))


def test_poll_of_a_batch_that_is_gone_is_unknown_for_good() -> None:
    message = {"error": {"message": "No batch found with id 'batch_abc123'.", "type": "invalid_request_error"}}
    with pytest.raises(ProviderError) as error:
        talk(batches().poll(OPENAI, "batch_abc123"), answer(message, 404))
    fault = error.value.fault
    assert (fault.cause, fault.charged, fault.final) == (Cause.UNKNOWN, Charged.MAYBE, True)


def test_validation_failure_names_the_line_and_is_free() -> None:
    errors = {"object": "list", "data": [{"code": "invalid_url", "message": "url differs", "param": "url", "line": 2}]}
    batch = polled(status="failed", errors=errors, failed_at=1711471600)
    assert batch.nothing_ran
    assert [fate_of(batch, line, None) for line in (1, 2, 3)] == [Fate.FREE, Fate.AT_FAULT, Fate.FREE]
    fault = fault_of_line(batch, 2)
    assert (fault.cause, fault.charged) == (Cause.INVALID, Charged.NO)
    assert "url differs" in fault.message


def test_texts_that_no_address_can_hold_are_ignored() -> None:
    assert polled(output_file_id="\ud800").output_file is None


def test_full_queue_is_throttled() -> None:
    error = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "param": None, "line": None}
    batch = polled(status="failed", errors={"data": [error]})
    assert batch.fault.cause is Cause.THROTTLED
    assert fate_of(batch, 1, None) is Fate.FREE


def test_find_reads_every_page() -> None:
    others = [{**BATCH, "id": f"batch_{number}", "metadata": None, "input_file_id": "file-x"} for number in range(3)]
    first = {"object": "list", "data": others[:2], "first_id": "batch_0", "last_id": "batch_1", "has_more": True}
    last = {"object": "list", "data": [others[2], BATCH], "last_id": "batch_abc123", "has_more": False}
    calls, listing = talk(batches().find(OPENAI, ORDER), answer(first), answer(last))
    assert [batch.id for batch in listing.batches] == ["batch_abc123"]
    assert listing.complete
    assert [call.url.partition("?")[2] for call in calls] == ["limit=100", "limit=100&after=batch_1"]


def test_find_by_the_input_file_where_metadata_is_lost() -> None:
    page = {"data": [{**BATCH, "metadata": None}], "has_more": False}
    assert [batch.id for batch in talk(batches().find(OPENAI, ORDER), answer(page))[1].batches] == ["batch_abc123"]


@pytest.mark.parametrize(
    "page",
    [
        {"data": []},
        {"data": [], "has_more": True},
        {"data": "?", "has_more": True},
        {"has_more": None},
        # Without a list of batches, nothing was compared: to create the batch might buy it a second time.
        {"has_more": False},
        {"data": None, "has_more": False},
        {"data": {}, "has_more": False},
    ],
)
def test_find_is_incomplete_without_a_stated_end(page: dict[str, Any]) -> None:
    assert not talk(batches().find(OPENAI, ORDER), answer(page))[1].complete


def test_find_ends_when_pages_repeat() -> None:
    page = answer({"data": [{**BATCH, "metadata": None, "input_file_id": "x"}], "last_id": "b1", "has_more": True})
    assert not talk(batches().find(OPENAI, ORDER), page, page)[1].complete


def test_find_fails_with_its_page() -> None:
    with pytest.raises(ProviderError):
        talk(batches().find(OPENAI, ORDER), answer({"error": {"message": "server"}}, 500))


@pytest.mark.parametrize("status", [200, 400, 404, 409])
def test_cancel_accepts_a_batch_that_has_ended(status: int) -> None:
    calls, _ = talk(batches().cancel(OPENAI, "batch_abc123"), answer({**BATCH, "status": "cancelling"}, status))
    assert (calls[0].method, calls[0].billed) == ("POST", False)
    assert calls[0].url == "https://api.openai.com/v1/batches/batch_abc123/cancel"


def test_results_are_both_files() -> None:
    batch = polled(status="completed", output_file_id="file-out", error_file_id="file-err")
    files = batches().results(OPENAI, batch)
    assert [(file.name, file.call.url) for file in files] == [
        ("output", "https://api.openai.com/v1/files/file-out/content"),
        ("errors", "https://api.openai.com/v1/files/file-err/content"),
    ]
    assert not any(file.call.billed for file in files)
    assert batches().results(OPENAI, polled(status="cancelled")) == ()


def test_row_of_a_success_is_the_answer_of_a_single_call() -> None:
    body = {"created": 1, "data": [{"b64_json": "aGk="}], "usage": {"input_tokens": 9}}
    raw = json.dumps(
        {
            "id": "batch_req_1",
            "custom_id": "k\u00e91",
            "response": {"status_code": 200, "request_id": "req_9", "body": body},
            "error": None,
        }
    ).encode()
    row = batches().read_row(raw + b"\n")
    assert row is not None
    assert row.reply is not None
    assert (row.key, row.reply.status, row.rank) == ("k\u00e91", 200, 2)
    assert json.loads(row.reply.body) == body
    assert row.reply.headers["x-request-id"] == "req_9"


def test_row_of_a_refusal_keeps_status_and_error() -> None:
    body = {"error": {"message": "Your request was rejected", "code": "moderation_blocked"}}
    raw = json.dumps({"custom_id": "k", "response": {"status_code": 400, "body": body}, "error": None}).encode()
    row = batches().read_row(raw)
    assert row is not None
    assert row.reply is not None
    assert (row.reply.status, json.loads(row.reply.body), row.rank) == (400, body, 1)


@pytest.mark.parametrize("code", ["batch_expired", "batch_cancelled"])
def test_row_that_was_not_carried_out_is_free(code: str) -> None:
    raw = json.dumps({"custom_id": "k", "response": None, "error": {"code": code, "message": "not executed"}}).encode()
    row = batches().read_row(raw)
    assert row is not None
    assert (row.reply, row.code) == (None, code)
    assert fate_of(polled(status="expired"), 1, row) is Fate.FREE


@pytest.mark.parametrize(("error", "status"), [({"code": "request_timeout"}, 504), ({"code": "x"}, 500), (None, 504)])
def test_row_without_an_answer_may_be_charged(error: object, status: int) -> None:
    row = batches().read_row(json.dumps({"custom_id": "k", "response": None, "error": error}).encode())
    assert row is not None
    assert row.reply is not None
    assert row.reply.status == status


def test_row_that_is_cut_off_keeps_its_key_and_the_rest() -> None:
    whole = json.dumps({"custom_id": "k", "response": {"status_code": 200, "body": {"data": [{"b64_json": "aaaa"}]}}})
    row = batches().read_row(whole[:-10].encode())
    assert row is not None
    assert row.reply is not None
    assert row.reply.broken
    assert row.reply.body.startswith(b'{"data"')


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"response": {}}', b'{"custom_id": 7}', b"\xff\xfe", b'{"custom_id": "']
)
def test_row_without_a_key_is_none(raw: bytes) -> None:
    assert batches().read_row(raw) is None


def test_missing_row_is_unknown_whatever_the_counts_are() -> None:
    batch = polled(status="cancelled", request_counts={"total": 5, "completed": 0, "failed": 0}, error_file_id="f")
    assert fate_of(batch, 1, None) is Fate.UNKNOWN
    fault = lost_row(batch)
    assert (fault.cause, fault.charged) == (Cause.UNKNOWN, Charged.MAYBE)


def test_row_outranks_the_state_of_its_batch() -> None:
    raw = json.dumps({"custom_id": "k", "response": {"status_code": 200, "body": {}}}).encode()
    for word in ("failed", "expired", "cancelled", "completed"):
        assert fate_of(polled(status=word), 1, batches().read_row(raw)) is Fate.ANSWERED


def test_collect_by_counts_from_the_end() -> None:
    now = datetime(2026, 11, 30, tzinfo=UTC)
    ended = polled(status="completed", completed_at=1711500000)
    assert collect_by(ended, batches().limits, now) == datetime.fromtimestamp(1711500000 + 30 * 86400, UTC)
