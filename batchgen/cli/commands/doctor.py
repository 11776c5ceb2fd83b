"""The doctor command: what a run needs on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from .. import environment, output, settings_file
from ..options import Session, command, complete_files, option, sandbox
from ..render.controls import control_line
from ..render.format import hanging

if TYPE_CHECKING:
    from ...app.explicit_settings import Setting
    from ...app.finding import Finding
    from ...app.project import Project
    from ...app.provider_check import ProviderCheck

#: Texts for findings whose name in JSON is an older word.
_TITLES = {"job table": "job database"}


@command(
    "doctor",
    "batchgen doctor",
    "batchgen doctor jobs/night.yaml     ends with the code that a run of it would",
    "batchgen doctor --online     asks the providers too, at no cost",
    "batchgen doctor --backend ray --address head:6379     asks every host of a Ray cluster too",
    "batchgen doctor --json",
)
@click.argument("manifest", metavar="[MANIFEST|BATCH|-]", required=False, shell_complete=complete_files)
@option("--offline/--online", default=True, show_default=True, help="Ask the providers as well; this is free.")
@option(
    "--backend",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="What will send the requests; ray: a cluster, whose hosts are examined too.",
)
@option("--address", metavar="ADDRESS", help="Address of the Ray cluster. Default: RAY_ADDRESS, or this machine.")
@sandbox
def doctor(session: Session, manifest: str | None, offline: bool, backend: str, address: str | None) -> int:
    """Check what a run needs: versions, settings, keys, disk, lock, job database.

    Also certificates, proxies, clock, output folders and the terminal. Ends with the code that a run would end with: 1
    for disk, clock or database, 4 for settings, 5 for keys, 7 for a budget of all batches, 8 for a proxy, 12 for a
    newer database. With MANIFEST, also that of a run of it: 3 for failed jobs, 4 for a mistake, 5 without a key, 6
    without a price under a budget, 7 for a budget that is used up, 8 for a pause, 11 while a run is in progress.
    """
    from ...app import doctor
    from ...app.explicit_settings import list_settings

    project = session.project()
    findings = list(doctor.examine(project, with_manifest=manifest is not None))
    if manifest is not None:
        # A run needs the keys of its own providers only.
        findings = [replace(finding, code=0) if finding.about == "keys" else finding for finding in findings]
    _insert(findings, "lock", _controls(project))
    reported = {finding.says for finding in findings}
    findings += [each for each in _run_findings(session, project, manifest) if each.says not in reported]
    if backend == "ray" or address is not None:
        findings += _cluster_findings(session, project, address, manifest, findings)
    _insert(findings, "settings", (*_options(project), *_variables()))
    broken = any(finding.about == "settings" and finding.code for finding in findings)
    settings = [] if broken else list_settings(project, settings_file.rivals)
    checks: tuple[ProviderCheck, ...] = () if offline else _online(project, findings)
    code = doctor.exit_code_of(findings)
    document = _document(code, findings, settings, None if offline else checks)
    lines = _lines(findings, settings, checks, quiet=session.quiet)
    session.print(document, hanging(lines, output.columns(), margin=20))
    return code


def _run_findings(session: Session, project: Project, manifest: str | None) -> Iterator[Finding]:
    """Yield what a run of *manifest* would meet, or without one the budgets of all batches."""
    from ...app import doctor, run_check
    from ...errors import BatchgenError

    try:
        if manifest is not None:
            yield from run_check.examine_run(project, session.manifest(manifest))
        else:
            yield from run_check.shared_budgets(project)
    except BatchgenError as error:
        if manifest is not None:
            yield from doctor.error_findings("manifest", error, set())


def _cluster_findings(
    session: Session, project: Project, address: str | None, manifest: str | None, findings: list[Finding]
) -> Iterator[Finding]:
    """Yield what a run on a Ray cluster would meet there."""
    from ...app import cluster_check, doctor
    from ...errors import BatchgenError

    try:
        path = None if manifest is None else session.manifest(manifest)
        question = cluster_check.question_of(project, address, path)
    except BatchgenError as error:
        yield from doctor.error_findings("cluster", error, {finding.says for finding in findings})
    else:
        yield from cluster_check.examine(question)


def _online(project: Project, findings: list[Finding]) -> tuple[ProviderCheck, ...]:
    from ...app import doctor, provider_check
    from ...app.finding import Finding
    from ...errors import BatchgenError

    try:
        checks = tuple(provider_check.check(project))
    except BatchgenError as error:
        findings += doctor.error_findings("online", error, {finding.says for finding in findings})
        return ()
    _insert(findings, "clock", doctor.clock_findings(checks))
    findings += [
        Finding(about="online", says=check.candidate.profile.name, verdict="bad", code=check.exit_code)
        for check in checks
        if check.exit_code
    ]
    return checks


def _document(
    code: int, findings: list[Finding], settings: list[Setting], checks: Sequence[ProviderCheck] | None
) -> dict[str, Any]:
    from ..render.account import check_document

    applied = [asdict(setting) for setting in settings if setting.overridden_by is None]
    return {
        "exit_code": code,
        "findings": [asdict(finding) for finding in findings],
        "settings": [{name: setting[name] for name in ("name", "value", "source")} for setting in applied],
        "overridden": [asdict(setting) for setting in settings if setting.overridden_by is not None],
        **({} if checks is None else {"online": check_document(checks)["providers"]}),
    }


def _lines(
    findings: list[Finding], settings: list[Setting], checks: Sequence[ProviderCheck], *, quiet: bool
) -> Iterator[str]:
    from ..render.account import check_lines

    previous = None
    for finding in findings:
        bad = finding.verdict == "bad"
        if bad or not quiet:
            head = _TITLES.get(finding.about, finding.about) if finding.about != previous or bad else ""
            yield f"{'BAD' if bad else finding.verdict:<5} {head:<13} {finding.says}"
            previous = finding.about
    if not quiet:
        for number, setting in enumerate(settings):
            yield f"{'':<5} {'' if number else 'set by':<13} {_set_by(setting)}"
        yield from check_lines(checks)


def _set_by(setting: Setting) -> str:
    value = str(setting.value).lower() if isinstance(setting.value, bool) else setting.value
    over = f"    (overridden by {setting.overridden_by})" if setting.overridden_by else ""
    return f"{setting.source}: {setting.name} = {value}{over}"


def _insert(findings: list[Finding], about: str, more: Iterable[Finding]) -> None:
    places = [number for number, finding in enumerate(findings) if finding.about == about]
    place = 1 + (places[-1] if places else len(findings) - 1)
    findings[place:place] = more


def _controls(project: Project) -> Iterator[Finding]:
    """Yield the pauses and limits in force: a forgotten one holds back every run."""
    from ...app import queries
    from ...app.finding import Finding
    from ...errors import BatchgenError

    try:
        controls = queries.active_controls(project)
    except BatchgenError:
        return  # examine reports what is wrong with the job database
    for each in controls:
        says = control_line(each, project.command_flags(), datetime.now(UTC))
        yield Finding(about="paused" if each.paused_at else "limits", says=says, verdict="note")


def _options(project: Project) -> Iterator[Finding]:
    from ...app.config import settings
    from ...app.finding import Finding
    from ...errors import SettingsError

    try:
        layers = settings.layers(project.root)
    except SettingsError:
        return  # examine reports it
    try:
        settings_file.check(click.get_current_context().find_root().command, layers)
    except SettingsError as error:
        for line in str(error).splitlines():
            yield Finding(about="settings", says=line, verdict="bad", code=error.exit_code)


def _variables() -> Iterator[Finding]:
    from ...app.finding import Finding

    for variable in environment.unknown_variables(click.get_current_context()):
        bad = variable.near is not None
        yield Finding(about="settings", says=str(variable), verdict="bad" if bad else "note", code=4 if bad else 0)
