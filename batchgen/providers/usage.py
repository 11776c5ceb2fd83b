"""Usage reader: the USD, credits and tokens that an answer states, from its body before its headers.

A zero that is only a default is ignored, so that an unknown cost stays unknown:

- A zero in a header means "no price known" (LiteLLM), or belongs to an error: it is never read.
- A zero amount in a body counts only if the answer counts its input and has nothing to charge for: no image, no
  output token. Among other zeros it is a default.
- Of two names for one count the one that is not zero counts. Details that are all zero are ignored, and so are details
  that give a delivered image no image tokens.
- A call with the user's own key at OpenRouter costs its fee (``cost``) and what the owner of the model charges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal

from ..money import milli_credits, nano_usd
from ..task import Usage
from .cost import Cost
from .jsonbody import Json

#: Larger token counts are treated as a provider's mistake.
_COUNT_MAX = 10**9

_USD_HEADERS = ("x-aimlapi-usd-spent", "x-litellm-response-cost")
_CREDIT_HEADERS = ("x-aimlapi-credits-used",)

#: Fields in which gateways put the answer of another provider that they pass through.
_ENVELOPES = ("data", "response", "result")
#: Names of the part that holds tokens: OpenAI's, then Gemini's.
_PARTS = ("usage", "usageMetadata", "usage_metadata")

_INPUT = ("input_tokens", "prompt_tokens", "promptTokenCount", "prompt_token_count")
_OUTPUT = ("output_tokens", "completion_tokens", "candidatesTokenCount", "candidates_token_count")
_THOUGHTS = ("thoughtsTokenCount", "thoughts_token_count")
_TOTAL = ("total_tokens", "totalTokenCount", "total_token_count")
_INPUT_DETAILS = ("input_tokens_details", "prompt_tokens_details", "promptTokensDetails")
_OUTPUT_DETAILS = ("output_tokens_details", "completion_tokens_details", "candidatesTokensDetails")

#: Fields with USD in the usage part, in addition to OpenRouter's ``cost``.
_USD = ("usd_spent", "total_cost", "cost_usd")

#: Google's header of the tier that carried a call out (ai.google.dev, "Priority inference"), and fields with a tier:
#: of Google's usageMetadata, and of OpenRouter's chats (``ChatResult`` of its SDK 1.3.84) and images.
_TIER_HEADER = "x-gemini-service-tier"
_TIERS = ("serviceTier", "service_tier")

Read = Callable[[object], int | None]


def read_usage(document: Json, headers: Mapping[str, str], images: int = 0, cost: Cost | None = None) -> Usage | None:
    """Return the usage that the answer states; None if it states none.

    *images* is how many images it holds, and *cost* where this provider states the cost, if that is a place of its own.
    """
    parts = list(_parts(document))
    tokens = next((counts for part in parts if (counts := _tokens(part, images))), {})
    free = not images and bool(tokens.get("input_tokens")) and not tokens.get("output_tokens")
    dollars = [amount for part in parts for amount in _usd(part)]
    used = [milli_credits(part.get("credits_used")) for part in parts]
    if cost is not None:
        dollars, used = [cost.usd(document), *dollars], [cost.credits(document), *used]
    usd = _amount(dollars, nano_usd, headers, _USD_HEADERS, free=free)
    credits_used = _amount(used, milli_credits, headers, _CREDIT_HEADERS, free=free)
    tier = _tier(parts, document, headers)
    if usd is None and credits_used is None and not tokens and tier is None:
        return None
    return Usage(images=images, usd=usd, credits=credits_used, tier=tier, **tokens)


def _tier(parts: Sequence[Mapping[str, Json]], document: Json, headers: Mapping[str, str]) -> str | None:
    """Return the price tier that an answer states: Google's in a header or its usage, OpenRouter's in the body."""
    stated = [headers.get(_TIER_HEADER), *(part.get(name) for part in (*parts, _map(document)) for name in _TIERS)]
    return next((tier.strip().lower()[:40] for tier in stated if isinstance(tier, str) and tier.strip()), None)


def _parts(document: Json) -> Iterator[Mapping[str, Json]]:
    """Yield every part of an answer that may state usage, the most trusted first."""
    body = _map(document)
    for envelope in (body, *(_map(body.get(name)) for name in _ENVELOPES)):
        yield _map(_map(envelope.get("meta")).get("usage"))
        for name in _PARTS:
            yield _map(envelope.get(name))


def _amount(
    bodies: Sequence[int | None], read_as: Read, headers: Mapping[str, str], names: tuple[str, ...], *, free: bool
) -> int | None:
    """Return the first amount above zero, or the zero of a body if there was nothing to charge for (*free*)."""
    for amount in (*bodies, *(read_as(headers.get(name)) for name in names)):
        if amount:
            return amount
    return 0 if free and 0 in bodies else None


def _usd(part: Mapping[str, Json]) -> Iterator[int | None]:
    """Yield the amounts of nano-USD in a usage part."""
    cost = part.get("cost")
    yield _with_upstream(nano_usd(_map(cost).get("total_cost") if isinstance(cost, Mapping) else cost), part)
    for name in _USD:
        yield nano_usd(part.get(name))


def _with_upstream(fee: int | None, part: Mapping[str, Json]) -> int | None:
    """Return OpenRouter's ``cost``, plus what the user's own key is charged upstream if one was used.

    Without an own key the upstream cost is part of ``cost``, or null. With one it may be missing: then the fee alone
    is not what the call cost, and the cost is unknown.
    """
    own = part.get("is_byok")
    upstream = _upstream(_map(part.get("cost_details")), own=own is True)
    if not upstream:
        return None if own is True else fee
    # Older answers do not show whose key it was; a fee cannot include an amount larger than itself.
    separate = own is True or not fee or (own is None and upstream > fee)
    return (fee or 0) + upstream if separate else fee


def _upstream(details: Mapping[str, Json], *, own: bool) -> int | None:
    """Return what the owner of the model charges; for the user's own key it may come as two parts only."""
    whole = nano_usd(details.get("upstream_inference_cost"))
    parts = [nano_usd(details.get(f"upstream_inference_{name}_cost")) for name in ("prompt", "completions")]
    return sum(part or 0 for part in parts) if own and not whole and any(parts) else whole


def _tokens(part: Mapping[str, Json], images: int) -> dict[str, int | None]:
    """Return the token counts of a part under OpenAI's, chat's or Gemini's names; nothing if all are zero."""
    tokens_in, tokens_out, total = (_count_of(part, names) for names in (_INPUT, _OUTPUT, _TOTAL))
    if thoughts := _count_of(part, _THOUGHTS):  # Gemini counts these separately, at the price of text
        tokens_out = (tokens_out or 0) + thoughts
    if not tokens_out and tokens_in is not None and total is not None:
        tokens_out = max(tokens_out or 0, total - tokens_in)
    if not tokens_in and not tokens_out:
        return {}
    text_in, image_in = _split(part, _INPUT_DETAILS)
    text_out, image_out = _split(part, _OUTPUT_DETAILS)
    if images and not image_out:
        text_out = image_out = None  # a delivered image must have tokens, so the details are wrong
    return {
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "input_text_tokens": text_in,
        "input_image_tokens": image_in,
        "output_text_tokens": text_out,
        "output_image_tokens": image_out,
    }


def _split(part: Mapping[str, Json], names: tuple[str, ...]) -> tuple[int | None, int | None]:
    """Return how many tokens were text and how many image, if the answer distinguishes them."""
    for details in (part.get(name) for name in names):
        if isinstance(details, list):
            text, image = _by_modality(details, "TEXT"), _by_modality(details, "IMAGE")
        else:
            text, image = (_count(_map(details).get(name)) for name in ("text_tokens", "image_tokens"))
        if text or image:
            return text, image
    return None, None


def _by_modality(details: Sequence[Json], modality: str) -> int | None:
    parts = [_map(detail) for detail in details if _modality(detail) == modality]
    counts = [count for part in parts if (count := _count_of(part, ("tokenCount", "token_count"))) is not None]
    return sum(counts) if counts else None


def _modality(detail: Json) -> str:
    return str(_map(detail).get("modality", "")).upper()


def _map(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _count_of(part: Mapping[str, Json], names: tuple[str, ...]) -> int | None:
    """Return the first count under *names* that is not zero; zero if all are, None if there is none."""
    counts = [count for name in names if (count := _count(part.get(name))) is not None]
    return next((count for count in counts if count), 0 if counts else None)


def _count(value: Json) -> int | None:
    """Return a token count that is written as a number or as text; None for anything that is not a sane count."""
    if isinstance(value, str):
        value = int(value) if len(value) <= 10 and value.isascii() and value.isdigit() else None
    if isinstance(value, float) or (isinstance(value, Decimal) and value.is_finite()):
        # The comparison comes first: int() of a number such as 1e999999 would not end.
        value = int(value) if 0 <= value <= _COUNT_MAX and value == int(value) else None
    sane = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _COUNT_MAX
    return value if sane else None
