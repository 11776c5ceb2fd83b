"""What providers say of their limits, in headers and in words, as read by batchgen."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.fault import Cause, Charged, RateLimitInfo
from batchgen.providers.base import Reply
from batchgen.providers.error_mapping import fault_of
from batchgen.providers.presets import profile
from batchgen.providers.ratelimit_headers import read_rate_limit
from batchgen.providers.ratelimit_messages import limit_of_refusal
from batchgen.providers.retry_after import MAX_WAIT, retry_after

NOW = "Sat, 21 Nov 2026 09:00:00 GMT"
MINUTE, DAY = 60.0, 86_400.0


def requests(limit, remaining, reset, unit="requests"):
    named = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"x-ratelimit-{name}-{unit}": text for name, text in named.items() if text is not None}


def of_requests(limit, remaining, reset, window=None):
    return RateLimitInfo(limit=limit, remaining=remaining, reset_seconds=reset, window_seconds=window)


HEADERS = {
    "openai": (requests("5000", "4999", "12ms"), of_requests(5000, 4999, 0.012, MINUTE)),
    "openai, many": (requests("30000", "29999", "2ms"), of_requests(30_000, 29_999, 0.002, MINUTE)),
    "openai, in flight": (requests("500", "480", "2.3s"), of_requests(500, 480, 2.3, MINUTE)),
    "openai, nothing left": (requests("3", "0", "59.8s"), of_requests(3, 0, 59.8, MINUTE)),
    "openai, a day": (requests("200", "199", "7m12s"), of_requests(200, 199, 432, DAY)),
    "openai, a day with a short reset": (requests("10000", "9999", "8.64s"), of_requests(10_000, 9_999, 8.64, DAY)),
    "not like openai's": (requests("60", "30", "12s"), of_requests(60, 30, 12)),
    "all left": (requests("60", "60", "0s"), of_requests(60, 60, 0)),
    "no reset": (requests("60", "59", None), of_requests(60, 59, None)),
    "azure": (requests("60", "59", "1"), of_requests(60, 59, 1, MINUTE)),
    "images": (
        requests("5", "4", "12s", "images"),
        RateLimitInfo(limit=5, remaining=4, reset_seconds=12, window_seconds=MINUTE, unit="images"),
    ),
    "the slower of two": (
        requests("500", "499", "120ms") | requests("5", "5", "0s", "images"),
        of_requests(500, 499, 0.12, MINUTE),
    ),
    "the slower of two with windows": (
        requests("500", "499", "120ms") | requests("5", "4", "12s", "images"),
        RateLimitInfo(limit=5, remaining=4, reset_seconds=12, window_seconds=MINUTE, unit="images"),
    ),
    "tokens": (requests("100000", "99000", "600ms", "tokens"), None),
    "openrouter": (
        {
            "x-ratelimit-limit": "20",
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": "1795251605000",
            "date": NOW,
        },
        of_requests(20, 0, 5),
    ),
    "plain": (
        {"ratelimit-limit": "300", "ratelimit-remaining": "280", "ratelimit-reset": "53"},
        of_requests(300, 280, 53),
    ),
    "draft 03": (
        {"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "50", "ratelimit-reset": "7"},
        of_requests(100, 50, 7, MINUTE),
    ),
    "draft 03, several": (
        {"ratelimit-limit": "10, 10;w=1, 50;w=60, 1000;w=86400", "ratelimit-remaining": "3"},
        RateLimitInfo(limit=50, window_seconds=MINUTE),
    ),
    "envoy": (
        {"x-ratelimit-limit": '10, 10;w=60;name="a, b"', "x-ratelimit-remaining": "3", "x-ratelimit-reset": "9"},
        of_requests(10, 3, 9, MINUTE),
    ),
    "draft 07": (
        {"ratelimit": "limit=100, remaining=50, reset=30", "ratelimit-policy": "100;w=60"},
        of_requests(100, 50, 30, MINUTE),
    ),
    "draft 10": (
        {
            "ratelimit-policy": '"burst";q=100;w=60,"daily";q=1000;w=86400',
            "ratelimit": '"burst";r=50;t=30, "daily";r=900;t=4000',
        },
        of_requests(100, 50, 30, MINUTE),
    ),
    "draft 10, in flight": (
        {"ratelimit-policy": '"wide";q=4;qu="concurrent-requests"'},
        RateLimitInfo(limit=4, concurrent=True),
    ),
    "draft 10, bytes": (
        {"ratelimit-policy": '"a";q=65535;w=10;qu="content-bytes"', "ratelimit": '"a";r=1'},
        RateLimitInfo(remaining=1),
    ),
    "kong": (
        {"x-ratelimit-limit-minute": "30", "x-ratelimit-remaining-minute": "29"},
        RateLimitInfo(limit=30, remaining=29, window_seconds=MINUTE),
    ),
    "unlimited": ({"x-ratelimit-limit": "-1"}, None),
    "nothing": ({"x-ratelimit-limit-requests": "0"}, None),
    "rubbish": ({"x-ratelimit-limit-requests": "lots", "ratelimit-policy": ';;="', "ratelimit": "=,=;r"}, None),
    "huge": ({"x-ratelimit-limit-requests": "9" * 4000, "x-ratelimit-remaining": "nan"}, None),
    "exponent": ({"x-ratelimit-limit": "1e9", "ratelimit-limit": "inf"}, None),
    "far reset": (requests("60", "59", "9999h"), of_requests(60, 59, None)),
}


@pytest.mark.parametrize(("headers", "hint"), HEADERS.values(), ids=HEADERS)
def test_headers(headers, hint):
    assert read_rate_limit(headers) == hint


IMAGES = "Rate limit reached for gpt-image-1 (for limit gpt-image) in organization org-x on input-images per min: "
WORDS = {
    "openai images": (
        IMAGES + "Limit 5, Used 5, Requested 1. Please try again in 12s. Visit https://platform.openai.com/a/s to add.",
        RateLimitInfo(limit=5, used=5, window_seconds=MINUTE, unit="images"),
    ),
    "openai requests": (
        (
            "Rate limit reached for gpt-4 in organization org-x on requests per min (RPM): Limit 3, Used 3, "
            "Requested 1. Please try again in 20s."
        ),
        RateLimitInfo(limit=3, used=3, window_seconds=MINUTE),
    ),
    "openai a day": (
        "Rate limit for m on requests per day (RPD): Limit 10,000, Used 10,000, Requested 1. Try again in 8.64s",
        RateLimitInfo(limit=10_000, used=10_000, window_seconds=DAY),
    ),
    "openai before": (
        (
            "Rate limit reached for default-global-with-image-limits in organization org-x on requests per min. Limit: "
            "60.000000 / min. Current: 80.000000 / min. Contact support@openai.com if you continue to have issues."
        ),
        RateLimitInfo(limit=60, used=80, window_seconds=MINUTE),
    ),
    "openai dall-e": (
        "Rate limit exceeded for images per minute in organization org-x. Limit: 5/1min. Current: 6/1min.",
        RateLimitInfo(limit=5, used=6, window_seconds=MINUTE, unit="images"),
    ),
    "tokens": ("Rate limit reached on tokens per min (TPM): Limit 10000, Used 6701, Requested 4497.", None),
    "bare": ("Limit: 60 / min", RateLimitInfo(limit=60, window_seconds=MINUTE)),
    "prose": (
        "You exceeded the rate limit of 10 images per minute",
        RateLimitInfo(limit=10, window_seconds=MINUTE, unit="images"),
    ),
    "short": ("Maximum is 15 RPM for this model", RateLimitInfo(limit=15, window_seconds=MINUTE)),
    "short images": ("Over 15 IPM", RateLimitInfo(limit=15, window_seconds=MINUTE, unit="images")),
    "spans": ("At most 200 requests per 10 seconds", RateLimitInfo(limit=200, window_seconds=10)),
    "slash": ("Allowed: 200 req/60 s.", RateLimitInfo(limit=200, window_seconds=MINUTE)),
    "google": (
        (
            'Quota exceeded for metric: generate_requests, limit: 10 [{"quotaId": '
            '"GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "quotaValue": "10"}]'
        ),
        RateLimitInfo(limit=10, window_seconds=MINUTE),
    ),
    "google value": (
        '[{"quotaId": "RequestsPerMinutePerProject", "quotaValue": "7"}]',
        RateLimitInfo(limit=7, window_seconds=MINUTE),
    ),
    "two windows": ("Rate limit 5: 5 requests per minute or 100 requests per day", RateLimitInfo(limit=5)),
    "no window": ("Rate limit: 5", RateLimitInfo(limit=5)),
    "concurrency": ("You have reached your concurrency limit of 4", RateLimitInfo(limit=4, concurrent=True)),
    "concurrency before": ("Only 4 concurrent requests are allowed", RateLimitInfo(limit=4, concurrent=True)),
    "concurrency behind": ("Maximum concurrent requests: 4", RateLimitInfo(limit=4, concurrent=True)),
    "concurrency without": ("Too many concurrent requests. Slow down.", RateLimitInfo(concurrent=True)),
    "advice": ("Too many requests. Please reduce concurrency or wait.", None),
    "aimlapi": ("Too many requests. Slow down and try again.", None),
    "status": ("Rate limit: 429 Too Many Requests", None),
    "openrouter alone": ("Rate limit exceeded: free-models-per-min", None),
    "rubbish": ("Limit -5 / min, limit nan per min, limit 0 per min", None),
    "huge": ("Limit " + "9" * 400 + " / min", None),
    "overloaded": ("The server is overloaded. Please try again later.", None),
}


@pytest.mark.parametrize(("words", "hint"), WORDS.values(), ids=WORDS)
def test_words(words, hint):
    assert limit_of_refusal({}, words) == hint


def test_a_code_alone_reports_concurrency():
    assert limit_of_refusal({}, "Slow down.", frozenset({"token_concurrency_limit_reached"})) == RateLimitInfo(
        concurrent=True
    )


def test_words_win_over_headers_and_headers_fill_gaps():
    minute = requests("500", "499", "120ms")
    assert limit_of_refusal(minute, WORDS["openai images"][0]) == WORDS["openai images"][1]
    assert (
        limit_of_refusal(minute, WORDS["tokens"][0])
        == limit_of_refusal(minute, "")
        == of_requests(500, 499, 0.12, MINUTE)
    )
    assert limit_of_refusal(minute, "Limit 500, Used 500").window_seconds == MINUTE
    assert limit_of_refusal(minute | requests("9", "0", "7s", "images"), "") == RateLimitInfo(
        limit=9, remaining=0, reset_seconds=7, unit="images"
    )
    nameless = {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0"}
    said = limit_of_refusal(nameless, "Rate limit exceeded: free-models-per-min")
    assert said == RateLimitInfo(limit=20, remaining=0, window_seconds=MINUTE)
    assert limit_of_refusal(nameless, "Too many concurrent requests") == RateLimitInfo(concurrent=True)


def test_openrouter_repeats_headers_in_its_body():
    upstream = {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795251605000"}
    error = {"message": "Rate limit exceeded: free-models-per-day.", "code": 429, "metadata": {"headers": upstream}}
    fault = fault_of(Reply(status=429, body=b"{}", headers={"date": NOW}), profile("openrouter"), {"error": error})
    assert (fault.cause, fault.charged, fault.retry_after) == (Cause.THROTTLED, Charged.NO, 5.0)
    assert fault.limit == of_requests(50, 0, 5, DAY)


@pytest.mark.parametrize("holder", ["availability", "metadata"])
def test_a_body_says_how_long_to_wait(holder):
    document = {"error": {"message": "Slow down.", "code": 429, holder: {"retry_after": 2.5}}}
    assert fault_of(Reply(status=429, body=b"{}"), profile("openrouter"), document).retry_after == 2.5


def test_only_a_throttled_call_reports_a_limit():
    body = b'{"error": {"message": "Limit 5, Used 5 per min", "code": "invalid_api_key"}}'
    assert fault_of(Reply(status=401, body=body), profile("openai")).limit is None


NAMES = [name for headers, _ in HEADERS.values() for name in headers] + ["retry-after", "retry-after-ms"]
HOSTILE = st.text(max_size=60) | st.sampled_from(
    [
        "nan",
        "-1",
        "1e999",
        "٣",
        "9" * 500,
        ";w=0",
        '"',
        "0000-00-00T00:00Z",
        "1s" * 99,
        "Sun, 99 Jan 0000 00:00:00 +9999",
    ]
)
PIECES = st.lists(
    st.sampled_from(
        [
            *"0159.,:;=/ \"'-",
            "limit",
            "used",
            "per",
            "min",
            "images",
            "concurrent",
            "requests",
            "try again in",
            "٣",
            "e9",
        ]
    ),
    max_size=40,
).map("".join)


@given(st.dictionaries(st.sampled_from(NAMES), HOSTILE | PIECES, max_size=8), HOSTILE | PIECES)
def test_nothing_that_is_stated_breaks_anything(headers, words):
    for hint in (read_rate_limit(headers), limit_of_refusal(headers, words)):
        if hint is not None:
            for number in (hint.limit, hint.remaining, hint.used, hint.reset_seconds, hint.window_seconds):
                assert number is None or (math.isfinite(number) and 0 <= number < 1e11)
            assert hint.limit is None or hint.limit >= 1
            assert hint.window_seconds is None or hint.window_seconds > 0
    wait = retry_after(headers, words)
    assert wait is None or 0 <= wait <= MAX_WAIT
