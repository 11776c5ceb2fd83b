"""The time zone of this process, for as long as a test needs another."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: Spelled out, for a machine may know no names of zones. A day of 23 hours in March, one of 25 in October.
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
#: The clock goes from 23:59:59 to 01:00 on the last Friday in April: that day has no midnight.
CAIRO = "EET-2EEST,M4.5.5/0,M10.5.4/24"
KATHMANDU = "NPT-5:45"


@contextmanager
def local(zone: str) -> Iterator[None]:
    """Let this process live in *zone*."""
    before = os.environ.get("TZ")
    try:
        os.environ["TZ"] = zone
        time.tzset()
        yield
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


#: Half an hour of summer time: 02:00 is 02:30 on the first Sunday in October, and in April 01:30 comes twice.
LORD_HOWE = "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"
NEW_YORK = "EST5EDT,M3.2.0,M11.1.0"
#: By name, as the rule of a zone that skips a day cannot be spelled out: it had no 30 December 2011.
APIA = "Pacific/Apia"
