"""Name the fault in a reply: codes, then the HTTP status, and words only where the status leaves it open.  Pure.

Sources: OpenAI's error guide, OpenRouter's error types, aimlapi's error pages, New API's error codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..fault import FIREWALL, Cause, Charged, Fault, Scope
from ..task import Task
from .base import Reply
from .error_bodies import ErrorBody, clean, read_error
from .jsonbody import Json, Unreadable, read
from .profile import Profile
from .ratelimit_messages import limit_of_refusal
from .request_echo import RequestEcho, unescape_text
from .retry_after import retry_after
from .usage import read_usage


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MONEY = _words(
    "insufficient_quota credit_balance_exhausted organization_spend_limit_exceeded project_spend_limit_exceeded"
    " organization_usage_limit_exceeded billing_hard_limit_reached billing_not_active insufficient_user_quota"
    " pre_consume_token_quota_failed payment_required insufficient_credits insufficient_balance quota_exceeded"
)
_KEY = _words("invalid_api_key authentication authentication_error access_denied invalid_token unauthorized")
_POLICY = _words(
    "moderation_blocked content_policy_violation content_policy prompt_blocked sensitive_words_detected refusal"
    " content_filter content_filtered safety prohibited_content blocklist spii image_safety image_prohibited_content"
    " image_recitation recitation model_armor jailbreak safety_violation moderation"
)
_RATE = _words(
    "rate_limit_exceeded rate_limit_error slow_down server_is_overloaded provider_overloaded overloaded_error"
    " token_concurrency_limit_reached resource_exhausted model_capacity_exhausted too_many_requests"
    " tokens requests input-images"
)
_SETUP = _words("model_not_found get_channel_failed unsupported_country_region_territory model_not_available")
_ERROR = _words(
    "provider_unavailable server server_error internal_server_error do_request_failed bad_response_status_code"
    " bad_response_body empty_response image_download_failed upstream_error bad_gateway"
)
_INVALID = _words(
    "unknown_parameter invalid_value duplicate_parameter invalid_image_file invalid_input_fidelity_model"
    " invalid_image image_too_large image_too_small unsupported_image_format image_not_found payload_too_large"
    " missing_required_parameter string_above_max_length"
)

_MONEY_WORDS = re.compile(
    r"(?:run|ran) out of credits?|insufficient (?:credits?|balance|quota|funds)|exceeded your current quota"
    r"|not enough (?:credits?|balance|quota)|billing hard limit",
    re.IGNORECASE,
)
_POLICY_WORDS = re.compile(
    r"safety system|safety_violations|content policy"
    r"|usage polic|flagged by|moderation (?:system|policy|filter)|content moderation|prohibited content"
    r"|sensitive words",
    re.IGNORECASE,
)
_KEY_WORDS = re.compile(
    r"(?:invalid|incorrect|missing|wrong) api[ _-]?key|must be verified|country, region|unauthorized"
    r"|not supported in your (?:country|region)|account (?:is )?(?:suspended|disabled|deactivated|banned)"
    r"|ip not authorized",
    re.IGNORECASE,
)
_RATE_WORDS = re.compile(r"rate limit|too many requests|concurrency limit", re.IGNORECASE)
_BUSY_WORDS = re.compile(r"overloaded|\bbusy\b|at capacity", re.IGNORECASE)
_HTML = re.compile(r"<(?:!doctype html|html|head|title)\b", re.IGNORECASE)
_FIREWALL = re.compile(
    r"attention required|access denied|request blocked|error(?: code)?:? 10[0-9]{2}\b|web application firewall",
    re.IGNORECASE,
)
_MODEL_WORDS = re.compile(
    r"\bmodel\b.{0,80}(?:not found|does not exist|not available|not allowed|no access)", re.IGNORECASE
)
_INVALID_WORDS = re.compile(
    r"\binvalid (?:request|param|value|size|prompt|image|input)|validation error|\bis required\b", re.IGNORECASE
)
_LIMIT = re.compile(r"\blimit:? (\d[\d,]*)", re.IGNORECASE)
_REQUESTED = re.compile(r"\brequested:? (\d[\d,]*)", re.IGNORECASE)

_IDS = (
    "x-request-id",
    "x-inference-id",
    "x-aimlapi-request-id",
    "x-oneapi-request-id",
    "x-litellm-call-id",
    "request-id",
    "cf-ray",
)


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the provider's own id of a reply, for asking its support."""
    return next((clean(headers[name], 200) for name in _IDS if headers.get(name)), None)


def fault_of(reply: Reply, profile: Profile, document: Json = None, task: Task | None = None) -> Fault:
    """Return the fault in a reply that is no success.  *document* is its body, where it is already read.

    What the reply repeats of *task* is no evidence of anything.
    """
    if document is None:
        try:
            document = read(reply.body)
        except Unreadable:
            document = None
    said = read_error(document, reply.body)
    status = said.status if 200 <= reply.status < 300 and said.status else reply.status
    headers = {**said.headers, **reply.headers}
    echo = RequestEcho(task)
    heard = echo.without(said.words) if task else unescape_text(said.words)
    wait = retry_after(headers, heard)
    firewall = status == 403 and _from_firewall(reply, document)
    if firewall:
        cause, hint = (
            Cause.REFUSED,
            "a firewall in front of the provider blocked this request: change the prompt",
        )
    else:
        cause, hint = _cause(said, status, reply, profile, _Heard(heard, echo, wait))
    words = said.message or f"HTTP {status} and no message"
    words = f"blocked by a firewall in front of the provider: {words}" if firewall else words
    return Fault(
        cause=cause,
        message=words,
        charged=Charged.YES if cause is Cause.REFUSED and _paid(reply, document) else _charged(cause, status, profile),
        status=reply.status,
        code=FIREWALL if firewall else said.code,
        retry_after=wait if cause in (Cause.THROTTLED, Cause.ERROR) else None,
        limit=limit_of_refusal(headers, heard, said.codes) if cause is Cause.THROTTLED else None,
        hint=hint or cause.cure,
        scope=_scope(said, status, _Heard(heard, echo, wait)) if cause is Cause.DENIED else Scope.ACCOUNT,
    )


def spoiled_fault(message: str, status: int | None = 200, hint: str = "") -> Fault:
    """Return the fault of a paid answer that cannot be used."""
    return Fault(
        cause=Cause.SPOILED,
        message=clean(message, 500),
        charged=Charged.YES,
        status=status,
        hint=hint or Cause.SPOILED.cure,
    )


def empty_fault(document: Json, text: str | None, profile: Profile) -> Fault:
    """Return the fault of a good answer without an image: refused where it says so, else empty."""
    charged = Charged.NO if profile.charges_errors is False else Charged.MAYBE
    said = read_error(document, b"")
    blocked = said.stops & _POLICY
    words = clean(text or said.refusal or "", 500)
    if blocked or said.refusal:
        why = ", ".join(sorted(blocked)) or "refusal"
        message = f"refused ({why}): {words}" if words else f"refused ({why})"
        return Fault(
            cause=Cause.REFUSED,
            message=message,
            charged=charged,
            status=200,
            code=why,
            hint=Cause.REFUSED.cure,
        )
    stop = ", ".join(sorted(said.stops - {"stop", "none"}))
    message = "the answer holds no image" + (f" ({stop})" if stop else "") + (f": {words}" if words else "")
    return Fault(
        cause=Cause.EMPTY,
        message=message,
        charged=charged,
        status=200,
        code=stop or None,
        hint=Cause.EMPTY.cure,
    )


@dataclass(frozen=True, slots=True)
class _Heard:
    """The words of a reply that are evidence."""

    words: str  #: without what repeats the request
    echo: RequestEcho
    wait: float | None  #: the wait they or the headers state

    def has(self, pattern: re.Pattern[str]) -> bool:
        return self.echo.search(pattern, self.words)


def _from_firewall(reply: Reply, document: Json) -> bool:
    """Tell whether a 403 comes from a firewall in front of the provider: a page, or Cloudflare's own problem document.

    Source of the latter: Cloudflare's documents on its 1xxx errors.
    """
    if isinstance(document, Mapping):
        return document.get("cloudflare_error") is True
    if document is not None or not reply.body.strip():
        return False
    page = reply.body[:20_000].decode("utf-8", "replace")
    html = "html" in reply.headers.get("content-type", "") or _HTML.search(page[:2000]) is not None
    return html or _FIREWALL.search(page) is not None or any(name.startswith("x-sucuri") for name in reply.headers)


def _cause(said: ErrorBody, status: int, reply: Reply, profile: Profile, heard: _Heard) -> tuple[Cause, str]:
    """Return (cause, hint), the first rule that fits; "" where the cause's common hint will do."""
    policy = bool(said.codes & _POLICY) or said.moderated
    if said.codes & _MONEY or status == 402:
        return Cause.MONEY, ""
    if status == 401 or said.codes & _KEY:
        return Cause.DENIED, f"check the key in {' or '.join(profile.api_key_env) or 'the environment'}"
    if policy:
        return Cause.REFUSED, ""
    if said.codes & _SETUP:
        return Cause.DENIED, ""
    limited = heard.wait is not None or bool(said.codes & _RATE)
    if status in (200, 403, 429) and not (status == 429 and limited) and heard.has(_MONEY_WORDS):
        return Cause.MONEY, ""
    if status in (429, 503, 529) or said.codes & _RATE:
        return _throttled(heard.words)
    if status < 500:
        known = _cause_of_request(said, status, heard)
        if known:
            return known, ""
    cause, hint = _cause_by_status(status, profile)
    if cause is Cause.INVALID and reply.headers.get("x-should-retry") == "true":
        return Cause.ERROR, ""
    return cause, hint


def _cause_of_request(said: ErrorBody, status: int, heard: _Heard) -> Cause | None:
    """Name the cause by code, then by words where the status leaves it open; None: ask the status."""
    if said.codes & _INVALID:
        return Cause.INVALID
    if said.codes & _ERROR:
        return Cause.ERROR
    # Either way a 400 or 422 concerns its job alone; the words of gateways that drop the codes may say which.
    if status in (200, 400, 403, 422) and heard.has(_POLICY_WORDS):
        return Cause.REFUSED
    if status not in (200, 403):
        return None
    if heard.has(_RATE_WORDS) or (status == 200 and heard.has(_BUSY_WORDS)):
        return Cause.THROTTLED
    if heard.has(_MODEL_WORDS) or heard.has(_KEY_WORDS):
        return Cause.DENIED
    # Under a good status there is no status to ask: gptimageapi's own codes are not documented.
    return Cause.INVALID if status < 300 and heard.has(_INVALID_WORDS) else None


def _scope(said: ErrorBody, status: int, heard: _Heard) -> Scope:
    """Return what a denial holds for."""
    if status == 401 or said.codes & (_KEY | {"unsupported_country_region_territory"}):
        return Scope.ACCOUNT
    if said.codes & _SETUP or status == 404:
        return Scope.MODEL
    if heard.has(_KEY_WORDS):
        return Scope.ACCOUNT
    return Scope.MODEL if status == 403 or heard.has(_MODEL_WORDS) else Scope.ACCOUNT


def _throttled(words: str) -> tuple[Cause, str]:
    limit, requested = _LIMIT.search(words), _REQUESTED.search(words)
    if limit and requested and _number(requested[1]) > _number(limit[1]):
        return Cause.INVALID, f"one request may ask for {limit[1]} at most: ask for fewer images or a smaller one"
    return Cause.THROTTLED, ""


def _number(text: str) -> int:
    return int(text.replace(",", "")[:18])


def _cause_by_status(status: int, profile: Profile) -> tuple[Cause, str]:
    if status < 200 or status in (202, 204, 205, 206, 304):  # 304 is no answer to a POST, least of all a redirect
        return Cause.UNKNOWN, "the provider took the request and answered without a result"
    if status < 300:
        return Cause.ERROR, ""
    if status < 400:
        return Cause.DENIED, "the provider redirects: correct base_url (https, host, no page of its web site)"
    if status in (403, 404, 405, 407, 410, 421, 451):
        return Cause.DENIED, ""
    if status == 504:
        # aimlapi: "Generation timeout", the hold is rolled back.
        return (Cause.ERROR, "") if profile.charges_errors is False else (Cause.UNKNOWN, "")
    if 520 <= status <= 528 or status == 530:
        return Cause.UNKNOWN, ""
    if status in (408, 409, 425) or status >= 499:
        return Cause.ERROR, ""
    return Cause.INVALID, ""


def _charged(cause: Cause, status: int, profile: Profile) -> Charged:
    match cause:
        case Cause.UNKNOWN:
            return Charged.MAYBE
        case Cause.ERROR:
            return _by_custom(profile)
        case Cause.REFUSED:
            # A refusal of the finished picture may be billed; one that came as 4xx was refused before.
            return Charged.NO if status >= 400 else _by_custom(profile)
        case _:
            return Charged.NO


def _paid(reply: Reply, document: Json) -> bool:
    """Tell whether a reply of status 2xx states that something was used."""
    usage = read_usage(document, reply.headers) if 200 <= reply.status < 300 else None
    return usage is not None and any((usage.usd, usage.credits, usage.input_tokens, usage.output_tokens))


def _by_custom(profile: Profile) -> Charged:
    return {None: Charged.MAYBE, False: Charged.NO, True: Charged.YES}[profile.charges_errors]
