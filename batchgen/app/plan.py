"""Before a run: the manifest, the plan, the providers."""

from __future__ import annotations

import shutil
from collections.abc import Container, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from .. import manifest
from ..errors import NotFound, Problem
from ..learned_prices import PriceMemory
from ..manifest import Batch
from ..manifest.overrides import Overlay
from ..money import nano_usd
from ..planning.plan import Plan, PlanContext, Table, Tell, compare
from ..planning.selection import Selection
from ..providers.presets import preset_names
from ..providers.profile import Profile
from ..sandbox.faults import directives, parse_directive
from ..store import migrate
from ..store.history import History, measured
from ..store.reader import Reader
from .budgets import of_run, purses
from .charge_history import found_prices
from .config import providers as roster
from .config import settings
from .project import Project, opened
from .retry import as_before


def read_manifest(project: Project, path: Path, overlay: Overlay = Overlay()) -> Batch:  # noqa: B008 - frozen
    """Return the manifest at *path*, checked and expanded, with *overlay* over it.

    Raises ManifestError with everything that is wrong, and UsageError where *overlay* names what it has not.
    """
    stored = settings.project_settings(path.absolute().parent)
    batch = manifest.load(path, providers=stored.get("providers", {}), today=datetime.now().astimezone().date())
    if batch.confirm_above is None:
        batch = replace(batch, confirm_above=nano_usd(stored.get("confirm_above")))
    if project.sandbox:
        batch = replace(batch, folder=project.state / "output" / batch.name)
    if strange := tuple(_strange_directives(path)):
        batch = replace(batch, warnings=(*batch.warnings, *strange))
    return batch.under(overlay)


def _strange_directives(path: Path) -> Iterator[Problem]:
    """Yield what the sandbox would not understand of its directives in the manifest itself."""
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if "[sandbox:" not in line.lower() or line.lstrip().startswith("#"):
            continue
        for column, text in directives(line):
            try:
                if "{{" not in text:
                    parse_directive(text)
            except ValueError as error:
                yield Problem(
                    file=str(path),
                    line=number,
                    column=column + 1,
                    path="",
                    code="sandbox_directive",
                    message=f"[sandbox:{text}]: {error}",
                    hint="batchgen help sandbox-faults",
                )


def plan(
    project: Project,
    batch: Batch,
    selection: Selection = Selection(),  # noqa: B008 - frozen
    *,
    keep_changed: bool = False,
    again: Container[str] | None = None,
    alone: bool = True,
    tell: Tell | None = None,
    changes_all: bool = False,
    budget: int | None = None,
) -> Plan:
    """Compare *batch* with the job table, if there is one yet; opens no connection and writes nothing.

    See ``compare`` for *again*, *alone*, *tell* and *changes_all*; *budget* is that of one run, in nano-USD.  Raises
    NotFound where *selection* names an id that no job has.
    """
    with ExitStack() as parts:
        begun = migrate.revision(project.db) is not None  # an empty file is not begun either
        known = reader = None
        if begun:
            reader = parts.enter_context(opened(project))
            batch = as_before(project, reader, batch)
            known = table(reader, batch)
        caps = (*purses(batch, reader, None if reader is None else _number(reader, batch), _now()), *of_run(budget))
        found = compare(
            batch,
            known,
            facts=facts(project, batch, reader),
            selection=selection,
            keep_changed=keep_changed,
            again=again,
            alone=alone,
            tell=tell,
            changes_all=changes_all,
        )
    found = replace(found, purses=caps)
    if found.absent:
        raise NotFound(
            f"no job of {batch.name} has the id {', '.join(found.absent)}; nothing was sent.  "
            f"batchgen plan --full {batch.manifest} lists all ids"
        )
    return found


def table(reader: Reader, batch: Batch) -> Table | None:
    """Return what the job table knows of *batch*; None where it does not know it."""
    number = _number(reader, batch)
    return None if number is None else reader.known(number)


def _number(reader: Reader, batch: Batch) -> int | None:
    return {found.name: found.id for found in reader.batches()}.get(batch.name)


def _now() -> datetime:
    return datetime.now().astimezone()


def facts(project: Project, batch: Batch, reader: Reader | None = None) -> PlanContext:
    """Return what a plan needs to know of this machine, this day and earlier runs; no *reader*: there were none."""
    seen = History() if migrate.revision(project.db) is None else measured(project.db)
    return PlanContext(
        today=datetime.now().astimezone().date(),
        latencies=seen.latencies,
        bytes_per_pixel=seen.bytes_per_pixel,
        free_bytes=_free(batch.folder),
        prices=PriceMemory() if reader is None else found_prices(reader, batch.profiles),
        accounts={} if project.sandbox else _accounts(batch),
    )


def _accounts(batch: Batch) -> Mapping[str, int]:
    """Return how many keys each provider seems to have; none is read, for that may run a command."""
    environment = settings.environment()
    return {name: len(settings.stated(known.api_key_env, environment)) for name, known in batch.profiles.items()}


def _free(folder: Path) -> int | None:
    """Return the bytes free where *folder* is or would be made; None where nobody can tell."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        return shutil.disk_usage(nearest).free
    except OSError:
        return None


def providers(project: Project) -> Mapping[str, tuple[Profile, Mapping[str, settings.Key]]]:
    """Return every preset and configured provider, with its keys by the names of their variables."""
    wishes = roster.configured(project)
    found = {}
    for name in dict.fromkeys([*preset_names(), *wishes]):
        known = roster.described(name, wishes)
        found[name] = (known, settings.find_keys(known.api_key_env, settings.environment()))
    return found
