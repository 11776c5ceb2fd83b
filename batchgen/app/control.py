"""What a person tells a run from another terminal: pause, go on, other limits.  It holds until it is taken back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from types import NoneType
from typing import get_args

import anyio
from pydantic import ValidationError

from ..errors import SettingsError, UsageError, suggest
from ..files import lock
from ..files.lock import Holder
from ..files.output import make_private
from ..job import Job, State
from ..planning.selection import Selection
from ..providers.presets import preset_names
from ..providers.profile import Limits
from ..store import controls, migrate
from ..store.controls import Control
from ..store.reader import Reader
from ..store.records import Batch
from ..store.writer import Writer
from .clock import utc_now
from .config import providers
from .preflight import require_local
from .project import Project, open_reader

#: The limits that a person can change while a run is on.
STEERED = [name for name in Limits.model_fields if name != "adaptive"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlState:
    """What holds for a provider now."""

    control: Control
    changed: bool
    settings: Limits | None  #: of preset and ``batchgen.yaml``; None where neither can tell
    holder: Holder | None  #: who works on the job table

    @property
    def limits(self) -> Mapping[str, float | None]:
        """Return what holds, as far as a manifest does not say otherwise; nothing of what nobody said."""
        known = self.settings.model_dump(include=set(STEERED)) if self.settings else {}
        return known | dict(self.control.limits)


def active_controls(project: Project) -> Sequence[Control]:
    """Return the pauses and limits in force; those of a job table in an older form are not read."""
    return tuple(controls.standing(project.db).values()) if migrate.revision(project.db) == migrate.HEAD else ()


def pause(project: Project, provider: str) -> ControlState:
    """Let no new calls go to *provider*; those under way end.  Raises UsageError for an unknown provider."""
    now = utc_now()
    return _say(project, provider, lambda said: replace(said, paused_at=said.paused_at or now))


def resume(project: Project, provider: str) -> ControlState:
    """Take a pause back, and let a run try again what it has closed."""
    now = utc_now()
    return _say(project, provider, lambda said: replace(said, paused_at=None, said_at=now))


def limit(project: Project, provider: str, words: Sequence[str], *, reset: bool = False) -> ControlState:
    """Put the limits *words* (``KEY=VALUE``) in force for *provider*, beside those said before; *reset* forgets these.

    Without any it only tells what holds.  Raises UsageError for a key or a value that there is not.
    """
    wanted = parse_limits(words)

    def say(said: Control) -> Control:
        return replace(said, limits={**({} if reset else said.limits), **wanted})

    return _say(project, provider, say if wanted or reset else None)


def parse_limits(words: Iterable[str]) -> dict[str, float | None]:
    """Return the limits that ``KEY=VALUE`` words name, None for ``KEY=none``; raise UsageError."""
    found: dict[str, float | None] = {}
    for word in words:
        key, given, value = word.partition("=")
        if not given:
            raise UsageError(f"limit takes KEY=VALUE, such as requests_per_minute=30, not {word!r}")
        if key not in STEERED:
            raise UsageError(f"there is no limit {key!r}; {suggest(key, STEERED)}")
        found[key] = _value(key, value)
    return found


def _value(key: str, text: str) -> float | None:
    annotation = Limits.model_fields[key].annotation
    if text == "none" and NoneType in get_args(annotation):
        return None
    try:
        if not re.fullmatch(r"\d{1,9}|\d{0,9}\.\d{1,9}", text):
            raise ValueError(text)
        number = float(text) if "." in text else int(text)
        checked: float = getattr(Limits.model_validate({key: number}), key)
    except (ValueError, ValidationError):
        raise UsageError(f"{key} takes {_range(key)}, not {text!r}") from None
    return int(checked) if math.floor(checked) == checked else checked


def _range(key: str) -> str:
    field = Limits.model_fields[key]
    kinds = get_args(field.annotation) or (field.annotation,)
    bounds = {
        name: getattr(rule, name) for rule in field.metadata for name in ("gt", "ge", "le") if hasattr(rule, name)
    }
    low = f"above {bounds['gt']:g}" if "gt" in bounds else f"from {bounds['ge']:g}"
    high = f" to {bounds['le']:g}" if "le" in bounds else "" if "gt" in bounds else " on"
    return f"a {'whole ' if int in kinds else ''}number {low}{high}{', or none' if NoneType in kinds else ''}"


def _say(project: Project, provider: str, say: Callable[[Control], Control] | None) -> ControlState:
    """Say it where it is allowed to be said, and return what holds then."""
    known = controls.read(project.db) if _begun(project) else {}
    _require(project, provider, known)
    before = known.get(provider, Control(provider=provider))
    after = before
    if say is not None and (say(before) != before or (_begun(project) and say(before).said_at != before.said_at)):
        make_private(project.state)
        require_local(project.state.resolve())
        migrate.ensure(project.db)
        after = controls.change(project.db, provider, say, utc_now())
    return ControlState(
        control=after, changed=after != before, settings=_settings(project, provider), holder=lock.holder(project.db)
    )


def _begun(project: Project) -> bool:
    """Tell whether there is a job table, and bring it to the form that knows controls."""
    if migrate.revision(project.db) is None:
        return False
    migrate.ensure(project.db)
    return True


def _require(project: Project, name: str, said: Mapping[str, Control]) -> None:
    """Raise UsageError where nobody knows the provider: no preset, no batch of the table, no settings."""
    everyone = dict.fromkeys(preset_names())
    if name in everyone or name in said:
        return
    if _begun(project):
        with Reader(project.db) as reader:
            for batch in reader.batches():
                everyone |= dict.fromkeys(reader.lanes(batch.id))
    if name not in everyone:
        providers.require_provider(name, everyone | dict.fromkeys(providers.provider_settings(project)))


def _settings(project: Project, name: str) -> Limits | None:
    try:
        wishes = providers.provider_settings(project)
        return providers.display_profile(name, wishes).limits if name in (*preset_names(), *wishes) else None
    except SettingsError:
        return None  # broken settings must not keep anybody from a pause


#: Jobs cancelled by one transaction: a run that wants to write waits no longer than for these.
TOGETHER = 500


_GOING = (State.PENDING.value, State.RUNNING.value)


#: What has a cause may have ended with it.
_ENDED_BADLY = (State.FAILED.value, State.UNKNOWN.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelReport:
    """What was cancelled."""

    batch: Batch
    keys: Sequence[str]
    in_flight: int  #: of these, how many had a call under way, which will be paid all the same
    already_ended: int  #: selected, but ended before they could be cancelled
    holder: Holder | None  #: who works on the job table


def cancel(project: Project, name: str | None, selection: Selection) -> CancelReport:
    """Cancel the selected jobs of a batch that are pending or running, or stand as the selection says.

    Needs no lock: every change is a compare-and-set, and a run drops a job that is no longer as it was.  A call under
    way ends and is booked, but does not make its job done.  Raises NotFound, UsageError.
    """
    states = selection.states or (_GOING + _ENDED_BADLY if selection.causes else _GOING)
    if impossible := set(states) - {*_GOING, *_ENDED_BADLY}:
        raise UsageError(f"a job that is {min(impossible)} cannot be cancelled.  Nothing was changed")
    with open_reader(project) as reader, Writer(project.db, guest=True) as writer:
        batch = reader.batch(name)
        chosen = reader.jobs(batch.id, replace(selection, states=states))
        gone, late = anyio.run(_give_up, reader, writer, batch, chosen, states)
    return CancelReport(
        batch=batch,
        keys=[job.key for job in gone],
        in_flight=sum(job.state is State.RUNNING for job in gone),
        already_ended=late,
        holder=lock.holder(project.db),
    )


async def _give_up(
    reader: Reader, writer: Writer, batch: Batch, chosen: Iterable[Job], states: Sequence[str]
) -> tuple[list[Job], int]:
    gone, late, rest = list[Job](), 0, iter(chosen)
    while some := list(islice(rest, TOGETHER)):
        while some:
            done = await writer.cancel(some, utc_now())
            gone += done
            known = {job.id for job in done}
            # a run took them up, or settled them, since they were looked up
            moved = [reader.job(batch.id, job.key) for job in some if job.id not in known]
            some = [job for job in moved if job.state.value in states]
            late += len(moved) - len(some)
    return gone, late
