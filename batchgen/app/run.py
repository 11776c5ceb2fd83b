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
from .config.keys import ApiKeys, keyring, missing, rehearsal
from .live_limits import Say
from .plan import plan
from .preflight import require_files, require_local, require_names
from .project import Project, command_line, opened
from .recovery.rebuild import before_run
from .retry import amended, as_before, put_back, to_put_back
from .run_options import RunOptions
from .run_result import LaneResult, RunResult
from .wiring import Follow, RunSession

__all__ = ["Agree", "Follow", "LaneResult", "RunOptions", "RunResult", "RunSession", "preview", "run"]

#: Agrees to a plan, to all of it (None) or to its first so many jobs, or raises SpendNotConfirmed.
Agree = Callable[[Batch, Plan], int | None]


def run(  # noqa: PLR0917 - what it is about, how it goes, and three ways to reach a person
    project: Project,
    batch: Batch,
    terms: RunOptions,
    agree: Agree,
    follow: Follow,
    say: Say = lambda _text: None,
    *,
    silence: Say | None = None,
) -> RunResult:
    """Do what *batch* asks for and is not done yet; running it again goes on where it stopped.

    *say* tells a person something at once, *silence* that nothing comes back.  Raises LockHeld, SchemaMismatch,
    KeyMissing and whatever *agree* raises before anything is sent.
    """
    say = _logged(say)
    make_private(project.state)
    require_local(project.state.resolve())
    require_names(batch)
    command = log.clean(command_line())  # an address to tell may be a secret
    deadline = time.monotonic() + terms.wait_lock
    with lock.hold(project.db, command=command, wait=terms.wait_lock), ExitStack() as parts:
        migrate.ensure(project.db)
        reader = parts.enter_context(Reader(project.db))
        batch = as_before(project, reader, batch)
        # before what lies in it is taken in: who waited for another run sees what that one made
        folder = parts.enter_context(lock.hold_folder(batch.folder, wait=deadline - time.monotonic()))
        taken_in = before_run(project, reader, batch)
        ended = _ended(reader, batch, terms)
        batch = amended(project, batch, ended or (), terms.amend)
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
        back = None if ended is None else put_back(project, ended, wish.again)
        writer = parts.enter_context(Writer(project.db))
        engagement = RunSession(
            project=project, batch=batch, terms=terms, keys=keys, reader=reader, writer=writer,
            wish=wish, say=say, silence=silence, back=back if terms.alone else None,
        )  # fmt: skip
        done = replace(anyio.run(engagement.carry_out, command, follow), taken_in=taken_in)
        _note_end(project, done, say)
        return done


def _keys(project: Project, batch: Batch, wish: Plan, reader: Reader, say: Say) -> ApiKeys:
    """Return the keys of a run, and tell who takes over nothing for want of one; raise KeyMissing."""
    needed = [lane.provider for lane in wish.lanes]
    others = [*wish.alternates, *sorted(_interrupted(reader, batch))]
    keys = rehearsal(batch.profiles) if project.sandbox else keyring(batch.profiles, needed, others)
    log.hide(key for found in keys.keys.values() for key in found.values())
    for name in keys.keyless:
        if name in wish.alternates:
            say(f"{name} takes over nothing: {missing(name, batch.profiles[name].api_key_env)}")
    return keys


def _logged(say: Say) -> Say:
    def told(text: str) -> None:
        log.event("notice", message=text)
        say(text)

    return told


def _note_end(project: Project, done: RunResult, say: Say) -> None:
    log.event("ended", run=done.run_id, exit_code=done.exit_code, images=done.images, usd=show_usd(done.usd))
    if run_result.keep(project, done) is None:
        say(f"the summary of this run cannot be written under {project.state / 'runs'}")


def preview(project: Project, batch: Batch, terms: RunOptions) -> Plan:
    """Return what ``run`` would do by *terms*; changes nothing.  Raises NotFound, UsageError."""
    ended: Mapping[str, Job] | None = None
    if (terms.requeue is not None and terms.alone) or migrate.revision(project.db) is not None:
        with opened(project) as reader:
            batch = as_before(project, reader, batch)
            ended = _ended(reader, batch, terms)
    return _wish(project, amended(project, batch, ended or (), terms.amend), terms, ended)


def _ended(reader: Reader, batch: Batch, terms: RunOptions) -> Mapping[str, Job] | None:
    """Return the jobs that are to be put back, by key; None where that is not asked for."""
    if terms.requeue is None:
        return None
    try:
        return to_put_back(reader, batch, terms.requeue)
    except NotFound:
        if terms.alone:
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
        alone=terms.alone,
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
