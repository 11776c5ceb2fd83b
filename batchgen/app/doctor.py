"""What a run would meet on this machine: versions, settings, keys, disk, lock, job table.  Asks no provider."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from ..errors import BatchgenError
from ..files import lock
from ..files.output import supports_links
from ..providers.clock_skew import smallest_skew
from ..store import maintenance, migrate
from ..store.reader import Reader
from ..transport.client import tls_context
from .config import dotenv, keys, providers, settings
from .config.proxies import CERTIFICATES, bypassing_providers, proxies, tls_providers
from .preflight import BASE_FILES, FILES_PER_CALL, require_local
from .project import Project
from .provider_check import CheckCandidate, ProviderCheck, keys_of

PACKAGES = (
    "aiohttp",
    "alembic",
    "anyio",
    "click",
    "httpx",
    "httpx-aiohttp",
    "pillow",
    "pydantic",
    "pyyaml",
    "sqlalchemy",
)
#: Bytes free below which a run would soon stop, and below which it might.
NO_ROOM, LITTLE_ROOM = 100_000_000, 2_000_000_000
#: Seconds by which this clock may differ from the providers', and beyond which certificates and signatures fail.
FEW_SECONDS, MANY_SECONDS = 5, 300
#: Calls in flight that the usual limit of open files should be enough for.
USUAL_CALLS = 32

#: Settings whose values may let somebody in: variables, and addresses that an option of a file names.
_SECRET = re.compile(r"BATCHGEN_.*(URL|NOTIFY|SECRET|TOKEN|KEY)|options\..*\.notify")

Verdict = Literal["ok", "note", "bad"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at.  ``note``: a person may want to know; ``bad``: a run would end with ``code``."""

    about: str
    says: str
    verdict: Verdict = "ok"
    code: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One setting that somebody made, and where."""

    name: str
    value: Any
    source: str
    overridden_by: str | None = None  #: what goes before it: a variable, or a file


def examine(project: Project) -> Iterator[Finding]:
    """Look at everything; nothing stays written, and no provider is asked."""
    looks: tuple[tuple[str, Callable[[Project], Iterator[Finding]]], ...] = (
        ("python", _python),
        ("settings", _settings),
        ("keys", _keys),
        ("certificates", _certificates),
        ("proxies", _proxies),
        ("clock", _clock),
        ("disk", _disk),
        ("output", _output),
        ("lock", _lock),
        ("job table", _table),
        ("terminal", _terminal),
        ("open files", _open_files),
    )
    told = set[str]()
    for about, look in looks:
        try:
            yield from look(project)
        except BatchgenError as error:
            yield from error_findings(about, error, told)
        except OSError as error:
            yield Finding(about=about, says=f"{error.filename or about}: {error.strerror}", verdict="bad", code=1)


def error_findings(about: str, error: BatchgenError, told: set[str]) -> Iterator[Finding]:
    """Yield each line of *error*, but for what *told* holds; several looks may meet the same mistake."""
    for line in str(error).splitlines():
        if line not in told:
            told.add(line)
            yield Finding(about=about, says=line, verdict="bad", code=error.exit_code)


def clock_findings(asked: Sequence[ProviderCheck]) -> Iterator[Finding]:
    """Say how far this machine's clock is from those of the providers that have answered."""
    skew = smallest_skew(skew for one in asked for skew in one.skews)
    if skew is None:
        return
    who = next(one.candidate.profile.name for one in asked if skew in one.skews)
    off = abs(skew.certain)
    if off <= FEW_SECONDS:
        yield Finding(about="clock", says=f"agrees with that of {who} within {FEW_SECONDS} s")
        return
    says = f"{_span(off)} {'ahead of' if skew.certain > 0 else 'behind'} that of {who}: set it, or let NTP do so"
    if off <= MANY_SECONDS:
        yield Finding(about="clock", says=says, verdict="note")
    else:
        says += "; certificates and signatures may be refused, and a day's quota and budget begin at another time"
        yield Finding(about="clock", says=says, verdict="bad", code=1)


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


def exit_code_of(found: Sequence[Finding]) -> int:
    """Return the exit code of all findings."""
    codes = {finding.code for finding in found}
    return next((code for code in (12, 1, 4, 7, 5, 8) if code in codes), max(codes, default=0))


def list_settings(project: Project, rivals: Callable[[str], Sequence[str]] = lambda name: [name]) -> list[Setting]:
    """Return every setting that somebody made, the place that counts first; raise SettingsError.

    *rivals* tells which names go before a name of a file, where a variable or a file that counts more has them.
    """
    found = [
        Setting(name=name, value=_shown(name, value), source=str(dotenv.origins.get(name, "the environment")))
        for name, value in sorted(os.environ.items())
        if name.startswith("BATCHGEN_")
    ]
    said = {one.name: one.name for one in found if one.value}
    for layer in settings.layers(project.root):
        leaves = [(name, name.replace("-", "_"), value) for name, value in _leaves("", layer.values)]
        for name, plain, value in leaves:
            by = next((said[one] for one in rivals(plain) if one in said), None)
            found.append(Setting(name=name, value=_shown(plain, value), source=str(layer.file), overridden_by=by))
        said = {plain: str(layer.file) for _, plain, _ in leaves} | said
    return found


def _shown(name: str, value: object) -> object:
    return "(set)" if value and _SECRET.match(name) else value


def _leaves(prefix: str, said: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in said.items():
        if isinstance(value, dict) and value:
            yield from _leaves(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def _python(project: Project) -> Iterator[Finding]:
    del project
    known = (3, 11) <= sys.version_info < (3, 14)
    yield Finding(
        about="python",
        says=f"{platform.python_version()} at {sys.executable}, SQLite {sqlite3.sqlite_version}, {platform.platform()}",
        verdict="ok" if known else "note",
    )
    yield Finding(about="packages", says=", ".join(f"{name} {_version(name)}" for name in ("batchgen", *PACKAGES)))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _settings(project: Project) -> Iterator[Finding]:
    layers = settings.layers(project.root)
    providers.load_profiles(project)  # every provider that is configured can be made
    files = ", ".join(str(layer.file) for layer in layers) or "no batchgen.yaml, and none of your own"
    yield Finding(about="settings", says=files)


def _keys(project: Project) -> Iterator[Finding]:
    wanted = providers.provider_settings(project)
    found = 0
    for name, facts in providers.load_profiles(project).items():
        for candidate in keys_of(facts):
            finding = _key(name, candidate, configured=name in wanted)
            found += candidate.key is not None
            if finding is not None:
                yield finding
    if not found:
        yield Finding(about="keys", says="no provider has a key; a rehearsal (--sandbox) needs none", verdict="note")


def _key(name: str, candidate: CheckCandidate, *, configured: bool) -> Finding | None:
    if candidate.key is not None:
        ends = f", ends in {candidate.ends}" if candidate.ends else ""
        return Finding(about="keys", says=f"{name}: {candidate.key.source}{ends}")
    if candidate.variable is None:
        return Finding(about="keys", says=f"{name}: needs none") if configured else None
    if keys.configured_names([candidate.variable], os.environ):
        return Finding(about="keys", says=f"{name}: {candidate.problem}", verdict="bad", code=5)
    return Finding(about="keys", says=f"{name}: {candidate.problem}", verdict="note") if configured else None


def _certificates(project: Project) -> Iterator[Finding]:
    count = tls_context().cert_store_stats()["x509_ca"]
    named = [f"{name}={value}" for name in CERTIFICATES if (value := os.environ.get(name))]
    says = f"{count} authorities: {', '.join(named) or 'those that come along'}"
    if named:
        says += (
            f"; they apply to {', '.join(tls_providers(providers.load_profiles(project).values())) or 'no provider'}"
        )
    yield Finding(about="certificates", says=says, verdict="ok" if count else "note")


def _proxies(project: Project) -> Iterator[Finding]:
    known = list(providers.load_profiles(project).values())
    found = list(proxies(known))
    if not found:
        yield Finding(about="proxies", says="none")
    for one in found:
        bad = one.flaw is not None and bool(one.providers)
        yield Finding(about="proxies", says=str(one), verdict="bad" if bad else "note", code=8 if bad else 0)
    if found and (past := bypassing_providers(known)):
        yield Finding(about="proxies", says=f"NO_PROXY: {', '.join(past)} reached without them", verdict="note")


def _clock(project: Project) -> Iterator[Finding]:
    now = datetime.now(UTC)
    here = now.astimezone()
    says = f"{here:%Y-%m-%d %H:%M:%S} {time.tzname[time.daylight and time.localtime().tm_isdst > 0]}, {now:%H:%M} UTC"
    last = None
    if migrate.revision(project.db) == migrate.HEAD:
        with Reader(project.db) as reader:
            last = max((batch.updated_at for batch in reader.batches()), default=None)
    if last is not None and last > now:
        says += f"; but a run began at {last:%Y-%m-%d %H:%M:%S} UTC: the clock was set back"
        yield Finding(about="clock", says=says, verdict="bad", code=1)
    else:
        yield Finding(about="clock", says=says)


def _disk(project: Project) -> Iterator[Finding]:
    nearest = next(path for path in (project.state, *project.state.parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    says = f"{free / 1e9:,.1f} GB free at {nearest}"
    if not os.access(nearest, os.W_OK):
        yield Finding(about="disk", says=f"{nearest} cannot be written to", verdict="bad", code=1)
    elif free < NO_ROOM:
        yield Finding(about="disk", says=f"{says}: a run would soon stop", verdict="bad", code=1)
    else:
        yield Finding(about="disk", says=says, verdict="ok" if free >= LITTLE_ROOM else "note")
    require_local(nearest.resolve())


def _output(project: Project) -> Iterator[Finding]:
    """Report how files get their names in the output folders, which takes a try with an empty file."""
    folders = {project.root}
    if migrate.revision(project.db) == migrate.HEAD:
        with Reader(project.db) as reader:
            folders = {Path(batch.folder) for batch in reader.batches()} or folders
    for folder in sorted({next(path for path in (each, *each.parents) if path.exists()) for each in folders}):
        try:
            way = "hard links" if supports_links(folder) else "exclusive renames (the file system has no hard links)"
        except OSError as error:
            yield Finding(about="output", says=f"{folder} cannot be written: {error.strerror}", verdict="bad", code=1)
        else:
            yield Finding(about="output", says=f"{folder}: files get their names by {way}")


def _lock(project: Project) -> Iterator[Finding]:
    holder = lock.holder(project.db)
    if holder is None:
        yield Finding(about="lock", says="free: no run is on")
    else:
        who = f"process {holder.pid} on {holder.host}, since {holder.since}: {holder.command}"
        yield Finding(about="lock", says=f"a run is on: {who}", verdict="note")


def _table(project: Project) -> Iterator[Finding]:
    found = migrate.revision(project.db)
    if found is None:
        yield Finding(about="job table", says=f"none yet at {project.db}")
        return
    if found != migrate.HEAD:
        migrate.refuse_unknown(project.db, found)
    health = maintenance.examine(project.db)
    if health.problems:
        says = f"{project.db} is damaged: {health.problems[0]}.  batchgen db recover MANIFEST makes a new one"
        yield Finding(about="job table", says=says, verdict="bad", code=1)
        return
    old = "" if found == migrate.HEAD else "; the next run brings it to the newest form"
    yield Finding(about="job table", says=f"{project.db} is whole, {health.rows.get('jobs', 0):,} jobs{old}")


def _terminal(project: Project) -> Iterator[Finding]:
    del project
    streams = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name).isatty()]
    said = [
        f"{name}={os.environ[name]}" for name in ("TERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS") if name in os.environ
    ]
    where = f"{', '.join(streams)} at a terminal" if streams else "none: a run needs --yes or a budget"
    yield Finding(about="terminal", says=", ".join([where, *said, str(sys.stdout.encoding)]))


def _open_files(project: Project) -> Iterator[Finding]:
    del project
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    calls = None if hard == resource.RLIM_INFINITY else max(0, hard - BASE_FILES) // FILES_PER_CALL
    says = f"{soft} at once, at most {'any number' if calls is None else hard}"
    if calls is not None and calls < USUAL_CALLS:
        yield Finding(about="open files", says=f"{says}: enough for {calls} calls in flight", verdict="note")
    else:
        yield Finding(about="open files", says=says)
