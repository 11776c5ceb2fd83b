"""One run at a time per job table and per output folder, by locks that the kernel frees when the holder dies.  A doer.

Of a job table two locks are held: on a file beside it, which tells who holds it, and on the job table's own file,
because the first may be deleted while it is held and a newcomer would then lock a fresh one.  Nothing is ever unlinked.
An output folder is locked itself: no file of ours lies in it.

The lock (flock) does not meet SQLite's own (fcntl).  But closing any descriptor of a file drops a process's fcntl locks
on it: hold the lock around everything that opens the job table, never inside.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import AlreadyRunning, StoreError

_POLL = 0.2  #: seconds between two looks while waiting

#: Descriptors of held locks; a forked child closes its copies, or it would keep the lock after our death.
_held: set[int] = set()


@contextmanager
def hold(table: Path, *, command: str, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock of the job table at *table*; wait up to *wait* seconds for it; raise LockHeld or StoreError.

    Its folder must exist.  *command* is shown to whoever comes second.
    """
    descriptors = _wait(table, time.monotonic() + wait)
    try:
        _introduce(descriptors[0], command)
        yield
    finally:
        for descriptor in descriptors:
            _close(descriptor)


def lock_path(table: Path) -> Path:
    """Return the lock file of a job table."""
    return table.with_name(f"{table.name}.lock")


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Who holds a lock, as far as it introduced itself."""

    pid: int
    host: str
    since: str  #: ISO 8601, UTC
    command: str


@dataclass(kw_only=True, slots=True)
class Folder:
    """An output folder, which no run with another job table works in meanwhile."""

    path: Path
    there: bool = False  #: it was there when the run began
    _descriptor: int | None = None  #: None also where its disk has no such locks

    def make(self) -> None:
        """Make the folder where it was not there, and hold it; raise LockHeld where another run was faster."""
        if self.there:
            return
        with suppress(OSError):  # who writes into it tells what is wrong with it
            self.path.mkdir(parents=True, exist_ok=True)
            self._take()
            if next(self.path.iterdir(), None) is not None:
                raise AlreadyRunning(
                    f"Another run has begun to fill {self.path} since this one looked at what is to be done.  Nothing "
                    "was sent.  The same command again takes in what lies there"
                )

    def _wait(self, deadline: float) -> None:
        while True:
            try:
                return self._take()
            except AlreadyRunning:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
                time.sleep(min(_POLL, left))

    def _take(self) -> None:
        """Lock the folder where it is there and can be; raise LockHeld where another run has done so."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            self.there = not isinstance(error, FileNotFoundError)
            return
        self.there, facts = True, os.fstat(descriptor)
        with suppress(OSError):  # NFS and others lock no folders
            if not _lock(descriptor):
                raise AlreadyRunning(_who_else(self.path, facts))
            self._descriptor = descriptor

    def _release(self) -> None:
        if self._descriptor is not None:
            _close(self._descriptor)


@contextmanager
def hold_folder(path: Path, *, wait: float = 0.0) -> Iterator[Folder]:
    """Hold an output folder, where it is there; wait up to *wait* seconds for it; raise LockHeld.

    One that is missing is not made, but by ``make``.  One on a disk that has no such locks is not held.
    """
    folder = Folder(path=path)
    try:
        folder._wait(time.monotonic() + wait)  # noqa: SLF001 - its own
        yield folder
    finally:
        folder._release()  # noqa: SLF001


def holder(table: Path) -> Holder | None:
    """Return who works on the job table at *table*; None where nobody does, as far as can be told.

    Takes no lock that a run which starts now would have to wait for.
    """
    path = lock_path(table)
    found = _introduced(path)
    if found is None or (found.host == socket.gethostname() and not _alive(found.pid)):
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        # only where its last holder lives, who then most probably still holds it
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return found
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True


def _wait(table: Path, deadline: float) -> tuple[int, int]:
    while True:
        try:
            return _acquire(table)
        except AlreadyRunning:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            time.sleep(min(_POLL, left))


def _acquire(table: Path) -> tuple[int, int]:
    path = lock_path(table)
    try:
        file = _lock_file(path)
        if file is None:
            raise AlreadyRunning(_who(path))
        try:
            job_table = _lock_file(table)
            if job_table is None:
                raise AlreadyRunning(f"Another run works on {table}, whose lock file was deleted. Wait for it to end.")
        except BaseException:
            _close(file)
            raise
    except OSError as error:
        raise StoreError(
            f"Lock {path}: it cannot be taken ({error.strerror}). Probably the disk is read-only, belongs to another "
            "user or is a network share without locks. To go on: keep the job table on a local disk, see --db."
        ) from error
    return file, job_table


def _lock_file(path: Path) -> int | None:
    """Open and lock the file that *path* names now, not one that was deleted meanwhile; None if it is held."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, 0o600)
        if not _lock(descriptor):
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        _close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock an open file and note it; close it where somebody else holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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


def _introduce(descriptor: int, command: str) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since, "command": command})
    with suppress(OSError):  # information only: a full disk must not stop us here
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode() + b"\n", 0)


def _introduced(path: Path) -> Holder | None:
    try:
        seen = json.loads(path.read_text(encoding="utf-8"))
        return Holder(pid=int(seen["pid"]), host=seen["host"], since=seen["since"], command=seen["command"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _who(path: Path) -> str:
    hint = "Wait for it (--wait-lock 1h), or watch it with `batchgen watch`."
    seen = _introduced(path)
    if seen is None:
        return f"Another run works on this job table ({path}). {hint}"
    who = f"process {seen.pid} on {seen.host}, since {seen.since}: {seen.command}"
    return f"Another run works on this job table: {who}. {hint}"


def _who_else(folder: Path, facts: os.stat_result) -> str:
    pid = _locker(facts)
    return (
        f"Another run works in the output folder {folder}{f': process {pid}' if pid else ''}.  Probably it was started "
        "from another folder or with another --db: the two job tables do not know of each other, and everything would "
        "be bought twice.  Start it where the other was started (-C FOLDER), or wait for it (--wait-lock 1h)"
    )


def _locker(facts: os.stat_result) -> str | None:
    """Return the process that holds a lock, as far as the kernel tells."""
    inode = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if fields[1:2] == ["FLOCK"] and fields[5:6] == [inode] and fields[4].isdigit():
                return fields[4]
    return None
