"""Gemini's own API: generateContent with parts in and out, tiers of service, and Google's error envelope.

By ai.google.dev (API reference, "Image generation", "Flex inference", "API errors") and google-genai 3.6.1.
"""

from __future__ import annotations

from ..keys import KeyHeader
from ..prices import FLEX_MODELS, NATIVE_RATES, native_bill
from ..values import Bill, Fetch, Form, Json, Order, Picture, Refusal, Reply, Trace, invalid
from .chat import RATIOS
from .dialect import Account, Dialect, FreeEndpoint
from .errors import ErrorText, error_for
from .gemini_body import camel_case, read_parts

_SCALES = {"512": 0.5, "1K": 1.0, "2K": 2.0, "4K": 4.0}
_WIDE = {"1:4": (512, 2048), "4:1": (2048, 512), "1:8": (384, 3072), "8:1": (3072, 384)}
_FIELDS = frozenset(
    [
        "contents",
        "generationConfig",
        "systemInstruction",
        "safetySettings",
        "tools",
        "toolConfig",
        "cachedContent",
        "serviceTier",
        "store",
    ]
)
_CONFIG = frozenset(
    [
        "responseModalities",
        "imageConfig",
        "temperature",
        "topP",
        "topK",
        "seed",
        "candidateCount",
        "maxOutputTokens",
        "stopSequences",
        "thinkingConfig",
        "mediaResolution",
        "presencePenalty",
        "frequencyPenalty",
        "responseMimeType",
    ]
)
_TIERS = ("unspecified", "standard", "flex", "priority")
_PRIVATE = "type.googleapis.com/google.rpc."

_ERRORS = {
    "throttle": ErrorText(429, "RESOURCE_EXHAUSTED", None, "Resource has been exhausted (e.g. check quota)."),
    "overloaded": ErrorText(503, "UNAVAILABLE", None, "The model is overloaded. Please try again later."),
    "money": ErrorText(402, "RESOURCE_EXHAUSTED", None, "Your prepayment credits are depleted."),
    "quota429": ErrorText(
        429,
        "RESOURCE_EXHAUSTED",
        None,
        "You exceeded your current quota, please check your plan and billing details.\n* Quota exceeded for metric: "
        "generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 0",
    ),
    "denied": ErrorText(400, "INVALID_ARGUMENT", "API_KEY_INVALID", "API key not valid. Please pass a valid API key."),
    "scope": ErrorText(403, "PERMISSION_DENIED", None, "The caller does not have permission"),
    "invalid": ErrorText(400, "INVALID_ARGUMENT", None, "Request contains an invalid argument."),
    "model": ErrorText(
        404,
        "NOT_FOUND",
        None,
        "The model is not found for API version v1beta, or is not supported for generateContent.",
    ),
    "path": ErrorText(404, "NOT_FOUND", None, "Requested entity was not found."),
    "method": ErrorText(405, "UNIMPLEMENTED", None, "Method not allowed."),
    "error500": ErrorText(500, "INTERNAL", None, "An internal error has occurred. Please retry."),
    "error502": ErrorText(502, "UNAVAILABLE", None, "Bad gateway."),
    "gateway-timeout": ErrorText(504, "DEADLINE_EXCEEDED", None, "The request did not finish within the deadline."),
}


def read(form: Form, kind: str, fetch: Fetch) -> Order:
    """Read contents and generationConfig; names may be in camel or in snake case."""
    if form.multipart:
        raise invalid("Invalid JSON payload received.")
    model = form.path.get("model", "")
    if model not in NATIVE_RATES:
        raise Refusal("model", f"models/{model} is not found for API version v1beta.")
    fields = _known(camel_case(form.fields), _FIELDS, "")
    config = fields.get("generationConfig", {})
    config = _known(config, _CONFIG, "generation_config.") if isinstance(config, dict) else {}
    if config.get("candidateCount", 1) != 1:
        raise invalid("Multiple candidates is not enabled for this model")
    _check_modalities(config.get("responseModalities"))
    prompt, sources = read_parts(fields.get("contents"), fetch)
    width, height, ratio, resolution = _size(model, config.get("imageConfig", {}))
    return Order(
        kind=kind,
        model=model,
        prompt=prompt,
        width=width,
        height=height,
        size=ratio,
        quality=resolution,
        sources=sources,
        tier=_tier(model, fields.get("serviceTier")),
    )


def _known(fields: Json, names: frozenset[str], where: str) -> Json:
    for name in fields:
        if name not in names:
            text = f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field."
            raise invalid(text.replace(" at ''", ""))
    return fields


def _check_modalities(modalities: object) -> None:
    if modalities is None:
        return
    words = [str(word).upper() for word in modalities] if isinstance(modalities, list) else []
    if "IMAGE" not in words or set(words) - {"IMAGE", "TEXT"}:
        raise invalid(f"The requested combination of response modalities ({words}) is not supported by the model.")


def _size(model: str, config: object) -> tuple[int, int, str, str]:
    """Return width, height, ratio and resolution of an imageConfig."""
    if not isinstance(config, dict):
        raise invalid("Invalid value at 'generation_config.image_config'")
    _known(config, frozenset(("aspectRatio", "imageSize", "personGeneration")), "generation_config.image_config.")
    ratio, resolution = config.get("aspectRatio", "1:1"), config.get("imageSize", "1K")
    ratios = RATIOS if model in FLEX_MODELS else RATIOS | _WIDE
    if ratio not in ratios:
        raise invalid(f"Invalid value for aspect ratio: {ratio}")
    if resolution not in NATIVE_RATES[model].tokens:
        raise invalid(f"Image size {resolution} is not supported by models/{model}.")
    width, height = ratios[ratio]
    scale = _SCALES[resolution]
    return int(width * scale), int(height * scale), ratio, resolution


def _tier(model: str, tier: object) -> str:
    name = "standard" if tier is None else str(tier).lower()
    if name not in _TIERS:
        raise invalid(f"Invalid value at 'service_tier' (type.googleapis.com/ServiceTier), \"{tier}\"")
    if name == "flex" and model not in FLEX_MODELS:
        raise invalid(f"The flex service tier is not supported for models/{model}.")
    return "standard" if name == "unspecified" else name


def answer(order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, remark: str | None) -> Reply:
    """Answer with a candidate and its usage; a header states the tier that carried the call out."""
    parts: list[Json] = [{"text": remark}] if remark else []
    parts += [{"inlineData": {"mimeType": picture.mime, "data": picture.b64}} for picture in pictures]
    reason = "STOP" if parts else "NO_IMAGE"
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "finishReason": reason, "index": 0}
    payload: Json = {"candidates": [candidate], "modelVersion": order.model, "responseId": trace.request_id}
    if bill.usage:
        payload["usageMetadata"] = bill.usage
    headers = {"X-Gemini-Service-Tier": order.tier} if order.states_tier else {}
    return Reply(status=200, payload=payload, headers=headers)


def refuse(refusal: Refusal, trace: Trace, kind: str) -> Reply:  # noqa: ARG001 - all refuse functions have the same signature
    """Answer with Google's status; a prompt that the content rules refuse is an answer without candidates."""
    if refusal.cause == "refuse":
        feedback: Json = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "responseId": trace.request_id}
        return Reply(status=200, payload=feedback | {"usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9}})
    text = error_for(_ERRORS, refusal, trace)
    details: list[Json] = []
    if text.code:
        details.append({"@type": f"{_PRIVATE}ErrorInfo", "reason": text.code, "domain": "googleapis.com"})
    if trace.retry_after is not None:
        details.append({"@type": f"{_PRIVATE}RetryInfo", "retryDelay": f"{trace.retry_after:g}s"})
    error: Json = {"code": text.status, "message": text.message, "status": text.type}
    return Reply(status=text.status, payload={"error": error | ({"details": details} if details else {})})


def model_list(account: Account, trace: Trace) -> Reply:  # noqa: ARG001 - all endpoints have the same signature
    """List the models, with the methods of each."""
    methods = ["generateContent", "countTokens", "batchGenerateContent"]
    models = [{"name": f"models/{name}", "supportedGenerationMethods": methods} for name in sorted(NATIVE_RATES)]
    return Reply(status=200, payload={"models": models})


DIALECT = Dialect(
    name="gemini",
    routes={"/v1beta/models/{model}:generateContent": "content"},
    read=read,
    price=native_bill,
    answer=answer,
    refuse=refuse,
    free_endpoints={"/v1beta/models": FreeEndpoint(answer=model_list)},
    key_header=KeyHeader("x-goog-api-key", ""),
)
