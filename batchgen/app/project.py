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

if TYPE_CHECKING:
    from ..store.writer import Writer

STATE = ".batchgen"
#: The folder of a sandbox run's images, next to the manifest.
SANDBOX_OUTPUT = "sandbox-output"
_PACKAGE = Path(__file__).parents[1]
#: The demonstration's manifest: in the source tree, or as packed into the wheel.
DEMO = (_PACKAGE.parent / "jobs" / "demo.yaml", _PACKAGE / "_jobs" / "demo.yaml")


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandFlags:
    """The flags that suggested commands need to refer to the same project and batch."""

    root: Path | None = None  #: the working folder of the project; None: here
    flags: str = ""  #: of every command, each after a space: " -C /srv/shop --sandbox"
    batch: str | None = None  #: if it may not be the one that ran last
    again: str = ""  #: options that a resuming run needs too

    @property
    def of_batch(self) -> str:
        """Return the flags of a command that takes ``--batch``."""
        return self.flags + (f" --batch {shlex.quote(self.batch)}" if self.batch else "")

    def manifest(self, path: str | Path) -> str:
        """Return the path of a manifest as such a command takes it."""
        path, root = Path(path), self.root or Path.cwd()
        if path == root / "stdin" and not path.exists():
            return "- < MANIFEST"  # it came from standard input
        inside = root != Path(root.anchor) and path.is_relative_to(root)  # cron starts in the root folder
        return shlex.quote(str(path.relative_to(root) if inside else path))


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A project: its job database, and its folders with the spool and fetched source images."""

    root: Path  #: the working folder
    db: Database
    sandbox: bool = False  #: simulated providers, with a job database and output of their own
    db_from_variable: bool = False  #: BATCHGEN_DB names the job database, also to the commands that are suggested
    in_python: bool = False  #: used by a program in place of the command line: hints are arguments, not options

    @classmethod
    def of(cls, root: Path, db: Database | None, *, sandbox: bool = False) -> Project:
        """Return the project in *root*; its sandbox is in ``.batchgen/sandbox``."""
        root = root.absolute()
        state = root / STATE / "sandbox" if sandbox else root / STATE
        if isinstance(db, DatabaseUrl):
            return cls(root=root, db=replace(db, sandbox=sandbox), sandbox=sandbox)
        return cls(root=root, db=root / db if db else state / "batchgen.db", sandbox=sandbox)

    def command_flags(self, batch: str | None = None, again: str = "", *, inside: bool = False) -> CommandFlags:
        """Return the flags of commands about this project; *inside*: they are typed in its working folder."""
        words = [] if inside or self.root == Path.cwd() else ["-C", str(self.root)]
        if not self.db_from_variable and self.db != Project.of(self.root, None, sandbox=self.sandbox).db:
            words += ["--db", self._typed_db]
        words += ["--sandbox"] if self.sandbox else []
        return CommandFlags(
            root=self.root, flags="".join(f" {shlex.quote(word)}" for word in words), batch=batch, again=again
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
        hint = other_batches(project) or f"To start: batchgen run MANIFEST{project.command_flags().flags}"
        raise NotFound(f"no job database at {project.db}: nothing has run here yet. {hint}")
    migrate.ensure(project.db)
    with Reader(project.db) as reader:
        try:
            yield reader
        except NoSuchBatch as error:
            raise NotFound(f"{_with_flags(error, project)} {other_batches(project)}".rstrip()) from None
        except (NotFound, UsageError) as error:
            raise type(error)(_with_flags(error, project)) from None


def _with_flags(error: BatchgenError, project: Project) -> str:
    """Return the message of *error* with commands that lead back to this project; lower rooms do not know it."""
    return re.sub(r"`(batchgen [^`]+)`", lambda match: f"`{match[1]}{project.command_flags().flags}`", str(error))


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
