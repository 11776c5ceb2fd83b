"""File locks: one run at a time per job database and per output folder. The kernel frees them when the holder dies.

A job database has two locks. One is on a file next to it, which names the holder. The other is on the database
itself: the lock file may be deleted while it is locked, and the database may be renamed and replaced (when it is
damaged), so that neither lock alone would exclude a second run. No lock file is ever unlinked. An output folder is
locked itself.

These locks (flock) are independent of SQLite's own (fcntl). But closing any descriptor of a file drops all fcntl locks
of the process on it: hold the lock around everything that opens the job database, never inside.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TypeVar

from ..errors import AlreadyRunning, StoreError

Value = TypeVar("Value")

_POLL = 0.2  #: seconds between two tries while waiting

#: Descriptors of held locks; a forked child closes its copies, or it would keep the lock after our death.
_held: set[int] = set()


@contextmanager
def hold(table: Path, *, command: str, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock of the job database at *table*, or wait *wait* seconds for it; raise AlreadyRunning or StoreError.

    Its folder must exist. *command* is shown to a second run.
    """
    descriptors = _retry(lambda: _lock_table(table), wait)
    try:
        _write_holder(descriptors[0], command)
        yield
    finally:
        for descriptor in descriptors:
            _close(descriptor)


def lock_path(table: Path) -> Path:
    """Return the lock file of a job database."""
    return table.with_name(f"{table.name}.lock")


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """The process that holds a lock, as it described itself."""

    pid: int
    host: str
    since: str  #: ISO 8601, UTC
    command: str


@dataclass(kw_only=True, slots=True)
class Folder:
    """An output folder in which no run with another job database may work."""

    path: Path
    exists: bool = False  #: the folder existed when the run began
    shared: bool = False  #: runs that share a job database may work in it together
    _descriptor: int | None = None  #: None also if its disk does not support such locks

    def make(self) -> None:
        """Make a missing folder and lock it; raise AlreadyRunning if another run was faster."""
        if self.exists:
            return
        with suppress(OSError):  # the first write into the folder reports what is wrong with it
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock()
            if not self.shared and next(self.path.iterdir(), None) is not None:
                raise AlreadyRunning(
                    f"Another run has started to fill {self.path} since this one made its plan. Nothing was sent. "
                    "Run the same command again: it recognizes the files that are there"
                )

    def _lock(self) -> None:
        """Lock the folder if it exists and its disk supports that; raise AlreadyRunning if another run holds it."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            self.exists = not isinstance(error, FileNotFoundError)
            return
        self.exists, facts = True, os.fstat(descriptor)
        with suppress(OSError):  # NFS and others do not lock folders
            if not _lock(descriptor, shared=self.shared):
                raise AlreadyRunning(_folder_message(self.path, facts))
            self._descriptor = descriptor

    def _release(self) -> None:
        if self._descriptor is not None:
            _close(self._descriptor)


@contextmanager
def hold_folder(path: Path, *, wait: float = 0.0, shared: bool = False) -> Iterator[Folder]:
    """Hold an existing output folder; wait up to *wait* seconds for it; raise AlreadyRunning.

    *shared* excludes only runs that do not share it. Only ``make`` creates a missing folder. A folder on a disk without
    such locks is not locked.
    """
    folder = Folder(path=path, shared=shared)
    try:
        _retry(folder._lock, wait)  # noqa: SLF001 - its own
        yield folder
    finally:
        folder._release()  # noqa: SLF001


def holder(table: Path) -> Holder | None:
    """Return the process that works on the job database at *table*; None if there seems to be none.

    Takes no lock that a run which starts now would have to wait for.
    """
    path = lock_path(table)
    process = _read_holder(path)
    if process is None or is_dead(process.pid, process.host):
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        # Tried only while the last holder is alive, and so most probably still holds the lock.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return process
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def is_dead(pid: int, host: str) -> bool:
    """Return whether a process is known to have ended: it was one of this machine."""
    return host == socket.gethostname() and not is_alive(pid)


@cache
def machine() -> str | None:
    """Return what a process number is unique in: a boot of this machine and a namespace; None if that is not known.

    Containers may share the name of a host, and then have processes of the same numbers.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def is_gone(pid: int, where: str | None) -> bool:
    """Return whether a process is known to have ended: *where* its number was unique is this ``machine``."""
    return where is not None and where == machine() and not is_alive(pid)


def is_alive(pid: int) -> bool:
    """Return whether a process of this machine is alive."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # a number that no process can have
        return False
    except OSError:
        return True  # a process of another user
    return True


def _retry(acquire: Callable[[], Value], wait: float) -> Value:
    """Call *acquire* until it succeeds, for up to *wait* seconds; raise AlreadyRunning."""
    deadline = time.monotonic() + wait
    while True:
        try:
            return acquire()
        except AlreadyRunning:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            time.sleep(min(_POLL, left))


def _lock_table(table: Path) -> tuple[int, int]:
    path = lock_path(table)
    try:
        lock_file = _lock_file(path)
        if lock_file is None:
            raise AlreadyRunning(_table_message(path))
        try:
            table_file = _lock_file(table)
            if table_file is None:
                raise AlreadyRunning(f"Another run uses {table}, whose lock file was deleted. Wait for it to end.")
        except BaseException:
            _close(lock_file)
            raise
    except OSError as error:
        raise StoreError(
            f"Lock {path}: it cannot be acquired ({error.strerror}). Probably the disk is read-only, belongs to "
            "another user or is a network share without locks. Keep the job database on a local disk, see --db."
        ) from error
    return lock_file, table_file


def _lock_file(path: Path) -> int | None:
    """Open and lock the file that is at *path* now, not one that was just deleted; return None if it is locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, 0o600)
        if not _lock(descriptor):
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        _close(descriptor)


def _lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file; close it and return False if another process holds the lock."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    except OSError:
        os.close(descriptor)
        raise
    _held.add(descriptor)
    return True


def _close(descriptor: int) -> None:
    if descriptor in _held:
        _held.discard(descriptor)
        os.close(descriptor)


def _close_in_child() -> None:
    for descriptor in list(_held):
        _close(descriptor)


os.register_at_fork(after_in_child=_close_in_child)


def _write_holder(descriptor: int, command: str) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since, "command": command})
    with suppress(OSError):  # information only: a full disk must not stop the run here
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode() + b"\n", 0)


def _read_holder(path: Path) -> Holder | None:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return Holder(pid=int(note["pid"]), host=note["host"], since=note["since"], command=note["command"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _table_message(path: Path) -> str:
    hint = "Wait for it, or watch it with `batchgen watch`; run, retry and redo wait with --wait-lock 1h."
    process = _read_holder(path)
    if process is None:
        return f"Another run uses this job database ({path}). {hint}"
    who = f"process {process.pid} on {process.host}, since {process.since}: {process.command}"
    return f"Another run uses this job database: {who}. {hint}"


def _folder_message(folder: Path, facts: os.stat_result) -> str:
    pid = _pid_of_lock(facts)
    return (
        f"Another run uses the output folder {folder}{f': process {pid}' if pid else ''}. Probably it was started "
        "from another folder or with another --db: neither job database knows the jobs of the other, so everything "
        "would be bought twice. Start this run where the other was started (-C FOLDER), or wait for it (--wait-lock 1h)"
    )


def _pid_of_lock(facts: os.stat_result) -> str | None:
    """Return the process that holds the lock on a file, if the kernel reveals it."""
    inode = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if fields[1:2] == ["FLOCK"] and fields[5:6] == [inode] and fields[4].isdigit():
                return fields[4]
    return None
