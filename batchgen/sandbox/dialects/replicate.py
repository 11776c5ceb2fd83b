"""Replicate: predictions of official models; ``Prefer: wait`` holds the connection, ``Cancel-After`` sets a deadline.

Sources: replicate.com/docs/topics/predictions (create-a-prediction, lifecycle), replicate.com/changelog/2025-10-16
(deadlines: canceled is charged, aborted is not), replicate 1.0.7 (paths, fields of a prediction, uploads), and the
published schemas of google/nano-banana-2, google/nano-banana-pro and black-forest-labs/flux-*.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

from ..values import Fetch, Form, Json, Order, Refusal, Reply, Trace, invalid
from .dialect import Account, FreeEndpoint
from .errors import OPENAI_ERRORS, ErrorText, error_for, retry_headers
from .task import Cancel, Progress, Task, TaskDialect, UploadedFile, UploadTarget, View
from .task_order import TaskModel, by_edges, by_ratio, find_model, price_of, read_body

_HOUR, _DAY = 3600.0, 86400.0
#: In characters, for about 256 kB; larger files are uploaded (replicate.com/docs/topics/predictions/input-files).
_LONGEST_DATA_URL = 350_000
_COMMON = frozenset({"prompt", "aspect_ratio", "output_format", "seed"})
_NANO = TaskModel(
    fields=_COMMON - {"seed"} | {"image_input", "resolution", "google_search", "image_search"},
    size=by_ratio(),
    usd=Decimal("0.067"),
    by_resolution={"512": "0.045", "1K": "0.067", "2K": "0.101", "4K": "0.151"},
    sources="image_input",
    most_sources=14,
    formats=("jpg", "png"),
)
_NANO_PRO = TaskModel(
    fields=_COMMON - {"seed"} | {"image_input", "resolution", "safety_filter_level", "allow_fallback_model"},
    size=by_ratio(),
    usd=Decimal("0.15"),
    by_resolution={"1K": "0.15", "2K": "0.15", "4K": "0.3"},
    default_resolution="2K",
    sources="image_input",
    most_sources=14,
    formats=("jpg", "png"),
)
_EDGES = by_edges(least=256)


def _flux_2_size(fields: Json) -> tuple[int, int]:
    return _EDGES(fields) if fields.get("aspect_ratio") == "custom" else by_ratio()({**fields, "resolution": "1K"})


_FLUX_2 = TaskModel(
    fields=_COMMON
    | {"input_images", "resolution", "width", "height", "output_quality", "safety_tolerance", "prompt_upsampling"},
    size=_flux_2_size,
    usd=Decimal("0.03"),
    more=Decimal("0.015"),
    sources="input_images",
    most_sources=8,
    formats=("webp", "jpg", "png"),
)
_FLUX_1 = TaskModel(
    fields=_COMMON
    | {"num_outputs", "megapixels", "num_inference_steps", "output_quality", "disable_safety_checker", "go_fast"},
    size=by_ratio(),
    usd=Decimal("0.003"),
    count="num_outputs",
    most=4,
    formats=("webp", "jpg", "png"),
)
MODELS: Mapping[str, TaskModel] = {
    "google/nano-banana-2": _NANO,
    "google/nano-banana-pro": _NANO_PRO,
    "black-forest-labs/flux-2-pro": _FLUX_2,
    "black-forest-labs/flux-schnell": _FLUX_1,
}
_WORDS = {
    Progress.QUEUED: "starting",
    Progress.RUNNING: "processing",
    Progress.DONE: "succeeded",
    Progress.FAILED: "failed",
    Progress.REFUSED: "failed",
    Progress.CANCELLED: "canceled",
    Progress.ABORTED: "canceled",
    Progress.ODD: "booting",
}
_ERRORS = {
    **OPENAI_ERRORS,
    "refuse": ErrorText(
        422,
        "Sensitive content",
        None,
        "The input or output was flagged as sensitive. Please try again with different inputs. (E005)",
    ),
    "throttle": ErrorText(429, "", None, "Request was throttled. Expected available in {wait}."),
    "overloaded": ErrorText(503, "Service unavailable", None, "The service is unavailable. Please try again later."),
    "money": ErrorText(
        402,
        "Insufficient credit",
        None,
        "You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing to "
        "purchase credit.",
    ),
    "quota429": ErrorText(429, "", None, "Your rate limit is reduced while you have less than $5.0 in credit."),
    "denied": ErrorText(401, "Unauthenticated", None, "You did not pass a valid authentication token"),
    "invalid": ErrorText(422, "Input validation failed", None, "- input: invalid"),
    "model": ErrorText(404, "", None, "The requested resource could not be found."),
    "path": ErrorText(404, "", None, "The requested resource could not be found."),
    "error500": ErrorText(500, "Internal server error", None, "An internal error occurred."),
    "error502": ErrorText(502, "Bad gateway", None, "Bad gateway."),
    "gateway-timeout": ErrorText(504, "Gateway timeout", None, "Gateway timeout."),
}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}


def read(path: Mapping[str, str], form: Form, _headers: Mapping[str, str], fetch: Fetch) -> Order:
    """Read ``input`` for the model in the path."""
    rules = find_model(MODELS, path["model"])
    for name in form.fields:
        if name not in {"input", "webhook", "webhook_events_filter"}:
            raise invalid(f"- {name}: Additional property {name} is not allowed", param=name)
    fields = form.fields.get("input")
    if not isinstance(fields, dict):
        raise invalid("- input is required", param="input")
    addresses = fields.get(rules.sources) if rules.sources else None
    for address in addresses if isinstance(addresses, list) else ():
        if isinstance(address, str) and address[:5].lower() == "data:" and len(address) > _LONGEST_DATA_URL:
            raise invalid(f"- input.{rules.sources}: data URLs are limited to 256 kB; upload the file", param="input")
    return read_body(path["model"], rules, fields, fetch)


def hold(headers: Mapping[str, str]) -> float:
    """Return the seconds of ``Prefer: wait``: 60, or those it states, from 1 to 60."""
    preference = headers.get("Prefer", "").strip().lower()
    if not preference.startswith("wait"):
        return 0.0
    seconds = preference.partition("=")[2].strip()
    if not seconds:
        return 60.0
    if not seconds.isdigit() or not 1 <= int(seconds) <= 60:
        raise Refusal("invalid", "- Prefer: wait must be between 1 and 60 seconds", param="Prefer")
    return float(seconds)


def deadline(headers: Mapping[str, str]) -> float:
    """Return the seconds of ``Cancel-After``."""
    text = headers.get("Cancel-After", "").strip()
    match = _SPAN.fullmatch(text)
    if not text or match is None:
        return math.inf
    return float(match[1]) * _UNITS[match[2]]


def prediction(task: Task, trace: Trace) -> Reply:
    """Answer with the prediction; its input and output are gone an hour after its end."""
    gone = task.ended is not None and trace.now > task.ended + _HOUR
    place = f"{task.place}/v1/predictions/{task.id}"
    payload: Json = {
        "id": task.id,
        "model": task.model,
        "version": "hidden",
        "input": {} if gone else task.fields.get("input"),
        "logs": "",
        "output": None if gone or task.state is not Progress.DONE else _output(task),
        "data_removed": gone,
        "error": _error(task, trace),
        "source": "api",
        "status": "aborted" if task.state is Progress.ABORTED and task.late else _WORDS[task.state],
        "created_at": _stamp(task.created),
        "started_at": _stamp(task.started),
        "completed_at": _stamp(task.ended),
        "urls": {"get": place, "cancel": f"{place}/cancel", "web": f"https://replicate.com/p/{task.id}"},
        "metrics": {"predict_time": task.seconds} if task.ended is not None else {},
    }
    return Reply(status=200, payload=payload)


def accept(task: Task, trace: Trace) -> Reply:
    """Answer a submission with the prediction as it is by then."""
    return Reply(status=201, payload=prediction(task, trace).payload)


def cancel(task: Task, trace: Trace, before: Progress) -> Reply:  # noqa: ARG001 - all cancel functions have the same signature
    """Answer a cancellation with the prediction, cancelled or not."""
    return prediction(task, trace)


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with title, detail and status."""
    text = error_for(_ERRORS, refusal, trace)
    payload: Json = {"detail": text.message, "status": text.status}
    if text.type:
        payload["title"] = text.type
    if refusal.cause == "invalid":
        payload["invalid_fields"] = [
            {"type": "invalid", "field": f"input.{refusal.param}", "description": text.message}
        ]
    if text.status == 429 and trace.retry_after is not None:
        payload["retry_after"] = trace.retry_after
    return Reply(status=text.status, payload=payload, headers=retry_headers(trace))


def lose(_id: str, _trace: Trace) -> Reply:
    """Answer about an unknown prediction."""
    return Reply(status=404, payload={"detail": "The requested resource could not be found.", "status": 404})


def upload(file: UploadedFile, trace: Trace) -> Reply:
    """Answer an upload with the file, which expires after a day."""
    payload: Json = {
        "id": file.id,
        "name": file.filename,
        "content_type": file.mime,
        "size": file.size,
        "etag": file.id,
        "checksums": {},
        "metadata": {},
        "created_at": _stamp(trace.now),
        "expires_at": _stamp(trace.now + _DAY),
        "urls": {"get": file.url},
    }
    return Reply(status=201, payload=payload)


def account(account: Account, trace: Trace) -> Reply:  # noqa: ARG001 - all endpoints have the same signature
    """Name the account; Replicate has no endpoint for a balance."""
    return Reply(status=200, payload={"type": "organization", "username": "sandbox", "name": "Sandbox"})


def _output(task: Task) -> object:
    addresses = [picture.url for picture in task.pictures]
    return addresses if MODELS[task.model].count or len(addresses) != 1 else addresses[0]


def _error(task: Task, trace: Trace) -> str | None:
    if task.state not in {Progress.FAILED, Progress.REFUSED}:
        return None
    return error_for(_ERRORS, task.refusal or Refusal("error500"), trace).message


def _stamp(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


DIALECT = TaskDialect(
    name="replicate",
    submit=("/v1/models/{model:[^/]+/[^/]+}/predictions",),
    read=read,
    price=partial(price_of, MODELS),
    accept=accept,
    refuse=refuse,
    lose=lose,
    views={"/v1/predictions/{id}": View(answer=prediction)},
    cancels={
        "/v1/predictions/{id}/cancel": Cancel(
            answer=cancel, from_states=frozenset({Progress.QUEUED, Progress.RUNNING})
        ),
    },
    new_id=lambda uuid: f"{uuid.replace('-', '')[:24]}rm",
    charged=frozenset({Progress.DONE, Progress.CANCELLED}),
    hold=hold,
    deadline=deadline,
    uploads={"/v1/files": UploadTarget(answer=upload, field="content", lifetime=_DAY)},
    free_endpoints={"/v1/account": FreeEndpoint(answer=account)},
    lifetime=_HOUR,
)
