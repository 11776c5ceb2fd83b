"""Giving a file the name it is to have, never one over another.  A doer: the file system.

Some file systems have no hard links (exFAT, FAT, many SMB and FUSE mounts).  There the temporary file is renamed to
its name, on the condition that the name is free: by the kernel where it can check that, and otherwise by a look just
before.  Only one run works in an output folder at a time (see lock), so no other file of ours can come between.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import cache
from threading import Lock

#: What link() fails with on file systems that have no hard links, or not for this file.
NO_LINKS = frozenset({errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL,
                      errno.EMLINK, errno.EXDEV})  # fmt: skip
#: Between a look at a name and a rename to it, for the threads of this process.
_renaming = Lock()


def place(part: str, name: str, folder: int | None = None) -> bool:
    """Give the file *part* the *name*, both in an open *folder*; raise FileExistsError where it is taken.

    Returns whether by a hard link: *part* is then a second name, and gone otherwise.
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
    found = rename(part, name, folder) if rename is not None else errno.ENOSYS
    if found in NO_LINKS:
        with _renaming:
            if _is_taken(name, folder):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
            os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    elif found:
        raise OSError(found, os.strerror(found), name)


def _is_taken(name: str, folder: int | None) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@cache
def _renameat2() -> Callable[[str, str, int | None], int] | None:
    """Return what renames a file to a name that must be free, and returns 0 or an errno; None where there is none."""
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
