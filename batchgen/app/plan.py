"""Before a run: the manifest, the plan, the providers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Container, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from .. import manifest
from ..budget import Budget, BudgetLimit
from ..errors import NotFound, Problem
from ..learned_prices import PriceMemory
from ..manifest import Batch
from ..manifest.budgets import DAY
from ..manifest.overrides import Overlay
from ..money import nano_usd
from ..planning.compare import OnJob, Table, compare
from ..planning.estimate import PlanContext
from ..planning.plan import Plan
from ..planning.selection import Selection
from ..providers.presets import preset_names
from ..providers.pricing import charge
from ..providers.profile import Profile, UnknownModel
from ..providers.validation import translate
from ..sandbox.faults import directives, parse_directive
from ..store import migrate
from ..store.history import History, measured
from ..store.reader import Reader
from ..task import Basis
from .config import keys, settings
from .config import providers as roster
from .project import Project, open_reader
from .retry import with_earlier_overrides


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
    tell: OnJob | None = None,
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
            reader = parts.enter_context(open_reader(project))
            batch = with_earlier_overrides(project, reader, batch)
            known = table(reader, batch)
        caps = (
            *batch_budgets(batch, reader, None if reader is None else _number(reader, batch), _now()),
            *run_budget(budget),
        )
        found = compare(
            batch,
            known,
            context=facts(project, batch, reader),
            selection=selection,
            keep_changed=keep_changed,
            again=again,
            alone=alone,
            on_job=tell,
            changes_all=changes_all,
        )
    found = replace(found, budgets=caps)
    if found.absent:
        raise NotFound(
            f"no job of {batch.name} has the id {', '.join(found.absent)}; nothing was sent.  "
            f"batchgen plan --full {batch.manifest} lists all ids"
        )
    return found


def table(reader: Reader, batch: Batch) -> Table | None:
    """Return what the job table knows of *batch*; None where it does not know it."""
    number = _number(reader, batch)
    return None if number is None else reader.lookup(number)


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
        prices=PriceMemory() if reader is None else learned_prices(reader, batch.profiles),
        accounts={} if project.sandbox else _accounts(batch),
    )


def _accounts(batch: Batch) -> Mapping[str, int]:
    """Return how many keys each provider seems to have; none is read, for that may run a command."""
    return {name: len(keys.configured_names(known.api_key_env, os.environ)) for name, known in batch.profiles.items()}


def _free(folder: Path) -> int | None:
    """Return the bytes free where *folder* is or would be made; None where nobody can tell."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        return shutil.disk_usage(nearest).free
    except OSError:
        return None


def providers(project: Project) -> Mapping[str, tuple[Profile, Mapping[str, keys.Key]]]:
    """Return every preset and configured provider, with its keys by the names of their variables."""
    wishes = roster.provider_settings(project)
    found = {}
    for name in dict.fromkeys([*preset_names(), *wishes]):
        known = roster.display_profile(name, wishes)
        found[name] = (known, keys.find_keys(known.api_key_env, os.environ))
    return found


def batch_budgets(batch: Batch, reader: Reader | None, batch_id: int | None, now: datetime) -> Iterator[Budget]:
    """Yield a purse for each cap of *batch*; None for its number, or no *reader*: nothing was spent yet."""
    for limit in batch.budget:
        known = {} if reader is None or batch_id is None else _gone(limit, reader, batch_id, now)
        yield Budget(limit=limit, **known)


def run_budget(budget: int | None, *, unpriced: bool = False) -> Iterator[Budget]:
    """Yield the purse of one run; *budget* is in nano-USD, None is no cap."""
    if budget is not None:
        yield Budget(limit=BudgetLimit(usd=budget, scope="this run", unpriced=unpriced), earlier=False)


def _gone(limit: BudgetLimit, reader: Reader, batch_id: int, now: datetime) -> dict[str, Any]:
    since = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0) if limit.scope == DAY else None
    spent = reader.spent(batch_id=batch_id, provider=limit.only, since=since)
    credits_ = {}
    for name in limit.credits:
        found = reader.spent(batch_id=batch_id, provider=name, since=since)
        credits_[name] = found.credits + found.at_risk_credits + found.open_credits
    return {"usd": spent.usd + spent.at_risk_usd + spent.open_usd, "credits": credits_}


def learned_prices(reader: Reader, profiles: Mapping[str, Profile]) -> PriceMemory:
    """Return what the latest calls to *profiles* were found to cost.

    A price in USD that an answer stated counts as it is; the rest is priced again, by the price lists of today.
    """
    memory = PriceMemory()
    for call in reader.past_calls():
        profile = profiles.get(call.task.provider)
        if profile is None:
            continue
        try:
            _, model = profile.find(call.task.model)
        except UnknownModel:
            continue
        cost = call.charge if call.charge.basis is Basis.REPORTED else charge(call.usage, call.task, model)
        memory.observe(translate(call.task, profile), cost, call.usage.images)
    return memory
