"""Batches of OpenAI: a file of requests in, files of results out, at half the price.

Sources, each fact in at least two: OpenAI's batch guide and API reference; the Python SDK 3.57 (``types/batch.py``,
``types/batch_create_params.py``, ``resources/files.py``); Microsoft's reference of ``/openai/v1/batches`` (endpoints,
50,000 lines, 200 MB, 24h); live captures of 2026-09-02 in OpenRouterTeam/docs, ``batch-research/openai.md`` (states,
errors of validation, rows, lists). What is not in any file of a cancelled batch may have been charged (same captures).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

import orjson

from ..fault import Cause, Charged, Fault
from ..task import Kind, Source
from .base import Call, DataUrl, FilePart, Reply, Request
from .batch_base import (
    BatchDialect,
    BatchLimits,
    BatchOrder,
    BatchState,
    LineProblem,
    Listing,
    RemoteBatch,
    ResultFile,
    Row,
    Talk,
    address,
    body_of,
    counts_of,
    document_of,
    document_of_batch,
    free_call,
    part_of,
    require_cancelled,
    text_of,
    unreadable,
)
from .batch_listing import PAGE_SIZE, Page, batches_of_order
from .batch_rows import BrokenRow, key_in, members, rest_after, short_value
from .error_bodies import clean
from .error_mapping import fault_of
from .jsonbody import Json, objects
from .profile import Profile

#: The key of a batch's metadata that holds our id of the submission.
METADATA_KEY = "batchgen"
#: The endpoints of a batch have these names also where the provider's own paths differ (Azure).
_ENDPOINTS = {Kind.GENERATE: "/v1/images/generations", Kind.EDIT: "/v1/images/edits"}
_STATES = {
    "validating": BatchState.QUEUED,
    "in_progress": BatchState.RUNNING,
    "finalizing": BatchState.RUNNING,
    "cancelling": BatchState.RUNNING,
    "completed": BatchState.DONE,
    "failed": BatchState.FAILED,
    "expired": BatchState.EXPIRED,
    "cancelled": BatchState.CANCELLED,
}
_ENDS = ("completed_at", "failed_at", "expired_at", "cancelled_at")
#: Codes of rows whose request was not carried out.
_NOT_RUN = frozenset({"batch_expired", "batch_cancelled"})
#: Codes of a batch that asks for more than the account's queue takes now; it may be created later.
_QUEUE_FULL = frozenset({"token_limit_exceeded", "request_limit_exceeded", "rate_limit_exceeded"})
#: Seconds after which the provider deletes an uploaded source image: as long as it keeps files of batches.
_SOURCE_LIFETIME = 2_592_000


class OpenAIBatch(BatchDialect):
    """``/v1/files`` and ``/v1/batches``."""

    limits: ClassVar[BatchLimits] = BatchLimits(
        lines=50_000,
        request_bytes=190_000_000,  # 200 MB is the limit
        images=500,  # 1,000 images of a megapixel make 3 GB of results
        window=24 * 3600.0,
        lifetime=30 * 24 * 3600.0,
    )

    def line(self, request: Request, key: str, files: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the line: the body of the same call, with uploaded images by their ids."""
        body = dict(body_of(request))
        if "images" in body:
            body["images"] = [_reference(image, files) for image in body["images"]]
        if "mask" in body:
            body["mask"] = _reference(body["mask"], files)
        return {"custom_id": key, "method": "POST", "url": _ENDPOINTS[request.task.kind], "body": body}

    def sources(self, request: Request) -> tuple[Source, ...]:
        """Return the local images: as data URLs, a few dozen of them would fill a batch."""
        local = [source for source in request.task.sources if source.path is not None]
        return tuple({source.path: source for source in local}.values())

    def upload(self, profile: Profile, file: Source, name: str) -> Talk[str]:
        """Upload the file of requests; the provider deletes it after 30 days."""
        part = FilePart(name="file", source=file, filename=f"{name}.jsonl", mime="application/jsonl")
        return (yield from _upload(profile, part, (("purpose", "batch"),)))

    def upload_source(self, profile: Profile, source: Source) -> Talk[str]:
        """Upload a source image, to be deleted by the provider when no batch can need it any more."""
        mime = source.mime or "image/png"
        ending = mime.removeprefix("image/").replace("jpeg", "jpg")
        part = FilePart(name="file", source=source, filename=f"source.{ending}", mime=mime)
        form = (
            ("purpose", "vision"),
            ("expires_after[anchor]", "created_at"),
            ("expires_after[seconds]", str(_SOURCE_LIFETIME)),
        )
        return (yield from _upload(profile, part, form))

    def create(self, profile: Profile, order: BatchOrder) -> Talk[RemoteBatch]:
        """Create the batch, with our id in its metadata: no key makes this call idempotent."""
        body = {
            "input_file_id": order.input_file,
            "endpoint": _ENDPOINTS[order.kind],
            "completion_window": "24h",
            "metadata": {METADATA_KEY: order.submission_id},
        }
        reply = yield Call(method="POST", url=address(profile, "batches"), json=body)
        document = document_of(reply, profile)
        if text_of(document, "id") is None:
            raise unreadable(reply, "the answer names no batch")
        return _batch(document, profile)

    def find(self, profile: Profile, order: BatchOrder) -> Talk[Listing]:
        """Search the whole list for our id in the metadata, and for the file of requests."""

        def ask(after: str) -> Call:
            query = {"limit": str(PAGE_SIZE), **({"after": after} if after else {})}
            return free_call("GET", address(profile, "batches", **query))

        return (yield from batches_of_order(order, ask, partial(_page, profile)))

    def poll(self, profile: Profile, remote_id: str) -> Talk[RemoteBatch]:
        """Return the state of a batch."""
        reply = yield free_call("GET", address(profile, "batches", remote_id))
        return _batch(document_of_batch(reply, profile, "id", remote_id), profile)

    def cancel(self, profile: Profile, remote_id: str) -> Talk[None]:
        """Ask for the cancellation."""
        reply = yield free_call("POST", address(profile, "batches", remote_id, "cancel"), {})
        require_cancelled(reply, profile)

    def results(self, profile: Profile, batch: RemoteBatch) -> tuple[ResultFile, ...]:
        """Return the downloads: either file may be missing."""
        files = (("output", batch.output_file), ("errors", batch.error_file))
        return tuple(
            ResultFile(name=name, call=free_call("GET", address(profile, "files", file, "content")))
            for name, file in files
            if file is not None
        )

    def removal(self, profile: Profile, input_file: str) -> Call:
        """Return the deletion of the file; source images may be those of other batches, and expire by themselves."""
        return free_call("DELETE", address(profile, "files", input_file))

    def read_row(self, raw: bytes) -> Row | None:
        """Return the content of a row; a broken one yields what is left of its answer."""
        try:
            places = members(raw)
            key = short_value(raw, places.get("custom_id"))
            answer = members(raw, places["response"][0]) if "response" in places and _is_object(raw, places) else {}
        except BrokenRow as error:
            name = key_in(raw, "custom_id")
            broken = f"the row of the result file is damaged: {error}"
            return Row(key=name, reply=Reply(status=200, body=rest_after(raw, "body"), broken=broken)) if name else None
        if not isinstance(key, str) or not key:
            return None
        if answer:
            status = short_value(raw, answer.get("status_code"))
            request_id = short_value(raw, answer.get("request_id"))
            start, end = answer.get("body", (0, 0))
            headers = {"content-type": "application/json"}
            if isinstance(request_id, str) and request_id:
                headers["x-request-id"] = request_id
            return Row(key=key, reply=Reply(status=_status(status), headers=headers, body=raw[start:end]))
        return _row_without_answer(key, short_value(raw, places.get("error")))


def _reference(image: Mapping[str, Any], files: Mapping[str, str]) -> Mapping[str, Any]:
    """Return an image by the id of its uploaded file, if it is uploaded."""
    url = image.get("image_url")
    file_id = files.get(url.source.path or "") if isinstance(url, DataUrl) else None
    return image if file_id is None else {"file_id": file_id}


def _upload(profile: Profile, part: FilePart, form: tuple[tuple[str, str], ...]) -> Talk[str]:
    reply = yield Call(method="POST", url=address(profile, "files"), form=form, files=(part,), billed=False)
    file_id = text_of(document_of(reply, profile), "id")
    if file_id is None:
        raise unreadable(reply, "the answer names no file")
    return file_id


def _page(profile: Profile, reply: Reply) -> Page:
    document = document_of(reply, profile)
    items = objects(document.get("data"))
    return Page(
        batches=[_batch(item, profile) for item in items if text_of(item, "id")],
        after=text_of(document, "last_id") or (text_of(items[-1], "id") if items else None) or "",
        is_last=document.get("has_more") is False and isinstance(document.get("data"), list),
    )


def _batch(document: Mapping[str, Json], profile: Profile) -> RemoteBatch:
    word = text_of(document, "status") or ""
    state = _STATES.get(word, BatchState.RUNNING)  # an unknown word is no proof that the batch has ended
    problems = tuple(map(_problem, objects(part_of(document, "errors").get("data"))))
    failed = state is BatchState.FAILED
    return RemoteBatch(
        id=str(document["id"]),
        state=state,
        word=clean(word, 40),
        submission_id=text_of(part_of(document, "metadata"), METADATA_KEY),
        input_file=text_of(document, "input_file_id"),
        output_file=text_of(document, "output_file_id"),
        error_file=text_of(document, "error_file_id"),
        created_at=_time(document.get("created_at")),
        ended_at=next((time for name in _ENDS if (time := _time(document.get(name)))), None),
        deadline_at=_time(document.get("expires_at")),
        counts=counts_of(part_of(document, "request_counts")),
        problems=problems,
        fault=_fault(problems, profile) if failed else None,
        nothing_ran=failed and not text_of(document, "output_file_id") and not text_of(document, "error_file_id"),
    )


def _problem(error: Mapping[str, Json]) -> LineProblem:
    line = error.get("line")
    return LineProblem(
        code=clean(text_of(error, "code") or "", 80),
        message=clean(text_of(error, "message") or "", 500),
        line=line if isinstance(line, int) and not isinstance(line, bool) else None,
    )


def _fault(problems: tuple[LineProblem, ...], profile: Profile) -> Fault:
    """Return the fault of a batch that was refused before anything was carried out."""
    first = problems[0] if problems else LineProblem(code="", message="the provider states no reason")
    body = orjson.dumps({"error": {"code": first.code, "message": first.message, "type": "invalid_request_error"}})
    fault = fault_of(Reply(status=400, body=body), profile)
    cause = Cause.THROTTLED if first.code in _QUEUE_FULL else fault.cause
    return replace(fault, cause=cause, charged=Charged.NO, status=None)


def _row_without_answer(key: str, error: Json) -> Row:
    """Return a row whose request has no answer: it was not carried out, or it failed on the way."""
    details = error if isinstance(error, Mapping) else {}
    code = text_of(details, "code") or ""
    if code in _NOT_RUN:
        return Row(key=key, reply=None, code=code)
    message = text_of(details, "message") or "the result file holds neither an answer nor an error for this request"
    body = orjson.dumps({"error": {"code": code or None, "message": message}})
    # A request that timed out at the provider may have been carried out, as after a 504.
    return Row(key=key, reply=Reply(status=504 if "timeout" in code or not code else 500, body=body))


def _is_object(raw: bytes, places: Mapping[str, tuple[int, int]]) -> bool:
    return raw[places["response"][0] : places["response"][0] + 1] == b"{"


def _status(value: Json) -> int:
    return value if isinstance(value, int) and 100 <= value < 600 else 200


def _time(value: Json) -> datetime | None:
    number = value if isinstance(value, int) and not isinstance(value, bool) else 0
    return datetime.fromtimestamp(number, UTC) if 0 < number < 10**11 else None
