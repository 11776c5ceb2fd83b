"""Calendar days and months of this machine's time zone, as periods of a budget. Pure: the time is an argument."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum


class CalendarPeriod(StrEnum):
    """A calendar day or month by the clock of this machine; a day in which the clocks change has 23 or 25 hours."""

    DAY = "day"
    MONTH = "month"

    @property
    def scope(self) -> str:
        """Return the current period as text."""
        return "today" if self is CalendarPeriod.DAY else "this month"

    def begins(self, moment: datetime) -> datetime:
        """Return when the period of *moment* began, in UTC."""
        return midnight(self._first_day(moment))

    def ends(self, moment: datetime) -> datetime:
        """Return when the period of *moment* ends, in UTC."""
        day = self._first_day(moment)
        step = timedelta(days=1)
        while True:
            day += step
            # A zone that moves across the date line skips a whole day, which then begins where the next one does.
            if (self is CalendarPeriod.DAY or day.day == 1) and (end := midnight(day)) > moment:
                return end

    def _first_day(self, moment: datetime) -> date:
        day = moment.astimezone().date()
        return day if self is CalendarPeriod.DAY else day.replace(day=1)


def midnight(day: date) -> datetime:
    """Return the first moment of a day in this machine's time zone, in UTC.

    The offset of another hour of that day may be wrong at midnight, and some days have no 00:00.
    """
    return datetime.fromtimestamp(datetime(day.year, day.month, day.day).timestamp(), UTC)  # noqa: DTZ001 - local


def next_time_of_day(hour: int, minute: int, now: datetime) -> datetime:
    """Return when the clock of this machine next shows a time of day, as a local time.

    A time that the clock skips is reached when the clock jumps over it. Of a time that it shows twice, the first that
    is still to come counts.
    """
    day = now.astimezone().date()
    for ahead in range(-1, 4):
        date_ = day + timedelta(days=ahead)
        for fold in (0, 1):
            wall = datetime(date_.year, date_.month, date_.day, hour, minute, fold=fold)  # noqa: DTZ001 - local
            moment = datetime.fromtimestamp(wall.timestamp(), UTC)
            shown = moment.astimezone()
            if shown.replace(tzinfo=None) != wall.replace(fold=0):
                # Skipped: the jump itself lies between the readings of the two offsets.
                moment = _jump(wall)
            if moment > now:
                return moment.astimezone()
    raise AssertionError("a clock shows every time of day, or jumps over it, within four days")


def _jump(wall: datetime) -> datetime:
    """Return when the clock jumps over *wall*, a local time that it never shows."""
    late, early = (wall.replace(fold=fold).timestamp() for fold in (0, 1))
    # Within a skipped hour, fold=0 uses the offset before the jump and reads late; fold=1 reads early.
    before, after = early, late
    while after - before > 1:
        middle = (before + after) / 2
        if datetime.fromtimestamp(middle) < wall.replace(fold=0):  # noqa: DTZ006 - local
            before = middle
        else:
            after = middle
    return datetime.fromtimestamp(round(after), UTC)
