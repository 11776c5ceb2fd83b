"""One lane for each provider: how wide, how patient, how fast, and what it has sent lately."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from ..lane import Lane
from ..limits import gate
from ..providers.profile import Profile
from ..retry import Policy
from ..store.sends import Sent, sends


def lane(known: Profile, width: int, table: Path, now: datetime) -> Lane:
    """Return the lane of a provider, *width* calls wide; its limits count what any run of *table* sent before *now*."""
    limits = known.limits
    made = Lane(
        provider=known.name,
        width=width,
        policy=Policy.of(
            attempts=known.retry.attempts,
            first_wait=known.retry.first_wait,
            max_wait=known.retry.max_wait,
            on_unknown=known.on_unknown,
        ),
        gate=gate(
            requests_per_second=limits.requests_per_second,
            requests_per_minute=limits.requests_per_minute,
            requests_per_day=limits.requests_per_day,
            images_per_minute=limits.images_per_minute,
            spacing=limits.spacing,
            burst=limits.burst,
        ),
    )
    if made.gate.paced:
        since = now - timedelta(seconds=made.gate.pace.memory)
        made.gate.seed(_ago(sends(table, known.name, since), now))
    return made


def _ago(sent: Iterable[Sent], now: datetime) -> Iterable[tuple[float, int]]:
    """Yield how many seconds ago each call went; a clock that was set back makes none of them a call to come."""
    for one in sent:
        yield max(0.0, (now - one.at).total_seconds()), one.images
