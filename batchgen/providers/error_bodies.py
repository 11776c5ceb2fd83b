"""Hear what an error says, whatever envelope it came in.  Pure.

OpenAI and New API: {error: {message, type, param, code}}.  OpenRouter: the same with a numeric code and
metadata.  aimlapi: {message, path, requestId, statusCode, timestamp}.  gptimageapi: {code, message, data}.
Google: [{error: ...}] and promptFeedback.  Everything else: as many of these words as are there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any

from .. import redaction
from .jsonbody import Json
from .request_echo import without_echoes

#: Longest message kept (characters), and the longest text searched for tell-tale words.
MESSAGE_MAX, _WORDS_MAX = 500, 20_000

_CODE_KEYS = ("code", "type", "error_type", "status", "provider_code", "reason", "error_code", "err_code", "errcode")
#: Envelopes that a gateway puts around an upstream's answer, and fields of an answer that is no error.
_ENVELOPES = ("data", "result", "response", "output")
_RESULTS = ("data", "choices", "images", "output", "result", "results", "artifacts", "task_id", "id")
#: Members that only a failure has.
_FAILURE_WORDS = ("error_message", "errorMessage", "error_msg", "err_msg", "errmsg")
_FAILED = frozenset({"error", "failed", "failure", "fail"})
_GOOD = frozenset({"0", "00", "000", "0000", "ok", "success", "succeeded", "successful", "completed", "true", "none"})
_BLANK: tuple[Json, ...] = (None, "", 0, [], {})
#: An error that is one word with underscores is a code: {"error": "insufficient_quota"}.
_CODE = re.compile(r"[a-z]{1,40}(?:_[a-z]{1,40}){1,6}")
_STATUS_KEYS = ("statusCode", "status_code", "status", "code", "err_code", "errcode")
_WAITS = {
    "retry_after": "retry-after",
    "retry_after_seconds": "retry-after",
    "retryAfter": "retry-after",
    "retry_after_ms": "retry-after-ms",
    "retryAfterMs": "retry-after-ms",
}
_REASON_KEYS = ("finish_reason", "finishReason", "filter_reason", "raiFilteredReason", "blockReason", "block_reason")
#: Members that say nothing of how a call went.
_SILENT = frozenset(["request_id", "requestId", "trace_id", "traceId", "id", "created", "timestamp", "path"])
_TITLE = re.compile(r"<title[^>]*>(.{1,300}?)</title>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<(?:script|style)\b.{0,20000}?</(?:script|style)>|<[^<>]{0,2000}>", re.IGNORECASE | re.DOTALL)
#: Words that look like a key hold a digit or stars; "key provided" does not.
_SECRET = re.compile(r"\b(sk|key|Bearer)([-_ ])(?=\S*[0-9*])[A-Za-z0-9_*.-]{8,}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorBody:
    """What a reply says went wrong."""

    message: str  #: the provider's own words, fit to be shown
    words: str  #: all of them, for searching
    codes: frozenset[str]  #: every code, type and reason, in lower case
    code: str | None  #: the one to show
    status: int | None  #: the status stated in the body
    stops: frozenset[str]  #: finish reasons and block reasons, in lower case
    refusal: str | None
    moderated: bool  #: carries moderation details
    headers: Mapping[str, str]  #: what it repeats of headers, names in lower case


def clean(text: str, limit: int = MESSAGE_MAX) -> str:
    """Return *text* fit for a terminal and a log: one line, nothing unprintable, no key, at most *limit* characters."""
    short = " ".join(redaction.hidden(text[: limit * 4], redaction.known()).split())
    short = _SECRET.sub(r"\1\2...", short)
    shown = "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in short)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def has_error(document: Json) -> bool:
    """Tell whether a document without a picture, that came with a 2xx status, holds an error."""
    return any(True for _ in _errors(document))


def warnings_in(document: Json) -> tuple[str, ...]:
    """Return what errors and warnings beside good pictures say, each fit to be shown."""
    if not isinstance(document, Mapping):
        return ()
    found = []
    for key in ("error", "errors", "warning", "warnings"):
        value = document.get(key)
        for part in _filled(value):
            text = next(_messages(part), "") or next(_codes(part), "")
            found += [clean(text)] if text.strip() else []
    return tuple(dict.fromkeys(found))


def read_error(document: Json, body: bytes) -> ErrorBody:
    """Return what *document* says; *body* is read as text where there is no document."""
    if document is None:
        return _page(body)
    envelopes = [*_errors(document)] or [document]
    codes: dict[str, None] = {}
    for envelope in envelopes:
        codes.update(dict.fromkeys(_codes(envelope)))
    message = next((text for envelope in envelopes for text in _messages(envelope)), "")
    raw = next((text for envelope in envelopes if (text := _raw(without_echoes(envelope)))), "")
    heard = next((text for envelope in envelopes for text in _messages(without_echoes(envelope))), "")
    words = f"{heard} {raw}".strip()[:_WORDS_MAX]
    stops, refusal = _stops(document)
    return ErrorBody(
        message=clean(f"{message} {raw}".strip() if len(message) < 40 and raw else message),
        words=words,
        codes=frozenset(code.lower() for code in codes),
        code=_shown(list(codes)),
        status=next((status for envelope in envelopes if (status := _stated(envelope))), None),
        stops=stops,
        refusal=refusal,
        moderated=any(_moderated(envelope) for envelope in envelopes),
        headers={name: text for envelope in (document, *reversed(envelopes)) for name, text in _headers(envelope)},
    )


def _page(body: bytes) -> ErrorBody:
    """Return what a body without JSON says: the title of a page, or the text itself."""
    text = body[:_WORDS_MAX].decode("utf-8", "replace")
    title = _TITLE.search(text)
    message = unescape(title[1]) if title else unescape(_TAG.sub(" ", text))
    return ErrorBody(
        message=clean(message),
        words=message,
        codes=frozenset(),
        code=None,
        status=None,
        stops=frozenset(),
        refusal=None,
        moderated=False,
        headers={},
    )


def _errors(document: Json, deep: bool = True) -> Iterator[Json]:
    """Yield every error envelope of a document, also of one that stands in an envelope of its own."""
    if isinstance(document, list):
        for part in document[:10]:
            yield from _errors(part, deep) if isinstance(part, Mapping) else ()
        return
    if not isinstance(document, Mapping):
        return
    for holder in (document, *_choices(document)):
        yield from _filled(holder.get("error"))
        yield from _filled(holder.get("errors"))
    if _failed(document):
        yield {key: value for key, value in document.items() if key != "error" or not isinstance(value, Mapping)}
    for key in _ENVELOPES if deep else ():
        if isinstance(document.get(key), Mapping):
            yield from _errors(document[key], False)


def _filled(value: Json) -> Iterator[Json]:
    """Yield the errors, of one or a list, that say anything."""
    for error in value[:10] if isinstance(value, list) else [value]:
        if (isinstance(error, Mapping) and _holds(error)) or (isinstance(error, str) and error.strip()):
            yield error


def _holds(error: Mapping[str, Any]) -> bool:
    """Tell whether an error object says anything; gateways send one with empty fields beside a good answer."""
    return any(_holds(value) if isinstance(value, Mapping) else value not in _BLANK for value in error.values())


def _failed(document: Mapping[str, Any]) -> bool:
    """Tell whether a document states by itself that it is an error."""
    if document.get("error") is True or document.get("success") is False or document.get("ok") is False:
        return True
    outcomes = [document[key] for key in ("status", "result") if isinstance(document.get(key), str)]
    if any(outcome.strip().lower() in _FAILED for outcome in outcomes) or _stated(document):
        return True
    if any(_is_failure(document.get(key)) for key in _FAILURE_WORDS):
        return True
    spoken = [key for key in ("message", "msg", "detail") if document.get(key)]
    if any(document.get(key) for key in _RESULTS):
        return False
    code = str(document.get("code") if document.get("code") is not None else "").strip().lower()
    if code and spoken:
        return code not in _GOOD and not (len(code) == 3 and code.isdigit() and code[0] == "2")
    others = {key for key, value in document.items() if value not in _BLANK} - _SILENT - {"title"}
    return "detail" in spoken or (others <= set(spoken) and bool(spoken) and "code" not in document)


def _is_failure(words: Json) -> bool:
    """Return whether a field of an error's words says that there is one: some gateways fill it with "ok"."""
    return bool(words) and str(words).strip().lower() not in _GOOD


def _choices(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    choices = document.get("choices")
    return [choice for choice in choices if isinstance(choice, Mapping)] if isinstance(choices, list) else []


def _codes(envelope: Json) -> Iterator[str]:
    if isinstance(envelope, str) and _CODE.fullmatch(envelope):
        yield envelope
    if not isinstance(envelope, Mapping):
        return
    for key in _CODE_KEYS:
        value = envelope.get(key)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
            yield str(value).strip()[:100]
    for key in ("metadata", "availability", "error"):
        yield from _codes(envelope.get(key))
    details = envelope.get("details")
    if isinstance(details, list):
        for part in details[:10]:
            yield from _codes(part)


def _shown(codes: list[str]) -> str | None:
    """Return the first code that is a word; a number only where there is none."""
    spoken = [code for code in codes if not code.lstrip("-").isdigit()]
    return clean((spoken or codes)[0], 100) if codes else None


def _messages(envelope: Json) -> Iterator[str]:
    if isinstance(envelope, str):
        yield envelope
    if not isinstance(envelope, Mapping):
        return
    for key in ("message", "msg", "detail", "error", *_FAILURE_WORDS, "title"):
        value = envelope.get(key)
        if isinstance(value, str) and value.strip():
            yield value
        elif isinstance(value, (Mapping, list)) and value:
            yield from (
                _messages(value) if isinstance(value, Mapping) else (json.dumps(value, default=str)[:_WORDS_MAX],)
            )


def _raw(envelope: Json) -> str:
    """Return the upstream's own words, which OpenRouter and Google hand on beside their message."""
    if not isinstance(envelope, Mapping):
        return ""
    metadata = envelope.get("metadata")
    raw = (metadata.get("raw") if isinstance(metadata, Mapping) else None) or envelope.get("details")
    if isinstance(raw, str):
        return raw[:_WORDS_MAX]
    return json.dumps(raw, default=str)[:_WORDS_MAX] if raw else ""


def _headers(envelope: Json) -> Iterator[tuple[str, str]]:
    """Yield the headers of which OpenRouter says in its body: the upstream's, and how long to wait."""
    if not isinstance(envelope, Mapping):
        return
    for holder in (envelope, envelope.get("availability"), envelope.get("metadata")):
        if not isinstance(holder, Mapping):
            continue
        upstream = holder.get("headers")
        for name, value in list(upstream.items())[:50] if isinstance(upstream, Mapping) else ():
            if isinstance(value, (str, int)):
                yield str(name).lower(), str(value)[:2000]
        for name, header in _WAITS.items():
            if isinstance(holder.get(name), (str, int, float)):
                yield header, str(holder[name])[:200]


def _stated(envelope: Json) -> int | None:
    if not isinstance(envelope, Mapping):
        return None
    return next(
        (status for key in _STATUS_KEYS if (status := _status(envelope.get(key)))),
        None,
    )


def _status(value: Json) -> int | None:
    """Return an error status written as number or text, or None."""
    text = str(value).strip() if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    return int(text) if len(text) == 3 and text.isdigit() and 400 <= int(text) <= 599 else None


def _stops(document: Json) -> tuple[frozenset[str], str | None]:
    """Return finish and block reasons, and the words of a refusal."""
    if not isinstance(document, Mapping):
        return frozenset(), None
    reasons: set[str] = set()
    refusal = None
    for choice in _choices(document):
        reasons |= {str(choice[key]).lower() for key in ("finish_reason", "native_finish_reason") if choice.get(key)}
        message = choice.get("message")
        said = message.get("refusal") if isinstance(message, Mapping) else None
        refusal = said if isinstance(said, str) and said.strip() else refusal
    for key in ("promptFeedback", "prompt_feedback"):
        feedback = document.get(key)
        if isinstance(feedback, Mapping):
            block = feedback.get("blockReason") or feedback.get("block_reason")
            if block:
                # An input that Google blocked is refused, whatever word it has for it.
                reasons |= {str(block).lower(), "content_filter"}
    for item in _items(document):
        reasons |= {str(item[key]).lower() for key in _REASON_KEYS if item.get(key)}
    if _is_filtered(document.get("prompt_filter_results")):
        reasons.add("content_filter")
    return frozenset(reasons), refusal


def _items(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the items of the lists in which images come."""
    for key in ("data", "images", "artifacts", "candidates", "predictions", "output"):
        value = document.get(key)
        yield from (item for item in value[:50] if isinstance(item, Mapping)) if isinstance(value, list) else ()


def _is_filtered(results: Json) -> bool:
    """Return whether Azure's filter names a category for which it held the prompt back."""
    if isinstance(results, list):
        return any(map(_is_filtered, results[:20]))
    if not isinstance(results, Mapping):
        return False
    return results.get("filtered") is True or any(map(_is_filtered, results.values()))


def _moderated(envelope: Json) -> bool:
    if not isinstance(envelope, Mapping):
        return False
    metadata = envelope.get("metadata")
    inside = isinstance(metadata, Mapping) and bool(metadata.get("flagged_input") or metadata.get("reasons"))
    return inside or bool(envelope.get("moderation_details"))
