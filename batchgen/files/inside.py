"""Files inside an output folder: opened relative to it and without following links, written under temporary names."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from .atomic import sync

#: The start of every temporary name.
PART = ".bg-"

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def open_folder(root: Path, below: PurePosixPath, *, make: bool = True) -> Iterator[int]:
    """Open ``root/below`` and make missing folders; no component below *root* may be a link."""
    if make:
        root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in below.parts:
            try:
                inner = os.open(part, _FOLDER, dir_fd=descriptor)
            except FileNotFoundError:
                if not make:
                    raise
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=descriptor)
                sync(descriptor)
                inner = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def new_part(folder: int, data: bytes, *, durable: bool = True) -> Iterator[str]:
    """Write *data* under a temporary name, durably unless stated; remove that name at the end if it still exists."""
    part = part_name()
    descriptor = os.open(part, NEW, 0o666, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                sync(file.fileno())
        yield part
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=folder)


def part_name(middle: str = "") -> str:
    """Return a temporary name that no other file has."""
    return f"{PART}{secrets.token_hex(8)}{middle}.part"


def content(folder: int, name: str) -> bytes | None:
    """Return a regular file's bytes; None for a link, which is not followed, or anything else.

    Raises OSError for a file that cannot be read, because its content could not be preserved.
    """
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        return None
    with os.fdopen(os.open(name, _READ, dir_fd=folder), "rb") as file:
        return file.read()


def content_if_any(folder: int, name: str) -> bytes | None:
    """Return a regular file's bytes; None where there is none."""
    with suppress(FileNotFoundError):
        return content(folder, name)
    return None
