"""Error bodies: reads an error from whatever envelope a provider puts it in.

OpenAI and New API: {error: {message, type, param, code}}. OpenRouter: the same with a numeric code and
metadata.  aimlapi: {message, path, requestId, statusCode, timestamp}.  gptimageapi: {code, message, data}.
Google: [{error: ...}] and promptFeedback. Any other provider: whichever of these fields are present.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Any

from .. import redaction
from .jsonbody import Json, objects
from .request_echo import without_echoes

#: Longest message kept (characters), and the longest text that is searched for evidence.
MESSAGE_MAX, _TEXT_MAX = 500, 20_000

_CODE_KEYS = ("code", "type", "error_type", "status", "provider_code", "reason", "error_code", "err_code", "errcode")
#: Envelopes that a gateway puts around an upstream's answer, and fields of an answer that is not an error.
_ENVELOPES = ("data", "result", "response", "output")
_RESULTS = ("data", "choices", "images", "output", "result", "results", "artifacts", "task_id", "id")
#: Fields that only a failure has.
_FAILURE_KEYS = ("error_message", "errorMessage", "error_msg", "err_msg", "errmsg")
_FAILED = frozenset({"error", "failed", "failure", "fail"})
_GOOD = frozenset({"0", "00", "000", "0000", "ok", "success", "succeeded", "successful", "completed", "true", "none"})
_BLANK: tuple[Json, ...] = (None, "", 0, [], {})
#: An error of words joined by underscores is a code: {"error": "insufficient_quota"}.
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
#: Fields that carry no information about the outcome of a call.
_NEUTRAL_KEYS = frozenset(["request_id", "requestId", "trace_id", "traceId", "id", "created", "timestamp", "path"])
_TITLE = re.compile(r"<title[^>]*>(.{1,300}?)</title>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<(?:script|style)\b.{0,20000}?</(?:script|style)>|<[^<>]{0,2000}>", re.IGNORECASE | re.DOTALL)
#: A word that looks like a key contains a digit or stars; "key provided" does not.
_SECRET = re.compile(r"\b(sk|key|Bearer)([-_ ])(?=\S*[0-9*])[A-Za-z0-9_*.-]{8,}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorBody:
    """The error in a reply."""

    message: str  #: the provider's own words, safe to show
    words: str = ""  #: the same words in full, to be searched for evidence
    codes: frozenset[str] = frozenset()  #: every code, type and reason, in lower case
    code: str | None = None  #: the code to show
    status: int | None = None  #: the status that the body states
    stops: frozenset[str] = frozenset()  #: finish reasons and block reasons, in lower case
    refusal: str | None = None
    moderated: bool = False  #: the body carries moderation details
    headers: Mapping[str, str] = field(default_factory=dict)  #: headers that the body repeats, names in lower case


def clean(text: str, limit: int = MESSAGE_MAX) -> str:
    """Make *text* safe for a terminal and a log: one line, printable, no key, at most *limit* characters."""
    short = " ".join(redaction.hidden(text[: limit * 4], redaction.known()).split())
    short = _SECRET.sub(r"\1\2...", short)
    shown = "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in short)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def has_error(document: Json) -> bool:
    """Return whether a document without an image, from an answer with a 2xx status, holds an error."""
    return any(True for _ in _errors(document))


def warnings_in(document: Json) -> tuple[str, ...]:
    """Return the messages of errors and warnings that came along with good images, each safe to show."""
    if not isinstance(document, Mapping):
        return ()
    messages = []
    for key in ("error", "errors", "warning", "warnings"):
        for error in _nonempty(document.get(key)):
            text = next(_messages(error), "") or next(_codes(error), "")
            messages += [clean(text)] if text.strip() else []
    return tuple(dict.fromkeys(messages))


def read_error(document: Json, body: bytes) -> ErrorBody:
    """Return the error in *document*; without a document, *body* is read as text."""
    if document is None:
        return _read_page(body)
    envelopes = [*_errors(document)] or [document]
    codes: dict[str, None] = {}
    for envelope in envelopes:
        codes.update(dict.fromkeys(_codes(envelope)))
    message = next((text for envelope in envelopes for text in _messages(envelope)), "")
    evidence = [without_echoes(envelope) for envelope in envelopes]
    raw = next((text for envelope in evidence if (text := _upstream_text(envelope))), "")
    words = next((text for envelope in evidence for text in _messages(envelope)), "")
    stops, refusal = _stops(document)
    return ErrorBody(
        message=clean(f"{message} {raw}".strip() if len(message) < 40 and raw else message),
        words=f"{words} {raw}".strip()[:_TEXT_MAX],
        codes=frozenset(code.lower() for code in codes),
        code=_code_to_show(list(codes)),
        status=next((status for envelope in envelopes if (status := _error_status(envelope))), None),
        stops=stops,
        refusal=refusal,
        moderated=any(_is_moderated(envelope) for envelope in envelopes),
        headers={name: text for envelope in (document, *reversed(envelopes)) for name, text in _headers(envelope)},
    )


def _read_page(body: bytes) -> ErrorBody:
    """Return the message of a body without JSON: the title of a web page, or the text itself."""
    text = body[:_TEXT_MAX].decode("utf-8", "replace")
    title = _TITLE.search(text)
    message = unescape(title[1]) if title else unescape(_TAG.sub(" ", text))
    return ErrorBody(message=clean(message), words=message)


def _errors(document: Json, deep: bool = True) -> Iterator[Json]:
    """Yield every error object of a document; *deep* also looks into a gateway's envelope."""
    for part in objects(document, 10):
        yield from _errors(part, deep)
    if not isinstance(document, Mapping):
        return
    for holder in (document, *objects(document.get("choices")), *_items(document)):
        yield from _nonempty(holder.get("error"))
        yield from _nonempty(holder.get("errors"))
    if _is_error(document):
        yield {key: value for key, value in document.items() if key != "error" or not isinstance(value, Mapping)}
    for key in _ENVELOPES if deep else ():
        if isinstance(document.get(key), Mapping):
            yield from _errors(document[key], False)


def _nonempty(value: Json) -> Iterator[Json]:
    """Yield the errors of *value*, an error or a list of them, that are not empty."""
    for error in value[:10] if isinstance(value, list) else [value]:
        if (isinstance(error, Mapping) and _has_content(error)) or (isinstance(error, str) and error.strip()):
            yield error


def _has_content(error: Mapping[str, Any]) -> bool:
    """Return whether an error object has content; gateways send one with empty fields along with a good answer."""
    return any(_has_content(value) if isinstance(value, Mapping) else value not in _BLANK for value in error.values())


def _is_error(document: Mapping[str, Any]) -> bool:
    """Return whether a document is itself an error."""
    if document.get("error") is True or document.get("success") is False or document.get("ok") is False:
        return True
    outcomes = [document[key] for key in ("status", "result") if isinstance(document.get(key), str)]
    if any(outcome.strip().lower() in _FAILED for outcome in outcomes) or _error_status(document):
        return True
    if any(_is_failure(document.get(key)) for key in _FAILURE_KEYS):
        return True
    messages = {key for key in ("message", "msg", "detail") if document.get(key)}
    if any(document.get(key) for key in _RESULTS):
        return False
    code = str(document.get("code") if document.get("code") is not None else "").strip().lower()
    if code and messages:
        return code not in _GOOD and not (len(code) == 3 and code.isdigit() and code[0] == "2")
    others = {key for key, value in document.items() if value not in _BLANK} - _NEUTRAL_KEYS - {"title"}
    return "detail" in messages or (others <= messages and bool(messages) and "code" not in document)


def _is_failure(message: Json) -> bool:
    """Return whether the value of an error field is an error: some gateways fill the field with "ok"."""
    return bool(message) and str(message).strip().lower() not in _GOOD


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
    for part in details[:10] if isinstance(details, list) else ():
        yield from _codes(part)


def _code_to_show(codes: list[str]) -> str | None:
    """Return the first code that is a word, or else the first number."""
    names = [code for code in codes if not code.lstrip("-").isdigit()]
    return clean((names or codes)[0], 100) if codes else None


def _messages(envelope: Json) -> Iterator[str]:
    if isinstance(envelope, str):
        yield envelope
    if not isinstance(envelope, Mapping):
        return
    for key in ("message", "msg", "detail", "error", *_FAILURE_KEYS, "title"):
        value = envelope.get(key)
        if isinstance(value, Mapping):
            yield from _messages(value)
        elif isinstance(value, list) and value:
            yield json.dumps(value, default=str)[:_TEXT_MAX]
        elif isinstance(value, str) and value.strip():
            yield value


def _upstream_text(envelope: Json) -> str:
    """Return the upstream provider's own text, which OpenRouter and Google pass on next to their message."""
    if not isinstance(envelope, Mapping):
        return ""
    metadata = envelope.get("metadata")
    raw = (metadata.get("raw") if isinstance(metadata, Mapping) else None) or envelope.get("details")
    if isinstance(raw, str):
        return raw[:_TEXT_MAX]
    return json.dumps(raw, default=str)[:_TEXT_MAX] if raw else ""


def _headers(envelope: Json) -> Iterator[tuple[str, str]]:
    """Yield the headers that OpenRouter repeats in its body: those of the upstream provider, and how long to wait."""
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


def _error_status(envelope: Json) -> int | None:
    """Return the HTTP error status that an error object states, if any."""
    statuses = (_status(envelope.get(key)) for key in _STATUS_KEYS) if isinstance(envelope, Mapping) else ()
    return next(filter(None, statuses), None)


def _status(value: Json) -> int | None:
    """Return an error status that is written as a number or as text; None for anything else."""
    text = str(value).strip() if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    return int(text) if len(text) == 3 and text.isdigit() and 400 <= int(text) <= 599 else None


def _stops(document: Json) -> tuple[frozenset[str], str | None]:
    """Return finish and block reasons, and the text of a refusal."""
    if not isinstance(document, Mapping):
        return frozenset(), None
    reasons: set[str] = set()
    refusal = None
    for choice in objects(document.get("choices")):
        reasons |= {str(choice[key]).lower() for key in ("finish_reason", "native_finish_reason") if choice.get(key)}
        message = choice.get("message")
        text = message.get("refusal") if isinstance(message, Mapping) else None
        refusal = text if isinstance(text, str) and text.strip() else refusal
    for key in ("promptFeedback", "prompt_feedback"):
        feedback = document.get(key)
        if isinstance(feedback, Mapping):
            block = feedback.get("blockReason") or feedback.get("block_reason")
            if block:
                # Whatever Google calls it, a blocked input is a refusal.
                reasons |= {str(block).lower(), "content_filter"}
    for item in _items(document):
        reasons |= {str(item[key]).lower() for key in _REASON_KEYS if item.get(key)}
        if item.get("respect_moderation") is False:  # xAI's mark of an image that it held back
            reasons.add("moderation")
    if _is_filtered(document.get("prompt_filter_results")):
        reasons.add("content_filter")
    return frozenset(reasons), refusal


def _items(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the items of the lists in which images come."""
    for key in ("data", "images", "artifacts", "candidates", "predictions", "output"):
        yield from objects(document.get(key), 50)


def _is_filtered(results: Json) -> bool:
    """Return whether Azure's filter names a category for which it blocked the prompt."""
    if isinstance(results, list):
        return any(map(_is_filtered, results[:20]))
    if not isinstance(results, Mapping):
        return False
    return results.get("filtered") is True or any(map(_is_filtered, results.values()))


def _is_moderated(envelope: Json) -> bool:
    if not isinstance(envelope, Mapping):
        return False
    metadata = envelope.get("metadata")
    inside = isinstance(metadata, Mapping) and bool(metadata.get("flagged_input") or metadata.get("reasons"))
    return inside or bool(envelope.get("moderation_details"))
