"""Uploads of source images: free, checked, and kept under an address that submissions may name."""

from __future__ import annotations

import time
import uuid

from aiohttp import web

from .body import read_form
from .cdn import StoredFile
from .dialects.task import TaskDialect, UploadedFile, UploadTarget
from .keys import authorise
from .sources import MIMES, open_image
from .state import Entry, State
from .trace import Handler, trace_of
from .values import Form, Refusal, Reply, Trace, Upload, invalid


def upload_handler(state: State, dialect: TaskDialect, target: UploadTarget) -> Handler:
    """Return the handler of one address for uploads; the log gets a line for each, and no charge."""

    async def handler(request: web.Request) -> web.StreamResponse:
        trace = trace_of(request, state.next_serial(), time.time())
        try:
            authorise(request.headers, dialect.key_header)
            reply = _accept(state, dialect, target, await read_form(request), trace)
        except Refusal as refusal:
            reply = dialect.refuse(refusal, trace, "upload")
        entry = Entry(provider=dialect.name, kind="upload", trace=trace)
        await state.log.write(entry.line("free", status=reply.status))
        return web.json_response(reply.payload, status=reply.status, headers=dict(reply.headers))

    return handler


def _accept(state: State, dialect: TaskDialect, target: UploadTarget, form: Form, trace: Trace) -> Reply:
    upload = _only_file(form, target)
    file_id = uuid.uuid4().hex
    path = f"/{dialect.name}/cdn/upload-{file_id}.{upload.mime.removeprefix('image/')}"
    state.results.put_upload(path, StoredFile(data=upload.data, mime=upload.mime, until=trace.now + target.lifetime))
    file = UploadedFile(
        id=file_id,
        url=f"{state.url}{path}",
        filename=upload.filename or "",
        mime=upload.mime,
        size=len(upload.data),
    )
    return target.answer(file, trace)


def _only_file(form: Form, target: UploadTarget) -> Upload:
    """Return the file of a form that is exactly what the provider takes."""
    if not form.multipart:
        raise invalid("Unsupported content type: expected multipart/form-data.", "unsupported_content_type")
    if missing := sorted(target.required - set(form.fields)):
        raise invalid(f"{missing[0]} is required", param=missing[0])
    if [file.name for file in form.files] != [target.field]:
        raise invalid(f"expected one file in the field {target.field}", param=target.field)
    [upload] = form.files
    if upload.mime not in MIMES:
        raise invalid(f"Unsupported file type {upload.mime}", param=target.field)
    open_image(upload.data, target.field)
    return upload
