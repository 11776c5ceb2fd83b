"""Opens files that the user named, and only regular ones."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Literal

_WORDS = {
    errno.ENOENT: "there is no such file",
    errno.ENOTDIR: "there is no such file",
    errno.ELOOP: "is a link that leads back to itself",
    errno.EACCES: "may not be read by this user",
    errno.ENAMETOOLONG: "is too long for a file name",
    errno.ENXIO: "is a device or a socket, not a file",
}


class OpenError(ValueError):
    """A file was not opened; the message is meant to follow its name."""

    def __init__(self, message: str, why: Literal["missing", "refused", "folder", "device"]) -> None:
        super().__init__(message)
        self.why = why


def reason(error: OSError | ValueError) -> str:
    """Return why a file or folder could not be opened, to follow its name in a message."""
    if isinstance(error, OSError):
        return _WORDS.get(error.errno or 0, f"cannot be read: {error.strerror}")
    return "contains a character that file names cannot have"


def open_file(path: str | Path) -> BinaryIO:
    """Open a regular file for reading; raise OpenError."""
    try:
        # Non-blocking, so that a named pipe is rejected and not waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise OpenError(reason(error), "missing" if isinstance(error, FileNotFoundError) else "refused") from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise OpenError("is a folder, not a file", "folder")
    raise OpenError("is a device, a pipe or a socket, not a file", "device")
