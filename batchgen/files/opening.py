"""Files that users name: nothing but a plain file is ever read.  A doer: it opens files."""

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
    errno.ENAMETOOLONG: "is longer than a file's name can be",
    errno.ENXIO: "is a device or a socket, not a file",
}


class OpenError(ValueError):
    """A file was not opened; the text says why, to stand behind its name."""

    def __init__(self, words: str, why: Literal["missing", "refused", "folder", "device"]) -> None:
        super().__init__(words)
        self.why = why


def reason(error: OSError | ValueError) -> str:
    """Return in plain words why the system did not give a file or folder."""
    if isinstance(error, OSError):
        return _WORDS.get(error.errno or 0, f"cannot be read: {error.strerror}")
    return "holds a character that no file's name has"


def open_file(path: str | Path) -> BinaryIO:
    """Return a plain file, open for reading; raise NotOpened."""
    try:
        # Non-blocking, so that a named pipe is refused and not waited for.
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
