"""A run: sends what a batch still needs and returns what it came to.

The steps of ``run``, in order:

1. check this machine: a private state folder on a local disk, file names that the locale can write;
2. lock the job database and the output folder, and open the database in its newest form;
3. take in what files on disk show and the database lacks (``recovery``);
4. plan: compare the manifest with the database, find the keys, ask for consent (``confirm``);
5. in a sandbox run, start the sandbox; requeue the failed jobs of a retry;
6. ``RunSession.execute``: load the jobs, settle interrupted attempts, send what is due, collect the result;
7. write the summary and release the locks;
8. write the report, if the manifest or the settings ask for one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import anyio

from .. import redaction
from ..database_url import DatabaseUrl
from ..errors import NotFound, StoreError
from ..files import log
from ..files.output import make_private
from ..files.result_files import FOLDER
from ..manifest import Batch
from ..money import show_usd
from ..planning.plan import Plan
from ..store import migrate
from ..store.batch_owner import require_owner
from ..store.reader import Reader
from ..store.silent_server import until_end
from ..store.writer import Writer
from .batch_lanes import providers_with_submissions, remove_remains, require_known
from .config.keys import ApiKeys, load_keys, missing_key, sandbox_keys
from .lane_result import LaneResult
from .loads import is_loaded
from .output_lock import hold_output
from .plan import plan as make_plan
from .preflight import require_addresses, require_files, require_local, require_names
from .project import Project, command_line, hold_lock, open_reader
from .recovery.rebuild import recover_before_run
from .recovery.sidecars import restore_sidecars
from .redo import Requeue, jobs_to_redo, jobs_to_retry
from .retry import as_stored, ending_models, requeue, with_overrides
from .run_options import RunOptions, ShowMessage
from .run_report import with_report
from .run_result import RunResult, write_summary
from .sandbox_providers import batch_at_sandbox, start_sandbox
from .shutdown import StopRequest
from .takeover import take_over
from .wiring import Follow, RunSession

__all__ = ["Confirm", "Follow", "LaneResult", "RunOptions", "RunResult", "RunSession", "preview", "run"]

#: Confirms a plan: all of it (None) or its first N jobs; raises SpendNotConfirmed.
Confirm = Callable[[Batch, Plan], int | None]


def run(
    project: Project,
    batch: Batch,
    options: RunOptions,
    confirm: Confirm,
    follow: Follow,
    *,
    show_message: ShowMessage = lambda _text: None,
    on_silence: ShowMessage | None = None,
    stop: StopRequest | None = None,
) -> RunResult:
    """Complete *batch*: send every job that is not done yet. A repeated run resumes where the last one stopped.

    *show_message* shows the user a line at once; *on_silence* reports that no answer arrives; *stop* replaces signals,
    which only the main thread of a program can receive. Raises AlreadyRunning, SchemaMismatch, KeyMissing and whatever
    *confirm* raises before anything is sent.
    """
    report = _logged(show_message)
    _check_machine(project, batch)
    require_files()
    with until_end(project.db), ExitStack() as resources:
        session = prepare_run(project, batch, options, confirm, report=report, resources=resources)
        result = anyio.run(replace(session, on_silence=on_silence, stop=stop).execute, follow)
        _record_end(project, result, report)
    return with_report(project, result, report) if batch.report else result


def prepare_run(
    project: Project, batch: Batch, options: RunOptions, confirm: Confirm, *, report: ShowMessage, resources: ExitStack
) -> RunSession:
    """Lock, recover, plan and confirm a run; *resources* holds its locks and open files."""
    command = log.redacted(options.command or command_line())  # The address of a notification may be a secret.
    deadline = time.monotonic() + options.wait_lock
    resources.enter_context(
        hold_lock(project, command=command, batch=batch.name, shard=options.selection.shard, wait=options.wait_lock)
    )
    _prepare_database(project, batch)
    reader = resources.enter_context(Reader(project.db))
    take_over(project, reader, batch.name, options.selection, deadline=deadline, show_message=report)
    in_manifest, batch = batch, as_stored(project, reader, batch)
    # The folder is locked before its files are read: a run that waited for another one sees what that one made.
    folder = resources.enter_context(
        hold_output(project, batch.folder, manifest=batch.manifest, wait=deadline - time.monotonic())
    )
    if (recovery := recover_before_run(project, reader, batch)) is not None:
        batch = as_stored(project, reader, in_manifest)
    _complete_last_run(project, reader, batch, report)
    require_known(project, reader)
    repeats = _jobs_to_requeue(project, reader, batch, options)
    batch = with_overrides(project, batch, repeats.overrides(options))
    plan = _plan(project, batch, options, repeats)
    interrupted = _interrupted_providers(reader, batch)
    keys = _load_keys(project, batch, plan, interrupted, options=options, report=report)
    options, plan = _confirmed(project, batch, options, repeats, plan=plan, confirm=confirm)
    if plan.lanes or plan.pending or interrupted:
        folder.make()
        batch = _at_sandbox(project, batch, options, resources)
    requeued = requeue(project, repeats.jobs, plan)
    return RunSession(
        project=project,
        command=command,
        batch=batch,
        options=options,
        keys=keys,
        reader=reader,
        writer=resources.enter_context(Writer(project.db)),
        plan=plan,
        is_loaded=is_loaded(reader, batch),
        requeued=requeued if repeats.alone else None,
        recovery=recovery,
        show_message=report,
    )


def _prepare_database(project: Project, batch: Batch) -> None:
    """Create or upgrade the job database; raise UsageError if another project has this batch on a server."""
    migrate.ensure(project.db)
    if not isinstance(project.db, DatabaseUrl):
        return
    manifest, folder = str(batch.manifest), str(batch.folder)
    with Reader(project.db) as reader:
        reader.ask(partial(require_owner, database=project.db, name=batch.name, manifest=manifest, folder=folder))


def _complete_last_run(project: Project, reader: Reader, batch: Batch, report: ShowMessage) -> None:
    """Remove the files that a run that was cut off has left, and write those that it could not."""
    remove_remains(reader, project.state / FOLDER)
    _restore_sidecars(project, reader, batch, report)


def _restore_sidecars(project: Project, reader: Reader, batch: Batch, report: ShowMessage) -> None:
    try:
        if restored := restore_sidecars(project, reader, batch):
            report(f"restored  {restored} sidecar{'s' if restored > 1 else ''} that the last run could not complete")
    except StoreError as error:
        report(f"{error}. An image lacks its sidecar; the next run writes it")


def preview(project: Project, batch: Batch, options: RunOptions) -> Plan:
    """Return the plan of ``run``; changes nothing. Raises NotFound, UsageError."""
    repeats = Requeue()
    if (options.requeue is not None and options.only_requeued) or migrate.revision(project.db) is not None:
        with open_reader(project) as reader:
            batch = as_stored(project, reader, batch)
            repeats = _jobs_to_requeue(project, reader, batch, options)
    return _plan(project, with_overrides(project, batch, repeats.overrides(options)), options, repeats)


def _check_machine(project: Project, batch: Batch) -> None:
    make_private(project.state)
    require_local(project.state.resolve())
    require_names(batch)


def _jobs_to_requeue(project: Project, reader: Reader, batch: Batch, options: RunOptions) -> Requeue:
    """Return the jobs to requeue; raise NotFound if the batch never ran, and nothing else is to be sent."""
    if options.requeue is None:
        return Requeue()
    try:
        find = jobs_to_redo if options.redo else jobs_to_retry
        return replace(find(project, reader, batch, options), alone=options.only_requeued)
    except NotFound:
        if options.only_requeued:
            raise
        return Requeue()  # The first run of a batch has no failed jobs.


def _plan(project: Project, batch: Batch, options: RunOptions, repeats: Requeue) -> Plan:
    plan = make_plan(
        project,
        batch,
        options.selection,
        keep_changed=options.keep_changed,
        repeats=repeats.for_plan(),
        budget=options.budget,
        allow_unpriced=options.allow_unpriced,
    )
    return replace(plan, notices=repeats.notices, ending=ending_models(batch.profiles, options.overrides))


def _confirmed(
    project: Project, batch: Batch, options: RunOptions, repeats: Requeue, *, plan: Plan, confirm: Confirm
) -> tuple[RunOptions, Plan]:
    """Return options and plan as they are confirmed, perhaps of the first jobs only."""
    if not plan.lanes or options.collects_only or (limit := confirm(batch, plan)) is None:
        return options, plan
    options = replace(options, selection=replace(options.selection, limit=limit))
    return options, _plan(project, batch, options, repeats)


def _load_keys(
    project: Project, batch: Batch, plan: Plan, interrupted: set[str], *, options: RunOptions, report: ShowMessage
) -> ApiKeys:
    """Return the keys of a run and report fallback providers without one.

    Raises KeyMissing, and ManifestError for a provider whose address is still that of an example.
    """
    needed = [] if options.collects_only else [lane.provider for lane in plan.lanes]
    require_addresses(batch, [] if options.collects_only else [*needed, *plan.alternates])
    if project.sandbox:
        keys = sandbox_keys(batch.profiles)
    else:
        keys = load_keys(batch.profiles, needed, [*plan.alternates, *sorted(interrupted)], options.environment)
    redaction.register(key for by_variable in keys.keys.values() for key in by_variable.values())
    for name in keys.without_key:
        if name in plan.alternates:
            report(f"{name} cannot be used as a fallback: {missing_key(name, batch.profiles[name].api_key_env)}")
    return keys


def _at_sandbox(project: Project, batch: Batch, options: RunOptions, resources: ExitStack) -> Batch:
    """Return *batch* at the addresses of a sandbox that runs as long as *resources*; unchanged for a real run."""
    if not project.sandbox:
        return batch
    sandbox = resources.enter_context(start_sandbox(project, batch.profiles, options.latency))
    return replace(batch, profiles=batch_at_sandbox(batch, sandbox))


def _interrupted_providers(reader: Reader, batch: Batch) -> set[str]:
    """Return the providers with attempts or submissions that an earlier run left open."""
    batch_id = reader.batch_id(batch.name)
    if batch_id is None:
        return set()
    attempts = {record.provider for _, record in reader.open_attempts(batch_id)}
    return (attempts | providers_with_submissions(reader, batch_id)) & set(batch.profiles)


def _logged(show_message: ShowMessage) -> ShowMessage:
    """Return a function that logs each message before it shows it."""

    def report(text: str) -> None:
        log.event("notice", message=text)
        show_message(text)

    return report


def _record_end(project: Project, result: RunResult, report: ShowMessage) -> None:
    log.event("ended", run=result.run_id, exit_code=result.exit_code, images=result.images, usd=show_usd(result.usd))
    if write_summary(project, result) is None:
        report(f"cannot write the summary of this run to {project.state / 'runs'}")
