"""Black Forest Labs: the answer names a polling address of another region, and results live for ten minutes.

Sources: docs.bfl.ai/api-reference (flux-2 models; get-result with its six states), docs.bfl.ai/quick_start (x-key,
polling_url, 24 active tasks), and black-forest-labs' skill bfl-api (1 credit = 0.01 USD; price by the megapixel;
results expire after 10 minutes).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial

from PIL import Image

from ..keys import KeyHeader
from ..sources import from_address, open_image
from ..values import Fetch, Form, Json, Order, Refusal, Reply, Trace, invalid
from .dialect import Account, FreeEndpoint
from .errors import OPENAI_ERRORS, ErrorText, error_for, retry_headers
from .task import Progress, Task, TaskDialect, View
from .task_order import TaskModel, by_edges, find_model, price_of, read_body

_REGION = "us1"
_MOST_PIXELS = 4_194_304
_SOURCES = ("input_image", *(f"input_image_{number}" for number in range(2, 9)))
_FIELDS = frozenset(
    {"prompt", "width", "height", "seed", "output_format", "safety_tolerance", "webhook_url", "webhook_secret"}
).union(_SOURCES)
_EDGES = by_edges()


def _size(fields: Json) -> tuple[int, int]:
    width, height = _EDGES(fields)
    if width * height > _MOST_PIXELS:
        raise invalid("Input should be at most 4 megapixels", "less_than_equal", "width")
    return width, height


def _flux(first: str, more: str, fields: frozenset[str] = frozenset()) -> TaskModel:
    return TaskModel(
        fields=_FIELDS | fields,
        size=_size,
        usd=Decimal(first) / 100,
        more=Decimal(more) / 100,
        source=Decimal(more) / 100,
        formats=("jpeg", "png", "webp"),
    )


MODELS: Mapping[str, TaskModel] = {
    "flux-2-klein-4b": _flux("1.4", "0.1"),
    "flux-2-klein-9b": _flux("1.5", "0.2"),
    "flux-2-pro": _flux("3", "1.5", frozenset({"prompt_upsampling", "disable_pup"})),
    "flux-2-max": _flux("7", "3", frozenset({"prompt_upsampling", "disable_pup"})),
    "flux-2-flex": _flux("5", "5", frozenset({"prompt_upsampling", "guidance", "steps"})),
}
_WORDS = {
    Progress.QUEUED: "Pending",
    Progress.RUNNING: "Pending",
    Progress.DONE: "Ready",
    Progress.FAILED: "Error",
    Progress.REFUSED: "Content Moderated",
    Progress.CANCELLED: "Error",
    Progress.ABORTED: "Error",
    Progress.ODD: "Warming",
}
_ERRORS = {
    **OPENAI_ERRORS,
    "refuse": ErrorText(422, "", None, "Request Moderated"),
    "throttle": ErrorText(429, "", None, "Rate limit exceeded: 24 active tasks"),
    "overloaded": ErrorText(503, "", None, "Service temporarily unavailable"),
    "money": ErrorText(402, "", None, "Insufficient credits"),
    "quota429": ErrorText(429, "", None, "Rate limit exceeded"),
    "denied": ErrorText(403, "", None, "Not authenticated - Invalid Authentication"),
    "invalid": ErrorText(422, "value_error", None, "Value error"),
    "model": ErrorText(404, "", None, "Not Found"),
    "path": ErrorText(404, "", None, "Not Found"),
    "error500": ErrorText(500, "", None, "Internal Server Error"),
}


def read(path: Mapping[str, str], form: Form, _headers: Mapping[str, str], fetch: Fetch) -> Order:
    """Read a body; source images are addresses or plain base64."""
    model = path["model"]
    order = read_body(model, find_model(MODELS, model), form.fields, fetch)
    sources = tuple(_source(form.fields[name], fetch, name) for name in _SOURCES if form.fields.get(name) is not None)
    return replace(order, kind="edit" if sources else "generation", sources=sources)


def accept(task: Task, _trace: Trace) -> Reply:
    """Answer a submission with the polling address and the cost in credits."""
    order = task.order
    area = order.width * order.height / 1_048_576 if order else 0.0
    payload: Json = {
        "id": task.id,
        "polling_url": f"{task.place}/{_REGION}/v1/get_result?id={task.id}",
        "cost": float((task.bill.usd or 0) * 100) if task.bill else None,
        "input_mp": sum(source.width * source.height for source in order.sources) / 1_048_576 if order else 0.0,
        "output_mp": area,
    }
    return Reply(status=200, payload=payload)


def result(task: Task, _trace: Trace) -> Reply:
    """Answer a poll; a result without a picture has no sample."""
    payload: Json = {"id": task.id, "status": _WORDS[task.state], "result": None, "progress": None}
    payload |= {"details": None, "preview": None}
    if task.state is Progress.DONE:
        sample = task.pictures[0].url if task.pictures else None
        payload["result"] = {
            "sample": sample,
            "prompt": task.order.prompt if task.order else "",
            "seed": task.serial,
            "start_time": task.started,
            "end_time": task.ended,
            "duration": task.seconds,
        }
    if task.state is Progress.REFUSED:
        payload["details"] = {"Moderation Reasons": ["Content filter"]}
    return Reply(status=200, payload=payload)


def wrong_place(task: Task, trace: Trace) -> Reply:
    """Answer at the address without a region: a task is known only where its polling_url points."""
    return lose(task.id, trace)


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with FastAPI's ``detail``."""
    text = error_for(_ERRORS, refusal, trace)
    detail: object = text.message
    if refusal.cause == "invalid":
        detail = [{"type": text.code or "value_error", "loc": ["body", refusal.param], "msg": text.message}]
    return Reply(status=text.status, payload={"detail": detail}, headers=retry_headers(trace))


def lose(task_id: str, _trace: Trace) -> Reply:
    """Answer about an unknown task: its state is "Task not found", with status 200."""
    return Reply(status=200, payload={"id": task_id, "status": "Task not found", "result": None, "progress": None})


def credits(account: Account, trace: Trace) -> Reply:  # noqa: A001, ARG001 - all endpoints have the same signature
    """Report the balance; a credit is a cent."""
    return Reply(status=200, payload={"credits": float(round(account.left * 100, 4))})


def _source(value: object, fetch: Fetch, name: str) -> Image.Image:
    if isinstance(value, str) and value.lower().startswith(("http://", "https://")):
        return from_address(value, fetch, name)
    try:
        if not isinstance(value, str):
            raise TypeError
        data = base64.b64decode(value, validate=True)
    except (TypeError, binascii.Error) as error:
        raise invalid("Input should be a URL or base64 of an image", "value_error", name) from error
    return open_image(data, name)


DIALECT = TaskDialect(
    name="bfl",
    submit=("/v1/{model:flux[^/]*}",),
    read=read,
    price=partial(price_of, MODELS),
    accept=accept,
    refuse=refuse,
    lose=lose,
    views={f"/{_REGION}/v1/get_result?id": View(answer=result), "/v1/get_result?id": View(answer=wrong_place)},
    free_endpoints={"/v1/credits": FreeEndpoint(answer=credits)},
    key_header=KeyHeader("x-key", ""),
    lifetime=600.0,
)
