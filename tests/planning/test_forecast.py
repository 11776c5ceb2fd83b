"""How long a run takes at its limits, and how much disk it fills."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.engine.limits import windows
from batchgen.planning.forecast import (
    BESIDE,
    DAY,
    MARGIN,
    Disk,
    Forecast,
    Latency,
    Share,
    call_bytes,
    forecast,
    image_bytes,
)
from batchgen.providers.profile import Limits
from batchgen.task import Kind, Task


def even(seconds: float) -> Latency:
    """Return a latency that is the same for every answer."""
    return Latency(median=seconds, p90=seconds)


#: Wide enough never to decide anything.
WIDE = {"concurrency": 99}


@pytest.mark.parametrize(
    ("limits", "requests", "weight", "seconds", "named"),
    [
        pytest.param({"concurrency": 4}, 1, 1, 10, None, id="one-answer"),
        pytest.param({"concurrency": 4}, 4, 1, 10, None, id="all-at-once"),
        pytest.param({"concurrency": 4}, 10, 1, 30, "concurrency", id="three-rounds"),
        pytest.param({"concurrency": 50}, 1_000_000, 1, 200_000, "concurrency", id="a-million"),
        pytest.param(
            WIDE | {"requests_per_second": 0.1}, 10, 1, 90 * MARGIN + 10, "requests_per_second", id="a-second"
        ),
        pytest.param(
            WIDE | {"requests_per_minute": 2}, 10, 1, 270 * MARGIN + 10, "requests_per_minute", id="a-minute"
        ),
        pytest.param(WIDE | {"spacing": 20}, 10, 1, 180 * MARGIN + 10, "spacing", id="spacing"),
        pytest.param(
            WIDE | {"images_per_minute": 6}, 10, 3, 270 * MARGIN + 10, "images_per_minute", id="images"
        ),
        pytest.param(WIDE | {"requests_per_day": 5}, 10, 1, DAY + 10, "requests_per_day", id="a-day"),
        pytest.param(WIDE | {"requests_per_day": 5}, 11, 1, 2 * DAY + 10, "requests_per_day", id="days"),
        pytest.param(
            {"concurrency": 1, "requests_per_day": 9_000}, 9_001, 1, 90_010, "concurrency", id="a-day-is-no-limit"
        ),
        pytest.param(
            WIDE | {"requests_per_minute": 60, "images_per_minute": 6}, 10, 1, 90 * MARGIN + 10,
            "images_per_minute", id="the-tightest",
        ),
    ],
)  # fmt: skip
def test_forecast_follows_the_tightest_limit(limits, requests, weight, seconds, named):
    found = forecast(Limits(**limits), [Share(requests, weight, even(10))])
    assert found.expected == pytest.approx(seconds)
    assert found.limit == named


def test_forecast_of_nothing_is_zero():
    assert forecast(Limits(), []) == Forecast()
    assert forecast(Limits(), [Share(0, 1, Latency())]) == Forecast()


def test_forecast_uses_the_margins_of_the_run():
    assert pytest.approx(1 + windows.MARGIN) == MARGIN
    task = Task(kind=Kind.GENERATE, prompt="p", provider="p", model="m", size="1536x1024", n=3)
    assert call_bytes(task) == 3 * 1536 * 1024 * 8 // 3 + 65_536


@pytest.mark.parametrize("width", [1, 8, 300])
def test_forecast_of_a_long_run_uses_the_mean_latency(width):
    latency = Latency(median=45, p90=90)
    assert latency.mean == pytest.approx(52.1, rel=0.001)
    found = forecast(Limits(concurrency=width), [Share(1_000_000, 1, latency)])
    assert found.expected == pytest.approx(1_000_000 * latency.mean / width, rel=0.02)


def test_forecast_mixes_slow_and_fast_requests():
    shares = [Share(30_000, 1, even(10)), Share(10_000, 4, even(50))]
    assert forecast(Limits(concurrency=10), shares).expected == pytest.approx(80_000, rel=0.01)
    images = forecast(Limits(concurrency=1000, images_per_minute=60), shares).expected
    assert images == pytest.approx(70_000 * MARGIN, rel=0.01)


def test_forecast_is_narrower_for_measured_latencies():
    typical = forecast(Limits(concurrency=4), [Share(100, 1, Latency())])
    measured = forecast(Limits(concurrency=4), [Share(100, 1, Latency(measured=True))])
    assert typical.expected == measured.expected
    assert typical.low < measured.low < measured.expected < measured.high < typical.high


RATES = st.one_of(st.none(), st.floats(0.5, 600))
LIMITS = st.builds(
    Limits,
    requests_per_second=RATES,
    requests_per_minute=RATES,
    images_per_minute=RATES,
    requests_per_day=st.one_of(st.none(), st.integers(1, 50_000)),
    spacing=st.one_of(st.none(), st.floats(0.01, 30)),
    concurrency=st.integers(1, 60),
)
SHARES = st.lists(
    st.builds(
        Share,
        st.one_of(st.integers(1, 60), st.integers(4_000, 200_000)),
        st.integers(1, 6),
        st.builds(lambda median, tail: Latency(median=median, p90=median * tail), st.floats(0.1, 60), st.floats(1, 3)),
    ),
    min_size=1,
    max_size=3,
)


@given(LIMITS, SHARES)
def test_forecast_never_outruns_a_limit(limits, shares):
    found = forecast(limits, shares)
    requests = sum(share.requests for share in shares)
    images = sum(share.requests * share.weight for share in shares)
    assert 0 < found.low <= found.expected <= found.high
    for seconds in (found.low, found.expected, found.high):
        if limits.requests_per_second:
            assert seconds >= (requests - 1) / limits.requests_per_second
        if limits.requests_per_minute:
            assert seconds >= (requests - 1) / limits.requests_per_minute * 60
        if limits.images_per_minute:
            assert seconds >= (images - images / requests) / limits.images_per_minute * 60 * (1 - 1e-9)
        if limits.spacing:
            assert seconds >= (requests - 1) * limits.spacing
        if limits.requests_per_day:
            assert seconds >= (math.ceil(requests / limits.requests_per_day) - 1) * DAY


@given(LIMITS, SHARES)
def test_forecast_never_exceeds_the_concurrency(limits, shares):
    shares = [share._replace(latency=even(share.latency.median)) for share in shares]
    busy = sum(share.requests * share.latency.median for share in shares)
    assert forecast(limits, shares).expected >= 0.99 * busy / limits.concurrency


@given(LIMITS, SHARES, st.integers(1, 5), st.sampled_from([*Limits.model_fields]))
def test_forecast_is_never_slower_for_a_wider_limit(limits, shares, factor, name):
    before = getattr(limits, name)
    if before is None or name == "burst":
        return
    wider = limits.model_copy(update={name: before / factor if name == "spacing" else before * factor})
    assert forecast(wider, shares).expected <= (1 + 1e-9) * forecast(limits, shares).expected


@given(LIMITS, SHARES, st.integers(1, 10_000))
def test_forecast_is_never_faster_for_more_requests(limits, shares, more):
    share = shares[0]
    longer = share._replace(requests=share.requests + more)
    assert forecast(limits, [longer]).expected >= forecast(limits, [share]).expected


# --- disk ---------------------------------------------------------------------


def asked(**fields):
    return Task(kind=Kind.GENERATE, prompt="p", provider="p", model="m", **fields)


@pytest.mark.parametrize(
    ("fields", "pixels", "rate"),
    [
        ({"size": "1024x1024"}, 1024 * 1024, 1.5), ({"size": "1024x1024", "output_format": "jpeg"}, 1024 * 1024, 0.35),
        ({"size": "2048x1024", "output_format": "webp"}, 2048 * 1024, 0.25), ({}, 1024 * 1536, 1.5),
        ({"size": "auto"}, 1024 * 1536, 1.5), ({"size": "16:9", "resolution": "4K"}, 4096 * 4096, 1.5),
    ],
)  # fmt: skip
def test_an_image_takes_what_its_pixels_and_its_format_make_it(fields, pixels, rate):
    assert image_bytes(asked(**fields), {}) == math.ceil(pixels * rate) + BESIDE


def test_measured_images_count_more_than_typical_ones():
    measured = {"jpeg": 0.1}
    assert image_bytes(asked(size="1000x1000", output_format="jpeg"), measured) == 100_000 + BESIDE
    assert image_bytes(asked(size="1000x1000"), measured) == 1_500_000 + BESIDE


def test_there_is_room_where_the_free_space_is_unknown():
    assert [Disk(bytes=5, free_bytes=free).fits for free in (None, 4, 5)] == [True, False, True]
