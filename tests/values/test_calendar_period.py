"""Days, months and times of day by the clock on the wall, in the nights in which that changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batchgen.calendar_period import CalendarPeriod, next_time_of_day
from tests.zones import APIA, BERLIN, CAIRO, KATHMANDU, LORD_HOWE, NEW_YORK, local

HAS_ZONES = Path("/usr/share/zoneinfo", APIA).exists()
needs_zones = pytest.mark.skipif(not HAS_ZONES, reason="this machine has no names of time zones")


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("zone", "moment", "begin", "hours"),
    [
        pytest.param(BERLIN, at(2026, 3, 29, 10), at(2026, 3, 28, 23), 23, id="spring"),
        pytest.param(BERLIN, at(2026, 10, 25, 12), at(2026, 10, 24, 22), 25, id="autumn"),
        pytest.param(BERLIN, at(2026, 10, 25, 0, 30), at(2026, 10, 24, 22), 25, id="first-two-o-clock"),
        pytest.param(BERLIN, at(2026, 7, 1, 12), at(2026, 6, 30, 22), 24, id="summer"),
        pytest.param(NEW_YORK, at(2026, 11, 1, 12), at(2026, 11, 1, 4), 25, id="new-york"),
        pytest.param(LORD_HOWE, at(2026, 4, 4, 16), at(2026, 4, 4, 13), 24.5, id="half-an-hour"),
        pytest.param(CAIRO, at(2026, 4, 24, 12), at(2026, 4, 23, 22), 23, id="no-midnight"),
        pytest.param(KATHMANDU, at(2026, 4, 24, 18, 14), at(2026, 4, 23, 18, 15), 24, id="odd-offset"),
        pytest.param(APIA, at(2011, 12, 30, 9), at(2011, 12, 29, 10), 24, id="day-before-none", marks=needs_zones),
        pytest.param(APIA, at(2011, 12, 30, 10), at(2011, 12, 30, 10), 24, id="day-after-none", marks=needs_zones),
    ],
)
def test_calendar_day_lasts_from_midnight_to_midnight(zone, moment, begin, hours):
    with local(zone):
        day = CalendarPeriod.DAY
        assert day.begins(moment) == begin
        assert day.ends(moment) == begin + timedelta(hours=hours)
        assert day.begins(day.ends(moment)) == day.ends(moment)


def test_calendar_month_spans_a_clock_change():
    with local(BERLIN):
        month, moment = CalendarPeriod.MONTH, at(2026, 3, 29, 10)
        assert month.begins(moment) == at(2026, 2, 28, 23)
        assert month.ends(moment) == at(2026, 3, 31, 22)
        assert month.ends(at(2026, 12, 31, 22, 59)) == at(2026, 12, 31, 23)


@pytest.mark.parametrize(
    ("zone", "time_of_day", "now", "expected"),
    [
        pytest.param(BERLIN, (6, 30), at(2026, 3, 28, 22), at(2026, 3, 29, 4, 30), id="after-spring-night"),
        pytest.param(BERLIN, (6, 30), at(2026, 10, 24, 22), at(2026, 10, 25, 5, 30), id="after-autumn-night"),
        pytest.param(BERLIN, (2, 30), at(2026, 3, 28, 22), at(2026, 3, 29, 1), id="skipped"),
        pytest.param(BERLIN, (2, 30), at(2026, 10, 24, 22), at(2026, 10, 25, 0, 30), id="first-of-two"),
        pytest.param(BERLIN, (2, 30), at(2026, 10, 25, 0, 45), at(2026, 10, 25, 1, 30), id="second-of-two"),
        pytest.param(BERLIN, (2, 30), at(2026, 10, 25, 1, 45), at(2026, 10, 26, 1, 30), id="both-passed"),
        pytest.param(LORD_HOWE, (2, 15), at(2026, 10, 3, 12), at(2026, 10, 3, 15, 30), id="skipped-half-hour"),
        pytest.param(LORD_HOWE, (1, 45), at(2026, 4, 4, 14, 50), at(2026, 4, 4, 15, 15), id="second-half-hour"),
        pytest.param(CAIRO, (0, 0), at(2026, 4, 23, 12), at(2026, 4, 23, 22), id="no-midnight"),
        pytest.param(APIA, (12, 0), at(2011, 12, 29, 23), at(2011, 12, 30, 10), id="no-such-day", marks=needs_zones),
        pytest.param(KATHMANDU, (6, 0), at(2026, 1, 1, 0, 15), at(2026, 1, 2, 0, 15), id="exactly-now"),
    ],
)
def test_time_of_day_comes_when_the_clock_shows_or_passes_it(zone, time_of_day, now, expected):
    with local(zone):
        assert next_time_of_day(*time_of_day, now) == expected
