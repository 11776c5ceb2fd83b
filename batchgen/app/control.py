"""Control of a run from another terminal: pause, unpause, limit, cancel. Pauses and limits hold until undone."""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from types import NoneType
from typing import Any, get_args

import anyio
from pydantic import ValidationError

from ..database_url import without_passwords
from ..errors import SettingsError, UsageError, suggest
from ..files.lock import Holder
from ..files.output import make_private
from ..job import Job, State
from ..planning.selection import Selection
from ..providers.presets import preset_names
from ..providers.profile import LONGEST, Limits
from ..store import controls, migrate, run_lock
from ..store.claims import at_provider, tasks_of_cancelled
from ..store.controls import Control
from ..store.reader import Reader
from ..store.records import Batch
from ..store.runners import RunnerRecord
from ..store.writer import Writer
from .clock import utc_now
from .config import providers
from .preflight import require_local
from .project import Project, open_reader
from .runners import preparing, runners_elsewhere

#: The limits that can be changed during a run.
STEERED = [name for name in Limits.model_fields if name != "adaptive"]
#: Jobs cancelled in one transaction, which is as long as a run may have to wait for the database.
TOGETHER = 500

_ACTIVE = (State.PENDING.value, State.RUNNING.value)
_UNSUCCESSFUL = (State.FAILED.value, State.UNKNOWN.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlState:
    """The control of a provider after a command."""

    control: Control
    changed: bool
    settings: Limits | None  #: of preset and ``batchgen.yaml``; None if the provider is in neither
    holder: Holder | None  #: the process that holds the lock
    runners: Sequence[RunnerRecord] = ()  #: all that are at work, if they share the job database
    preparing: Sequence[Holder] = ()  #: processes that are about to become runners

    @property
    def limits(self) -> Mapping[str, float | None]:
        """Return the limits in force, unless a manifest sets others."""
        limits = self.settings.model_dump(include=set(STEERED)) if self.settings else {}
        return limits | dict(self.control.limits)


def pause(project: Project, provider: str) -> ControlState:
    """Send no new calls to *provider*; calls in flight end. Raises UsageError for an unknown provider."""
    now = utc_now()
    return _change(project, provider, lambda control: replace(control, paused_at=control.paused_at or now))


def resume(project: Project, provider: str) -> ControlState:
    """End a pause, and reopen lanes that a run has closed."""
    now = utc_now()
    return _change(project, provider, lambda control: replace(control, paused_at=None, said_at=now))


def limit(project: Project, provider: str, words: Sequence[str], *, reset: bool = False) -> ControlState:
    """Add the limits *words* (``KEY=VALUE``) to those in force for *provider*; *reset* removes these first.

    Changes nothing without either. Raises UsageError for an unknown key or an invalid value.
    """
    limits = parse_limits(words)

    def change(control: Control) -> Control:
        return replace(control, limits={**({} if reset else control.limits), **limits})

    return _change(project, provider, change if limits or reset else None)


def parse_limits(words: Iterable[str]) -> dict[str, float | None]:
    """Parse ``KEY=VALUE`` words; the value of ``KEY=none`` is None. Raises UsageError."""
    limits: dict[str, float | None] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator:
            raise UsageError(f"limit takes KEY=VALUE, such as requests_per_minute=30, not {word!r}")
        if key not in STEERED:
            raise UsageError(f"there is no limit {key!r}; {suggest(key, STEERED)}")
        limits[key] = _value(key, value)
    return limits


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
    if bounds.get("le", 0) >= LONGEST:
        del bounds["le"]  # A bound that only keeps numbers within calendars needs no mention.
    low = f"above {bounds['gt']:g}" if "gt" in bounds else f"from {bounds['ge']:g}"
    high = f" to {bounds['le']:g}" if "le" in bounds else "" if "gt" in bounds else " on"
    return f"a {'whole ' if int in kinds else ''}number {low}{high}{', or none' if NoneType in kinds else ''}"


def _change(project: Project, provider: str, change: Callable[[Control], Control] | None) -> ControlState:
    """Apply *change* to the control of a known provider and return the new state."""
    has_database = _ensure_schema(project)
    existing = controls.read(project.db) if has_database else {}
    _require(project, provider, existing)
    before = existing.get(provider, Control(provider=provider))
    after = before
    if change is not None and (change(before) != before or (has_database and change(before).said_at != before.said_at)):
        make_private(project.state)
        require_local(project.state.resolve())
        migrate.ensure(project.db)
        after = controls.change(project.db, provider, change, utc_now())
    return ControlState(
        control=after,
        changed=after != before,
        settings=_settings(project, provider),
        holder=run_lock.holder(project.db),
        **_others(project),
    )


def _others(project: Project) -> dict[str, Any]:
    """Return the runners of the job database, and the processes that are about to become some."""
    if migrate.revision(project.db) != migrate.HEAD:
        return {}
    with Reader(project.db) as reader:
        return {"runners": runners_elsewhere(project, reader), "preparing": preparing(project, reader)}


def _ensure_schema(project: Project) -> bool:
    """Upgrade the job database to a schema with controls; return False if there is none."""
    if migrate.revision(project.db) is None:
        return False
    migrate.ensure(project.db)
    return True


def _require(project: Project, name: str, existing: Mapping[str, Control]) -> None:
    """Raise UsageError if the provider is in no preset, batch or settings file."""
    names = dict.fromkeys(preset_names())
    if name in names or name in existing:
        return
    if _ensure_schema(project):
        with Reader(project.db) as reader:
            for batch in reader.batches():
                names |= dict.fromkeys(reader.lanes(batch.id))
            if hint := _batch_hint(project, reader, name):
                raise UsageError(hint)
    if name not in names:
        providers.require_provider(name, names | dict.fromkeys(providers.provider_settings(project)))


def _batch_hint(project: Project, reader: Reader, name: str) -> str:
    """Return what to type where a batch is named in place of a provider; "" if *name* is that of no batch."""
    batch_id = reader.batch_id(name)
    used = [] if batch_id is None else sorted(reader.lanes(batch_id))
    if not used:
        return ""
    text = f"{name!r} is a batch, and this command takes a provider; those of the batch: {', '.join(used)}"
    if project.in_python:
        return text
    words = [used[0] if word == name else word for word in sys.argv[1:]]
    return f"{text}. To type: {without_passwords(shlex.join(['batchgen', *words]))}"


def _settings(project: Project, name: str) -> Limits | None:
    try:
        overrides = providers.provider_settings(project)
        return providers.display_profile(name, overrides).limits if name in (*preset_names(), *overrides) else None
    except SettingsError:
        return None  # Broken settings must not prevent a pause.


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelReport:
    """The result of a cancellation."""

    batch: Batch
    keys: Sequence[str]
    in_flight: int  #: cancelled jobs whose call was in flight; it will be paid for all the same
    already_ended: int  #: selected jobs that ended before they could be cancelled
    at_provider: int  #: cancelled jobs whose remote task, or submission, has not ended
    tasks: int  #: of these, the ones whose remote task a run cancels at the provider
    holder: Holder | None  #: the process that holds the lock


def cancel(project: Project, name: str | None, selection: Selection) -> CancelReport:
    """Cancel the selected jobs of a batch; without states in *selection*, those that are pending or running.

    Needs no lock: every change is a compare-and-set, and a run drops a job that has changed. A call in flight ends and
    is booked, and its image completes the job. Raises NotFound, UsageError.
    """
    states = selection.states or (_ACTIVE + _UNSUCCESSFUL if selection.causes else _ACTIVE)
    if impossible := set(states) - {*_ACTIVE, *_UNSUCCESSFUL}:
        raise UsageError(f"a job that is {min(impossible)} cannot be cancelled. Nothing was changed")
    with open_reader(project) as reader, Writer(project.db, guest=True) as writer:
        batch = reader.batch(name)
        jobs = reader.jobs(batch.id, replace(selection, states=states))
        cancelled, already_ended = anyio.run(_cancel, reader, writer, batch, jobs, states)
        remote = reader.ask(partial(at_provider, batch_id=batch.id, state=State.CANCELLED))
        tasks = reader.ask(partial(tasks_of_cancelled, batch_id=batch.id))
    return CancelReport(
        batch=batch,
        keys=[job.key for job in cancelled],
        in_flight=sum(job.state is State.RUNNING for job in cancelled),
        already_ended=already_ended,
        at_provider=remote,
        tasks=tasks,
        holder=run_lock.holder(project.db),
    )


async def _cancel(
    reader: Reader, writer: Writer, batch: Batch, jobs: Iterable[Job], states: Sequence[str]
) -> tuple[list[Job], int]:
    cancelled, already_ended, rest = list[Job](), 0, iter(jobs)
    while chunk := list(islice(rest, TOGETHER)):
        while chunk:
            done = await writer.cancel(chunk, utc_now())
            cancelled += done
            done_ids = {job.id for job in done}
            # A run has claimed or settled these since they were read.
            changed = [reader.job(batch.id, job.key) for job in chunk if job.id not in done_ids]
            chunk = [job for job in changed if job.state.value in states]
            already_ended += len(changed) - len(chunk)
    return cancelled, already_ended
