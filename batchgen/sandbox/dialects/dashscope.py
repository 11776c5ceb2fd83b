"""DashScope (Alibaba Cloud Model Studio): asynchronous image synthesis, one address for all tasks.

Sources: alibabacloud.com/help/en/model-studio/manage-asynchronous-tasks (states, UNKNOWN, cancellation of PENDING
tasks, 24 hours), help.aliyun.com document 2975674 (bodies and answers of Wan text to image), and dashscope 2.0.2
(paths, sizes as ``1024*1024``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

from ..values import Fetch, Form, Json, Order, Refusal, Reply, Trace, invalid
from .errors import OPENAI_ERRORS, ErrorText, error_for, retry_headers
from .task import Cancel, Progress, Task, TaskDialect, View
from .task_order import TaskModel, by_pair, find_model, price_of, read_body

_DAY = 86400.0
_PARAMETERS = frozenset({"size", "n", "seed", "prompt_extend", "watermark"})
_TEXT = TaskModel(
    fields=_PARAMETERS | {"prompt", "negative_prompt"},
    size=by_pair("size", least=512, most=1440),
    usd=Decimal("0.025"),
    count="n",
    most=4,
    formats=("png",),
)
_QWEN_SIZES = ("1664*928", "1472*1104", "1328*1328", "1104*1472", "928*1664")


def _qwen_size(fields: Json) -> tuple[int, int]:
    if fields.get("size", _QWEN_SIZES[2]) not in _QWEN_SIZES:
        raise invalid(f"The size does not match the allowed size {', '.join(_QWEN_SIZES)}", param="size")
    return by_pair("size", default=_QWEN_SIZES[2])(fields)


#: By the operation in the path and the model in the body.
MODELS: Mapping[str, Mapping[str, TaskModel]] = {
    "text2image": {
        "wan2.5-t2i-preview": replace(_TEXT, usd=Decimal("0.03")),
        "wan2.2-t2i-plus": replace(_TEXT, usd=Decimal("0.05")),
        "wan2.2-t2i-flash": _TEXT,
        "qwen-image": replace(_TEXT, usd=Decimal("0.035"), size=_qwen_size, most=1),
    },
    "image2image": {
        "wan2.5-i2i-preview": replace(
            _TEXT,
            fields=_TEXT.fields | {"images"},
            usd=Decimal("0.03"),
            required=("prompt", "images"),
            sources="images",
            most_sources=3,
        ),
    },
}
_ALL = {name: model for models in MODELS.values() for name, model in models.items()}
_WORDS = {
    Progress.QUEUED: "PENDING",
    Progress.RUNNING: "RUNNING",
    Progress.DONE: "SUCCEEDED",
    Progress.FAILED: "FAILED",
    Progress.REFUSED: "FAILED",
    Progress.CANCELLED: "CANCELED",
    Progress.ABORTED: "CANCELED",
    Progress.ODD: "SUSPENDED",
}
_ERRORS = {
    **OPENAI_ERRORS,
    "refuse": ErrorText(400, "", "DataInspectionFailed", "Input data may contain inappropriate content."),
    "throttle": ErrorText(429, "", "Throttling.RateQuota", "Requests rate limit exceeded, please try again later."),
    "overloaded": ErrorText(503, "", "ModelUnavailable", "Model is unavailable, please try again later."),
    "money": ErrorText(400, "", "Arrearage", "Access denied, please make sure your account is in good standing."),
    "quota429": ErrorText(429, "", "Throttling.AllocationQuota", "Free allocated quota exceeded."),
    "denied": ErrorText(401, "", "InvalidApiKey", "Invalid API-key provided."),
    "invalid": ErrorText(400, "", "InvalidParameter", "Required parameter missing or invalid."),
    "sync": ErrorText(403, "", "AccessDenied", "current user api does not support synchronous calls."),
    "model": ErrorText(400, "", "InvalidParameter", "Model not exist."),
    "path": ErrorText(404, "", "InvalidURL", "url error, please check url!"),
    "error500": ErrorText(500, "", "InternalError", "An internal error has occured, please try again later."),
    "error502": ErrorText(502, "", "InternalError", "Bad gateway."),
}


def read(path: Mapping[str, str], form: Form, headers: Mapping[str, str], fetch: Fetch) -> Order:
    """Read ``input`` and ``parameters`` for the model in the body; only asynchronous calls are accepted."""
    if headers.get("X-DashScope-Async", "").lower() != "enable":
        raise Refusal("sync")
    name = form.fields.get("model")
    if not isinstance(name, str):
        raise invalid(
            "Required parameter(model) missing or invalid, please check the request parameters.", param="model"
        )
    rules = find_model(MODELS[path["operation"]], name)
    fields: Json = {}
    for part in set(form.fields) - {"model"} | {"input"}:
        values = form.fields.get(part)
        if part not in {"input", "parameters"} or not isinstance(values, dict):
            raise invalid(
                f"Required parameter({part}) missing or invalid, please check the request parameters.", param=part
            )
        misplaced = set(values) & (_PARAMETERS if part == "input" else rules.fields - _PARAMETERS)
        if misplaced:
            raise invalid(f"{min(misplaced)} is in the wrong part of the body", param=min(misplaced))
        fields |= values
    return read_body(name, rules, fields, fetch)


def accept(task: Task, trace: Trace) -> Reply:
    """Answer a submission."""
    output = {"task_status": "PENDING", "task_id": task.id}
    return Reply(status=200, payload={"output": output, "request_id": trace.request_id})


def query(task: Task, trace: Trace) -> Reply:
    """Answer a poll."""
    count = len(task.pictures)
    output: Json = {
        "task_id": task.id,
        "task_status": _WORDS[task.state],
        "submit_time": _stamp(task.created),
        "scheduled_time": _stamp(task.started),
        "end_time": _stamp(task.ended),
    }
    payload: Json = {"request_id": trace.request_id, "output": {key: value for key, value in output.items() if value}}
    if task.state is Progress.DONE:
        prompt = task.order.prompt if task.order else ""
        payload["output"]["results"] = [{"orig_prompt": prompt, "url": picture.url} for picture in task.pictures]
        payload["output"]["task_metrics"] = {"TOTAL": count, "SUCCEEDED": count, "FAILED": 0}
        payload["usage"] = {"image_count": count}
    elif task.state in {Progress.FAILED, Progress.REFUSED}:
        text = error_for(_ERRORS, task.refusal or Refusal("error500"), trace)
        payload["output"] |= {"code": text.code, "message": text.message}
        payload["output"]["task_metrics"] = {"TOTAL": 1, "SUCCEEDED": 0, "FAILED": 1}
    return Reply(status=200, payload=payload)


def cancel(task: Task, trace: Trace, before: Progress) -> Reply:  # noqa: ARG001 - all cancel functions have the same signature
    """Answer a cancellation, which only a waiting task obeys."""
    if before is Progress.QUEUED:
        return Reply(status=200, payload={"request_id": trace.request_id})
    message = "Failed to cancel the task, please confirm if the task is in PENDING status."
    payload = {"request_id": trace.request_id, "code": "UnsupportedOperation", "message": message}
    return Reply(status=400, payload=payload)


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with code, message and request_id."""
    text = error_for(_ERRORS, Refusal(refusal.cause, refusal.message), trace)
    payload: Json = {"request_id": trace.request_id, "code": text.code, "message": text.message}
    return Reply(status=text.status, payload=payload, headers=retry_headers(trace))


def lose(task_id: str, trace: Trace) -> Reply:
    """Answer about an unknown task: its state is UNKNOWN, with status 200."""
    output = {"task_id": task_id, "task_status": "UNKNOWN"}
    return Reply(status=200, payload={"request_id": trace.request_id, "output": output})


def _stamp(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(" ", timespec="milliseconds")


DIALECT = TaskDialect(
    name="dashscope",
    submit=("/api/v1/services/aigc/{operation:text2image|image2image}/image-synthesis",),
    read=read,
    price=partial(price_of, _ALL),
    accept=accept,
    refuse=refuse,
    lose=lose,
    views={"/api/v1/tasks/{id}": View(answer=query)},
    cancels={"/api/v1/tasks/{id}/cancel": Cancel(answer=cancel)},
    moderates_late=False,
    lifetime=_DAY,
)
