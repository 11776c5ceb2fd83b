"""A project: its folders, and the way into its job database."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..database_url import Database, DatabaseUrl, without_passwords
from ..errors import AlreadyRunning, BatchgenError, NoSuchBatch, NotFound, UsageError
from ..store import migrate, run_lock
from ..store.reader import Reader
from .recovery.run_notes import last_manifest
from .repeated_options import options_of_last_run, options_of_verb

if TYPE_CHECKING:
    from ..store.writer import Writer

STATE = ".batchgen"
#: Commands that run a batch, and repeat options of its earlier runs.
_RUNS = ("run", "resume", "retry", "redo")
#: Commands that take --batch, of those that errors of lower rooms name.
_OF_BATCH = ("list", "report", "show", "unknown", "verify", "watch")
#: The folder of a sandbox run's images, next to the manifest.
SANDBOX_OUTPUT = "sandbox-output"
_PACKAGE = Path(__file__).parents[1]
#: The demonstration's manifest: in the source tree, or as packed into the wheel.
DEMO = (_PACKAGE.parent / "jobs" / "demo.yaml", _PACKAGE / "_jobs" / "demo.yaml")


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandFlags:
    """The flags that suggested commands need to refer to the same project and batch.

    Every suggestion is made here, so that none lacks them.
    """

    root: Path | None = None  #: the working folder of the project; None: here
    flags: str = ""  #: of every command, each after a space: " -C /srv/shop --sandbox"
    batch: str | None = None  #: if it may not be the one that ran last
    again: str | None = ""  #: options that a run of the same batch needs too; None: those of its latest run in *db*
    db: Database | None = None

    def plain(self, verb: str, rest: str = "") -> str:
        """Return a command about the project; *rest* is what follows its flags."""
        return f"batchgen {verb}{self.flags}{_after_space(rest)}"

    def on_batch(self, verb: str, rest: str = "") -> str:
        """Return a command that takes ``--batch``."""
        batch = f" --batch {shlex.quote(self.batch)}" if self.batch else ""
        return f"batchgen {verb}{self.flags}{batch}{_after_space(rest)}"

    def on_manifest(self, verb: str, manifest: str | Path, rest: str = "") -> str:
        """Return a command that takes a manifest; one that runs it repeats the options of the batch."""
        again = options_of_verb(verb, self._again(manifest)) if verb in _RUNS else ""
        return f"batchgen {verb} {self.manifest(manifest)}{self.flags}{again}{_after_space(rest)}"

    def _again(self, manifest: str | Path) -> str:
        if self.again is None:
            return "" if self.db is None else options_of_last_run(self.db, manifest)
        return self.again

    def manifest(self, path: str | Path) -> str:
        """Return the path of a manifest as such a command takes it."""
        path, root = Path(path), self.root or Path.cwd()
        if path == root / "stdin" and not path.exists():
            return "- < MANIFEST"  # it came from standard input
        inside = root != Path(root.anchor) and path.is_relative_to(root)  # cron starts in the root folder
        return shlex.quote(str(path.relative_to(root) if inside else path))


def _after_space(words: str) -> str:
    return f" {words}" if words else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A project: its job database, and its folders with the spool and fetched source images."""

    root: Path  #: the working folder
    db: Database
    sandbox: bool = False  #: simulated providers, with a job database and output of their own
    db_from_variable: bool = False  #: BATCHGEN_DB names the job database, also to the commands that are suggested
    in_python: bool = False  #: used by a program in place of the command line: hints are arguments, not options
    again: str | None = None  #: options of the run that is typed, for the commands that it suggests; None: no run is

    @classmethod
    def of(cls, root: Path, db: Database | None, *, sandbox: bool = False) -> Project:
        """Return the project in *root*; its sandbox is in ``.batchgen/sandbox``."""
        root = root.absolute()
        state = root / STATE / "sandbox" if sandbox else root / STATE
        if isinstance(db, DatabaseUrl):
            return cls(root=root, db=replace(db, sandbox=sandbox), sandbox=sandbox)
        return cls(root=root, db=root / db if db else state / "batchgen.db", sandbox=sandbox)

    def command_flags(
        self, batch: str | None = None, again: str | None = None, *, inside: bool = False
    ) -> CommandFlags:
        """Return the flags of commands about this project; *inside*: they are typed in its working folder.

        *again*: options that the next run needs too, if they have been looked up already.
        """
        words = [] if inside or self.root == Path.cwd() else ["-C", str(self.root)]
        if not self.db_from_variable and self.db != Project.of(self.root, None, sandbox=self.sandbox).db:
            words += ["--db", self._typed_db]
        words += ["--sandbox"] if self.sandbox else []
        return CommandFlags(
            root=self.root,
            flags="".join(f" {shlex.quote(word)}" for word in words),
            batch=batch,
            again=self.again if again is None else again,
            db=self.db,
        )

    @property
    def _typed_db(self) -> str:
        if isinstance(self.db, Path) and self.db.is_relative_to(self.root):
            return str(self.db.relative_to(self.root))
        return str(self.db)

    @property
    def counterpart(self) -> Project:
        """Return the sandbox's project of a real one, and the other way round."""
        if isinstance(self.db, Path):
            return Project.of(self.root, None, sandbox=not self.sandbox)
        other = Project.of(self.root, self.db, sandbox=not self.sandbox)
        return replace(other, db_from_variable=self.db_from_variable)

    @property
    def state(self) -> Path:
        """Return the folder of spool, logs and source images: that of the job database, if it is a file."""
        if isinstance(self.db, Path):
            return self.db.parent
        return self.root / STATE / "sandbox" if self.sandbox else self.root / STATE


@contextmanager
def open_reader(project: Project) -> Iterator[Reader]:
    """Open the job database for reading; raise NotFound if there is none yet.

    Where there is no such batch, the error states whether the sandbox has one.
    """
    if not migrate.exists(project.db):
        raise NotFound(no_database(project))
    migrate.ensure(project.db)
    with Reader(project.db) as reader:
        try:
            yield reader
        except NoSuchBatch as error:
            raise NotFound(f"{_with_flags(error, project)} {other_batches(project)}".rstrip()) from None
        except (NotFound, UsageError) as error:
            raise type(error)(_with_flags(error, project, reader.earlier_batch)) from None


def no_database(project: Project) -> str:
    """Return that there is no job database: because nothing has run yet, or because it was lost."""
    flags, manifest = project.command_flags(), last_manifest(project.state, project.db)
    if manifest is None:
        hint = other_batches(project) or f"To start: {flags.plain('run MANIFEST')}"
        return f"no job database at {project.db}: nothing has run here yet. {hint}"
    return (
        f"the job database {project.db} is missing, although batches have run with it. Probably it was moved or "
        f"removed. Move it back, or rebuild it from the delivered files: {flags.on_manifest('db recover', manifest)} "
        f"({flags.on_manifest('run', manifest)} does so too, before it sends anything)"
    )


def _with_flags(error: BatchgenError, project: Project, batch: str | None = None) -> str:
    """Return the message of *error* with commands that lead back to this project; lower rooms do not know it."""
    flags = project.command_flags(batch)

    def completed(match: re.Match[str]) -> str:
        words = match[1]
        return f"`{flags.on_batch(words) if words.split()[0] in _OF_BATCH else flags.plain(words)}`"

    return re.sub(r"`batchgen ([^`]+)`", completed, str(error))


def other_batches(project: Project) -> str:
    """Return a sentence on the batches of the sandbox, or those of real runs for a sandbox project; "" without any."""
    other = project.counterpart
    if other.db == project.db or migrate.revision(other.db) is None:
        return ""
    with Reader(other.db) as reader:
        names = [batch.name for batch in reader.batches()]
    if not names:
        return ""
    kind = "real run" if project.sandbox else "sandbox run"
    if project.in_python:
        return f"There is a {kind} of {names[0]}: sandbox={not project.sandbox}"
    words = [word for word in sys.argv[1:] if word != "--sandbox"] + ([] if project.sandbox else ["--sandbox"])
    return f"There is a {kind} of {names[0]}: {without_passwords(shlex.join(['batchgen', *words]))}"


def sandbox_runs_alone(project: Project) -> bool:
    """Return whether a sandbox run is in progress, and no real one."""
    if project.sandbox or run_lock.holder(project.db) is not None:
        return False
    return run_lock.holder(project.counterpart.db) is not None


@contextmanager
def hold_lock(
    project: Project,
    *,
    command: str | None = None,
    batch: str | None = None,
    shard: tuple[int, int] | None = None,
    wait: float = 0.0,
) -> Iterator[None]:
    """Hold the run lock of the job database, on PostgreSQL that of a batch or shard; raise AlreadyRunning.

    *command* is shown to a second run.
    """
    try:
        with run_lock.hold(project.db, command=command or command_line(), batch=batch, shard=shard, wait=wait):
            yield
    except AlreadyRunning as error:
        raise AlreadyRunning(_with_flags(error, project)) from None


@contextmanager
def open_locked(project: Project) -> Iterator[tuple[Reader, Writer]]:
    """Open the job database for reading and writing under its lock; raise NotFound, AlreadyRunning."""
    from ..store.writer import Writer

    # Taking the lock creates the file, so that a project without a database is refused first.
    with open_reader(project):
        pass
    with (
        hold_lock(project),
        open_reader(project) as reader,
        Writer(project.db) as writer,
    ):
        yield reader, writer


def command_line() -> str:
    """Return the command that this process runs, as it can be typed."""
    return without_passwords(shlex.join(["batchgen", *sys.argv[1:]]))
