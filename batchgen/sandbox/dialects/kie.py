"""kie.ai: one address for all models, HTTP 200 with a code of its own, and results as a JSON text in JSON.

Sources: docs.kie.ai/market/common/get-task-detail (states, codes, resultJson), docs.kie.ai/market/google/nanobanana2
(fields), docs.kie.ai/common-api/get-account-credits, docs.kie.ai/file-upload-api (on a host of its own), and public
clients of recordInfo (creditsConsumed, HTTP 200).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from ..values import Bill, Fetch, Form, Json, Order, Refusal, Reply, Trace, invalid
from .dialect import Account, FreeEndpoint
from .errors import OPENAI_ERRORS, ErrorText, error_for, retry_headers
from .task import Progress, Task, TaskDialect, UploadedFile, UploadTarget, View
from .task_order import TaskModel, by_ratio, find_model, price_of, read_body

_USD_PER_CREDIT = Decimal("0.005")
_COMMON = frozenset({"prompt", "aspect_ratio", "output_format"})
_QUALITIES = {"basic": "2K", "high": "4K"}


def _seedream_size(fields: Json) -> tuple[int, int]:
    quality = fields.get("quality", "basic")
    if quality not in _QUALITIES:
        raise invalid("quality is not within the range of allowed options", param="quality")
    return by_ratio()({"aspect_ratio": fields.get("aspect_ratio"), "resolution": _QUALITIES[quality]})


_NANO = TaskModel(
    fields=_COMMON | {"image_input", "resolution", "google_search"},
    size=by_ratio(),
    usd=Decimal("0.04"),
    by_resolution={"1K": "0.04", "2K": "0.06", "4K": "0.09"},
    sources="image_input",
    most_sources=14,
    formats=("jpg", "png"),
)
_SEEDREAM = TaskModel(
    fields=frozenset({"prompt", "aspect_ratio", "quality", "nsfw_checker"}),
    size=_seedream_size,
    usd=Decimal("0.0325"),
    required=("prompt",),
)
MODELS: Mapping[str, TaskModel] = {
    "nano-banana-2": _NANO,
    "nano-banana-pro": replace(
        _NANO,
        fields=_NANO.fields - {"google_search"},
        by_resolution={"1K": "0.09", "2K": "0.09", "4K": "0.12"},
        most_sources=8,
        formats=("png", "jpg"),
    ),
    "seedream/4.5-text-to-image": _SEEDREAM,
    "seedream/4.5-edit": replace(
        _SEEDREAM,
        fields=_SEEDREAM.fields | {"image_urls"},
        required=("prompt", "image_urls"),
        sources="image_urls",
        most_sources=14,
    ),
}
_WORDS = {
    Progress.QUEUED: "waiting",
    Progress.RUNNING: "generating",
    Progress.DONE: "success",
    Progress.FAILED: "fail",
    Progress.REFUSED: "fail",
    Progress.CANCELLED: "fail",
    Progress.ABORTED: "fail",
    Progress.ODD: "pausing",
}
#: The status is kie's own code; HTTP's is 200.
_ERRORS = {
    **OPENAI_ERRORS,
    "refuse": ErrorText(422, "", None, "Your request was flagged by content moderation"),
    "throttle": ErrorText(429, "", None, "Your call frequency is too high, please try again later"),
    "overloaded": ErrorText(455, "", None, "System is currently undergoing maintenance"),
    "money": ErrorText(
        402, "", None, "Credits insufficient: your balance isn't enough to run this request. Please top up."
    ),
    "quota429": ErrorText(429, "", None, "Your call frequency is too high, please try again later"),
    "denied": ErrorText(401, "", None, "You do not have access permissions"),
    "invalid": ErrorText(422, "", None, "The request parameters are wrong"),
    "model": ErrorText(422, "", None, "The model name you specified is not supported"),
    "path": ErrorText(404, "", None, "Not Found"),
    "error500": ErrorText(500, "", None, "Server exception, please try again later or contact customer service"),
    "error502": ErrorText(502, "", None, "Bad gateway"),
}


def read(_path: Mapping[str, str], form: Form, _headers: Mapping[str, str], fetch: Fetch) -> Order:
    """Read ``input`` for the model in the body; source images are addresses, not data."""
    name = form.fields.get("model")
    if not isinstance(name, str):
        raise invalid("model cannot be empty", param="model")
    rules, fields = find_model(MODELS, name), form.fields.get("input")
    unknown = set(form.fields) - {"model", "input", "callBackUrl"}
    if unknown or not isinstance(fields, dict):
        raise invalid(f"{min(unknown)} is not a field" if unknown else "input cannot be empty", param="input")
    for address in fields.get(rules.sources) or () if rules.sources else ():
        if not isinstance(address, str) or address[:5].lower() == "data:":
            raise invalid("The image address must be a URL", param=rules.sources)
    return read_body(name, rules, fields, fetch)


def price(order: Order, images: int) -> Bill:
    """Price in credits."""
    bill = price_of(MODELS, order, images)
    return replace(bill, credits=(bill.usd or Decimal(0)) / _USD_PER_CREDIT)


def accept(task: Task, _trace: Trace) -> Reply:
    """Answer a submission with the task's id."""
    return _enveloped({"taskId": task.id, "recordId": task.id})


def record(task: Task, trace: Trace) -> Reply:
    """Answer a poll; ``resultJson`` and ``param`` are texts."""
    data: Json = {
        "taskId": task.id,
        "model": task.model,
        "state": _WORDS[task.state],
        "param": json.dumps(task.fields),
        "resultJson": "",
        "failCode": "",
        "failMsg": "",
        "costTime": round(task.seconds * 1000) if task.ended else None,
        "completeTime": round(task.ended * 1000) if task.ended else None,
        "createTime": round(task.created * 1000),
        "updateTime": round((task.ended or task.started or task.created) * 1000),
    }
    if task.state is Progress.DONE:
        data["resultJson"] = json.dumps({"resultUrls": [picture.url for picture in task.pictures]})
        data["creditsConsumed"] = float((task.bill and task.bill.credits) or 0)
    elif task.state.over:
        text = error_for(_ERRORS, task.refusal or Refusal("error500"), trace)
        data |= {"failCode": str(text.status), "failMsg": text.message}
    return _enveloped(data)


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with a code other than 200 and a message; the faults of gateways have their own HTTP status."""
    text = error_for(_ERRORS, refusal, trace)
    payload: Json = {"code": text.status, "msg": text.message, "data": None}
    status = text.status if refusal.cause in {"error502", "gateway-timeout", "path", "method"} else 200
    return Reply(status=status, payload=payload, headers=retry_headers(trace))


def lose(_id: str, _trace: Trace) -> Reply:
    """Answer about an unknown task."""
    return Reply(status=200, payload={"code": 404, "msg": "recordInfo is null", "data": None})


def credit(account: Account, trace: Trace) -> Reply:  # noqa: ARG001 - all endpoints have the same signature
    """Report the balance in credits."""
    return _enveloped(float(round(account.left / _USD_PER_CREDIT, 2)))


def upload(file: UploadedFile, trace: Trace) -> Reply:  # noqa: ARG001 - all upload functions have the same signature
    """Answer an upload with the file's address."""
    data: Json = {
        "fileName": file.filename,
        "filePath": f"images/{file.id}",
        "downloadUrl": file.url,
        "fileSize": file.size,
        "mimeType": file.mime,
    }
    payload: Json = {"success": True, "code": 200, "msg": "File uploaded successfully", "data": data}
    return Reply(status=200, payload=payload)


def _enveloped(data: object) -> Reply:
    return Reply(status=200, payload={"code": 200, "msg": "success", "data": data})


DIALECT = TaskDialect(
    name="kie",
    submit=("/api/v1/jobs/createTask",),
    read=read,
    price=price,
    accept=accept,
    refuse=refuse,
    lose=lose,
    views={"/api/v1/jobs/recordInfo?taskId": View(answer=record)},
    uploads={
        "/api/file-stream-upload": UploadTarget(
            answer=upload, field="file", required=frozenset({"uploadPath"}), lifetime=86400.0
        )
    },
    free_endpoints={"/api/v1/chat/credit": FreeEndpoint(answer=credit)},
    new_id=lambda uuid: f"task_{uuid.replace('-', '')}",
    lifetime=14 * 86400.0,
)
