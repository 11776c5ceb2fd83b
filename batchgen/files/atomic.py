"""Atomic writes: a temporary file, synced, then moved to its name.

``write_atomic`` replaces a file; ``place`` never does. Some file systems have no hard links (exFAT, FAT, many SMB and
FUSE mounts). There ``place`` renames the temporary file if the name is free: the kernel checks that where it can, and
otherwise a look just before the rename does. Only one run works in an output folder at a time (see ``lock``), so no
other file of ours can come between.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock, get_ident

#: Errors of fsync() on file systems that have nothing to sync.
_NO_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
#: Errors of link() on file systems that have no hard links, or none for this file.
NO_LINKS = frozenset({errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL,
                      errno.EMLINK, errno.EXDEV})  # fmt: skip
#: Held by a thread between its look at a name and the rename to it.
_renaming = Lock()


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600, part: Path | None = None) -> None:
    """Replace *path* by *data*, durably, or leave it as it is; raise OSError.

    The temporary name *part* is the same each time: a killed process, or a disk that lets nothing be removed, leaves
    one file, which the next call overwrites. A process that finds another one at work there has a name of its own.
    """
    part = part or path.with_name(f".{path.name}.part")
    try:
        part, descriptor = _open_part(part, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            sync(file.fileno())
            part.replace(path)  # while it is open, because closing it frees it for other writers
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
    sync_folder(path.parent)


def _open_part(part: Path, mode: int) -> tuple[Path, int]:
    """Open the file *part*, emptied, or one of this process beside it while another process writes there."""
    own = part.with_name(f"{part.stem}.{os.getpid()}.{get_ident()}{part.suffix}")
    while True:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            if part != own and _is_in_use(descriptor):
                part = own
            elif os.path.samestat(os.fstat(descriptor), part.stat()):
                os.ftruncate(descriptor, 0)
                return part, descriptor
        except FileNotFoundError:
            pass  # it was given its name meanwhile
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_in_use(descriptor: int) -> bool:
    """Return whether another writer holds an open file; if not, hold it until it is closed."""
    with suppress(OSError):  # some disks have no locks
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync(descriptor: int) -> None:
    """Make an open file or folder durable. Some network file systems have nothing to sync."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def place(part: str, name: str, folder: int | None = None) -> bool:
    """Give the file *part* the *name*, both in an open *folder*; raise FileExistsError where the name is taken.

    Return whether *name* is a hard link: then *part* is still there, a second name; otherwise it was renamed.
    """
    try:
        os.link(part, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _rename_new(part, name, folder)
        return False
    return True


def _rename_new(part: str, name: str, folder: int | None) -> None:
    """Rename *part* to *name*; raise FileExistsError where that is taken."""
    rename = _renameat2()
    failure = rename(part, name, folder) if rename is not None else errno.ENOSYS
    if failure in NO_LINKS:
        with _renaming:
            if _is_taken(name, folder):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
            os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    elif failure:
        raise OSError(failure, os.strerror(failure), name)


def _is_taken(name: str, folder: int | None) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@cache
def _renameat2() -> Callable[[str, str, int | None], int] | None:
    """Return a function that renames a file to a free name and returns 0 or an errno; None if the system has none."""
    import ctypes

    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return None
    here, no_replace = -100, 1

    def rename(part: str, name: str, folder: int | None) -> int:
        at = here if folder is None else folder
        failed = call(at, os.fsencode(part), at, os.fsencode(name), ctypes.c_uint(no_replace))
        return ctypes.get_errno() if failed else 0

    return rename
