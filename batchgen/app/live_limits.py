"""What a run is told while it goes on, by ``batchgen pause`` and ``limit`` or an edited ``batchgen.yaml``.

``limits_in_force`` and ``edited`` decide, purely; ``follow`` looks once a second and tells the run what changed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from anyio import TASK_STATUS_IGNORED, sleep, to_thread
from anyio.abc import TaskStatus
from pydantic import ValidationError

from ..errors import SettingsError, StoreError
from ..manifest import Batch
from ..manifest.batch import Stated
from ..providers.presets import preset_limits
from ..providers.profile import Limits, Profile
from ..store import controls
from ..store.controls import Control
from .clock import local_time
from .config import settings
from .project import Project

#: Seconds between two looks.
LOOK = 1.0

#: Called with a provider, the limits that hold for it now, and whether it is paused.
Apply = Callable[[str, Limits, bool], Awaitable[None]]
#: Called with a line for people.
ShowMessage = Callable[[str], None]

_SILENT = object()


def limits_in_force(profile: Profile, control: Control | None) -> tuple[Limits, bool]:
    """Return the limits that hold for a provider, and whether it is paused: what a person said goes before all else."""
    if control is None:
        return profile.limits, False
    # a later version may know limits that this one does not
    said = {key: value for key, value in control.limits.items() if key in Limits.model_fields}
    return profile.limits.model_copy(update=said), control.paused_at is not None


def edited(profile: Profile, stated: Stated, project: object) -> Profile:
    """Return *profile* with the limits that ``batchgen.yaml`` says otherwise than when the manifest was read.

    *project* is what it says now under ``limits:``.  A key that was taken out falls back to the preset.  Raises
    SettingsError.
    """
    now = project or {}
    where = f"{settings.PROJECT_FILE}: provider {profile.name}: limits"
    if not isinstance(now, Mapping):
        raise SettingsError(f"{where} must be a mapping")
    changed: dict[str, Any] = {}
    for key in {*stated.project, *now} - stated.settled:
        if now.get(key, _SILENT) != stated.project.get(key, _SILENT):
            changed[key] = now[key] if key in now else getattr(preset_limits(profile.preset), key)
    if not changed:
        return profile
    try:
        limits = Limits.model_validate(profile.limits.model_dump() | changed)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SettingsError(f"{where}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return profile.model_copy(update={"limits": limits})


async def follow(
    project: Project,
    batch: Batch,
    apply: Apply,
    say: ShowMessage,
    *,
    every: float = LOOK,
    task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
) -> None:
    """Tell *apply* of every provider of *batch* whose limits or pause change, until cancelled; *say* why.

    What differs from the profiles already is told before this reports that it has started: begin it with
    ``await tasks.start(...)``, and nothing is sent to a paused provider.  An edit of ``batchgen.yaml`` counts once
    it was seen twice alike, because an editor may be writing it; a broken one changes nothing.  *every* is in seconds.
    """
    watch = _Watch(project=project, batch=batch, profiles=dict(batch.profiles))
    holds = {name: (profile.limits, False) for name, profile in batch.profiles.items()}
    heard: dict[str, datetime | None] = {}
    while True:
        for line in await to_thread.run_sync(watch.look):
            say(line)
        for name, profile in watch.profiles.items():
            control = watch.controls.get(name)
            before, now = holds[name], limits_in_force(profile, control)
            said_at = control.said_at if control else None
            again, heard[name] = heard.get(name, said_at) != said_at, said_at
            if now != before or again:
                holds[name] = now
                await apply(name, *now)
                for line in _told(project, name, before, now, control):
                    say(line)
        task_status.started()
        task_status = TASK_STATUS_IGNORED
        await sleep(every)


def limits_text(limits: Mapping[str, float | None]) -> str:
    """Return limits in words: "requests_per_minute 30, burst none"."""
    return ", ".join(f"{key} {limit_text(value)}" for key, value in limits.items())


def limit_text(value: float | None) -> str:
    """Return a limit in words."""
    return "none" if value is None else f"{value:.9g}"


def _told(
    project: Project, name: str, before: tuple[Limits, bool], now: tuple[Limits, bool], control: Control | None
) -> list[str]:
    """Return what changed, in words."""
    said, flag = [], project.command_flags().flags
    if control is not None and control.paused_at is not None and not before[1]:
        since = f"{name}: paused since {local_time(control.paused_at)} by `batchgen pause`"
        said.append(f"{since}; go on with: batchgen unpause{flag} {name}")
    elif not now[1] and (before[1] or before == now):
        said.append(f"{name}: goes on")
    old = before[0].model_dump()
    # whether it adapts is settled when a run begins
    said_now = now[0].model_dump(exclude={"adaptive"})
    changed = {key: value for key, value in said_now.items() if value != old[key]}
    if changed:
        by_hand = control is not None and changed.keys() <= control.limits.keys()
        hint = f" by `batchgen limit`; take back with: batchgen limit{flag} {name} --reset" if by_hand else ""
        said.append(f"{name}: {limits_text(changed)}{hint}")
    return said


@dataclass(kw_only=True, slots=True)
class _Watch:
    """What was seen last.  ``look`` blocks: it belongs into a thread."""

    project: Project
    batch: Batch
    profiles: dict[str, Profile]  #: with the limits of an edited ``batchgen.yaml``
    controls: Mapping[str, Control] = field(default_factory=dict)
    _deaf: bool = False  #: the job table could not be read the last time
    _mark: tuple[object, ...] = ()
    _text: bytes = b""
    _fresh: bool = False  #: the text was seen once, and not taken in yet

    def look(self) -> list[str]:
        """See what there is; return what is wrong with it, each thing once.  Whatever it is, it must not end a run."""
        return [*self._hear(), *self._reread()]

    def _hear(self) -> list[str]:
        try:
            self.controls = controls.read(self.project.db)
        except (StoreError, OSError, ValueError) as error:
            known, self._deaf = self._deaf, True
            return [] if known else [f"`batchgen pause` and `limit` cannot reach this run for now: {error}"]
        self._deaf = False
        return []

    def _reread(self) -> list[str]:
        start = self.batch.manifest.parent
        file = _found(start)
        mark = _mark(file)
        if mark != self._mark:
            text, self._mark = _text(file), mark
            if text != self._text:
                self._text, self._fresh = text, True
                return []
        if not self._fresh:
            return []
        self._fresh = False
        try:
            self.profiles = self._edited(settings.project_settings(start).get("providers") or {})
        except SettingsError as error:
            return [f"{error}.  It changes nothing in this run"]
        except (OSError, ValueError, RecursionError) as error:
            return [f"{file}: {type(error).__name__}: {error}.  It changes nothing in this run"]
        return []

    def _edited(self, project: Mapping[str, Mapping[str, Any]]) -> dict[str, Profile]:
        return {
            name: edited(profile, self.batch.limits.get(name, Stated()), project.get(name, {}).get("limits"))
            for name, profile in self.batch.profiles.items()
        }


def _found(start: Path) -> Path | None:
    try:
        return settings.project_file(start)
    except OSError:
        return None


def _mark(file: Path | None) -> tuple[object, ...]:
    """Return what tells one state of a file from another without reading it."""
    try:
        seen = file.stat() if file else None
    except OSError:
        seen = None
    return (file, seen.st_mtime_ns, seen.st_size, seen.st_ino) if seen else ()


def _text(file: Path | None) -> bytes:
    try:
        return file.read_bytes() if file else b""
    except OSError:
        return b""
