"""Read what an answer says it used: USD, credits, tokens, from its body before its headers.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

from ..money import milli_credits, nano_usd
from ..task import Usage
from .jsonbody import Json

#: Larger token counts are a provider's mistake.
_COUNT_MAX = 10**9

_USD_HEADERS = ("x-aimlapi-usd-spent", "x-litellm-response-cost")
_CREDIT_HEADERS = ("x-aimlapi-credits-used",)


def stated(document: Json, headers: Mapping[str, str], images: int = 0) -> Usage | None:
    """Return what the answer says it used, from its body before its headers; None where it says nothing."""
    body = document if isinstance(document, Mapping) else {}
    usage, meta = _map(body.get("usage")), _map(_map(body.get("meta")).get("usage"))
    usd = _first(nano_usd, [meta.get("usd_spent"), usage.get("cost"), usage.get("usd_spent")], headers, _USD_HEADERS)
    credits_used = _first(
        milli_credits, [meta.get("credits_used"), usage.get("credits_used")], headers, _CREDIT_HEADERS
    )
    tokens = _tokens(usage) or _tokens(meta)
    if usd is None and credits_used is None and not tokens:
        return None
    return Usage(images=images, usd=usd, credits=credits_used, **tokens)


def _tokens(usage: Mapping[str, Json]) -> dict[str, int | None]:
    """Return the token counts under OpenAI's or chat's names; 0 in and 0 out is how gateways say nothing."""
    came = _count(usage.get("input_tokens", usage.get("prompt_tokens")))
    went = _count(usage.get("output_tokens", usage.get("completion_tokens")))
    total = _count(usage.get("total_tokens"))
    if went is None and total is not None and came is not None:
        went = max(0, total - came)
    if not came and not went:
        return {}
    before = _map(usage.get("input_tokens_details") or usage.get("prompt_tokens_details"))
    after = _map(usage.get("output_tokens_details") or usage.get("completion_tokens_details"))
    return {
        "input_tokens": came,
        "output_tokens": went,
        "input_text_tokens": _count(before.get("text_tokens")),
        "input_image_tokens": _count(before.get("image_tokens")),
        "output_text_tokens": _count(after.get("text_tokens")),
        "output_image_tokens": _count(after.get("image_tokens")),
    }


def _first(
    read_as: Callable[[object], int | None], values: list[Json], headers: Mapping[str, str], names: tuple[str, ...]
) -> int | None:
    amounts: Iterator[int | None] = (read_as(value) for value in [*values, *(headers.get(name) for name in names)])
    return next((amount for amount in amounts if amount is not None), None)


def _map(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _count(value: Json) -> int | None:
    """Return a token count written as a number or as text; None for anything that is no sane count."""
    if isinstance(value, str):
        value = int(value) if len(value) <= 10 and value.isascii() and value.isdigit() else None
    if isinstance(value, Decimal) and 0 <= value <= _COUNT_MAX and value == int(value):
        value = int(value)
    sane = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _COUNT_MAX
    return value if sane else None
