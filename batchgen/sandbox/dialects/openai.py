"""OpenAI's own images API: base64 only, usage with details, rate-limit headers."""

from __future__ import annotations

from dataclasses import replace

from ..checks import Rules, openai_size, read_order
from ..prices import GPT_RATES, openai_bill
from ..values import Bill, Fetch, Form, Json, Order, Picture, Quota, Refusal, Reply, Trace, invalid
from .dialect import Account, Dialect, FreeEndpoint
from .errors import OPENAI_ERRORS, error_for, go_duration, openai_error, retry_headers

COMMON = frozenset({"model", "prompt", "n", "size", "quality", "background", "output_format", "output_compression"})
SDK_EXTRAS = frozenset({"user", "safety_identifier", "stream", "complexity"})
GENERATION = Rules(models=frozenset(GPT_RATES), fields=COMMON | SDK_EXTRAS | {"moderation"}, size=openai_size)
EDIT = replace(GENERATION, fields=COMMON | SDK_EXTRAS | {"moderation", "input_fidelity"})
MULTIPART_EDIT = replace(EDIT, fields=EDIT.fields - {"moderation"})


def read(form: Form, kind: str, fetch: Fetch) -> Order:
    """Read a generation or an edit, multipart or JSON."""
    if form.fields.get("stream") in (True, "true"):
        raise invalid("Streaming is not simulated here.", "unsupported_value", "stream")
    rules = GENERATION if kind == "generation" else MULTIPART_EDIT if form.multipart else EDIT
    order = read_order(form, kind, rules, fetch)
    if "input_fidelity" in form.fields and "gpt-image-2" in order.model:
        message = f"The 'input_fidelity' parameter is not supported for model '{order.model}'."
        raise invalid(message, "invalid_input_fidelity_model", "input_fidelity")
    return order


def answer(order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, remark: str | None) -> Reply:  # noqa: ARG001
    """Answer with base64, the settings used, usage and headers."""
    payload: Json = {
        "created": int(trace.now),
        "background": "transparent" if order.transparent else "opaque",
        "data": [{"url": picture.url} if picture.url else {"b64_json": picture.b64} for picture in pictures],
        "output_format": order.output_format,
        "quality": order.quality,
        "size": f"{order.width}x{order.height}",
        "usage": bill.usage,
    }
    return Reply(status=200, payload=payload, headers=_headers(trace) | {"openai-processing-ms": "1234"})


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with OpenAI's error envelope."""
    text = error_for(OPENAI_ERRORS, refusal, trace)
    headers = _headers(trace) | retry_headers(trace)
    if refusal.cause == "throttle":
        headers["Retry-After"] = headers.get("Retry-After", "1")
    return Reply(status=text.status, payload=openai_error(text, refusal), headers=headers)


def model_list(account: Account, trace: Trace) -> Reply:  # noqa: ARG001 - all endpoints have the same signature
    """List the models, including those that make no images."""
    names = [*sorted(GPT_RATES), "gpt-5.5", "text-embedding-3-small"]
    data = [{"id": name, "object": "model", "created": 1_776_729_600, "owned_by": "system"} for name in names]
    headers = _headers(trace) | _limits(Quota(limit=500, window=60.0, remaining=499))
    return Reply(status=200, payload={"object": "list", "data": data}, headers=headers)


def _headers(trace: Trace) -> dict[str, str]:
    headers = {
        "x-request-id": f"req_{trace.request_id}",
        "openai-version": "2020-10-01",
        "openai-organization": "org-sandbox",
    }
    return headers | (_limits(trace.quota) if trace.quota else {})  # without a limit there are no such headers


def _limits(quota: Quota) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": str(quota.limit),
        "x-ratelimit-remaining-requests": str(quota.remaining),
        "x-ratelimit-reset-requests": go_duration(quota.refill),
    }


DIALECT = Dialect(
    name="openai",
    routes={"/v1/images/generations": "generation", "/v1/images/edits": "edit"},
    read=read,
    price=openai_bill,
    answer=answer,
    refuse=refuse,
    free_endpoints={"/v1/models": FreeEndpoint(answer=model_list, needs_scope=True)},
)
