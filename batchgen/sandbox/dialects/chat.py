"""Gemini image models by chat completions: the common part of aigate and OpenRouter."""

from __future__ import annotations

from PIL import Image

from ..checks import one_of_models, require, text
from ..prices import GEMINI_MODELS
from ..sources import from_address
from ..values import Bill, Fetch, Form, Json, Order, Picture, Trace, invalid

#: Pixels at 1K by aspect ratio; 2K doubles the edges, and 4K doubles them again.
RATIOS = {
    "1:1": (1024, 1024),
    "2:3": (832, 1248),
    "3:2": (1248, 832),
    "3:4": (864, 1184),
    "4:3": (1184, 864),
    "4:5": (896, 1152),
    "5:4": (1152, 896),
    "9:16": (768, 1344),
    "16:9": (1344, 768),
    "21:9": (1536, 672),
}
SCALES = {"1K": 1, "2K": 2, "4K": 4}


def read_chat(form: Form, fetch: Fetch, *, image_config: bool, models: frozenset[str] = GEMINI_MODELS) -> Order:
    """Read text and source images from the messages; like Gemini, ignore ``n`` and unknown fields."""
    fields = form.fields
    if form.multipart:
        raise invalid("Unsupported content type: expected application/json.", "unsupported_content_type")
    require(fields, ("model", "messages"))
    model = text(fields, "model")
    if "gpt-image" in model:
        message = f"The model '{model}' is not a chat model and is not supported in the /v1/chat/completions endpoint."
        raise invalid(message, "unsupported_model", "model")
    one_of_models(model, models)
    modalities = fields.get("modalities")
    if not isinstance(modalities, list) or "image" not in modalities or set(modalities) - {"image", "text"}:
        message = 'Invalid \'modalities\': expected ["image", "text"].'
        raise invalid(message, "invalid_value", "modalities")
    prompt, sources = _read_messages(fields["messages"], fetch)
    width, height, ratio = _size(fields.get("image_config") if image_config else None)
    return Order(
        kind="chat", model=model, prompt=prompt, width=width, height=height, size=ratio, quality="1K", sources=sources
    )


def _read_messages(messages: object, fetch: Fetch) -> tuple[str, tuple[Image.Image, ...]]:
    if not isinstance(messages, list) or not messages:
        raise invalid("Invalid 'messages': expected a non-empty array.", "invalid_type", "messages")
    words: list[str] = []
    sources: list[Image.Image] = []
    for place, message in enumerate(messages):
        param = f"messages[{place}]"
        if not isinstance(message, dict) or message.get("role") not in {"system", "user", "assistant"}:
            raise invalid(f"Invalid '{param}.role'.", "invalid_value", param)
        content = message.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(parts, list):
            raise invalid(f"Invalid '{param}.content'.", "invalid_type", param)
        for number, part in enumerate(parts):
            _read_part(part, f"{param}.content[{number}]", fetch, words, sources)
    if not "".join(words).strip():
        raise invalid("Invalid 'messages': no text.", "empty_string", "messages")
    return "\n".join(words), tuple(sources)


def _read_part(part: object, param: str, fetch: Fetch, words: list[str], sources: list[Image.Image]) -> None:
    match part:
        case {"type": "text", "text": str(content)}:
            words.append(content)
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            sources.append(from_address(url, fetch, param))
        case _:
            raise invalid(f"Invalid '{param}': expected a text or an image_url part.", "invalid_value", param)


def _size(config: object) -> tuple[int, int, str]:
    if config is None:
        return 1024, 1024, "1:1"
    if not isinstance(config, dict) or set(config) - {"aspect_ratio", "image_size"}:
        raise invalid("Invalid 'image_config'.", "invalid_value", "image_config")
    ratio, scale = config.get("aspect_ratio", "1:1"), config.get("image_size", "1K")
    if ratio not in RATIOS or scale not in SCALES:
        message = f"Invalid image_config: aspect_ratio {ratio!r}, image_size {scale!r}."
        raise invalid(message, "invalid_value", "image_config")
    width, height = RATIOS[ratio]
    return width * SCALES[scale], height * SCALES[scale], ratio


def completion(
    order: Order, bill: Bill, pictures: tuple[Picture, ...], trace: Trace, remark: str | None, *, prefix: str
) -> Json:
    """Return a chat completion with images, with a remark, or with nothing."""
    message: Json = {"role": "assistant", "content": remark}
    if pictures:
        message["images"] = [
            {"type": "image_url", "image_url": {"url": picture.url or f"data:{picture.mime};base64,{picture.b64}"}}
            for picture in pictures
        ]
    payload: Json = {
        "id": f"{prefix}-{int(trace.now)}-{trace.serial}",
        "object": "chat.completion",
        "created": int(trace.now),
        "model": order.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    if bill.usage:
        payload["usage"] = bill.usage
    return payload


def blocked(trace: Trace, prefix: str) -> Json:
    """Return a completion whose image the content filter removed: with HTTP 200, as Gemini does."""
    return {
        "id": f"{prefix}-{int(trace.now)}-{trace.serial}",
        "object": "chat.completion",
        "created": int(trace.now),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None},
                "finish_reason": "content_filter",
                "native_finish_reason": "IMAGE_SAFETY",
            }
        ],
    }
