"""fal: tasks in its queue; statuses with 202 and 200, results at an address of their own.

Sources: fal.ai/docs/inference-api/queue (submit, status, result, cancel), fal.ai/docs/documentation/model-apis/errors
(bodies of errors, X-Fal-Retryable) and request-errors (error_type, 499), and fal-client 1.0.3 (what a client reads).
The queue accepts any body: the model checks it, so a wrong one is a task that fails with 422.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial

from ..keys import KeyHeader
from ..values import Fetch, Form, Json, Order, Refusal, Reply, Trace, invalid
from .errors import OPENAI_ERRORS, ErrorText, error_for, retry_headers
from .task import Cancel, Progress, Task, TaskDialect, View
from .task_order import TaskModel, by_ratio, find_model, price_of, read_body

_SIZES = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
_SHARED = frozenset({"prompt", "num_images", "output_format", "sync_mode", "seed", "enable_safety_checker"})
_FLUX = _SHARED | {"image_size", "num_inference_steps", "guidance_scale", "acceleration"}
_NANO = _SHARED - {"enable_safety_checker"} | {
    "aspect_ratio",
    "resolution",
    "safety_tolerance",
    "limit_generations",
    "enable_web_search",
}


def _image_size(fields: Json) -> tuple[int, int]:
    """Read ``image_size``: a name, or an object with width and height."""
    size = fields.get("image_size", "landscape_4_3")
    if isinstance(size, str) and size in _SIZES:
        return _SIZES[size]
    match size:
        case {"width": int(width), "height": int(height)} if 64 <= width <= 14142 and 64 <= height <= 14142:
            return width, height
    raise invalid("unexpected value; permitted: " + ", ".join(map(repr, _SIZES)), "value_error", "image_size")


_FLUX_2 = _SHARED | {"image_size", "safety_tolerance"}
_SEEDREAM = _SHARED | {"image_size", "max_images"}
_PRO = {"1K": "0.15", "2K": "0.15", "4K": "0.3"}
_TWO = {"0.5K": "0.06", "1K": "0.08", "2K": "0.12", "4K": "0.16"}


def _flux(usd: str, *, more: str = "0", fields: frozenset[str] = _FLUX) -> TaskModel:
    return TaskModel(fields=fields, size=_image_size, usd=Decimal(usd), more=Decimal(more), count="num_images", most=4)


def _nano(usd: str, by_resolution: Mapping[str, str] | None = None) -> TaskModel:
    return TaskModel(
        fields=_NANO,
        size=by_ratio(),
        usd=Decimal(usd),
        by_resolution=by_resolution or {},
        count="num_images",
        most=4,
        formats=("png", "jpeg", "webp"),
    )


def _seedream(usd: str) -> TaskModel:
    return replace(_flux(usd, fields=_SEEDREAM), most=6)


def _edit(model: TaskModel) -> TaskModel:
    fields, required = model.fields | {"image_urls"}, ("prompt", "image_urls")
    return replace(model, fields=fields, sources="image_urls", required=required)


MODELS: Mapping[str, TaskModel] = {
    "fal-ai/flux/schnell": _flux("0.003", more="0.003"),
    "fal-ai/flux/dev": _flux("0.025", more="0.025"),
    "fal-ai/flux-2": _flux("0.012", more="0.012"),
    "fal-ai/flux-2-pro": _flux("0.03", more="0.015", fields=_FLUX_2),
    "fal-ai/flux-2-pro/edit": _edit(_flux("0.045", more="0.015", fields=_FLUX_2)),
    "fal-ai/flux-2-max": _flux("0.07", more="0.03", fields=_FLUX_2),
    "fal-ai/flux-2-max/edit": _edit(_flux("0.1", more="0.03", fields=_FLUX_2)),
    "fal-ai/nano-banana": _nano("0.039"),
    "fal-ai/nano-banana/edit": _edit(_nano("0.039")),
    "fal-ai/nano-banana-pro": _nano("0.15", _PRO),
    "fal-ai/nano-banana-pro/edit": _edit(_nano("0.15", _PRO)),
    "fal-ai/nano-banana-2": _nano("0.08", _TWO),
    "fal-ai/nano-banana-2/edit": _edit(_nano("0.08", _TWO)),
    "fal-ai/qwen-image": _flux("0.02", more="0.02", fields=_FLUX | {"negative_prompt"}),
    "fal-ai/bytedance/seedream/v4/text-to-image": _seedream("0.03"),
    "fal-ai/bytedance/seedream/v4/edit": _edit(_seedream("0.03")),
    "fal-ai/bytedance/seedream/v4.5/text-to-image": _seedream("0.04"),
    "fal-ai/bytedance/seedream/v4.5/edit": _edit(_seedream("0.04")),
}
_ERRORS = {
    **OPENAI_ERRORS,
    "refuse": ErrorText(
        422,
        "content_policy_violation",
        None,
        "The content could not be processed because it contained material flagged by a content checker.",
    ),
    "throttle": ErrorText(429, "", None, "Too many requests. Please slow down."),
    "overloaded": ErrorText(503, "runner_scheduling_failure", None, "No runner is available."),
    "money": ErrorText(
        403, "", None, "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."
    ),
    "quota429": ErrorText(429, "", None, "Reached the concurrent requests limit."),
    "denied": ErrorText(401, "", None, "Authentication is required to access this application."),
    "invalid": ErrorText(422, "value_error", None, "Invalid input"),
    "model": ErrorText(404, "", None, "Application not found"),
    "path": ErrorText(404, "", None, "Path {path} not found"),
    "method": ErrorText(405, "", None, "Method Not Allowed"),
    "error500": ErrorText(500, "internal_server_error", None, "Internal server error"),
    "error502": ErrorText(502, "runner_connection_error", None, "Bad Gateway"),
    "gateway-timeout": ErrorText(504, "request_timeout", None, "Request timed out"),
}


def read(path: Mapping[str, str], form: Form, _headers: Mapping[str, str], fetch: Fetch) -> Order:
    """Read a body for the model in the path."""
    return read_body(path["model"], find_model(MODELS, path["model"]), form.fields, fetch)


def accept(task: Task, trace: Trace) -> Reply:
    """Answer a submission with the addresses of the task."""
    return Reply(
        status=200, payload={"status": "IN_QUEUE", **_addresses(task), "queue_position": 0}, headers=_ids(trace)
    )


def status(task: Task, trace: Trace) -> Reply:
    """Answer a poll: 202 until the task is over, then 200, also if it failed."""
    addresses = {name: value for name, value in _addresses(task).items() if name != "cancel_url"}
    match task.state:
        case Progress.QUEUED:
            return Reply(status=202, payload={"status": "IN_QUEUE", "queue_position": 0, **addresses})
        case Progress.RUNNING:
            return Reply(status=202, payload={"status": "IN_PROGRESS", "logs": None, **addresses})
        case Progress.ODD:
            return Reply(status=202, payload={"status": "MIGRATING", **addresses})
    payload: Json = {"status": "COMPLETED", "logs": None, **addresses, "metrics": {"inference_time": task.seconds}}
    headers: dict[str, str] = {}
    if task.state is not Progress.DONE:
        text = _failure(task, trace)
        payload |= {"error": text.message, "error_type": text.type}
        headers = {"X-Fal-Error-Type": text.type}
    return Reply(status=200, payload=payload, headers=headers)


def result(task: Task, trace: Trace) -> Reply:
    """Answer with the images, with the error of the model, or that the task is not over."""
    if not task.state.over:
        return Reply(status=400, payload={"detail": "Request is still in progress"})
    if task.state is Progress.DONE:
        images = [
            {"url": picture.url, "content_type": picture.mime, "file_name": (picture.url or "").rpartition("/")[2]}
            | {"width": task.order.width, "height": task.order.height}
            for picture in task.pictures
            if task.order is not None
        ]
        payload: Json = {"images": images, "seed": task.serial, "prompt": task.order.prompt if task.order else ""}
        return Reply(status=200, payload=payload | {"timings": {"inference": task.seconds}}, headers=_ids(trace))
    text = _failure(task, trace)
    refusal = task.refusal
    place = ["body", refusal.param] if refusal is not None and refusal.param else ["body", "prompt"]
    detail: list[Json] = [{"loc": place, "msg": text.message, "type": text.type, "input": task.fields.get(place[1])}]
    headers = {"X-Fal-Error-Type": text.type, "X-Fal-Retryable": "false"}
    return Reply(status=text.status, payload={"detail": detail}, headers=headers | _ids(trace))


def cancel(task: Task, trace: Trace, before: Progress) -> Reply:  # noqa: ARG001 - all cancel functions have the same signature
    """Answer a cancellation: a request that the runner may ignore."""
    if before.over:
        return Reply(status=400, payload={"status": "ALREADY_COMPLETED"})
    return Reply(status=202, payload={"status": "CANCELLATION_REQUESTED"})


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with fal's ``detail``."""
    text = error_for(_ERRORS, refusal, trace)
    detail: object = text.message
    if text.status == 422:
        detail = [{"loc": ["body", refusal.param or "prompt"], "msg": text.message, "type": text.type}]
    headers = {"X-Fal-Error-Type": text.type} if text.type else {}
    return Reply(status=text.status, payload={"detail": detail}, headers=headers | retry_headers(trace))


def lose(_id: str, _trace: Trace) -> Reply:
    """Answer about an unknown request."""
    return Reply(status=404, payload={"detail": "Request not found", "status": "NOT_FOUND"})


def _addresses(task: Task) -> Json:
    owner, app = task.model.split("/")[:2]
    place = f"{task.place}/{owner}/{app}/requests/{task.id}"
    return {
        "request_id": task.id,
        "response_url": place,
        "status_url": f"{place}/status",
        "cancel_url": f"{place}/cancel",
    }


def _failure(task: Task, trace: Trace) -> ErrorText:
    if task.state in {Progress.CANCELLED, Progress.ABORTED}:
        return ErrorText(499, "client_cancelled", None, "Request was cancelled by the client")
    return error_for(_ERRORS, task.refusal or Refusal("error500"), trace)


def _ids(trace: Trace) -> dict[str, str]:
    return {"X-Fal-Request-Id": trace.request_id}


DIALECT = TaskDialect(
    name="fal",
    submit=("/{model:[^/]+/[^/]+(?:/[^/]+)*}",),
    read=read,
    price=partial(price_of, MODELS),
    accept=accept,
    refuse=refuse,
    lose=lose,
    views={
        "/{owner}/{app}/requests/{id}/status": View(answer=status),
        "/{owner}/{app}/requests/{id}": View(answer=result),
    },
    cancels={
        "/{owner}/{app}/requests/{id}/cancel": Cancel(
            answer=cancel, method="PUT", from_states=frozenset({Progress.QUEUED, Progress.RUNNING})
        ),
    },
    checks_late=True,
    key_header=KeyHeader(scheme="Key"),
)
