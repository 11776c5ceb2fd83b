"""OpenAI's files and batches, as strict as its documents and what was observed of it.

By the sources that ``providers/openai_batch`` names.
"""

from __future__ import annotations

import asyncio
from uuid import uuid4

from aiohttp import BodyPartReader, web

from ..deliver import reset
from ..values import Json, Refusal, Reply, invalid
from .batch import Batch, Phase, RemoteFile
from .download import send_file
from .endpoints import BatchEndpoints, json_object, json_response
from .openai_checks import ENDPOINTS, LIFETIME, check_upload, checked_fields, checked_lines
from .rows import RowResult
from .work import InvalidBatch, traits_of

_WINDOW = 86_400
_UNRUN = {
    Phase.CANCELLED: ("batch_cancelled", "This request was not executed because the batch was cancelled."),
    Phase.EXPIRED: ("batch_expired", "This request could not be executed before the completion window expired."),
}
_TIMES = {
    "in_progress_at": Phase.RUNNING,
    "finalizing_at": Phase.FINALIZING,
    "completed_at": Phase.COMPLETED,
    "failed_at": Phase.FAILED,
    "expired_at": Phase.EXPIRED,
    "cancelling_at": Phase.CANCELLING,
    "cancelled_at": Phase.CANCELLED,
}


class OpenAIFormat:
    """Lines and rows of OpenAI's files."""

    apart = True
    keeps_part = True

    def file_id(self, batch: Batch) -> str:  # noqa: ARG002 - as the other format
        """Return the id of a new file of results."""
        return f"file-{uuid4().hex[:24]}"

    def key(self, document: Json) -> str:
        """Return the key of a line or of a row."""
        return str(document["custom_id"])

    def request(self, document: Json) -> Json:
        """Return the body of the request in a line."""
        body: Json = document["body"]
        return body

    def row(self, key: str, result: RowResult) -> Json:
        """Return the row of an answer; without a status it has neither an answer nor an error."""
        reply = result.reply
        answer = {"status_code": reply.status, "request_id": result.request_id, "body": reply.payload}
        row_id = f"batch_req_{uuid4().hex[:24]}"
        return {"id": row_id, "custom_id": key, "response": answer if reply.status else None, "error": None}

    def unrun_row(self, key: str, phase: Phase) -> Json:
        """Return the row of a request that was not carried out."""
        code, message = _UNRUN[phase]
        error = {"code": code, "message": message}
        return {"id": f"batch_req_{uuid4().hex[:24]}", "custom_id": key, "response": None, "error": error}


class OpenAIBatches(BatchEndpoints):
    """The endpoints of one provider with OpenAI's batches."""

    form = OpenAIFormat()

    def add_to(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Add the endpoints below *prefix*, such as ``/openai/v1``."""
        router.add_post(f"{prefix}/files", self.guarded(self._upload))
        router.add_get(f"{prefix}/files", self.guarded(self._list_files))
        router.add_get(f"{prefix}/files/{{id}}", self.guarded(self._file))
        router.add_delete(f"{prefix}/files/{{id}}", self.guarded(self._delete_file))
        router.add_get(f"{prefix}/files/{{id}}/content", self.guarded(self._content))
        router.add_post(f"{prefix}/batches", self.guarded(self._create))
        router.add_get(f"{prefix}/batches", self.guarded(self._list))
        router.add_get(f"{prefix}/batches/{{id}}", self.guarded(self._batch))
        router.add_post(f"{prefix}/batches/{{id}}/cancel", self.guarded(self._cancel))

    # --- files -------------------------------------------------------------------

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != "multipart/form-data":
            raise invalid("Unsupported content type: expected multipart/form-data.", "unsupported_content_type")
        fields: dict[str, str] = {}
        file: RemoteFile | None = None
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or not part.name:
                raise invalid("Could not parse multipart form.", "invalid_multipart")
            if part.name != "file":
                fields[part.name] = (await part.read()).decode()
                continue
            mime = part.headers.get("Content-Type", "application/octet-stream")
            file = self.store.new_file(self.dialect.name, "", part.filename or "upload", mime)
            with file.path.open("wb") as stream:
                while chunk := await part.read_chunk(262_144):
                    stream.write(chunk)
        if file is None:
            raise invalid("'file' is a required property", "missing_required_parameter", "file")
        check_upload(fields, file)
        file.purpose = fields["purpose"]
        await self.store.add_file(file)
        await self.log("file", request, {"file": file.id, "purpose": file.purpose, "bytes": file.size})
        return web.json_response(_file_object(file))

    async def _list_files(self, _: web.Request) -> web.StreamResponse:
        own = [file for file in self.store.files.values() if file.provider == self.dialect.name]
        return web.json_response({"object": "list", "data": [_file_object(file) for file in own], "has_more": False})

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(_file_object(self._known_file(request)))

    async def _delete_file(self, request: web.Request) -> web.StreamResponse:
        file = self._known_file(request)
        self.store.remove_file(file)
        await self.log("delete", request, {"file": file.id})
        return web.json_response({"id": file.id, "object": "file", "deleted": True})

    async def _content(self, request: web.Request) -> web.StreamResponse:
        file = self._known_file(request)
        await self.log("download", request, {"file": file.id})
        return await send_file(request, file)

    def _known_file(self, request: web.Request) -> RemoteFile:
        file = self.store.file(self.dialect.name, request.match_info["id"])
        if file is None:
            raise Refusal("path", f"No such File object: {request.match_info['id']}")
        return file

    # --- batches -----------------------------------------------------------------

    async def _create(self, request: web.Request) -> web.StreamResponse:
        fields = await json_object(request)
        kind = checked_fields(fields)
        file = self.store.file(self.dialect.name, fields["input_file_id"])
        # A file that does not exist fails the validation of the batch, not its creation.
        source = file or self.store.new_file(self.dialect.name, "", "", "")
        source.id = fields["input_file_id"]
        batch = Batch(
            id=f"batch_{uuid4().hex}",
            provider=self.dialect.name,
            kind=kind,
            model="",
            input_file=source,
            label=fields.get("metadata"),
        )
        batch.enter(Phase.VALIDATING)
        problem = None
        try:
            loop = asyncio.get_running_loop()
            batch.lines, batch.model = await loop.run_in_executor(self.state.pool, checked_lines, source, kind)
            batch.traits = traits_of(self.state, batch, self.form)
        except InvalidBatch as error:
            problem = error.problem
            batch.problems = [problem]
        await self.store.add_batch(batch)
        await self.log("batch", request, {"batch": batch.id, "metadata": batch.label, "file": source.id})
        answer = _batch_object(batch)  # as it is before the validation
        if problem is not None:
            batch.lines = []
            batch.enter(Phase.FAILED)
            self.store.memory.change(batch)
        else:
            self.begin(batch)
        if "batch-drop" in batch.traits:
            return reset(request)
        return web.json_response(answer)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        limit = request.query.get("limit", "20")
        if not limit.isdigit() or not 1 <= int(limit) <= 100:
            raise invalid("'limit' must be between 1 and 100.", "invalid_value", "limit")
        batches = self.store.newest(self.dialect.name)
        if after := request.query.get("after"):
            ids = [batch.id for batch in batches]
            if after not in ids:
                raise invalid(f"No batch found with id '{after}'.", None, "after")
            batches = batches[ids.index(after) + 1 :]
        page = [_batch_object(batch) for batch in batches[: int(limit)]]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
        has_more = len(batches) > len(page)
        return web.json_response({"object": "list", "data": page, **ends, "has_more": has_more})

    async def _batch(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(_batch_object(self._known_batch(request)))

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        batch = self._known_batch(request)
        if batch.phase.is_final:
            message = f"Cannot cancel a batch with status '{batch.phase.value}'."
            reply = Reply(status=409, payload={"error": {"message": message, "type": "invalid_request_error"}})
            return json_response(reply)
        if batch.phase is not Phase.CANCELLING:
            batch.enter(Phase.CANCELLING)
            self.store.memory.change(batch)
        answer = _batch_object(batch)  # as it is before the work on it notices
        batch.news.set()
        await self.log("batch-cancel", request, {"batch": batch.id})
        return web.json_response(answer)

    def _known_batch(self, request: web.Request) -> Batch:
        batch = self.store.batch(self.dialect.name, request.match_info["id"])
        if batch is None:
            raise Refusal("path", f"No batch found with id '{request.match_info['id']}'.")
        return batch


def _file_object(file: RemoteFile) -> Json:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": int(file.created),
        "expires_at": int(file.created) + LIFETIME if file.purpose.startswith("batch") else None,
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def _batch_object(batch: Batch) -> Json:
    created, known = int(batch.created), batch.phase is not Phase.VALIDATING and batch.phase is not Phase.FAILED
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": ENDPOINTS[batch.kind],
        "model": batch.model or None,
        "errors": {"object": "list", "data": batch.problems} if batch.problems else None,
        "input_file_id": batch.input_file.id,
        "completion_window": "24h",
        "status": batch.phase.value,
        "output_file_id": batch.output.id if batch.output else None,
        "error_file_id": batch.errors.id if batch.errors else None,
        "created_at": created,
        "expires_at": created + _WINDOW,
        **{name: int(at) if (at := batch.times.get(phase)) else None for name, phase in _TIMES.items()},
        "request_counts": {
            "total": len(batch.lines) if known else 0,
            "completed": batch.completed,
            "failed": batch.failed,
        },
        "metadata": batch.label,
    }
