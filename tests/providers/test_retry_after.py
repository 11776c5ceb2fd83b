"""How long to wait, in each of the places where providers say so."""

from __future__ import annotations

import pytest

from batchgen.providers.retry_after import go_duration, retry_after

NOW = "Sat, 21 Nov 2026 09:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "words", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, "", 1.5),
        ({"retry-after": "9", "x-ratelimit-reset-requests": "1m0s"}, "try again in 3s", 9.0),
        ({"retry-after": "0.5"}, "", 0.5),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:30 GMT", "date": NOW}, "", 30.0),
        ({"retry-after": "Sat, 21 Nov 2026 08:00:30 GMT", "date": NOW}, "", None),  # a wait of 0 says nothing
        ({"retry-after": "Sat, 21 Nov 2026 09:00:30 GMT"}, "", None),
        ({"retry-after": "soon"}, "Please try again in 1m", 60.0),
        ({"retry-after": "-5"}, "", None),
        ({"retry-after": "nan"}, "", None),
        ({"retry-after": "9" * 12}, "", None),
        ({}, "Please try again in 467ms.", 0.467),
        ({}, "retry after 2 seconds", 2.0),
        ({}, '[{"retryDelay": "12.5s"}]', 12.5),
        ({"x-ratelimit-reset-requests": "12ms", "x-ratelimit-reset-tokens": "6m0s"}, "", 360.0),
        (
            {
                "x-ratelimit-reset-requests": "12ms",
                "x-ratelimit-reset-tokens": "6m0s",
                "x-ratelimit-remaining-requests": "0",
            },
            "",
            0.012,
        ),
        ({"x-ratelimit-reset": "1795251605000", "date": NOW}, "", 5.0),
        ({"x-ratelimit-reset": "7"}, "", 7.0),
        ({"x-ratelimit-reset-requests": "later"}, "", None),
        ({"x-ms-retry-after-ms": "250"}, "", 0.25),
        ({"retry-after": "1m30s"}, "", 90.0),
        ({"retry-after": "30 seconds"}, "", 30.0),
        ({"retry-after": "5, 7"}, "", 7.0),
        ({"retry-after": "5, soon"}, "", None),
        ({"retry-after": "1795251605", "date": NOW}, "", 5.0),
        ({"retry-after": "1795251605000", "date": NOW}, "", 5.0),
        ({"retry-after": "1795251605"}, "", None),
        ({"retry-after": "2026-11-21T09:00:30Z", "date": NOW}, "", 30.0),
        ({"retry-after": "2026-11-21T09:00:30", "date": NOW}, "", None),
        ({"x-ratelimit-reset-requests": "7"}, "", 7.0),
        ({"x-ratelimit-reset": "2026-11-21T09:00:30+00:00", "date": NOW}, "", 30.0),
        ({}, "Please try again in 7m12s. Visit", 432.0),
        ({}, "try again in 2 minutes", 120.0),
        ({}, "Please wait 1 hour and 5 minutes before trying again", 3900.0),
        ({}, "Retrying in about 20 secs", 20.0),
        ({}, "retry after 2", 2.0),
        ({}, "try again after 2026-11-21", None),
        ({}, "try again in 3 days", 259_200.0),
        ({}, "try again in 8 days", None),
        ({}, "Please wait and try again.", None),
        ({}, "", None),
    ],
)
def test_retry_after(headers: dict[str, str], words: str, seconds: float | None) -> None:
    assert (
        retry_after(headers, words) == pytest.approx(seconds)
        if seconds is not None
        else not retry_after(headers, words)
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("12ms", 0.012), ("1s", 1), ("6m0s", 360), ("1h2m3.5s", 3723.5), ("x", None)]
)
def test_go_duration(text: str, seconds: float | None) -> None:
    assert go_duration(text) == (pytest.approx(seconds) if seconds is not None else None)
