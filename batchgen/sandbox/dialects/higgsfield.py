"""Higgsfield: one status address for state and result, and idempotency keys that are honoured.

Sources: docs.higgsfield.ai/docs/quickstart and docs/concepts (requests: six states, only queued ones are cancelled;
idempotency: same key and body return the first request_id, 422 on another body), docs/help/faq (failed and nsfw are
not charged; files live seven days), higgsfield-client 0.2.0 (paths), and dev.to/mckennachapman (401 and 404 texts).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import partial

from ..keys import KeyHeader
from ..values import Fetch, Form, Json, Order, Refusal, Reply, Trace, invalid
from .errors import OPENAI_ERRORS, ErrorText, error_for, retry_headers
from .task import Cancel, Progress, Task, TaskDialect, View
from .task_order import RATIOS, TaskModel, by_ratio, find_model, price_of, read_body

_WEEK = 7 * 86400.0
_SCALES = {"720P": 0.75, "1K": 1.0, "1080P": 1.125, "1.5K": 1.5, "2K": 2.0, "4K": 4.0}


def _size(fields: Json) -> tuple[int, int]:
    ratio = fields.get("aspect_ratio") or "1:1"
    scale = _SCALES.get(str(fields.get("resolution") or "1K").upper())
    if ratio not in RATIOS or scale is None:
        raise invalid("Input should be a listed value", param="resolution" if ratio in RATIOS else "aspect_ratio")
    width, height = RATIOS[ratio]
    return round(width * scale), round(height * scale)


_FIELDS = frozenset({"prompt", "aspect_ratio", "resolution", "seed"})
MODELS: Mapping[str, TaskModel] = {
    "higgsfield-ai/soul/v2/standard": TaskModel(
        fields=_FIELDS | {"batch_size", "style_id", "style_strength", "enhance_prompt"},
        size=_size,
        usd=Decimal("0.0625"),
        count="batch_size",
        most=4,
        formats=("png",),
    ),
    "alibaba/qwen-image-3/text-to-image": TaskModel(
        fields=_FIELDS | {"negative_prompt", "output_format", "num_images"},
        size=_size,
        usd=Decimal("0.03"),
        count="num_images",
        most=4,
        formats=("png", "jpeg", "webp"),
    ),
    "alibaba/qwen-image-3/edit": TaskModel(
        fields=_FIELDS | {"negative_prompt", "output_format", "num_images", "image_urls"},
        size=by_ratio(),
        usd=Decimal("0.03"),
        required=("prompt", "image_urls"),
        sources="image_urls",
        count="num_images",
        most=4,
        formats=("png", "jpeg", "webp"),
    ),
}
_WORDS = {
    Progress.QUEUED: "queued",
    Progress.RUNNING: "in_progress",
    Progress.DONE: "completed",
    Progress.FAILED: "failed",
    Progress.REFUSED: "nsfw",
    Progress.CANCELLED: "canceled",
    Progress.ABORTED: "canceled",
    Progress.ODD: "throttled",
}
_ERRORS = {
    **OPENAI_ERRORS,
    "refuse": ErrorText(400, "", None, "The request was rejected by content moderation"),
    "throttle": ErrorText(429, "", None, "Too many concurrent requests"),
    "overloaded": ErrorText(503, "", None, "Service temporarily unavailable"),
    "money": ErrorText(403, "", None, "Not enough credits"),
    "quota429": ErrorText(429, "", None, "Not enough credits"),
    "denied": ErrorText(401, "", None, "Invalid credentials"),
    "invalid": ErrorText(422, "", None, "Validation error"),
    "key-reused": ErrorText(422, "", None, "Idempotency-Key was already used with different request parameters"),
    "model": ErrorText(404, "", None, "Not found"),
    "path": ErrorText(404, "", None, "Not found"),
    "error500": ErrorText(500, "", None, "Internal server error"),
}


def read(path: Mapping[str, str], form: Form, headers: Mapping[str, str], fetch: Fetch) -> Order:
    """Read a body for the model in the path; source images are addresses, not data."""
    rules = find_model(MODELS, path["model"])
    key = headers.get("Idempotency-Key")
    if key is not None and not (1 <= len(key) <= 255 and all("!" <= letter <= "~" for letter in key)):
        raise Refusal("invalid", "Idempotency-Key must be 1 to 255 visible ASCII characters", param="Idempotency-Key")
    for address in form.fields.get(rules.sources) or () if rules.sources else ():
        if not isinstance(address, str) or address[:5].lower() == "data:":
            raise invalid("Input should be a valid URL", param=rules.sources)
    return read_body(path["model"], rules, form.fields, fetch)


def status(task: Task, trace: Trace) -> Reply:
    """Answer a submission or a poll."""
    place = f"{task.place}/requests/{task.id}"
    payload: Json = {"status": _WORDS[task.state], "request_id": task.id}
    payload |= {"status_url": f"{place}/status", "cancel_url": f"{place}/cancel"}
    if task.state is Progress.DONE:
        payload["images"] = [{"url": picture.url} for picture in task.pictures]
    if task.state is Progress.FAILED:
        payload["error"] = error_for(_ERRORS, task.refusal or Refusal("error500"), trace).message
    return Reply(status=200, payload=payload)


def cancel(task: Task, trace: Trace, before: Progress) -> Reply:  # noqa: ARG001 - all cancel functions have the same signature
    """Answer a cancellation: 202, or 400 once the work has started."""
    if before is Progress.QUEUED:
        return Reply(status=202, payload={})
    return Reply(status=400, payload={"detail": "Request can't be canceled"})


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with ``detail``: a text, or a list for a wrong body."""
    text = error_for(_ERRORS, refusal, trace)
    detail: object = text.message
    if refusal.cause == "invalid":
        detail = [{"type": "value_error", "loc": ["body", refusal.param], "msg": text.message}]
    return Reply(status=text.status, payload={"detail": detail}, headers=retry_headers(trace))


def lose(_id: str, _trace: Trace) -> Reply:
    """Answer about an unknown request."""
    return Reply(status=404, payload={"detail": "Request not found"})


DIALECT = TaskDialect(
    name="higgsfield",
    submit=("/{model:[^/]+/.+}",),
    read=read,
    price=partial(price_of, MODELS),
    accept=status,
    refuse=refuse,
    lose=lose,
    views={"/requests/{id}/status": View(answer=status)},
    cancels={"/requests/{id}/cancel": Cancel(answer=cancel)},
    idempotent=True,
    key_header=KeyHeader("Authorization", "Key"),
    lifetime=_WEEK,
)
