"""Error mapping: from a reply to a Fault, by code, then by HTTP status, and by message if the status is ambiguous.

Sources: OpenAI's error guide, OpenRouter's error types, aimlapi's error pages, New API's error codes, Microsoft Learn
on Azure's images, Ark's error codes; for xAI, what users of continue (issues 10373, 10740) and of Vercel's SDK (issue
19168) report.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..fault import FIREWALL, Cause, Charged, Fault, Scope
from ..task import Task
from .base import Reply
from .cost import Cost
from .error_bodies import ErrorBody, clean, read_error
from .jsonbody import Json, read_or_none
from .profile import Profile
from .ratelimit_messages import limit_of_refusal
from .request_echo import RequestEcho
from .retry_after import retry_after
from .usage import read_usage


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MONEY = _codes(
    "insufficient_quota credit_balance_exhausted organization_spend_limit_exceeded project_spend_limit_exceeded"
    " organization_usage_limit_exceeded billing_hard_limit_reached billing_not_active insufficient_user_quota"
    " pre_consume_token_quota_failed payment_required insufficient_credits insufficient_balance quota_exceeded"
    " not_enough_credits accountoverdueerror setlimitexceeded quotaexceeded"
)
_KEY = _codes(
    "invalid_api_key authentication authentication_error access_denied invalid_token unauthorized"
    " api_key_invalid api_key_expired api_key_service_blocked service_disabled consumer_suspended"
)
_POLICY = _codes(
    "moderation_blocked content_policy_violation content_policy prompt_blocked sensitive_words_detected refusal"
    " content_filter content_filtered safety prohibited_content blocklist spii image_safety image_prohibited_content"
    " image_recitation recitation model_armor jailbreak safety_violation moderation"
    " contentfilter responsibleaipolicyviolation inputtextsensitivecontentdetected inputimagesensitivecontentdetected"
    " outputtextsensitivecontentdetected outputimagesensitivecontentdetected"
)
_RATE = _codes(
    "rate_limit_exceeded rate_limit_error slow_down server_is_overloaded provider_overloaded overloaded_error"
    " token_concurrency_limit_reached resource_exhausted model_capacity_exhausted too_many_requests"
    " tokens requests input-images"
)
_SETUP = _codes("model_not_found get_channel_failed unsupported_country_region_territory model_not_available")
_ERROR = _codes(
    "provider_unavailable server server_error internal_server_error do_request_failed bad_response_status_code"
    " bad_response_body empty_response image_download_failed upstream_error bad_gateway"
)
_INVALID = _codes(
    "unknown_parameter invalid_value duplicate_parameter invalid_image_file invalid_input_fidelity_model"
    " invalid_image image_too_large image_too_small unsupported_image_format image_not_found payload_too_large"
    " missing_required_parameter string_above_max_length"
)

_MONEY_WORDS = re.compile(
    r"(?:run|ran) out of credits?|insufficient (?:credits?|balance|quota|funds)|exceeded your current quota"
    r"|not enough (?:credits?|balance|quota)|billing hard limit|used all available credits|monthly spending limit"
    r"|(?:doesn't|does not) have any credits|overdue balance",
    re.IGNORECASE,
)
#: Google's refusal of a model that an account may not use without billing.
_NO_QUOTA = re.compile(r"quota exceeded.{0,200}\blimit: 0\b", re.IGNORECASE | re.DOTALL)
_POLICY_WORDS = re.compile(
    r"safety system|safety_violations|content policy"
    r"|usage polic|usage guidelines|flagged by|moderation (?:system|policy|filter)|content moderation"
    r"|prohibited content|sensitive words",
    re.IGNORECASE,
)
_KEY_WORDS = re.compile(
    r"(?:invalid|incorrect|missing|wrong) api[ _-]?key|must be verified|country, region|unauthorized"
    r"|not supported in your (?:country|region)|account (?:is )?(?:suspended|disabled|deactivated|banned)"
    r"|ip not authorized",
    re.IGNORECASE,
)
#: xAI answers a wrong key with 400; Azure blocks a whole resource with words about its content policy.
_WRONG_KEY = re.compile(r"incorrect api key|your (?:resource|account) has been (?:temporarily )?blocked", re.IGNORECASE)
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

_ID_HEADERS = ("x-request-id", "x-inference-id", "x-aimlapi-request-id", "x-oneapi-request-id", "x-litellm-call-id",
               "request-id", "cf-ray")  # fmt: skip


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the provider's own id of a reply, which its support asks for."""
    return next((clean(headers[name], 200) for name in _ID_HEADERS if headers.get(name)), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Evidence:
    """What a failed reply reveals about its cause."""

    error: ErrorBody
    status: int
    words: str  #: its messages, without what repeats the request
    echo: RequestEcho
    wait: float | None  #: seconds to wait, by its messages or headers

    def matches(self, pattern: re.Pattern[str]) -> bool:
        return self.echo.search(pattern, self.words)

    def has(self, codes: frozenset[str]) -> bool:
        return bool(self.error.codes & codes)


def fault_of(reply: Reply, profile: Profile, document: Json = None, task: Task | None = None) -> Fault:
    """Return the fault in a reply that is not a success. *document* is its body, if that has been read already.

    Text that only repeats *task* is not evidence.
    """
    document = read_or_none(reply.body) if document is None else document
    error = read_error(document, reply.body)
    status = error.status if 200 <= reply.status < 300 and error.status else reply.status
    headers = {**error.headers, **reply.headers}
    echo = RequestEcho(task)
    words = echo.without(error.words)
    wait = retry_after(headers, words)
    evidence = _Evidence(error=error, status=status, words=words, echo=echo, wait=wait)
    cause, hint = _cause(evidence, reply, profile)
    message, code = error.message or f"HTTP {status} and no message", error.code
    if status == 403 and _from_firewall(reply, document):
        cause, hint = Cause.REFUSED, "a firewall in front of the provider blocked this request: change the prompt"
        message, code = f"blocked by a firewall in front of the provider: {message}", FIREWALL
    return Fault(
        cause=cause,
        message=message,
        charged=Charged.YES
        if cause is Cause.REFUSED and _is_paid(reply, document, profile.cost)
        else _charged(cause, status, profile),
        status=reply.status,
        code=code,
        retry_after=wait if cause in (Cause.THROTTLED, Cause.ERROR) else None,
        limit=limit_of_refusal(headers, words, error.codes) if cause is Cause.THROTTLED else None,
        hint=hint or cause.cure,
        scope=_scope(evidence) if cause is Cause.DENIED else Scope.ACCOUNT,
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
    """Return the fault of a good answer without an image: REFUSED if it contains a refusal, otherwise EMPTY."""
    error = read_error(document, b"")
    blocked = error.stops & _POLICY
    words = clean(text or error.refusal or "", 500)
    if blocked or error.refusal:
        cause, reasons = Cause.REFUSED, ", ".join(sorted(blocked)) or "refusal"
        message = f"refused ({reasons})"
    else:
        cause, reasons = Cause.EMPTY, ", ".join(sorted(error.stops - {"stop", "none"}))
        message = f"the answer contains no image ({reasons})" if reasons else "the answer contains no image"
    return Fault(
        cause=cause,
        message=f"{message}: {words}" if words else message,
        charged=Charged.NO if profile.charges_errors is False else Charged.MAYBE,
        status=200,
        code=reasons or None,
        hint=cause.cure,
    )


def _from_firewall(reply: Reply, document: Json) -> bool:
    """Return whether a 403 comes from a firewall in front of the provider: a page, or Cloudflare's problem document.

    Source of the latter: Cloudflare's documentation of its 1xxx errors.
    """
    if isinstance(document, Mapping):
        return document.get("cloudflare_error") is True
    if document is not None or not reply.body.strip():
        return False
    page = reply.body[:20_000].decode("utf-8", "replace")
    html = "html" in reply.headers.get("content-type", "") or _HTML.search(page[:2000]) is not None
    return html or _FIREWALL.search(page) is not None or any(name.startswith("x-sucuri") for name in reply.headers)


def _cause(evidence: _Evidence, reply: Reply, profile: Profile) -> tuple[Cause, str]:
    """Return (cause, hint) by the first rule that fits; "" if the cause's own cure is the hint."""
    status = evidence.status
    if evidence.has(_MONEY) or status == 402 or (status == 429 and evidence.matches(_NO_QUOTA)):
        return Cause.MONEY, ""
    if status == 401 or evidence.has(_KEY):
        return Cause.DENIED, f"check the key in {' or '.join(profile.api_key_env) or 'the environment'}"
    if evidence.has(_POLICY) or evidence.error.moderated:
        return Cause.REFUSED, ""
    if evidence.has(_SETUP):
        return Cause.DENIED, ""
    limited = evidence.wait is not None or evidence.has(_RATE)
    if status in (200, 403, 429) and not (status == 429 and limited) and evidence.matches(_MONEY_WORDS):
        return Cause.MONEY, ""
    if status in (429, 503, 529) or evidence.has(_RATE):
        return _throttled(evidence.words)
    if status < 500 and (cause := _cause_of_request(evidence)):
        return cause, ""
    cause, hint = _cause_of_status(status, profile)
    if cause is Cause.INVALID and reply.headers.get("x-should-retry") == "true":
        return Cause.ERROR, ""
    return cause, hint


def _cause_of_request(evidence: _Evidence) -> Cause | None:
    """Return the cause by code, or by message if the status is ambiguous; None if only the status can decide."""
    status = evidence.status
    if evidence.has(_INVALID):
        return Cause.INVALID
    if evidence.has(_ERROR):
        return Cause.ERROR
    if status in (400, 403) and evidence.matches(_WRONG_KEY):
        return Cause.DENIED
    # Either way a 400 or 422 concerns only its own job; if a gateway drops the codes, the message may show which.
    if status in (200, 400, 403, 422) and evidence.matches(_POLICY_WORDS):
        return Cause.REFUSED
    if status not in (200, 403):
        return None
    if evidence.matches(_RATE_WORDS) or (status == 200 and evidence.matches(_BUSY_WORDS)):
        return Cause.THROTTLED
    if evidence.matches(_MODEL_WORDS) or evidence.matches(_KEY_WORDS):
        return Cause.DENIED
    # A good status proves nothing here, and gptimageapi does not document its own codes.
    return Cause.INVALID if status < 300 and evidence.matches(_INVALID_WORDS) else None


def _scope(evidence: _Evidence) -> Scope:
    """Return what a denial applies to."""
    if evidence.status == 401 or evidence.has(_KEY | {"unsupported_country_region_territory"}):
        return Scope.ACCOUNT
    if evidence.has(_SETUP) or evidence.status == 404:
        return Scope.MODEL
    if evidence.matches(_KEY_WORDS) or evidence.matches(_WRONG_KEY):
        return Scope.ACCOUNT
    return Scope.MODEL if evidence.status == 403 or evidence.matches(_MODEL_WORDS) else Scope.ACCOUNT


def _throttled(words: str) -> tuple[Cause, str]:
    limit, requested = _LIMIT.search(words), _REQUESTED.search(words)
    if limit and requested and _number(requested[1]) > _number(limit[1]):
        return Cause.INVALID, f"one request may ask for at most {limit[1]}: ask for fewer images or a smaller one"
    return Cause.THROTTLED, ""


def _number(text: str) -> int:
    return int(text.replace(",", "")[:18])


def _cause_of_status(status: int, profile: Profile) -> tuple[Cause, str]:
    if status < 200 or status in (202, 204, 205, 206, 304):  # 304 is not a valid answer to a POST
        return Cause.UNKNOWN, "the provider accepted the request and answered without a result"
    if status < 300:
        return Cause.ERROR, ""
    if status < 400:
        return Cause.DENIED, "the provider redirects: correct base_url (https, host, not a page of its web site)"
    if status in (403, 404, 405, 407, 410, 421, 451):
        return Cause.DENIED, ""
    if status == 504:
        # aimlapi: "Generation timeout", and the hold on the balance is rolled back.
        return (Cause.ERROR, "") if profile.charges_errors is False else (Cause.UNKNOWN, "")
    if 520 <= status <= 528 or status == 530:
        return Cause.UNKNOWN, ""
    if status in (408, 409, 425) or status >= 499:
        return Cause.ERROR, ""
    return Cause.INVALID, ""


def _charged(cause: Cause, status: int, profile: Profile) -> Charged:
    billing = {None: Charged.MAYBE, False: Charged.NO, True: Charged.YES}[profile.charges_errors]
    match cause:
        case Cause.UNKNOWN:
            return Charged.MAYBE
        case Cause.ERROR:
            return billing
        case Cause.REFUSED:
            # A refusal of the finished image may be billed; a 4xx was refused before any work was done, as a rule.
            if status >= 400:
                return Charged.MAYBE if profile.charges_refusals else Charged.NO
            return billing
        case _:
            return Charged.NO


def _is_paid(reply: Reply, document: Json, cost: Cost | None) -> bool:
    """Return whether a reply with a 2xx status states usage."""
    usage = read_usage(document, reply.headers, cost=cost) if 200 <= reply.status < 300 else None
    return usage is not None and any((usage.usd, usage.credits, usage.input_tokens, usage.output_tokens))
