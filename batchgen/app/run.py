"""A run: one batch, from its plan to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace

import anyio

from ..errors import NotFound
from ..files import lock, log
from ..files.output import make_private
from ..job import Job
from ..manifest import Batch
from ..money import show_usd
from ..planning.plan import Plan
from ..sandbox import launch
from ..store import migrate
from ..store.reader import Reader
from ..store.writer import Writer
from . import run_result
from .config.keys import ApiKeys, load_keys, missing_key, sandbox_keys
from .live_limits import ShowMessage
from .plan import plan
from .preflight import require_files, require_local, require_names
from .project import Project, command_line, open_reader
from .recovery.rebuild import recover_before_run
from .retry import jobs_to_requeue, requeue, with_earlier_overrides, with_overrides
from .run_options import RunOptions
from .run_result import LaneResult, RunResult
from .wiring import Follow, RunSession

__all__ = ["Confirm", "Follow", "LaneResult", "RunOptions", "RunResult", "RunSession", "preview", "run"]

#: Agrees to a plan, to all of it (None) or to its first so many jobs, or raises SpendNotConfirmed.
Confirm = Callable[[Batch, Plan], int | None]


def run(  # noqa: PLR0917 - what it is about, how it goes, and three ways to reach a person
    project: Project,
    batch: Batch,
    terms: RunOptions,
    agree: Confirm,
    follow: Follow,
    say: ShowMessage = lambda _text: None,
    *,
    on_silence: ShowMessage | None = None,
) -> RunResult:
    """Do what *batch* asks for and is not done yet; running it again goes on where it stopped.

    *say* tells a person something at once, *on_silence* that nothing comes back.  Raises LockHeld, SchemaMismatch,
    KeyMissing and whatever *agree* raises before anything is sent.
    """
    say = _logged(say)
    make_private(project.state)
    require_local(project.state.resolve())
    require_names(batch)
    command = log.redacted(command_line())  # an address to tell may be a secret
    deadline = time.monotonic() + terms.wait_lock
    with lock.hold(project.db, command=command, wait=terms.wait_lock), ExitStack() as parts:
        migrate.ensure(project.db)
        reader = parts.enter_context(Reader(project.db))
        batch = with_earlier_overrides(project, reader, batch)
        # before what lies in it is taken in: who waited for another run sees what that one made
        folder = parts.enter_context(lock.hold_folder(batch.folder, wait=deadline - time.monotonic()))
        taken_in = recover_before_run(project, reader, batch)
        ended = _ended(reader, batch, terms)
        batch = with_overrides(project, batch, ended or (), terms.overrides)
        wish = _wish(project, batch, terms, ended)
        keys = _keys(project, batch, wish, reader, say)
        if wish.lanes and (first := agree(batch, wish)) is not None:
            terms = replace(terms, selection=replace(terms.selection, limit=first))
            wish = _wish(project, batch, terms, ended)
        if wish.lanes or wish.pending or _interrupted(reader, batch):
            folder.make()
        if project.sandbox and (wish.lanes or wish.pending):
            batch = _rehearsed(batch, parts.enter_context(launch.start(project.state, latency=terms.latency)))
        require_files()
        back = None if ended is None else requeue(project, ended, wish.again)
        writer = parts.enter_context(Writer(project.db))
        engagement = RunSession(
            project=project, batch=batch, terms=terms, keys=keys, reader=reader, writer=writer,
            plan=wish, say=say, on_silence=on_silence, back=back if terms.only_requeued else None,
        )  # fmt: skip
        done = replace(anyio.run(engagement.carry_out, command, follow), recovery=taken_in)
        _note_end(project, done, say)
        return done


def _keys(project: Project, batch: Batch, wish: Plan, reader: Reader, say: ShowMessage) -> ApiKeys:
    """Return the keys of a run, and tell who takes over nothing for want of one; raise KeyMissing."""
    needed = [lane.provider for lane in wish.lanes]
    others = [*wish.alternates, *sorted(_interrupted(reader, batch))]
    keys = sandbox_keys(batch.profiles) if project.sandbox else load_keys(batch.profiles, needed, others)
    log.hide_secrets(key for found in keys.keys.values() for key in found.values())
    for name in keys.without_key:
        if name in wish.alternates:
            say(f"{name} takes over nothing: {missing_key(name, batch.profiles[name].api_key_env)}")
    return keys


def _logged(say: ShowMessage) -> ShowMessage:
    def told(text: str) -> None:
        log.event("notice", message=text)
        say(text)

    return told


def _note_end(project: Project, done: RunResult, say: ShowMessage) -> None:
    log.event("ended", run=done.run_id, exit_code=done.exit_code, images=done.images, usd=show_usd(done.usd))
    if run_result.write_summary(project, done) is None:
        say(f"the summary of this run cannot be written under {project.state / 'runs'}")


def preview(project: Project, batch: Batch, terms: RunOptions) -> Plan:
    """Return what ``run`` would do by *terms*; changes nothing.  Raises NotFound, UsageError."""
    ended: Mapping[str, Job] | None = None
    if (terms.requeue is not None and terms.only_requeued) or migrate.revision(project.db) is not None:
        with open_reader(project) as reader:
            batch = with_earlier_overrides(project, reader, batch)
            ended = _ended(reader, batch, terms)
    return _wish(project, with_overrides(project, batch, ended or (), terms.overrides), terms, ended)


def _ended(reader: Reader, batch: Batch, terms: RunOptions) -> Mapping[str, Job] | None:
    """Return the jobs that are to be put back, by key; None where that is not asked for."""
    if terms.requeue is None:
        return None
    try:
        return jobs_to_requeue(reader, batch, terms.requeue)
    except NotFound:
        if terms.only_requeued:
            raise
        return {}  # its first run


def _wish(project: Project, batch: Batch, terms: RunOptions, ended: Mapping[str, Job] | None) -> Plan:
    """Return what a run would do, or a retry of those of *ended* that are selected."""
    return plan(
        project,
        batch,
        terms.selection,
        keep_changed=terms.keep_changed,
        again=ended,
        alone=terms.only_requeued,
        budget=terms.budget,
    )


def _interrupted(reader: Reader, batch: Batch) -> set[str]:
    """Return the providers at which an earlier run was cut off."""
    ids = [known.id for known in reader.batches() if known.name == batch.name]
    return {record.provider for number in ids for _, record in reader.open_attempts(number)} & set(batch.profiles)


def _rehearsed(batch: Batch, sandbox: launch.Sandbox) -> Batch:
    moved = {
        name: known.model_copy(update={"base_url": sandbox.base_url(known.preset)})
        for name, known in batch.profiles.items()
    }
    return replace(batch, profiles=moved)
