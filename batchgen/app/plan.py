"""Planning a run: reads the manifest, compares it with the job database, applies budgets and learned prices."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from .. import manifest
from ..errors import ManifestError, NotFound, Problem
from ..learned_prices import PriceMemory
from ..manifest import Batch
from ..manifest.batch import Overlay
from ..manifest.inputs import Recall
from ..manifest.load import NEEDS_EXTRA
from ..manifest.routing import PLACEHOLDER_ADDRESS, placeholder_problem
from ..mode import Mode
from ..money import nano_usd
from ..object_url import Folder
from ..planning.compare import OnJob, Repeats, compare
from ..planning.estimate import PlanContext
from ..planning.loaded import plan_of_loaded
from ..planning.plan import Plan
from ..planning.selection import Selection, absent_ids
from ..providers.addresses import is_placeholder
from ..providers.presets import preset_names
from ..providers.pricing import charge
from ..providers.profile import Profile, UnknownModel
from ..providers.validation import translate
from ..store import migrate
from ..store.claims import keys_at_provider
from ..store.history import History, measured
from ..store.reader import Reader
from ..task import Basis
from . import model_lists
from .budgets import budgets_of
from .clock import utc_now
from .config import keys, settings
from .config import providers as roster
from .deliver import Copies
from .loads import loaded_jobs, recall_from
from .manifests import DASH, STDIN, standard_input
from .modes import mode_clock
from .project import DEMO, SANDBOX_OUTPUT, Project, open_reader
from .retry import as_stored

#: Warnings about what a sandbox run does without.
_ONLY_REAL = frozenset({NEEDS_EXTRA, PLACEHOLDER_ADDRESS})


def read_manifest(
    project: Project,
    path: Path,
    overlay: Overlay = Overlay(),  # noqa: B008 - frozen
    on_jobs: Callable[[int], None] = lambda _jobs: None,
    *,
    thorough: bool = False,
) -> Batch:
    """Return the batch of the manifest at *path*, with *overlay* applied; *on_jobs* gets the number of jobs so far.

    If the last run loaded the same manifest and lists, their rows are only checked again if this is *thorough*.
    Raises ManifestError with all problems, and UsageError if *overlay* names an unknown provider.
    """
    content = standard_input() if path.name == DASH else None
    path = path if content is None else path.with_name(STDIN)
    stored = settings.project_settings(path.absolute().parent)
    settings.check_providers(path.absolute().parent)
    today = datetime.now().astimezone().date()
    providers_ = stored.get("providers", {})
    recall: Recall = (lambda _name: None) if thorough else recall_from(project)
    batch = manifest.load(
        path, providers=providers_, today=today, content=content, on_jobs=on_jobs, recall=recall,
        lists=project.state / "lists", seen=model_lists.recall(project.state),
    )  # fmt: skip
    if batch.confirm_above is None:
        batch = replace(batch, confirm_above=nano_usd(stored.get("confirm_above")))
    if batch.report is None:
        batch = replace(batch, report=stored.get("report"))
    if stored.get("budget"):
        batch = replace(batch, shared_budget=settings.shared_budget(path.absolute().parent))
    batch = _with_placeholders(batch, path.absolute().parent)
    batch = _at_sandbox_folder(project, path, batch) if project.sandbox else _with_extra(batch)
    text = (path.read_bytes() if content is None else content).decode("utf-8", "replace")
    if problems := tuple(_directive_problems(path, text)):
        batch = replace(batch, warnings=(*batch.warnings, *problems))
    return batch.under(overlay)


def _with_placeholders(batch: Batch, start: Path) -> Batch:
    """Return *batch* with a warning of each address of an example that a settings file states."""
    warned = [problem.message for problem in batch.warnings if problem.code == PLACEHOLDER_ADDRESS]
    found = [
        placeholder_problem(origin, profile)
        for name, profile in batch.profiles.items()
        if is_placeholder(profile.base_url)
        and not any(message.startswith(f"{profile.base_url} ") for message in warned)
        if (origin := settings.origin(start, ("providers", name, "base_url"))) is not None
    ]
    return replace(batch, warnings=(*batch.warnings, *found)) if found else batch


def _with_extra(batch: Batch) -> Batch:
    """Return *batch*; raise ManifestError where this installation cannot write to its output folder."""
    if lacking := tuple(problem for problem in batch.warnings if problem.code == NEEDS_EXTRA):
        raise ManifestError(lacking)
    return batch


def _at_sandbox_folder(project: Project, path: Path, batch: Batch) -> Batch:
    warnings = tuple(problem for problem in batch.warnings if problem.code not in _ONLY_REAL)
    return replace(batch, folder=_sandbox_folder(project, path, batch.name), warnings=warnings)


def _sandbox_folder(project: Project, path: Path, name: str) -> Path:
    """Return the output folder of a sandbox run: next to the manifest, whatever the manifest says."""
    folder = path.absolute().parent
    if path.absolute() in DEMO or not os.access(folder, os.W_OK):
        folder = project.root  # the demonstration's manifest is part of the installation
    return folder / SANDBOX_OUTPUT / name


def _directive_problems(path: Path, content: str) -> Iterator[Problem]:
    """Yield the sandbox directives in the manifest that the sandbox would not understand."""
    if "[sandbox:" not in content.lower():
        return
    from ..sandbox.faults import directives, parse_directive

    for number, line in enumerate(content.splitlines(), 1):
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
    repeats: Repeats = Repeats(),  # noqa: B008 - frozen
    on_job: OnJob | None = None,
    changes_all: bool = False,
    budget: int | None = None,
    allow_unpriced: bool = False,
) -> Plan:
    """Compare *batch* with the job database, if there is one; opens no connection and writes nothing.

    ``compare`` explains most options; *budget* is the run's, in nano-USD. Raises NotFound for an unknown selected id.
    """
    with ExitStack() as resources:
        reader = batch_id = None
        if migrate.revision(project.db) is not None:
            reader = resources.enter_context(open_reader(project))
            batch = as_stored(project, reader, batch)
            batch_id = reader.batch_id(batch.name)
        budgets = budgets_of(batch, reader, batch_id, utc_now(), own=budget, unpriced=allow_unpriced)
        context = facts(project, batch, reader)
        remote = _jobs_at_provider(reader, batch_id)
        # Nothing is selected, and nothing that the job database has as it is requeued: it needs no comparison.
        is_whole = not remote and selection.everything and on_job is None and not (repeats.jobs or repeats.alone)
        stored = loaded_jobs(reader, batch_id, batch) if is_whole and reader and batch_id is not None else None
        if stored is not None:
            result = plan_of_loaded(batch, stored, context)
        else:
            result = compare(
                batch,
                reader.lookup(batch_id) if reader and batch_id is not None else None,
                context=context,
                selection=selection,
                keep_changed=keep_changed,
                repeats=repeats,
                on_job=on_job,
                changes_all=changes_all,
                remote=remote,
            )
        copies = Copies(project, batch).count_missing(reader, batch_id) if batch.copies and reader and batch_id else 0
    _require_ids(project, batch, selection, result)
    return replace(result, budgets=budgets, copies=copies)


def _jobs_at_provider(reader: Reader | None, batch_id: int | None) -> frozenset[str]:
    if reader is None or batch_id is None:
        return frozenset()
    return reader.ask(partial(keys_at_provider, batch_id=batch_id))


def _require_ids(project: Project, batch: Batch, selection: Selection, result: Plan) -> None:
    """Raise NotFound if a selected id is not in the manifest."""
    if not result.absent:
        return
    ids = absent_ids(selection, result.absent, (job.key for job in batch.jobs))
    flags = project.command_flags()
    number = batch.skipped.count
    skipped = f" ({number:,} skipped because of bad source images: validate names them)" if number else ""
    raise NotFound(
        f"no job of {batch.name} has the id {ids}{skipped}; nothing was sent. "
        f"{flags.on_manifest('plan', batch.manifest, '--full')} lists all ids"
    )


def facts(project: Project, batch: Batch, reader: Reader | None = None) -> PlanContext:
    """Return the context of a plan: this machine, today, and earlier runs (none without a *reader*)."""
    history = History() if migrate.revision(project.db) is None else measured(project.db)
    return PlanContext(
        today=datetime.now().astimezone().date(),
        latencies=history.latencies,
        bytes_per_pixel=history.bytes_per_pixel,
        free_bytes=_free(batch.folder),
        prices=PriceMemory() if reader is None else learned_prices(reader, batch.profiles),
        accounts={} if project.sandbox else _accounts(batch),
        mode_of=mode_clock(batch.profiles, utc_now(), utc_now),
    )


def _accounts(batch: Batch) -> Mapping[str, int]:
    """Return how many keys each provider seems to have, without reading one: that may run a command."""
    return {
        name: len(keys.configured_names(profile.api_key_env, os.environ)) for name, profile in batch.profiles.items()
    }


def _free(folder: Folder) -> int | None:
    """Return the free bytes on the disk of *folder*; None if unknown."""
    if not isinstance(folder, Path):
        return None
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        return shutil.disk_usage(nearest).free
    except OSError:
        return None


def providers(project: Project) -> Mapping[str, tuple[Profile, Mapping[str, keys.Key]]]:
    """Return the profile of every preset and configured provider, with its keys by variable."""
    overrides = roster.provider_settings(project)
    result = {}
    for name in dict.fromkeys([*preset_names(), *overrides]):
        profile = roster.display_profile(name, overrides)
        result[name] = (profile, keys.find_keys(profile.api_key_env, os.environ))
    return result


def learned_prices(reader: Reader, profiles: Mapping[str, Profile]) -> PriceMemory:
    """Return the prices that the latest calls to *profiles* turned out to have.

    A price that an answer stated in USD counts as it is; other calls are priced again by today's price lists.
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
        # The ledger does not store the tier of an answer: what a flex call was charged is what it cost.
        is_exact = call.charge.basis is Basis.REPORTED or call.mode is Mode.FLEX
        cost = call.charge if is_exact else charge(call.usage, call.task, model, call.mode)
        memory.observe(translate(call.task, profile), cost, call.usage.images, call.mode)
    return memory
