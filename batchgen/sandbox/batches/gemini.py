"""Gemini's files and batches: resumable uploads, operations as states, and one file of results.

By ai.google.dev (Batch API, Files API), google-genai 3.6.1, and the captures that ``providers/gemini_batch`` names.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from uuid import uuid4

from aiohttp import web

from ..deliver import reset
from ..dialects.gemini_body import camel_case
from ..prices import NATIVE_RATES
from ..values import Form, Json, Refusal, invalid
from .batch import Batch, Line, Phase, RemoteFile
from .download import send_file
from .endpoints import BatchEndpoints, json_object
from .rows import RowResult
from .work import InvalidBatch, documents, traits_of

_STATES = {
    Phase.VALIDATING: "PENDING",
    Phase.COMPLETED: "SUCCEEDED",
    Phase.FAILED: "FAILED",
    Phase.EXPIRED: "EXPIRED",
    Phase.CANCELLED: "CANCELLED",
}
#: google.rpc codes of HTTP statuses.
_CODES = {400: 3, 401: 16, 402: 8, 403: 7, 404: 5, 429: 8, 500: 13, 503: 14, 504: 4}
_MOST_BYTES = 2_000_000_000
_LONGEST_ID = 40  # in a deletion; the names of results are longer (python-genai issue 1759)
_TYPE = "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch"


class GeminiFormat:
    """Lines and rows of Gemini's files."""

    apart = False
    keeps_part = False  # "The job will not have any results to retrieve", as the guide has it of an expired one

    def file_id(self, batch: Batch) -> str:
        """Return the id of a file of results, which is longer than those of uploads."""
        return f"batch-{batch.id}"

    def key(self, document: Json) -> str:
        """Return the key of a line or of a row."""
        return str(document["key"])

    def request(self, document: Json) -> Json:
        """Return the body of the request in a line."""
        body: Json = camel_case(document["request"])
        return body

    def row(self, key: str, result: RowResult) -> Json:
        """Return the row of an answer; without a status it has neither an answer nor an error."""
        reply = result.reply
        if not reply.status:
            return {"key": key}
        if reply.status < 300:
            return {"key": key, "response": reply.payload}
        error = reply.payload["error"]
        return {"key": key, "error": {"code": _CODES.get(reply.status, 2), "message": error["message"]}}

    def unrun_row(self, key: str, phase: Phase) -> None:
        """Return nothing: there are no such rows."""


class GeminiBatches(BatchEndpoints):
    """The endpoints of Gemini."""

    form = GeminiFormat()

    def add_to(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Add the endpoints below *prefix*, such as ``/gemini``."""
        router.add_post(f"{prefix}/upload/v1beta/files", self._upload)
        router.add_get(f"{prefix}/v1beta/files/{{id}}:download", self.guarded(self._content))
        router.add_get(f"{prefix}/v1beta/files/{{id}}", self.guarded(self._file))
        router.add_get(f"{prefix}/download/v1beta/files/{{id}}:download", self.guarded(self._content))
        router.add_delete(f"{prefix}/v1beta/files/{{id}}", self.guarded(self._delete_file))
        router.add_post(f"{prefix}/v1beta/models/{{model}}:batchGenerateContent", self.guarded(self._create))
        router.add_get(f"{prefix}/v1beta/batches", self.guarded(self._list))
        router.add_get(f"{prefix}/v1beta/batches/{{id}}", self.guarded(self._batch))
        router.add_post(f"{prefix}/v1beta/batches/{{id}}:cancel", self.guarded(self._cancel))
        router.add_delete(f"{prefix}/v1beta/batches/{{id}}", self.guarded(self._delete))

    # --- files -------------------------------------------------------------------

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        """Begin an upload, or take a piece of one, whose address is enough to prove who may."""
        return (
            await self.guarded(self._start)(request) if "upload_id" not in request.query else await self._add(request)
        )

    async def _start(self, request: web.Request) -> web.StreamResponse:
        stated = request.headers
        if stated.get("X-Goog-Upload-Protocol") != "resumable" or stated.get("X-Goog-Upload-Command") != "start":
            raise invalid("Unsupported upload protocol or command.")
        if int(stated.get("X-Goog-Upload-Header-Content-Length", "0")) > _MOST_BYTES:
            raise invalid("File is too large: the limit is 2 GB.")
        facts = (await json_object(request)).get("file", {}) if request.can_read_body else {}
        mime = stated.get("X-Goog-Upload-Header-Content-Type", "application/octet-stream")
        name = str(facts.get("display_name") or facts.get("displayName") or "")
        file = self.store.new_file(self.dialect.name, "", name, mime, file_id=uuid4().hex[:12])
        self.store.uploads[file.id] = file
        address = f"{self.state.url}{request.path}?upload_id={file.id}&upload_protocol=resumable"
        headers = {"X-Goog-Upload-URL": address, "X-Goog-Upload-Status": "active"}
        return web.Response(headers=headers)

    async def _add(self, request: web.Request) -> web.StreamResponse:
        file = self.store.uploads.get(request.query["upload_id"])
        size = file.path.stat().st_size if file else 0
        commands = {word.strip() for word in request.headers.get("X-Goog-Upload-Command", "").split(",")}
        if file is None or request.headers.get("X-Goog-Upload-Offset") != str(size) or "upload" not in commands:
            return web.Response(status=400, text="Upload has no such session or offset.")
        with file.path.open("ab") as stream:
            async for chunk in request.content.iter_chunked(262_144):
                stream.write(chunk)
        if "finalize" not in commands:
            return web.Response(headers={"X-Goog-Upload-Status": "active"})
        del self.store.uploads[file.id]
        await self.store.add_file(file)
        await self.log("file", request, {"file": f"files/{file.id}", "purpose": "", "bytes": file.size})
        return web.json_response({"file": _file_object(file)}, headers={"X-Goog-Upload-Status": "final"})

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(_file_object(self._known_file(request)))

    async def _content(self, request: web.Request) -> web.StreamResponse:
        file = self._known_file(request)
        if request.query.get("alt") != "media" or file.purpose != "batch_output":
            raise invalid("Only generated files can be downloaded, with alt=media.")
        await self.log("download", request, {"file": f"files/{file.id}"})
        return await send_file(request, file)

    async def _delete_file(self, request: web.Request) -> web.StreamResponse:
        file_id = request.match_info["id"]
        if len(file_id) > _LONGEST_ID:
            raise invalid(
                "* DeleteFileRequest.name: File ID (name excluding 'files/') cannot be more than 40 characters."
            )
        self.store.remove_file(self._known_file(request))
        await self.log("delete", request, {"file": f"files/{file_id}"})
        return web.json_response({})

    def _known_file(self, request: web.Request) -> RemoteFile:
        file = self.store.file(self.dialect.name, request.match_info["id"])
        if file is None:
            message = "You do not have permission to access the File, or it may not exist."
            raise Refusal("scope", message)
        return file

    # --- batches -----------------------------------------------------------------

    async def _create(self, request: web.Request) -> web.StreamResponse:
        model = request.match_info["model"]
        wanted = camel_case(await json_object(request)).get("batch")
        source = wanted.get("inputConfig") if isinstance(wanted, dict) else None
        if (
            not isinstance(wanted, dict)
            or not isinstance(source, dict)
            or not isinstance(wanted.get("displayName"), str)
        ):
            raise invalid("batch.displayName and batch.inputConfig are required.")
        if set(source) != {"fileName"}:
            raise invalid("Only batches by files are simulated here.")
        if model not in NATIVE_RATES:
            raise Refusal("model", f"models/{model} is not found for API version v1beta.")
        file = self.store.file(self.dialect.name, str(source["fileName"]).removeprefix("files/"))
        if file is None:
            raise Refusal("path", f"Requested entity was not found: {source['fileName']}")
        batch = Batch(
            id=uuid4().hex + uuid4().hex[:4],
            provider=self.dialect.name,
            kind="content",
            model=model,
            input_file=file,
            label=wanted["displayName"],
        )
        try:
            loop = asyncio.get_running_loop()
            batch.lines = await loop.run_in_executor(self.state.pool, self._checked_lines, batch)
            batch.traits = traits_of(self.state, batch, self.form)
        except InvalidBatch as error:
            full = error.problem["code"] == "token_limit_exceeded"
            raise Refusal("throttle" if full else "invalid", error.problem["message"]) from error
        batch.enter(Phase.VALIDATING)
        await self.store.add_batch(batch)
        facts = {"batch": f"batches/{batch.id}", "metadata": batch.label, "file": f"files/{file.id}"}
        await self.log("batch", request, facts)
        answer = _operation(batch)
        self.begin(batch)
        return reset(request) if "batch-drop" in batch.traits else web.json_response(answer)

    def _checked_lines(self, batch: Batch) -> list[Line]:
        """Return the lines of a file of requests; one that is malformed refuses the whole batch."""
        lines: list[Line] = []
        for number, start, raw in documents(batch.input_file.path):
            try:
                document = json.loads(raw)
                body = camel_case(document["request"])
                key = document["key"]
            except (ValueError, KeyError, TypeError) as error:
                raise InvalidBatch("invalid", f"Invalid JSON payload received in line {number}.") from error
            try:
                self.dialect.read(Form(fields=body, path={"model": batch.model}), batch.kind, _no_fetch)
            except Refusal as refusal:
                if "Invalid JSON payload" in (refusal.message or ""):
                    raise InvalidBatch("invalid", f"Line {number}: {refusal.message}") from refusal
            lines.append(Line(number=number, key=str(key), start=start, length=len(raw)))
        if not lines:
            raise InvalidBatch("invalid", "The input file has no requests.")
        return lines

    async def _list(self, request: web.Request) -> web.StreamResponse:
        size, start = int(request.query.get("pageSize", "10")), int(request.query.get("pageToken", "0"))
        batches = self.store.newest(self.dialect.name)
        page = batches[start : start + min(100, size)]
        answer: Json = {"operations": [_operation(batch) for batch in page]} if page else {}
        if start + len(page) < len(batches):
            answer["nextPageToken"] = str(start + len(page))
        return web.json_response(answer)

    async def _batch(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(_operation(self._known_batch(request)))

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        batch = self._known_batch(request)
        if not batch.phase.is_final:
            batch.enter(Phase.CANCELLING)
            self.store.memory.change(batch)
            batch.news.set()
            await self.log("batch-cancel", request, {"batch": f"batches/{batch.id}"})
        return web.json_response({})

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        batch = self._known_batch(request)
        batch.is_gone = True
        self.store.memory.change(batch)
        return web.json_response({})

    def _known_batch(self, request: web.Request) -> Batch:
        batch = self.store.batch(self.dialect.name, request.match_info["id"])
        if batch is None:
            raise Refusal("path", "Requested entity was not found.")
        return batch


def _no_fetch(url: str) -> bytes:
    raise Refusal("invalid", f"{url[:80]} is fetched when the request is carried out")


def _file_object(file: RemoteFile) -> Json:
    return {
        "name": f"files/{file.id}",
        "displayName": file.name,
        "mimeType": file.mime,
        "sizeBytes": str(file.size),
        "createTime": _time(file.created),
        "updateTime": _time(file.created),
        "expirationTime": _time(file.created + 48 * 3600),
        "uri": f"https://generativelanguage.googleapis.com/v1beta/files/{file.id}",
        "state": "ACTIVE",
    }


def _operation(batch: Batch) -> Json:
    ended = batch.times.get(batch.phase) if batch.phase.is_final else None
    waiting = len(batch.lines) - batch.completed - batch.failed
    counts = {"request": len(batch.lines), "successfulRequest": batch.completed, "failedRequest": batch.failed}
    metadata: Json = {
        "@type": _TYPE,
        "model": f"models/{batch.model}",
        "displayName": batch.label,
        "inputConfig": {"fileName": f"files/{batch.input_file.id}"},
        "createTime": _time(batch.created),
        "updateTime": _time(max(batch.times.values())),
        "batchStats": {f"{name}Count": str(count) for name, count in counts.items() if count}
        | ({"pendingRequestCount": str(waiting)} if waiting else {}),
        "state": f"BATCH_STATE_{_STATES.get(batch.phase, 'RUNNING')}",
        "name": f"batches/{batch.id}",
    }
    operation: Json = {"name": f"batches/{batch.id}", "metadata": metadata}
    if ended is not None:
        metadata["endTime"] = _time(ended)
        operation["done"] = True
    if batch.output is not None:
        metadata["output"] = {"responsesFile": f"files/{batch.output.id}"}
        operation["response"] = {"responsesFile": f"files/{batch.output.id}"}
    elif batch.phase is Phase.CANCELLED:
        operation["error"] = {"code": 13, "message": "The batch was cancelled."}
    return operation


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
