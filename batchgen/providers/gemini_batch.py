"""Batches of Gemini's own API: a file of requests in, one file of results out, at half the price.

Always by files: results with images inside the batch itself were charged and could not be downloaded (discuss.ai.google
topic 174261; python-genai issue 2519). For the same reason a batch has 100 images at most.

Sources, each fact in at least two: the guide (ai.google.dev/gemini-api/docs/batch-api) and reference (api/batch-mode);
google-genai 3.6.1 (``batches.py``, ``files.py``, ``_api_client.py``: resumable upload, fields of lists, states); live
captures of 2026-09-01 in OpenRouterTeam/docs, ``batch-research/google-ai-studio.md`` (``responsesFile``, cancellation,
one malformed row refuses the creation). Nothing states that requests of an expired or failed batch are free.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import orjson

from ..fault import Cause, Charged, Fault, ProviderError
from ..task import Source
from .addresses import origin_of
from .base import Call, Reply, Request
from .batch_base import (
    BatchDialect,
    BatchLimits,
    BatchOrder,
    BatchState,
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
from .jsonbody import Json, objects
from .profile import Profile

#: Beginning of the name of a batch; our id of the submission follows.
_NAME = "batchgen-"
_STATES = {
    "PENDING": BatchState.QUEUED,
    "QUEUED": BatchState.QUEUED,
    "RUNNING": BatchState.RUNNING,
    "SUCCEEDED": BatchState.DONE,
    "PARTIALLY_SUCCEEDED": BatchState.DONE,
    "FAILED": BatchState.FAILED,
    "CANCELLED": BatchState.CANCELLED,
    "EXPIRED": BatchState.EXPIRED,
}
#: HTTP statuses of google.rpc codes; a cancelled or timed out request may have been carried out, as after a 504.
_STATUSES = {1: 504, 3: 400, 4: 504, 5: 404, 7: 403, 8: 429, 9: 400, 11: 400, 12: 501, 13: 500, 14: 503, 16: 401}
_WINDOW = 48 * 3600.0


class GeminiBatch(BatchDialect):
    """``models/MODEL:batchGenerateContent``, ``batches`` and the files of both."""

    limits: ClassVar[BatchLimits] = BatchLimits(
        lines=100,
        request_bytes=1_000_000_000,  # 2 GB is the limit
        images=100,
        window=_WINDOW,
        lifetime=48 * 3600.0,  # of files in general; that of results is not documented
    )

    keeps_part = False  # "The job will not have any results to retrieve" (guide, of an expired one)

    def line(self, request: Request, key: str, files: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the line: the body of the same call. Images are in it: uploaded ones might expire before it runs."""
        del files
        return {"key": key, "request": body_of(request)}

    def sources(self, request: Request) -> tuple[Source, ...]:
        """Return nothing: images are in the lines."""
        del request
        return ()

    def upload(self, profile: Profile, file: Source, name: str) -> Talk[str]:
        """Upload the file of requests, in one piece; the provider deletes it after two days."""
        mime = "application/jsonl"
        headers = {
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": str(file.size_bytes or 0),
            "X-Goog-Upload-Header-Content-Type": mime,
        }
        start = {"file": {"display_name": name}}
        url = address(profile, "upload")
        reply = yield Call(method="POST", url=url, json=start, headers=headers, billed=False)
        if not (target := reply.headers.get("x-goog-upload-url")):
            document_of(reply, profile)
            raise unreadable(reply, "the answer names no address for the upload")
        try:
            target = _at_home(profile, target)
        except ValueError as error:
            raise unreadable(reply, "the address for the upload is not valid") from error
        headers = {"X-Goog-Upload-Offset": "0", "X-Goog-Upload-Command": "upload, finalize"}
        body = Source(path=file.path, mime=mime)
        reply = yield Call(method="POST", url=target, file=body, headers=headers, billed=False)
        file_id = text_of(part_of(document_of(reply, profile), "file"), "name")
        if file_id is None:
            raise unreadable(reply, "the answer names no file")
        return file_id

    def upload_source(self, profile: Profile, source: Source) -> Talk[str]:
        """Raise ProviderError: images are in the lines."""
        yield from ()
        message = (
            f"{profile.name} takes source images in the file of requests, not as files of their own: {source.path}"
        )
        raise ProviderError(Fault(cause=Cause.INVALID, message=message))

    def create(self, profile: Profile, order: BatchOrder) -> Talk[RemoteBatch]:
        """Create the batch, with our id in its name: no key makes this call idempotent."""
        name = f"{_NAME}{order.submission_id}"
        body = {"batch": {"displayName": name, "inputConfig": {"fileName": order.input_file}}}
        url = profile.url("batch").replace("{model}", quote(order.model, safe=""))
        reply = yield Call(method="POST", url=url, json=body)
        document = document_of(reply, profile)
        if text_of(document, "name") is None:
            raise unreadable(reply, "the answer names no batch")
        return _batch(document)

    def find(self, profile: Profile, order: BatchOrder) -> Talk[Listing]:
        """Search the whole list for our id in the name, and for the file of requests."""

        def ask(token: str) -> Call:
            query = {"pageSize": str(PAGE_SIZE), **({"pageToken": token} if token else {})}
            return free_call("GET", address(profile, "batches", **query))

        return (yield from batches_of_order(order, ask, partial(_page, profile)))

    def poll(self, profile: Profile, remote_id: str) -> Talk[RemoteBatch]:
        """Return the state of a batch."""
        reply = yield free_call("GET", address(profile, "batches", _bare(remote_id)))
        return _batch(document_of_batch(reply, profile, "name", remote_id))

    def cancel(self, profile: Profile, remote_id: str) -> Talk[None]:
        """Ask for the cancellation."""
        reply = yield free_call("POST", address(profile, "batches", _bare(remote_id), tail=":cancel"), {})
        require_cancelled(reply, profile)

    def results(self, profile: Profile, batch: RemoteBatch) -> tuple[ResultFile, ...]:
        """Return the download: answers and errors are in one file."""
        if batch.output_file is None:
            return ()
        url = address(profile, "download", _bare(batch.output_file), tail=":download", alt="media")
        return (ResultFile(name="output", call=free_call("GET", url)),)

    def removal(self, profile: Profile, input_file: str) -> Call:
        """Return the deletion of the file."""
        return free_call("DELETE", address(profile, "files", _bare(input_file)))

    def read_row(self, raw: bytes) -> Row | None:
        """Return the content of a row; a broken one yields what is left of its answer."""
        try:
            places = members(raw)
            key = short_value(raw, places.get("key"))
            if key is None and "metadata" in places:
                key = part_of({"metadata": short_value(raw, places["metadata"])}, "metadata").get("key")
        except BrokenRow as error:
            name = key_in(raw, "key")
            broken = f"the row of the result file is damaged: {error}"
            reply = Reply(status=200, body=rest_after(raw, "response"), broken=broken)
            return Row(key=name, reply=reply) if name else None
        if not isinstance(key, str) or not key:
            return None
        headers = {"content-type": "application/json"}
        if (span := places.get("response")) is not None and raw[span[0] : span[0] + 1] == b"{":
            return Row(key=key, reply=Reply(status=200, headers=headers, body=raw[span[0] : span[1]]))
        stated = short_value(raw, places.get("error"))
        details = stated if isinstance(stated, Mapping) else {"message": "the row has neither an answer nor an error"}
        body = orjson.dumps({"error": details})
        return Row(key=key, reply=Reply(status=_status(details.get("code")), headers=headers, body=body))


def _page(profile: Profile, reply: Reply) -> Page:
    document = document_of(reply, profile)
    # An empty list has no field at all. Anything else in its place is not a list.
    is_list = isinstance(document.get("operations", []), list) and "error" not in document
    return Page(
        batches=[_batch(item) for item in objects(document.get("operations")) if text_of(item, "name")],
        after=text_of(document, "nextPageToken") or "",
        is_last=is_list and document.get("nextPageToken") in (None, ""),
    )


def _batch(document: Mapping[str, Json]) -> RemoteBatch:
    """Return the batch that an operation describes; some fields are in its metadata, the results also beside it."""
    facts = part_of(document, "metadata")
    word = (text_of(facts, "state") or "").removeprefix("BATCH_STATE_").removeprefix("JOB_STATE_")
    state = _STATES.get(word, BatchState.RUNNING)  # an unknown word is no proof that the batch has ended
    name = text_of(facts, "displayName") or ""
    created, ended = _time(facts.get("createTime")), _time(facts.get("endTime"))
    output = text_of(part_of(facts, "output"), "responsesFile") or text_of(
        part_of(document, "response"), "responsesFile"
    )
    return RemoteBatch(
        id=str(document["name"]),
        state=state,
        word=clean(word.lower(), 40),
        submission_id=name.removeprefix(_NAME) if name.startswith(_NAME) else None,
        input_file=text_of(part_of(facts, "inputConfig"), "fileName"),
        output_file=output,
        created_at=created,
        ended_at=ended if state.is_final else None,
        deadline_at=created + timedelta(seconds=_WINDOW) if created else None,
        counts=counts_of(part_of(facts, "batchStats")),
        fault=_fault(part_of(document, "error")) if state is BatchState.FAILED else None,
    )


def _fault(error: Mapping[str, Json]) -> Fault:
    """Return the fault of a batch that failed at the provider; whether its requests are charged is not documented."""
    message = clean(text_of(error, "message") or "the provider states no reason", 500)
    return Fault(cause=Cause.ERROR, message=message, charged=Charged.MAYBE)


def _at_home(profile: Profile, url: str) -> str:
    """Return an address of an upload at the provider's own origin, which alone may get the key; raise ValueError."""
    parts, own = urlsplit(url), urlsplit(profile.base_url)
    return parts._replace(scheme=own.scheme, netloc=origin_of(own).partition("://")[2]).geturl()


def _bare(name: str) -> str:
    """Return a name such as ``batches/abc`` without its collection."""
    return name.rpartition("/")[2]


def _status(code: Json) -> int:
    """Return the HTTP status of an error's code, which is one of google.rpc or a status already."""
    if not isinstance(code, int) or isinstance(code, bool):
        return 504
    return _STATUSES.get(code, code if 400 <= code < 600 else 500)


def _time(value: Json) -> datetime | None:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    is_plausible = time is not None and time.tzinfo is not None and 2000 <= time.year < 3000  # sums must not overflow
    return time if is_plausible else None
