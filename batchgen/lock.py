"""One run at a time per job table, by a lock that the kernel frees when its holder dies.  A doer.

Two locks are held: on a file beside the job table, which tells who holds it, and on the job table's own file, because
the first may be deleted while it is held and a newcomer would then lock a fresh one.  Nothing is ever unlinked.

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

from .errors import LockHeld, StoreError

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


def path_of(table: Path) -> Path:
    """Return the lock file of a job table."""
    return table.with_name(f"{table.name}.lock")


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Who holds a lock, as far as it introduced itself."""

    pid: int
    host: str
    since: str  #: ISO 8601, UTC
    command: str


def holder(table: Path) -> Holder | None:
    """Return who works on the job table at *table*; None where nobody does, as far as can be told.

    Takes no lock that a run which starts now would have to wait for.
    """
    path = path_of(table)
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
        except LockHeld:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            time.sleep(min(_POLL, left))


def _acquire(table: Path) -> tuple[int, int]:
    path = path_of(table)
    try:
        file = _lock_file(path)
        if file is None:
            raise LockHeld(_who(path))
        try:
            job_table = _lock_file(table)
            if job_table is None:
                raise LockHeld(f"Another run works on {table}, whose lock file was deleted. Wait for it to end.")
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
    hint = "Wait for it (--wait-lock), or watch it with `batchgen watch`."
    seen = _introduced(path)
    if seen is None:
        return f"Another run works on this job table ({path}). {hint}"
    who = f"process {seen.pid} on {seen.host}, since {seen.since}: {seen.command}"
    return f"Another run works on this job table: {who}. {hint}"
