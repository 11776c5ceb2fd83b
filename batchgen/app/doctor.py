"""Examines machine and project as a run would find them: settings, keys, disk, lock, database. Asks no provider."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..errors import BatchgenError
from ..files.output import supports_links
from ..object_url import Folder, ObjectUrl, parse_folder
from ..providers.clock_skew import smallest_skew
from ..providers.model_changes import model_changes
from ..store import maintenance, migrate, run_lock
from ..store.reader import Reader
from ..transport.client import tls_context
from . import model_lists
from .clock import utc_now
from .config import keys, providers, settings
from .config.proxies import CERTIFICATES, bypassing_providers, proxies, tls_providers
from .finding import FEW_SECONDS, LITTLE_ROOM, MANY_SECONDS, NO_ROOM, Finding
from .preflight import BASE_FILES, FILES_PER_CALL, RECOMMENDED_FILES, START_FILES, require_local
from .project import Project, no_database
from .provider_check import CheckCandidate, ProviderCheck, keys_of
from .recovery.run_notes import last_manifest

PACKAGES = (
    "aiohappyeyeballs",
    "aiohttp",
    "alembic",
    "anyio",
    "click",
    "httpx",
    "pillow",
    "pydantic",
    "pyyaml",
    "sqlalchemy",
)
#: Packages of extras that reach beyond this machine: listed where they are installed.
EXTRAS = ("obstore", "psycopg", "ray")
#: Calls in flight that the limit of open files should allow.
USUAL_CALLS = 32


def examine(project: Project, *, with_manifest: bool = False) -> Iterator[Finding]:
    """Run all checks; leaves nothing behind and asks no provider. *with_manifest*: one is examined afterwards."""
    checks: Mapping[str, Callable[[Project], Iterator[Finding]]] = {
        "python": _python,
        "settings": _settings,
        "keys": _keys,
        "models": _models,
        "certificates": _certificates,
        "proxies": _proxies,
        "clock": _clock,
        "disk": _disk,
        "output": partial(_output, with_manifest=with_manifest),
        "lock": _lock,
        "job table": _database,
        "terminal": _terminal,
        "open files": _open_files,
    }
    reported = set[str]()
    # Others read the job database too: what is wrong with it is reported by its own name.
    database = list(_check("job table", _database, project, reported))
    for about, check in checks.items():
        yield from database if check is _database else _check(about, check, project, reported)


def _check(
    about: str, check: Callable[[Project], Iterator[Finding]], project: Project, reported: set[str]
) -> Iterator[Finding]:
    try:
        yield from check(project)
    except BatchgenError as error:
        yield from error_findings(about, error, reported)
    except OSError as error:
        yield Finding(about, f"{error.filename or about}: {error.strerror}", "bad", 1)


def error_findings(about: str, error: BatchgenError, reported: set[str]) -> Iterator[Finding]:
    """Yield each line of *error* that is not *reported* yet; several checks may meet the same mistake."""
    for line in str(error).splitlines():
        if line not in reported:
            reported.add(line)
            yield Finding(about, line, "bad", error.exit_code)


def clock_findings(checks: Sequence[ProviderCheck]) -> Iterator[Finding]:
    """Compare this machine's clock with those of the providers that answered."""
    skew = smallest_skew(skew for check in checks for skew in check.skews)
    if skew is None:
        return
    provider = next(check.candidate.profile.name for check in checks if skew in check.skews)
    seconds = abs(skew.certain)
    if seconds <= FEW_SECONDS:
        yield Finding("clock", f"agrees with that of {provider} within {FEW_SECONDS} s")
        return
    direction = "ahead of" if skew.certain > 0 else "behind"
    text = f"{_duration(seconds)} {direction} that of {provider}: set it, or enable NTP"
    if seconds <= MANY_SECONDS:
        yield Finding("clock", text, "note")
    else:
        consequences = (
            "certificates and signatures may be refused, and daily quotas and budgets start at the wrong time"
        )
        yield Finding("clock", f"{text}; {consequences}", "bad", 1)


def exit_code_of(findings: Sequence[Finding]) -> int:
    """Return the gravest exit code of all findings."""
    codes = {finding.code for finding in findings}
    return next((code for code in (12, 1, 4, 7, 5, 8) if code in codes), max(codes, default=0))


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


def _python(_project: Project) -> Iterator[Finding]:
    supported = (3, 11) <= sys.version_info < (3, 14)
    python = f"{platform.python_version()} at {sys.executable}"
    text = f"{python}, SQLite {sqlite3.sqlite_version}, {platform.platform()}"
    yield Finding("python", text, "ok" if supported else "note")
    found = {name: _version(name) for name in ("batchgen", *PACKAGES, *EXTRAS)}
    shown = (f"{name} {number or '(not installed)'}" for name, number in found.items() if number or name not in EXTRAS)
    yield Finding("packages", ", ".join(shown))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _settings(project: Project) -> Iterator[Finding]:
    layers = settings.layers(project.root)
    providers.load_profiles(project)  # raises for a provider that is misconfigured
    yield Finding(
        "settings", ", ".join(str(layer.file) for layer in layers) or "no batchgen.yaml, and none of your own"
    )


def _keys(project: Project) -> Iterator[Finding]:
    configured = providers.provider_settings(project)
    any_key = False
    for name, profile in providers.load_profiles(project).items():
        for candidate in keys_of(profile):
            any_key |= candidate.key is not None
            yield from _key(name, candidate, configured=name in configured)
    if not any_key:
        yield Finding("keys", "no provider has a key; a sandbox run (--sandbox) needs none", "note")


def _key(name: str, candidate: CheckCandidate, *, configured: bool) -> Iterator[Finding]:
    if candidate.key is not None:
        ends = f", ends in {candidate.ends}" if candidate.ends else ""
        yield Finding("keys", f"{name}: {candidate.key.source}{ends}")
    elif candidate.variable is None:
        if configured:
            yield Finding("keys", f"{name}: needs none")
    elif keys.configured_names([candidate.variable], os.environ):
        yield Finding("keys", f"{name}: {candidate.problem}", "bad", 5)
    elif configured:
        yield Finding("keys", f"{name}: {candidate.problem}", "note")


def _models(project: Project) -> Iterator[Finding]:
    """Report what is wrong with the models of providers by the lists that were read last."""
    profiles, today = providers.load_profiles(project), utc_now().astimezone().date()
    for name, seen in model_lists.recall(project.state).items():
        if name not in profiles or not seen.fits(profiles[name]) or not seen.is_fresh(today):
            continue
        over = [each for each in model_changes(profiles[name], seen.catalogue, today) if each.is_over]
        for change in over:
            hint = f"; {change.hint}" if change.hint else ""
            yield Finding("models", f"{name}: {change.model}: {change.message} ({seen.at:%Y-%m-%d}){hint}", "note")
        if not over:
            yield Finding("models", f"{name}: all are listed (read on {seen.at:%Y-%m-%d})")


def _certificates(project: Project) -> Iterator[Finding]:
    count = tls_context().cert_store_stats()["x509_ca"]
    variables = [f"{name}={value}" for name in CERTIFICATES if (value := os.environ.get(name))]
    text = f"{count} authorities: {', '.join(variables) or 'those installed with Python'}"
    if variables:
        names = tls_providers(providers.load_profiles(project).values())
        text += f"; they apply to {', '.join(names) or 'no provider'}"
    yield Finding("certificates", text, "ok" if count else "note")


def _proxies(project: Project) -> Iterator[Finding]:
    profiles = list(providers.load_profiles(project).values())
    configured = list(proxies(profiles))
    if not configured:
        yield Finding("proxies", "none")
    for proxy in configured:
        unusable = proxy.problem is not None and bool(proxy.providers)
        yield Finding("proxies", str(proxy), "bad", 8) if unusable else Finding("proxies", str(proxy), "note")
    if configured and (names := bypassing_providers(profiles)):
        yield Finding("proxies", f"NO_PROXY: {', '.join(names)} reached without them", "note")


def _clock(project: Project) -> Iterator[Finding]:
    now = utc_now()
    here = now.astimezone()
    zone = time.tzname[time.daylight and time.localtime().tm_isdst > 0]
    text = f"{here:%Y-%m-%d %H:%M:%S} {zone}, {now:%H:%M} UTC"
    last = None
    if migrate.revision(project.db) == migrate.HEAD:
        with Reader(project.db) as reader:
            last = max((batch.updated_at for batch in reader.batches()), default=None)
    if last is not None and last > now:
        yield Finding(
            "clock", f"{text}; but a run began at {last:%Y-%m-%d %H:%M:%S} UTC: the clock was set back", "bad", 1
        )
    else:
        yield Finding("clock", text)


def _disk(project: Project) -> Iterator[Finding]:
    nearest = next(path for path in (project.state, *project.state.parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    text = f"{free / 1e9:,.1f} GB free at {nearest}"
    if not os.access(nearest, os.W_OK):
        yield Finding("disk", f"{nearest} is not writable", "bad", 1)
    elif free < NO_ROOM:
        yield Finding("disk", f"{text}: a run would soon stop", "bad", 1)
    else:
        yield Finding("disk", text, "ok" if free >= LITTLE_ROOM else "note")
    require_local(nearest.resolve())


def _output(project: Project, *, with_manifest: bool) -> Iterator[Finding]:
    """Report how files are published in the output folders, by trying it with an empty file."""
    outputs: set[Folder] = set()
    if migrate.revision(project.db) == migrate.HEAD:
        with Reader(project.db) as reader:
            outputs = {parse_folder(batch.folder) for batch in reader.batches()}
    if not outputs and not with_manifest:
        command = project.command_flags().plain("doctor", "MANIFEST")
        yield Finding("output", f"none yet: no batch has run here; {command} examines the folder of a manifest")
    for place in sorted((place for place in outputs if isinstance(place, ObjectUrl)), key=str):
        from .store_check import examine_store

        yield from examine_store(project, place)
    folders = [place for place in outputs if isinstance(place, Path)]
    for folder in sorted({next(path for path in (each, *each.parents) if path.exists()) for each in folders}):
        yield examine_folder(folder)


def examine_folder(folder: Path) -> Finding:
    """Return how files are published in a folder or the one that it would be made in."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        way = "hard links" if supports_links(nearest) else "exclusive renames (the file system has no hard links)"
    except OSError as error:
        return Finding("output", f"{nearest} is not writable: {error.strerror}", "bad", 1)
    return Finding("output", f"{nearest}: files are published by {way}")


def _lock(project: Project) -> Iterator[Finding]:
    holder = run_lock.holder(project.db)
    if holder is None:
        yield Finding("lock", "free: no run is in progress")
    else:
        process = f"process {holder.pid} on {holder.host}, since {holder.since}: {holder.command}"
        yield Finding("lock", f"a run is in progress: {process}", "note")


def _database(project: Project) -> Iterator[Finding]:
    revision = migrate.revision(project.db)
    if revision is None:
        if last_manifest(project.state, project.db) is None:
            yield Finding("job table", f"none yet at {project.db}")
        else:
            yield Finding("job table", no_database(project), "note")
        return
    if revision != migrate.HEAD:
        migrate.refuse_unknown(project.db, revision)
    health, flags = maintenance.examine(project.db), project.command_flags()
    if health.only_totals:
        text = f"{project.db}: {health.problems[0]}. {flags.plain('db vacuum')} adds up the ledger again"
        yield Finding("job table", text, "note")
    elif health.problems:
        hint = f"{flags.plain('db recover', 'MANIFEST')} rebuilds it"
        yield Finding("job table", f"{project.db} is damaged: {health.problems[0]}. {hint}", "bad", 1)
    else:
        upgrade = "" if revision == migrate.HEAD else "; the next run upgrades it"
        yield Finding("job table", f"{project.db} is intact, {health.rows.get('jobs', 0):,} jobs{upgrade}")


def _terminal(_project: Project) -> Iterator[Finding]:
    streams = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name).isatty()]
    variables = ("TERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS")
    values = [f"{name}={os.environ[name]}" for name in variables if name in os.environ]
    where = f"{', '.join(streams)} at a terminal" if streams else "none: a run needs --yes or a budget"
    yield Finding("terminal", ", ".join([where, *values, str(sys.stdout.encoding)]))


def _open_files(_project: Project) -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    least = START_FILES + FILES_PER_CALL
    calls = max(1, (hard - BASE_FILES) // FILES_PER_CALL)
    text = f"limit {soft}, can be raised to {'any number' if unlimited else hard}"
    if not unlimited and hard < least:
        hint = f"a run needs at least {least}: ulimit -n {RECOMMENDED_FILES}"
        yield Finding("open files", f"limit {hard}; {hint}", "bad", 1)
    elif not unlimited and calls < USUAL_CALLS:
        yield Finding("open files", f"{text}: enough for {calls} {'call' if calls == 1 else 'calls'} in flight", "note")
    else:
        yield Finding("open files", text)
