"""WaveSpeed: predictions in an envelope with code, message and data; the answer names the address of the result.

Sources: wavespeed.ai/docs (what-are-predictions, get-result, upload-files-api, shared/submit-response), wavespeed 2.0.5
(paths, Bearer), and wavespeed.ai/blog/posts/wavespeed-api-auth-errors (401, 429).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

from ..values import Fetch, Form, Json, Order, Refusal, Reply, Trace, invalid
from .dialect import Account, FreeEndpoint
from .errors import OPENAI_ERRORS, ErrorText, error_for, retry_headers
from .task import Progress, Task, TaskDialect, UploadedFile, UploadTarget, View
from .task_order import TaskModel, by_pair, by_ratio, find_model, price_of, read_body

_WEEK = 7 * 86400.0
_SWITCHES = frozenset({"enable_sync_mode", "enable_base64_output"})
_FIELDS = _SWITCHES | {"prompt", "aspect_ratio", "resolution", "output_format"}
_NANO_2 = TaskModel(
    fields=_FIELDS | {"enable_web_search"},
    size=by_ratio(),
    usd=Decimal("0.07"),
    by_resolution={"0.5K": "0.045", "1K": "0.07", "2K": "0.105", "4K": "0.14"},
    formats=("png", "jpeg"),
)
_NANO_PRO = replace(_NANO_2, fields=_FIELDS, by_resolution={"1K": "0.14", "2K": "0.14", "4K": "0.24"})
_SEEDREAM = TaskModel(
    fields=_SWITCHES | {"prompt", "size"},
    size=by_pair("size", least=1024, default="2048*2048"),
    usd=Decimal("0.04"),
)


def _edit(model: TaskModel, most: int) -> TaskModel:
    required = ("prompt", "images")
    return replace(model, fields=model.fields | {"images"}, required=required, sources="images", most_sources=most)


MODELS: Mapping[str, TaskModel] = {
    "google/nano-banana-2/text-to-image": _NANO_2,
    "google/nano-banana-2/edit": _edit(_NANO_2, 14),
    "google/nano-banana-pro/text-to-image": _NANO_PRO,
    "google/nano-banana-pro/edit": _edit(_NANO_PRO, 14),
    "bytedance/seedream-v4.5": _SEEDREAM,
    "bytedance/seedream-v4.5/edit": _edit(_SEEDREAM, 10),
}
_WORDS = {
    Progress.QUEUED: "created",
    Progress.RUNNING: "processing",
    Progress.DONE: "completed",
    Progress.FAILED: "failed",
    Progress.REFUSED: "failed",
    Progress.CANCELLED: "failed",
    Progress.ABORTED: "failed",
    Progress.ODD: "migrating",
}
_ERRORS = {
    **OPENAI_ERRORS,
    "refuse": ErrorText(400, "", None, "Content flagged as potentially sensitive. Please try different prompts."),
    "throttle": ErrorText(429, "", None, "Too many requests, please try again later."),
    "overloaded": ErrorText(503, "", None, "Service unavailable, please try again later."),
    "money": ErrorText(402, "", None, "Insufficient credits. Please top up."),
    "quota429": ErrorText(429, "", None, "Too many concurrent tasks."),
    "denied": ErrorText(401, "", None, "Unauthorized"),
    "invalid": ErrorText(400, "", None, "Invalid parameters"),
    "model": ErrorText(404, "", None, "Product not found"),
    "path": ErrorText(404, "", None, "Not found"),
    "error500": ErrorText(500, "", None, "Internal server error"),
    "error502": ErrorText(502, "", None, "Bad gateway"),
}


def read(path: Mapping[str, str], form: Form, _headers: Mapping[str, str], fetch: Fetch) -> Order:
    """Read a body for the model in the path; source images are addresses, not data."""
    rules = find_model(MODELS, path["model"])
    for name in _SWITCHES:
        if form.fields.get(name):
            raise invalid(f"'{name}' is not simulated here.", param=name)
    for address in form.fields.get(rules.sources) or () if rules.sources else ():
        if not isinstance(address, str) or address[:5].lower() == "data:":
            raise invalid("images must be URLs", param=rules.sources)
    return read_body(path["model"], rules, form.fields, fetch)


def prediction(task: Task, trace: Trace) -> Reply:
    """Answer a submission or a poll."""
    failed = task.state.over and task.state is not Progress.DONE
    error = error_for(_ERRORS, task.refusal or Refusal("error500"), trace).message if failed else ""
    created = datetime.fromtimestamp(task.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data: Json = {
        "id": task.id,
        "model": task.model,
        "outputs": [picture.url for picture in task.pictures] if task.state is Progress.DONE else [],
        "urls": {"get": f"{task.place}/api/v3/predictions/{task.id}/result"},
        "has_nsfw_contents": [False for _ in task.pictures],
        "status": _WORDS[task.state],
        "created_at": created,
        "error": error,
        "executionTime": round(task.seconds * 1000),
        "timings": {"inference": round(task.seconds * 1000)},
    }
    return Reply(status=200, payload={"code": 200, "message": "success", "data": data})


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with code and message."""
    text = error_for(_ERRORS, refusal, trace)
    payload: Json = {"code": text.status, "message": text.message}
    return Reply(status=text.status, payload=payload, headers=retry_headers(trace))


def lose(_id: str, _trace: Trace) -> Reply:
    """Answer about an unknown prediction."""
    return Reply(status=404, payload={"code": 404, "message": "Prediction not found"})


def balance(account: Account, trace: Trace) -> Reply:  # noqa: ARG001 - all endpoints have the same signature
    """Report the balance in USD."""
    data: Json = {"balance": float(round(account.left, 6))}
    return Reply(status=200, payload={"code": 200, "message": "success", "data": data})


def upload(file: UploadedFile, trace: Trace) -> Reply:  # noqa: ARG001 - all upload functions have the same signature
    """Answer an upload with the file's address."""
    data: Json = {"type": "image", "download_url": file.url, "filename": file.filename, "size": file.size}
    return Reply(status=200, payload={"code": 200, "message": "success", "data": data})


DIALECT = TaskDialect(
    name="wavespeed",
    submit=("/api/v3/{model:.+}",),
    read=read,
    price=partial(price_of, MODELS),
    accept=prediction,
    refuse=refuse,
    lose=lose,
    views={
        "/api/v3/predictions/{id}/result": View(answer=prediction),
        "/api/v3/predictions/{id}": View(answer=prediction),
    },
    new_id=lambda uuid: uuid.replace("-", ""),
    uploads={"/api/v3/media/upload/binary": UploadTarget(answer=upload, field="file", lifetime=_WEEK)},
    free_endpoints={"/api/v3/balance": FreeEndpoint(answer=balance)},
    lifetime=_WEEK,
)
