"""Types of option values: what they accept, and what they refuse before a run begins."""

from datetime import datetime, timedelta

import click
import pytest

from batchgen.cli.params import AGE, MAX_TIME


@pytest.mark.parametrize(
    ("kind", "text", "span"),
    [
        (MAX_TIME, "90", timedelta(seconds=90)),
        (MAX_TIME, "1.5h", timedelta(minutes=90)),
        (AGE, "12h", timedelta(hours=12)),
        (AGE, "5000w", timedelta(weeks=5000)),
    ],
)
def test_a_duration_is_read_with_its_unit(kind, text, span):
    assert kind.convert(text, None, None) == span
    now = datetime(2026, 11, 20)  # noqa: DTZ001
    assert now - span < now + span  # no overflow


@pytest.mark.parametrize(
    ("kind", "text"), [(MAX_TIME, "999999999h"), (MAX_TIME, "-1h"), (AGE, "999999999d"), (AGE, "30"), (AGE, "30s")]
)
def test_a_duration_beyond_the_calendar_is_refused(kind, text):
    with pytest.raises(click.BadParameter, match="expected a duration such as"):
        kind.convert(text, None, None)
