"""Server-sent events, which some gateways send although no stream was requested.

Source of the format: the HTML standard, "Server-sent events"; of the events: OpenAI's image and chat streaming guides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any

from .base64_images import holds_image, is_data_url
from .jsonbody import Json, Unreadable, objects, read

_FIELD = re.compile(rb"\s*(?:event|id|retry|data):(?!image/)|\s*:[^\n]*\n")


def is_stream(body: bytes, content_type: str) -> bool:
    """Return whether *body* is a stream of events."""
    return "event-stream" in content_type.lower() or bool(_FIELD.match(body[:4096]))


def documents(body: bytes) -> list[Json]:
    """Return the JSON document of each event, in order; the chunks of a chat completion become one document."""
    events = list(_events(body))
    chunks: list[Mapping[str, Any]] = []
    others: list[Json] = []
    for event in events:
        if isinstance(event, Mapping) and any(_deltas(event)):
            chunks.append(event)
        else:
            others.append(event)
    return [*others, _completion(chunks, events)] if chunks else events


def last_value(documents: Iterable[Json], key: str) -> Json:
    """Return the last value of *key* in *documents*, at the top or within ``response``; None if there is none."""
    last = None
    for document in documents:
        for holder in (document, document.get("response") if isinstance(document, Mapping) else None):
            if isinstance(holder, Mapping) and holder.get(key):
                last = holder[key]
    return last


def _events(body: bytes) -> Iterator[Json]:
    lines: list[bytes] = []
    for line in chain(_lines(body.removeprefix(b"\xef\xbb\xbf")), [b""]):  # the last event may lack its blank line
        if line.startswith(b"data:"):
            lines.append(line[5:].removeprefix(b" "))
        elif not line and lines:
            data = b"\n".join(lines)
            lines.clear()
            if data.strip() not in (b"", b"[DONE]"):
                with suppress(Unreadable):
                    yield _document(data)


def _lines(body: bytes) -> Iterator[bytes]:
    """Yield each line of *body* without its end; it is found without a look at each byte of a long line."""
    start, feed, carriage = 0, -1, -1
    while start < len(body):
        feed = _find(body, b"\n", start) if feed < start else feed
        carriage = _find(body, b"\r", start) if carriage < start else carriage
        end = min(feed, carriage)
        yield body[start:end]
        start = end + (2 if feed == carriage + 1 else 1)


def _find(body: bytes, mark: bytes, start: int) -> int:
    """Return where *mark* is, or the end of *body*."""
    position = body.find(mark, start)
    return len(body) if position < 0 else position


def _document(data: bytes) -> Json:
    """Return the document of one event: JSON, or an image or its URL as bare text; raise Unreadable."""
    try:
        return read(data)
    except Unreadable:
        text = data.decode("utf-8", "replace").strip()
        if is_data_url(text) or holds_image(text) or text[:8].lower().startswith(("https://", "http://")):
            return text
        raise


def _deltas(event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from (choice["delta"] for choice in objects(event.get("choices")) if isinstance(choice.get("delta"), Mapping))


def _completion(chunks: list[Mapping[str, Any]], events: list[Json]) -> Json:
    """Return a chat completion as it would have arrived without streaming."""
    fields: dict[str, list[Json]] = {}
    reasons: dict[str, Any] = {}
    for chunk in chunks:
        for delta in _deltas(chunk):
            for key, value in delta.items():
                fields.setdefault(key, []).append(value)
        for choice in objects(chunk["choices"]):
            reasons |= {key: choice[key] for key in ("finish_reason", "native_finish_reason") if choice.get(key)}
    message = {key: _join(values) for key, values in fields.items()}
    final = {key: value for key in ("usage", "error") if (value := last_value(events, key))}
    return {"choices": [{"message": message, **reasons}], **final}


def _join(values: Iterable[Json]) -> Json:
    """Join the values of one field of a message: texts and lists are concatenated, anything else is replaced."""
    run: list[Any] = []
    for value in values:
        if value is None:
            continue
        if run and not (isinstance(value, str | list) and type(value) is type(run[0])):
            run = []
        run.append(value)
    if run and isinstance(run[0], str):
        return "".join(run)
    if run and isinstance(run[0], list):
        return list(chain.from_iterable(run))
    return run[-1] if run else None
