"""What a run would meet on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from .. import output, settings_file
from ..options import Session, command
from ..options import sandbox as rehearsal
from ..render.controls import control_line

if TYPE_CHECKING:
    from ...app.doctor import Finding, Setting
    from ...app.project import Project

_MARKS = {"ok": "ok", "note": "note", "bad": "BAD"}


@command(
    "doctor",
    "batchgen doctor",
    "batchgen doctor --online     asks the providers too, for free",
    "batchgen doctor --json",
)
@click.option(
    "--offline/--online", default=True, show_default=True, help="Whether to leave the providers alone; asking is free."
)
@rehearsal
def doctor(session: Session, offline: bool, sandbox: bool) -> int:
    """Look at versions, settings, keys, certificates, proxies, clock, disk, output folders, lock, table and terminal.

    Ends with the code that a run would end with: 1 disk, clock or table, 4 settings, 5 keys, 8 a proxy, 12 a newer
    table.
    """
    from ...app import doctor, provider_check
    from ...errors import BatchgenError
    from ..render.account import check_document, check_lines

    project = session.project(sandbox=sandbox)
    found = list(doctor.examine(project))
    _put_beside(found, "lock", _controls(project))
    _put_beside(found, "settings", (*_options(project), *_variables()))
    made = (
        []
        if any(one.about == "settings" and one.code for one in found)
        else doctor.list_settings(project, settings_file.rivals)
    )
    asked: tuple[provider_check.ProviderCheck, ...] = ()
    if not offline:
        try:
            asked = provider_check.check(project)
            _put_beside(found, "clock", doctor.clock_findings(asked))
        except BatchgenError as error:
            found += doctor.error_findings("online", error, {one.says for one in found})
    found += [doctor.Finding(about="online", says=one.candidate.profile.name, verdict="bad", code=one.exit_code)
              for one in asked if one.exit_code]  # fmt: skip
    code = doctor.exit_code_of(found)
    if session.as_json:
        body = {"schema_version": 1, "exit_code": code, "findings": [asdict(one) for one in found]}
        body |= {"settings": [_plain(one) for one in made if one.overridden_by is None]}
        body |= {"overridden": [asdict(one) for one in made if one.overridden_by is not None]}
        output.document(body | ({} if offline else {"online": check_document(asked)["providers"]}))
        return code
    told = [one for one in found if one.verdict == "bad" or not session.quiet]
    before = None
    for one in told:
        head = one.about if one.about != before or one.verdict == "bad" else ""
        output.data(f"{_MARKS[one.verdict]:<5} {head:<13} {one.says}")
        before = one.about
    if not session.quiet:
        for number, setting in enumerate(made):
            output.data(f"{'':<5} {'' if number else 'set by':<13} {_set_by(setting)}")
        for line in check_lines(asked) if asked else []:
            output.data(line)
    return code


def _controls(project: Project) -> Iterator[Finding]:
    """Yield the pauses and limits in force: a forgotten one keeps every run from its work."""
    from ...app import control
    from ...app.doctor import Finding
    from ...errors import BatchgenError

    try:
        controls = control.active_controls(project)
    except BatchgenError:
        return  # examine reports what is wrong with the job table
    for one in controls:
        says = control_line(one, project.command_flags(), datetime.now(UTC))
        yield Finding(about="paused" if one.paused_at else "limits", says=says, verdict="note")


def _put_beside(found: list[Finding], about: str, more: Iterable[Finding]) -> None:
    """Put *more* findings where others about the same stand."""
    beside = 1 + max((number for number, one in enumerate(found) if one.about == about), default=len(found) - 1)
    found[beside:beside] = more


def _plain(setting: Setting) -> dict[str, Any]:
    return {"name": setting.name, "value": setting.value, "source": setting.source}


def _set_by(setting: Setting) -> str:
    value = str(setting.value).lower() if isinstance(setting.value, bool) else setting.value
    over = f"    (overridden by {setting.overridden_by})" if setting.overridden_by else ""
    return f"{setting.source}: {setting.name} = {value}{over}"


def _options(project: Project) -> Iterator[Finding]:
    """Tell what is wrong with the options in settings files: of every command, not of one."""
    from ...app.config import settings
    from ...app.doctor import Finding
    from ...errors import SettingsError

    try:
        layers = settings.layers(project.root)
    except SettingsError:
        return  # examine has told
    try:
        settings_file.check(layers)
    except SettingsError as error:
        for line in str(error).splitlines():
            yield Finding(about="settings", says=line, verdict="bad", code=error.exit_code)


def _variables() -> Iterator[Finding]:
    """Tell of variables that no command reads."""
    from ...app.doctor import Finding
    from ..variables import strange

    for one in strange(click.get_current_context()):
        bad = one.near is not None
        yield Finding(about="settings", says=str(one), verdict="bad" if bad else "note", code=4 if bad else 0)
