"""Costs: what an answer states, and what it really costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ..values import Bill, Reply
from .shape import Draft, Shape, changed, with_message

_LITELLM = "x-litellm-response-cost"


def _multiplied(value: Any, factor: float) -> Any:  # noqa: ANN401 - any JSON value
    """Return usage with every number multiplied."""
    if isinstance(value, dict):
        return {key: _multiplied(item, factor) for key, item in value.items()}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return type(value)(value * factor)
    return value


def _dearer(bill: Bill, factor: float) -> Bill:
    """Return a bill for a multiple of the list price, with usage to match."""
    times = Decimal(str(factor))
    usd = None if bill.usd is None else bill.usd * times
    spent = None if bill.credits is None else bill.credits * times
    return replace(bill, usd=usd, credits=spent, usage=_multiplied(bill.usage, factor))


def _with_usage(usd: str | None = None, **fields: Any) -> Callable[[Bill, float], Bill]:  # noqa: ANN401 - JSON
    """Return a function that charges *usd*, if given, and changes fields of the usage."""
    return lambda bill, _: replace(bill, usd=bill.usd if usd is None else Decimal(usd), usage={**bill.usage, **fields})


def _own_key(fee: str, upstream: str) -> Callable[[Bill, float], Bill]:
    """Return a function that charges OpenRouter's fee plus the cost of the user's own key."""
    total, details = Decimal(fee) + Decimal(upstream), {"upstream_inference_cost": float(upstream)}
    return _with_usage(str(total), cost=float(fee), is_byok=True, cost_details=details)


def _zero_beside(bill: Bill, _: float) -> Bill:
    """Return a bill with tokens under the older names and zeros under the newer ones."""
    tokens_in, tokens_out = bill.usage.get("input_tokens", 0), bill.usage.get("output_tokens", 0)
    zeros = {"input_tokens": 0, "output_tokens": 0, "prompt_tokens": tokens_in, "completion_tokens": tokens_out}
    return replace(bill, usage={**zeros, "total_tokens": tokens_in + tokens_out})


def _header(value: str) -> Callable[[Reply, Draft], Reply]:
    return lambda reply, _: replace(reply, headers={**reply.headers, _LITELLM: value})


def _refused_chat(reply: Reply, draft: Draft) -> Reply:
    answer = with_message(reply, {"content": ""}, finish_reason="content_filter", native_finish_reason="IMAGE_SAFETY")
    return changed(answer, {**answer.payload, "usage": draft.usage})


def _empty(reply: Reply, draft: Draft) -> Reply:
    if draft.order.kind == "chat":
        payload = with_message(reply, {"content": ""}).payload
    else:
        payload = {**reply.payload, "data": []}
    return changed(reply, {**payload, "usage": draft.usage})


def _error(status: int, type_: str, message: str, **fields: str | None) -> Callable[[Reply, Draft], Reply]:
    """Return a function that answers with an error and the usage."""
    error = {"message": message, "type": type_, "code": None, **fields}
    return lambda reply, draft: replace(reply, status=status, payload={"error": error, "usage": draft.usage})


def _bare_error(reply: Reply, _: Draft) -> Reply:
    error = {"message": "upstream error", "type": "server_error", "code": None}
    return Reply(status=500, payload={"error": error}, headers={**reply.headers, _LITELLM: "0"})


def _odd_place(reply: Reply, draft: Draft) -> Reply:
    data = draft.pictures[0].data
    return changed(reply, {"created": int(draft.trace.now), "blob": {"hex": data.hex(), "length": len(data)}})


_PENDING = {"task_id": "t-1", "status": "processing"}
_ZERO = {"text_tokens": 0, "image_tokens": 0}
_SAFETY = "Your request was rejected by the safety system. safety_violations=[violence]."
_REFUSED = _error(400, "image_generation_user_error", _SAFETY, param=None, code="moderation_blocked")
_FAILED = _error(500, "server_error", "The server had an error while processing your request.")

COSTS = {
    "price-factor": Shape("NUMBER times the list price", amount=5.0, bill=_dearer),
    "cost-own-key": Shape("0, the user's own key paid", endpoint="chat", bill=_own_key("0", "0.0387")),
    "cost-own-key-fee": Shape("a fee, and the user's own key paid", endpoint="chat", bill=_own_key("0.002", "0.0387")),
    "cost-zero": Shape("cost: 0 next to real tokens", endpoint="images", bill=_with_usage(cost=0)),
    "tokens-zero-beside": Shape("zeros next to prompt_tokens", endpoint="images", bill=_zero_beside),
    "details-zero": Shape(
        "details that are all zero",
        endpoint="images",
        bill=_with_usage(input_tokens_details=_ZERO, output_tokens_details=_ZERO),
    ),
    "litellm-zero": Shape("LiteLLM's header states 0.0", endpoint="images", reply=_header("0.0")),
    "litellm-none": Shape("LiteLLM's header states None", endpoint="images", reply=_header("None")),
    "litellm-cost": Shape(
        "LiteLLM's header states 5.3e-05", endpoint="images", bill=_with_usage("0.000053"), reply=_header("5.3e-05")
    ),
}
#: Charged, without a picture.
CHARGED_WITHOUT = {
    "refused-charged": Shape(
        "a refusal, with its cost of 0.04", endpoint="chat", bill=_with_usage("0.04", cost=0.04), reply=_refused_chat
    ),
    "refused-usage": Shape("a refusal, with its usage", endpoint="images", reply=_REFUSED),
    "empty-charged": Shape("no picture, with its cost", reply=_empty),
    "error-charged": Shape("500, with its usage", reply=_FAILED),
    "error-litellm-zero": Shape("500, and LiteLLM's header states 0", endpoint="images", reply=_bare_error),
    "pending": Shape(
        "a task that is still running", endpoint="images", reply=lambda reply, _: changed(reply, _PENDING)
    ),
    "odd-place": Shape("a picture in an unknown notation", endpoint="images", reply=_odd_place),
}
