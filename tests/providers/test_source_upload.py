"""Uploads of source images at providers of remote tasks, with the answers of the providers' own documents."""

from __future__ import annotations

from typing import Any

import pytest

from batchgen.errors import SettingsError
from batchgen.fault import Cause, Charged, ProviderError
from batchgen.providers.base import Call, Reply
from batchgen.providers.presets import profile
from batchgen.providers.source_upload import upload, upload_rules
from batchgen.task import Kind, Source

from .test_dialects import answer
from .test_task_presets import order

FILE = Source(path="/photos/table.png", mime="image/png", size_bytes=1000)
KIE = {"success": True, "code": 200, "msg": "File uploaded successfully", "data": {
    "fileName": "source.png", "filePath": "images/source.png", "fileSize": 154832, "mimeType": "image/png",
    "downloadUrl": "https://tempfile.redpandaai.co/xxx/images/source.png", "uploadedAt": "2025-01-01T12:00:00.000Z",
}}  # fmt: skip
WAVESPEED = {"code": 200, "message": "success", "data": {
    "type": "image", "download_url": "https://files.wavespeed.ai/a/image.png", "filename": "image.png", "size": 1024000,
}}  # fmt: skip
REPLICATE = {
    "id": "file-1", "name": "source.png", "content_type": "image/png", "size": 1000, "etag": "e", "checksums": {},
    "metadata": {}, "created_at": "2026-11-30T10:00:00Z", "expires_at": "2026-12-01T10:00:00Z",
    "urls": {"get": "https://api.replicate.com/v1/files/file-1"},
}  # fmt: skip

#: Provider, address of uploads, form, field of the file, answer, address of the file.
DOCUMENTS: dict[str, tuple[str, dict[str, str], str, Any, str]] = {
    "kie": ("https://kieai.redpandaai.co/api/file-stream-upload", {"uploadPath": "images"}, "file", KIE,
            "https://tempfile.redpandaai.co/xxx/images/source.png"),
    "wavespeed": ("https://api.wavespeed.ai/api/v3/media/upload/binary", {}, "file", WAVESPEED,
                  "https://files.wavespeed.ai/a/image.png"),
    "replicate": ("https://api.replicate.com/v1/files", {}, "content", REPLICATE,
                  "https://api.replicate.com/v1/files/file-1"),
}  # fmt: skip


def edit(name: str):
    return order(name, kind=Kind.EDIT, model=profile(name).default_model, images=(FILE,))


def play(name: str, reply: Reply) -> tuple[Call, str]:
    talk = upload(edit(name), FILE)
    call = next(talk)
    with pytest.raises(StopIteration) as end:
        talk.send(reply)
    return call, end.value.value


@pytest.mark.parametrize("name", DOCUMENTS)
def test_upload_is_as_documented(name: str) -> None:
    url, form, field, document, address = DOCUMENTS[name]
    call, found = play(name, answer(document))
    assert (call.method, call.url, dict(call.form)) == ("POST", url, form)
    assert [(part.name, part.source, part.filename, part.mime) for part in call.files] == [
        (field, FILE, "source.png", "image/png")
    ]
    assert (call.billed, call.signed) == (False, True)
    assert found == address
    assert profile(name).may_poll(call.url), "the key may go there"


REFUSALS = {
    "denied": ({"code": 401, "msg": "You do not have access permissions"}, 200, Cause.DENIED),
    "too large": ({"code": 413, "msg": "Payload too large"}, 413, Cause.INVALID),
    "no credits": ({"code": 402, "msg": "Credits insufficient"}, 200, Cause.MONEY),
    "failure": ({"code": 500, "msg": "Server exception"}, 200, Cause.UNREACHED),
    "no address": ({"code": 200, "msg": "success", "data": {}}, 200, Cause.UNREACHED),
    "no document": (None, 200, Cause.UNREACHED),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_upload_that_fails_charges_nothing(name: str) -> None:
    document, status, cause = REFUSALS[name]
    talk = upload(edit("kie"), FILE)
    next(talk)
    with pytest.raises(ProviderError) as caught:
        talk.send(answer(document, status=status))
    assert (caught.value.fault.cause, caught.value.fault.charged) == (cause, Charged.NO)
    assert caught.value.fault.message.startswith("nothing was sent: a source image could not be uploaded: ")


def test_only_a_task_is_uploaded_for() -> None:
    assert upload_rules(edit("kie")) is not None
    assert upload_rules(edit("fal")) is None
    assert upload_rules(order("openai", kind=Kind.EDIT, model="gpt-image-2", images=(FILE,))) is None


def test_form_and_target_of_uploads_go_together() -> None:
    for task in ({"submit": {"images": "upload"}}, {"upload": {"url": "/files", "address": "url"}}):
        with pytest.raises(SettingsError, match="go together"):
            profile("fal", {"task": task})
    with pytest.raises(SettingsError, match="must begin with"):
        profile("fal", {"task": {"submit": {"images": "upload"}, "upload": {"url": "files.url", "address": "url"}}})


def test_server_that_plays_a_provider_gets_every_call() -> None:
    elsewhere = {"task": {"handle": {"status": "https://status.example/jobs/{id}", "cancel": "https://stop.example"}}}
    moved = profile("kie", elsewhere).moved_to("http://127.0.0.1:1/kie")
    assert moved.task is not None
    assert moved.task.upload is not None
    assert moved.task.handle.status == "/jobs/{id}"
    assert moved.task.handle.cancel == "/"
    assert moved.task.upload.url == "/api/file-stream-upload"
