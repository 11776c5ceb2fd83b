"""Server-sent events, which some gateways send without being asked for a stream.  Pure.

Source of the format: the HTML standard, "Server-sent events"; of the events: OpenAI's image and chat streaming guides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any

from .base64_images import holds_image, is_data_url
from .jsonbody import Json, Unreadable, read

_FIELD = re.compile(rb"\s*(?:event|id|retry|data):(?!image/)|\s*:[^\n]*\n")
#: A line, or the blank lines that end an event; the break after a line is neither.
_LINE = re.compile(rb"[^\r\n]++|(?>\r\n|\n|\r){2,}+")


def is_stream(body: bytes, content_type: str) -> bool:
    """Return whether *body* is a stream of events."""
    return "event-stream" in content_type.lower() or bool(_FIELD.match(body[:4096]))


def documents(body: bytes) -> list[Json]:
    """Return the JSON document of each event, in order; those of a chat's pieces are put together into one."""
    events = list(_events(body))
    pieces: list[Mapping[str, Any]] = []
    others: list[Json] = []
    for event in events:
        if isinstance(event, Mapping) and any(_deltas(event)):
            pieces.append(event)
        else:
            others.append(event)
    return [*others, _chat(pieces, events)] if pieces else events


def closing(documents: Iterable[Json], key: str) -> Json:
    """Return the last *key* that any of *documents* states, on top or within ``response``; None where none does."""
    last = None
    for document in documents:
        for holder in (document, document.get("response") if isinstance(document, Mapping) else None):
            if isinstance(holder, Mapping) and holder.get(key):
                last = holder[key]
    return last


def _events(body: bytes) -> Iterator[Json]:
    lines: list[bytes] = []
    found = (match[0] for match in _LINE.finditer(body.removeprefix(b"\xef\xbb\xbf")))
    for line in chain(found, [b"\n"]):  # the last event may lack its blank line
        if line.startswith(b"data:"):
            lines.append(line[5:].removeprefix(b" "))
        elif line[:1] in (b"\r", b"\n") and lines:
            data = b"\n".join(lines)
            lines.clear()
            if data.strip() not in (b"", b"[DONE]"):
                with suppress(Unreadable):
                    yield _document(data)


def _document(data: bytes) -> Json:
    """Return the document of one event: JSON, or the text of a picture or of its address; raise Unreadable."""
    try:
        return read(data)
    except Unreadable:
        text = data.decode("utf-8", "replace").strip()
        if is_data_url(text) or holds_image(text) or text[:8].lower().startswith(("https://", "http://")):
            return text
        raise


def _deltas(event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    choices = event.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, Mapping) and isinstance(choice.get("delta"), Mapping):
            yield choice["delta"]


def _chat(pieces: list[Mapping[str, Any]], events: list[Json]) -> Json:
    """Return a chat completion as it would have come without streaming."""
    fields: dict[str, list[Json]] = {}
    reasons: dict[str, Any] = {}
    for piece in pieces:
        for delta in _deltas(piece):
            for key, value in delta.items():
                fields.setdefault(key, []).append(value)
        for choice in piece["choices"]:
            if isinstance(choice, Mapping):
                reasons |= {key: choice[key] for key in ("finish_reason", "native_finish_reason") if choice.get(key)}
    message = {key: _joined(values) for key, values in fields.items()}
    whole: dict[str, Any] = {"choices": [{"message": message, **reasons}]}
    for key in ("usage", "error"):
        if stated := closing(events, key):
            whole[key] = stated
    return whole


def _joined(pieces: Iterable[Json]) -> Json:
    """Return the pieces of one field of a message as one: text grows, lists go on, anything else is replaced."""
    run: list[Any] = []
    for piece in pieces:
        if piece is None:
            continue
        if run and not (isinstance(piece, str | list) and type(piece) is type(run[0])):
            run = []
        run.append(piece)
    if run and isinstance(run[0], str):
        return "".join(run)
    if run and isinstance(run[0], list):
        return list(chain.from_iterable(run))
    return run[-1] if run else None
