"""Prices of the sandbox, independent of those of the program that it watches.

Prices of autumn 2026: GPT image models per million tokens, Gemini per image, gptimageapi.dev in credits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from zlib import crc32

from .values import Bill, Json, Order

MILLION = Decimal(1_000_000)
AIMLAPI_CREDITS_PER_USD = 2_000_000
GATEWAY_USD_PER_IMAGE = Decimal("0.05")
GPTIMAGEAPI_CREDITS = {"low": 2, "medium": 6, "high": 12}

#: USD per million tokens: text in, image in, image out.
GPT_RATES: dict[str, tuple[Decimal, Decimal, Decimal]] = {
    "gpt-image-2": (Decimal(5), Decimal(8), Decimal(30)),
    "gpt-image-2-2026-04-21": (Decimal(5), Decimal(8), Decimal(30)),
    "gpt-image-2.5-flare": (Decimal(5), Decimal(8), Decimal(30)),
    "gpt-image-2.5-sunburst": (Decimal(5), Decimal(8), Decimal(30)),
    "gpt-image-2.6-flare": (Decimal(5), Decimal(8), Decimal(30)),
    "gpt-image-2.6-sunburst": (Decimal(5), Decimal(8), Decimal(30)),
    "gpt-image-1.5": (Decimal(5), Decimal(8), Decimal(32)),
    "chatgpt-image-latest": (Decimal(5), Decimal(8), Decimal(32)),
    "gpt-image-1-mini": (Decimal(2), Decimal("2.5"), Decimal(8)),
}

#: Output tokens of a 1024x1024 image; other sizes scale by area.
OUTPUT_TOKENS = {"low": 196, "medium": 1767, "high": 7033, "xhigh": 10_550, "max": 14_066}


@dataclass(frozen=True, slots=True)
class GeminiRate:
    """The prices of a Gemini image model."""

    flat: Decimal  #: USD per image at aigate
    tokens: int  #: completion tokens per image
    text_in: Decimal  #: USD per million prompt tokens at OpenRouter
    text_out: Decimal  #: USD per million text tokens at OpenRouter
    image_out: Decimal  #: USD per million image tokens at OpenRouter


GEMINI_RATES: dict[str, GeminiRate] = {
    "google/gemini-2.5-flash-image": GeminiRate(Decimal("0.039"), 1290, Decimal("0.3"), Decimal("2.5"), Decimal(30)),
    "google/gemini-3.1-flash-image": GeminiRate(Decimal("0.0672"), 1120, Decimal("0.5"), Decimal(3), Decimal(60)),
    "google/gemini-3-pro-image": GeminiRate(Decimal("0.134"), 1120, Decimal(2), Decimal(12), Decimal(120)),
}
GEMINI_MODELS = frozenset(GEMINI_RATES) | {f"{name}-preview" for name in GEMINI_RATES}
#: Models that OpenRouter has in addition.
OPENROUTER_RATES: dict[str, GeminiRate] = {
    **GEMINI_RATES,
    "google/gemini-3.1-flash-lite-image": GeminiRate(
        Decimal("0.0336"), 1120, Decimal("0.25"), Decimal("1.5"), Decimal(30)
    ),
    "google/gemini-nano-banana-2.1": GeminiRate(Decimal("0.0336"), 1120, Decimal("1.5"), Decimal("7.5"), Decimal(30)),
}
OPENROUTER_MODELS = frozenset(OPENROUTER_RATES) | GEMINI_MODELS


@dataclass(frozen=True, slots=True)
class NativeRate:
    """The prices of an image model at Gemini's own API."""

    text_in: Decimal  #: USD per million input tokens
    image_out: Decimal  #: USD per million image tokens
    tokens: Mapping[str, int]  #: of one image, by its size


_SIZES_31 = {"512": 747, "1K": 1120, "2K": 1680, "4K": 2520}
NATIVE_RATES: dict[str, NativeRate] = {
    "gemini-3.1-flash-image": NativeRate(Decimal("0.5"), Decimal(60), _SIZES_31),
    "gemini-nano-banana-2.1": NativeRate(Decimal("1.5"), Decimal(30), _SIZES_31),
    "gemini-3.1-flash-lite-image": NativeRate(Decimal("0.25"), Decimal(30), {"1K": 1120}),
    "gemini-3-pro-image": NativeRate(Decimal(2), Decimal(120), {"1K": 1120, "2K": 1120, "4K": 2000}),
    "gemini-2.5-flash-image": NativeRate(Decimal("0.3"), Decimal(30), {"1K": 1290}),
}
#: Those that Google's page on flex inference lists.
FLEX_MODELS = frozenset({"gemini-3-pro-image", "gemini-2.5-flash-image"})
TIER_FACTORS = {"standard": Decimal(1), "flex": Decimal("0.5"), "priority": Decimal("1.8")}


def text_tokens(prompt: str) -> int:
    """Return about one token for four characters."""
    return max(1, (len(prompt) + 3) // 4)


def image_tokens(order: Order) -> int:
    """Return the input tokens of all source images, from their area."""
    return sum(min(6144, max(64, round(source.width * source.height / 700))) for source in order.sources)


def output_tokens(order: Order, images: int) -> int:
    """Return the output tokens of ``images`` images of the ordered size and quality."""
    tokens = OUTPUT_TOKENS[order.quality] * order.width * order.height / (1024 * 1024)
    return max(1, round(tokens)) * images


def gpt_usage(order: Order, images: int, *, details: bool) -> Json:
    """Return the ``usage`` object of a GPT image answer."""
    text, pixels, out = text_tokens(order.prompt), image_tokens(order), output_tokens(order, images)
    usage: Json = {"input_tokens": text + pixels, "output_tokens": out, "total_tokens": text + pixels + out}
    if details:
        usage["input_tokens_details"] = {"text_tokens": text, "image_tokens": pixels}
        usage["output_tokens_details"] = {"image_tokens": out, "text_tokens": 0}
    return usage


def openai_bill(order: Order, images: int) -> Bill:
    """Price by tokens, source images at the image rate."""
    usage = gpt_usage(order, images, details=True)
    text_in, image_in, image_out = GPT_RATES[order.model.removeprefix("openai/")]
    details = usage["input_tokens_details"]
    cost = details["text_tokens"] * text_in + details["image_tokens"] * image_in + usage["output_tokens"] * image_out
    return Bill(images=images, usd=cost / MILLION, usage=usage)


def aigate_bill(order: Order, images: int) -> Bill:
    """Price by tokens without details, where all input counts as text; Gemini models have a price per image."""
    if order.kind == "chat":
        return Bill(images=images, usd=gemini_rate(order.model).flat * images)
    usage = gpt_usage(order, images, details=False)
    text_in, _, image_out = GPT_RATES[order.model.removeprefix("openai/")]
    cost = usage["input_tokens"] * text_in + usage["output_tokens"] * image_out
    return Bill(images=images, usd=cost / MILLION, usage=usage)


def aimlapi_bill(order: Order, images: int) -> Bill:
    """Price in whole credits, 2,000,000 to the dollar, slightly different for every prompt as in reality."""
    usd = openai_bill(order, images).usd or Decimal(0)
    jitter = Decimal(crc32(order.prompt.encode()) % 20_000) / MILLION
    credits_used = int((usd * AIMLAPI_CREDITS_PER_USD * (1 + jitter)).to_integral_value(ROUND_HALF_UP))
    spent = Decimal(credits_used) / AIMLAPI_CREDITS_PER_USD
    usage: Json = {"credits_used": credits_used, "usd_spent": float(spent)}
    return Bill(images=images, usd=spent, credits=Decimal(credits_used), usage=usage)


def gptimageapi_bill(order: Order, images: int) -> Bill:
    """Price in credits by quality; the price of a credit is not documented."""
    return Bill(images=images, credits=Decimal(GPTIMAGEAPI_CREDITS[order.quality] * images))


def gateway_bill(order: Order, images: int) -> Bill:  # noqa: ARG001 - all price functions have the same signature
    """Price per image."""
    return Bill(images=images, usd=GATEWAY_USD_PER_IMAGE * images)


def openrouter_bill(order: Order, images: int) -> Bill:
    """Price by tokens; ``usage.cost`` states the result."""
    rate = gemini_rate(order.model)
    prompt, pixels = text_tokens(order.prompt) + 258 * len(order.sources), rate.tokens * images
    cost = (prompt * rate.text_in + pixels * rate.image_out) / MILLION * TIER_FACTORS[order.tier]
    usage: Json = {
        "prompt_tokens": prompt,
        "completion_tokens": pixels,
        "total_tokens": prompt + pixels,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": pixels},
        "cost": float(cost),
        "is_byok": False,
        "cost_details": {"upstream_inference_cost": None},
    }
    return Bill(images=images, usd=cost, usage=usage)


def native_bill(order: Order, images: int) -> Bill:
    """Price by tokens and tier, which a header of the answer states."""
    rate, pixels = NATIVE_RATES[order.model], 258 * len(order.sources)
    text, made = text_tokens(order.prompt), NATIVE_RATES[order.model].tokens[order.quality] * images
    usage: Json = {
        "promptTokenCount": text + pixels,
        "candidatesTokenCount": made,
        "totalTokenCount": text + pixels + made,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": text}]
        + ([{"modality": "IMAGE", "tokenCount": pixels}] if pixels else []),
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": made}],
    }
    cost = ((text + pixels) * rate.text_in + made * rate.image_out) / MILLION
    return Bill(images=images, usd=cost * TIER_FACTORS[order.tier], usage=usage)


def gemini_rate(model: str) -> GeminiRate:
    """Return the rate of a Gemini image model or of its preview."""
    return OPENROUTER_RATES[model.removesuffix("-preview")]
