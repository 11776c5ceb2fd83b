"""Read what an answer states that it used: USD, credits, tokens, from its body before its headers.  Pure.

A zero that assigns nothing is no statement, and unknown stays unknown:

- A zero in a header is a proxy's word for "no price known" (LiteLLM), or stands on an error: it is never read.
- A zero amount in a body is believed only of an answer that counts its input and has nothing to charge for: no picture,
  no output token.  Beside zeros alone it is a default.
- Of two names for one count the one that is not zero counts; details that are all zero are no details, and details
  that give a delivered picture no image token are none either.
- A call with the user's own key at OpenRouter costs its fee (``cost``) and what the owner of the model takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal

from ..money import milli_credits, nano_usd
from ..task import Usage
from .jsonbody import Json

#: Larger token counts are a provider's mistake.
_COUNT_MAX = 10**9

_USD_HEADERS = ("x-aimlapi-usd-spent", "x-litellm-response-cost")
_CREDIT_HEADERS = ("x-aimlapi-credits-used",)

#: Where gateways put the answer of another provider that they pass through.
_ENVELOPES = ("data", "response", "result")
#: What the part that holds tokens is called: OpenAI's name, then Gemini's own.
_PARTS = ("usage", "usageMetadata", "usage_metadata")

_CAME = ("input_tokens", "prompt_tokens", "promptTokenCount", "prompt_token_count")
_WENT = ("output_tokens", "completion_tokens", "candidatesTokenCount", "candidates_token_count")
_THOUGHT = ("thoughtsTokenCount", "thoughts_token_count")
_TOTAL = ("total_tokens", "totalTokenCount", "total_token_count")
_CAME_DETAILS = ("input_tokens_details", "prompt_tokens_details", "promptTokensDetails")
_WENT_DETAILS = ("output_tokens_details", "completion_tokens_details", "candidatesTokensDetails")

#: USD in a part called usage, beside OpenRouter's ``cost``.
_USD = ("usd_spent", "total_cost", "cost_usd")

Read = Callable[[object], int | None]


def read_usage(document: Json, headers: Mapping[str, str], images: int = 0) -> Usage | None:
    """Return what the answer says it used, from its body before its headers; None where it says nothing.

    *images* is how many pictures the answer holds.
    """
    parts = list(_parts(document))
    tokens = next((found for part in parts if (found := _tokens(part, images))), {})
    free = not images and bool(tokens.get("input_tokens")) and not tokens.get("output_tokens")
    usd = _amount([amount for part in parts for amount in _usd(part)], nano_usd, headers, _USD_HEADERS, free=free)
    credits_used = _amount(
        [milli_credits(part.get("credits_used")) for part in parts], milli_credits, headers, _CREDIT_HEADERS, free=free
    )
    if usd is None and credits_used is None and not tokens:
        return None
    return Usage(images=images, usd=usd, credits=credits_used, **tokens)


def _parts(document: Json) -> Iterator[Mapping[str, Json]]:
    """Yield every part of an answer that may say what it used, the most trusted first."""
    body = _map(document)
    for envelope in (body, *(_map(body.get(name)) for name in _ENVELOPES)):
        yield _map(_map(envelope.get("meta")).get("usage"))
        for name in _PARTS:
            yield _map(envelope.get(name))


def _amount(
    bodies: Sequence[int | None], read_as: Read, headers: Mapping[str, str], names: tuple[str, ...], *, free: bool
) -> int | None:
    """Return the first amount that is more than zero, or the zero of a body where there was nothing to charge for."""
    for amount in (*bodies, *(read_as(headers.get(name)) for name in names)):
        if amount:
            return amount
    return 0 if free and 0 in bodies else None


def _usd(part: Mapping[str, Json]) -> Iterator[int | None]:
    """Yield the amounts of nano-USD that a part called usage states."""
    cost = part.get("cost")
    yield _with_upstream(nano_usd(_map(cost).get("total_cost") if isinstance(cost, Mapping) else cost), part)
    for name in _USD:
        yield nano_usd(part.get(name))


def _with_upstream(fee: int | None, part: Mapping[str, Json]) -> int | None:
    """Return OpenRouter's ``cost`` with what the user's own key is charged elsewhere, where it was used.

    Without an own key the upstream cost is part of ``cost``, or null.  What such a key is charged may be left out: then
    the fee alone is not what the call cost, and nothing is stated.
    """
    own = part.get("is_byok")
    upstream = _upstream(_map(part.get("cost_details")), own=own is True)
    if not upstream:
        return None if own is True else fee
    # older answers do not tell whose key it was; a fee cannot hold an amount that is larger
    beside = own is True or not fee or (own is None and upstream > fee)
    return (fee or 0) + upstream if beside else fee


def _upstream(details: Mapping[str, Json], *, own: bool) -> int | None:
    """Return what the owner of the model takes; for the user's own key it may come as its two parts alone."""
    whole = nano_usd(details.get("upstream_inference_cost"))
    parts = [nano_usd(details.get(f"upstream_inference_{name}_cost")) for name in ("prompt", "completions")]
    return sum(part or 0 for part in parts) if own and not whole and any(parts) else whole


def _tokens(part: Mapping[str, Json], images: int) -> dict[str, int | None]:
    """Return the token counts of a part, under OpenAI's, chat's or Gemini's names; all zero says nothing."""
    came, went, total = (_count_of(part, names) for names in (_CAME, _WENT, _TOTAL))
    if thought := _count_of(part, _THOUGHT):  # Gemini counts these apart, at the price of text
        went = (went or 0) + thought
    if not went and came is not None and total is not None:
        went = max(went or 0, total - came)
    if not came and not went:
        return {}
    text_in, image_in = _split(part, _CAME_DETAILS)
    text_out, image_out = _split(part, _WENT_DETAILS)
    if images and not image_out:
        text_out = image_out = None  # a picture came, and it has tokens
    return {
        "input_tokens": came,
        "output_tokens": went,
        "input_text_tokens": text_in,
        "input_image_tokens": image_in,
        "output_text_tokens": text_out,
        "output_image_tokens": image_out,
    }


def _split(part: Mapping[str, Json], names: tuple[str, ...]) -> tuple[int | None, int | None]:
    """Return how many tokens were text and how many image, where the answer tells them apart."""
    for details in (part.get(name) for name in names):
        if isinstance(details, list):
            text, image = _by_modality(details, "TEXT"), _by_modality(details, "IMAGE")
        else:
            text, image = (_count(_map(details).get(name)) for name in ("text_tokens", "image_tokens"))
        if text or image:
            return text, image
    return None, None


def _by_modality(details: Sequence[Json], modality: str) -> int | None:
    counts = [_count_of(_map(one), ("tokenCount", "token_count")) for one in details if _modality(one) == modality]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _modality(detail: Json) -> str:
    return str(_map(detail).get("modality", "")).upper()


def _map(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _count_of(part: Mapping[str, Json], names: tuple[str, ...]) -> int | None:
    """Return the first count under *names* that is not zero; zero where that is all there is, None for none."""
    counts = [count for name in names if (count := _count(part.get(name))) is not None]
    return next((count for count in counts if count), 0 if counts else None)


def _count(value: Json) -> int | None:
    """Return a token count written as a number or as text; None for anything that is no sane count."""
    if isinstance(value, str):
        value = int(value) if len(value) <= 10 and value.isascii() and value.isdigit() else None
    if isinstance(value, float) or (isinstance(value, Decimal) and value.is_finite()):
        # compared first: a number such as 1e999999 has too many digits to be made whole
        value = int(value) if 0 <= value <= _COUNT_MAX and value == int(value) else None
    sane = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _COUNT_MAX
    return value if sane else None
