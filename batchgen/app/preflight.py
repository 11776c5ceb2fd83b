"""Whether this machine can carry a run: file system, open files.  A doer: asks the kernel."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import TypeVar

from ..errors import SettingsError, StoreError
from ..manifest import Batch

Row = TypeVar("Row")

#: Where SQLite's write-ahead log and file locks do not work as they must (sqlite.org/wal.html).
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.s3fs", "fuse.rclone"}
)
ALLOW = "BATCHGEN_ALLOW_NETWORK_STATE"

#: Open files that a run needs besides its calls, and those that a call in flight needs.
BASE_FILES, FILES_PER_CALL = 64, 4
#: Free descriptors without which the event loop itself fails, in words that nobody understands.
LEAST_FILES = 6


def require_local(folder: Path, mounts: str | None = None) -> None:
    """Raise StoreError where *folder* lies on a network file system; *mounts* is /proc/self/mountinfo."""
    kind = file_system(folder, mounts if mounts is not None else _mounts())
    if kind in NETWORK and not os.environ.get(ALLOW):
        raise StoreError(
            f"the state folder {folder} lies on a network file system ({kind}), where a job table may be damaged "
            "and two runs may start at once.  Keep it on a local disk with --db (images may go anywhere), "
            f"or set {ALLOW}=1"
        )


def file_system(folder: Path, mounts: str) -> str:
    """Return the type of the file system that *folder* lies on, or "" where nobody knows."""
    best, kind = "", ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, types = before.split(), after.split()
        if len(fields) < 5 or not types:
            continue
        point = fields[4].encode().decode("unicode_escape")
        inside = point == "/" or folder == Path(point) or folder.is_relative_to(point)
        if inside and len(point) >= len(best):
            best, kind = point, types[0]
    return kind


def require_files() -> None:
    """Raise StoreError where so few files may be open that not even one call could be made."""
    held: list[int] = []
    try:
        while len(held) < LEAST_FILES:
            held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        raise StoreError(
            f"too few files may be open at once ({error.strerror}; ulimit -n is {limit}).  Nothing was sent"
        ) from error
    finally:
        for descriptor in held:
            os.close(descriptor)


def limited_widths(wanted: dict[Row, int]) -> dict[Row, int]:
    """Return how many calls each row may have in flight: as *wanted*, or less where too few files may be open.

    The soft limit of open files is raised as far as it may be.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = BASE_FILES + FILES_PER_CALL * sum(wanted.values())
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
        if raised > soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    share = max(0, soft - BASE_FILES) / (needed - BASE_FILES)
    return {name: max(1, int(width * share)) for name, width in wanted.items()}


def _mounts() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def require_names(batch: Batch) -> None:
    """Make sure that this locale can write the names of all files; raise SettingsError.

    What cannot be named would be paid for, and could not be put into its place.
    """
    coding = sys.getfilesystemencoding()
    if coding.lower().replace("-", "") == "utf8":
        return
    for name in (str(batch.folder), *(job.output for job in batch.jobs)):
        try:
            os.fsencode(name)
        except UnicodeEncodeError as error:
            raise SettingsError(
                f"the file name {name!r} cannot be written in this locale ({coding}).  Nothing was sent.  "
                "Set PYTHONUTF8=1, or a locale with UTF-8 such as LC_ALL=C.UTF-8"
            ) from error
