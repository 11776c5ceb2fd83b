"""Costs: what an answer states, and what it really costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ..values import Bill, Json, Reply
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
    return replace(
        bill,
        usd=usd,
        credits=None if bill.credits is None else bill.credits * times,
        usage=_multiplied(bill.usage, factor),
    )


def _stated(usd: str) -> Callable[[Bill, float], Bill]:
    """Return a function that charges *usd* and states it as ``usage.cost``."""
    return lambda bill, _: replace(bill, usd=Decimal(usd), usage={**bill.usage, "cost": float(usd)})


def _own_key(fee: str, upstream: str) -> Callable[[Bill, float], Bill]:
    """Return a function that charges OpenRouter's fee plus the cost of the user's own key."""
    details = {"upstream_inference_cost": float(upstream)}
    own: Json = {"cost": float(fee), "is_byok": True, "cost_details": details}
    total = Decimal(fee) + Decimal(upstream)
    return lambda bill, _: replace(bill, usd=total, usage={**bill.usage, **own})


def _zero_beside(bill: Bill, _: float) -> Bill:
    """Return a bill with tokens under the older names and zeros under the newer ones."""
    usage = bill.usage
    tokens_in, tokens_out = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    zeros = {"input_tokens": 0, "output_tokens": 0, "prompt_tokens": tokens_in, "completion_tokens": tokens_out}
    return replace(bill, usage={**zeros, "total_tokens": tokens_in + tokens_out})


def _zero_details(bill: Bill, _: float) -> Bill:
    zero = {"text_tokens": 0, "image_tokens": 0}
    return replace(bill, usage={**bill.usage, "input_tokens_details": zero, "output_tokens_details": zero})


def _zero_cost(bill: Bill, _: float) -> Bill:
    return replace(bill, usage={**bill.usage, "cost": 0})


def _header(value: str) -> Callable[[Reply, Draft], Reply]:
    return lambda reply, _: replace(reply, headers={**reply.headers, _LITELLM: value})


def _usd(amount: str) -> Callable[[Bill, float], Bill]:
    return lambda bill, _: replace(bill, usd=Decimal(amount))


def _usage(draft: Draft) -> Json:
    return draft.bill.usage if draft.bill else {}


def _refused_chat(reply: Reply, draft: Draft) -> Reply:
    answer = with_message(reply, {"content": ""}, finish_reason="content_filter", native_finish_reason="IMAGE_SAFETY")
    return changed(answer, {**answer.payload, "usage": _usage(draft)})


def _refused(reply: Reply, draft: Draft) -> Reply:
    error = {
        "message": "Your request was rejected by the safety system. safety_violations=[violence].",
        "type": "image_generation_user_error",
        "param": None,
        "code": "moderation_blocked",
    }
    return Reply(status=400, payload={"error": error, "usage": _usage(draft)}, headers=reply.headers)


def _empty(reply: Reply, draft: Draft) -> Reply:
    if draft.order.kind == "chat":
        answer = with_message(reply, {"content": ""})
        return changed(answer, {**answer.payload, "usage": _usage(draft)})
    return changed(reply, {**reply.payload, "data": [], "usage": _usage(draft)})


def _error(reply: Reply, draft: Draft) -> Reply:
    error = {"message": "The server had an error while processing your request.", "type": "server_error", "code": None}
    return Reply(status=500, payload={"error": error, "usage": _usage(draft)}, headers=reply.headers)


def _bare_error(reply: Reply, _: Draft) -> Reply:
    error = {"message": "upstream error", "type": "server_error", "code": None}
    return Reply(status=500, payload={"error": error}, headers={**reply.headers, _LITELLM: "0"})


def _pending(reply: Reply, _: Draft) -> Reply:
    return changed(reply, {"task_id": "t-1", "status": "processing"})


def _odd_place(reply: Reply, draft: Draft) -> Reply:
    data = draft.pictures[0].data
    return changed(reply, {"created": int(draft.trace.now), "blob": {"hex": data.hex(), "length": len(data)}})


COSTS = {
    "price-factor": Shape(about="NUMBER times the list price", amount=5.0, bill=_dearer),
    "cost-own-key": Shape(about="0, the user's own key paid", endpoint="chat", bill=_own_key("0", "0.0387")),
    "cost-own-key-fee": Shape(
        about="a fee, and the user's own key paid", endpoint="chat", bill=_own_key("0.002", "0.0387")
    ),
    "cost-zero": Shape(about="cost: 0 next to real tokens", endpoint="images", bill=_zero_cost),
    "tokens-zero-beside": Shape(about="zeros next to prompt_tokens", endpoint="images", bill=_zero_beside),
    "details-zero": Shape(about="details that are all zero", endpoint="images", bill=_zero_details),
    "litellm-zero": Shape(about="LiteLLM's header states 0.0", endpoint="images", reply=_header("0.0")),
    "litellm-none": Shape(about="LiteLLM's header states None", endpoint="images", reply=_header("None")),
    "litellm-cost": Shape(
        about="LiteLLM's header states 5.3e-05", endpoint="images", bill=_usd("0.000053"), reply=_header("5.3e-05")
    ),
}
#: Charged, without a picture.
CHARGED_WITHOUT = {
    "refused-charged": Shape(
        about="a refusal, with its cost of 0.04", endpoint="chat", bill=_stated("0.04"), reply=_refused_chat
    ),
    "refused-usage": Shape(about="a refusal, with its usage", endpoint="images", reply=_refused),
    "empty-charged": Shape(about="no picture, with its cost", reply=_empty),
    "error-charged": Shape(about="500, with its usage", reply=_error),
    "error-litellm-zero": Shape(about="500, and LiteLLM's header states 0", endpoint="images", reply=_bare_error),
    "pending": Shape(about="a task that is still running", endpoint="images", reply=_pending),
    "odd-place": Shape(about="a picture in an unknown notation", endpoint="images", reply=_odd_place),
}
