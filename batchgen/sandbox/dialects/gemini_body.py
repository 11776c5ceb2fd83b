"""Bodies of generateContent: names in either case, and the parts of the contents."""

from __future__ import annotations

import base64
import re
from typing import Any

from PIL import Image

from ..sources import from_address, open_image
from ..values import Fetch, Json, invalid

_UNDERSCORE = re.compile(r"_([a-z])")
#: Bytes of a whole request with inline data.
MOST_INLINE = 20_000_000
_USUAL = str.maketrans("-_", "+/")
_MIMES = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")


def camel_case(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a body with its names in camel case; protocol buffers accept both."""
    if isinstance(value, dict):
        return {_UNDERSCORE.sub(lambda match: match[1].upper(), key): camel_case(item) for key, item in value.items()}
    return [camel_case(item) for item in value] if isinstance(value, list) else value


def read_parts(contents: object, fetch: Fetch) -> tuple[str, tuple[Image.Image, ...]]:
    """Return the text and the images of *contents*, whose names are in camel case."""
    if not isinstance(contents, list) or not contents:
        raise invalid("* GenerateContentRequest.contents: contents is not specified")
    words: list[str] = []
    sources: list[Image.Image] = []
    inline = 0
    for content in contents:
        parts = content.get("parts") if isinstance(content, dict) else None
        if not isinstance(parts, list) or content.get("role", "user") not in ("user", "model"):
            raise invalid("Please use a valid role: user, model.")
        for number, part in enumerate(parts):
            inline += _read_part(part, f"contents.parts[{number}]", fetch, words, sources)
    if inline > MOST_INLINE:
        raise invalid("Request payload size exceeds the limit: 20971520 bytes.")
    if not "".join(words).strip():
        raise invalid("Unable to submit request because it must have a text parameter.")
    return "\n".join(words), tuple(sources)


def _read_part(part: object, where: str, fetch: Fetch, words: list[str], sources: list[Image.Image]) -> int:
    """Read one part; return the characters of its inline data."""
    match part:
        case {"text": str(text)}:
            words.append(text)
        case {"inlineData": {"mimeType": str(mime), "data": str(data)}}:
            if mime not in _MIMES:
                raise invalid(f"Unsupported MIME type: {mime}")
            sources.append(open_image(_decoded(data, where), where))
            return len(data)
        case {"fileData": {"fileUri": str(address)}}:
            sources.append(from_address(address, fetch, where))
        case _:
            raise invalid(f"Invalid value at '{where}': a part has one of text, inline_data and file_data.")
    return 0


def _decoded(data: str, where: str) -> bytes:
    """Return the bytes of base64 in the usual or, as Google's client sends it, in the URL-safe alphabet."""
    try:
        return base64.b64decode(data.translate(_USUAL), validate=True)
    except ValueError:
        raise invalid(f"Invalid value at '{where}.inline_data.data' (TYPE_BYTES), Base64 decoding failed") from None


def texts_of(fields: Json) -> list[Json]:
    """Return the parts with a text, to be read or changed in place."""
    contents = fields.get("contents")
    found: list[Json] = []
    for content in contents if isinstance(contents, list) else ():
        parts = content.get("parts") if isinstance(content, dict) else None
        inner = parts if isinstance(parts, list) else []
        found += [part for part in inner if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return found
