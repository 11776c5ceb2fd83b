"""Live control of a run: ``batchgen pause``, ``unpause`` and ``limit`` reach it through the job database.

``limits_in_force`` decides; ``follow`` looks once a second and applies what changed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from anyio import TASK_STATUS_IGNORED, sleep, to_thread
from anyio.abc import TaskStatus

from ..errors import StoreError
from ..manifest import Batch
from ..providers.profile import Limits, Profile
from ..store import controls
from ..store.controls import Control
from .clock import local_time
from .project import Project
from .run_options import ShowMessage

#: Seconds between two looks.
LOOK = 1.0

#: Called with a provider, its limits in force, and whether it is paused.
Apply = Callable[[str, Limits, bool], Awaitable[None]]


def limits_in_force(profile: Profile, control: Control | None) -> tuple[Limits, bool]:
    """Return the limits of a provider and whether it is paused; a control goes before the settings."""
    if control is None:
        return profile.limits, False
    # A later version may store limits that this one does not know.
    limits = {key: value for key, value in control.limits.items() if key in Limits.model_fields}
    return profile.limits.model_copy(update=limits), control.paused_at is not None


async def follow(
    project: Project,
    batch: Batch,
    apply: Apply,
    show_message: ShowMessage,
    *,
    every: float = LOOK,
    task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
) -> None:
    """Apply every change of limits or pauses of *batch*'s providers until cancelled, and show it.

    What differs from the profiles already is applied before this reports that it has started: begin it with
    ``await tasks.start(...)``, and nothing is sent to a paused provider.
    """
    in_force = {name: (profile.limits, False) for name, profile in batch.profiles.items()}
    changed_at: dict[str, datetime | None] = {}
    known: Mapping[str, Control] = {}
    unreadable = False
    while True:
        try:
            known = await to_thread.run_sync(controls.read, project.db)
            unreadable = False
        except (StoreError, OSError, ValueError) as error:
            # Whatever is wrong with the database here, it must not end the run.
            if not unreadable:
                show_message(f"`batchgen pause` and `limit` cannot reach this run at the moment: {error}")
            unreadable = True
        for name, profile in batch.profiles.items():
            control = known.get(name)
            before, now = in_force[name], limits_in_force(profile, control)
            moment = control.said_at if control else None
            renewed = changed_at.get(name, moment) != moment
            changed_at[name] = moment
            if now != before or renewed:
                in_force[name] = now
                await apply(name, *now)
                for line in _changes(project, name, before, now, control):
                    show_message(line)
        task_status.started()
        task_status = TASK_STATUS_IGNORED
        await sleep(every)


def limits_text(limits: Mapping[str, float | None]) -> str:
    """Format limits: "requests_per_minute 30, burst none"."""
    return ", ".join(f"{key} {limit_text(value)}" for key, value in limits.items())


def limit_text(value: float | None) -> str:
    """Format the value of a limit."""
    return "none" if value is None else f"{value:.9g}"


def _changes(
    project: Project, name: str, before: tuple[Limits, bool], now: tuple[Limits, bool], control: Control | None
) -> list[str]:
    """Return a line for each change."""
    lines, flags = [], project.command_flags()
    if control is not None and control.paused_at is not None and not before[1]:
        since = f"{name}: paused since {local_time(control.paused_at)} by `batchgen pause`"
        lines.append(f"{since}; to resume it: {flags.plain('unpause', name)}")
    elif not now[1] and (before[1] or before == now):
        lines.append(f"{name}: resumed")
    # Whether the rate adapts is fixed when a run begins.
    old, new = before[0].model_dump(), now[0].model_dump(exclude={"adaptive"})
    changed = {key: value for key, value in new.items() if value != old[key]}
    if changed:
        by_command = control is not None and changed.keys() <= control.limits.keys()
        undo = flags.plain("limit", f"{name} --reset")
        hint = f" by `batchgen limit`; to undo it: {undo}" if by_command else ""
        lines.append(f"{name}: {limits_text(changed)}{hint}")
    return lines
