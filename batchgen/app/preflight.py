"""Preflight checks of this machine: local file system, open files, file names."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from ..errors import ManifestError, SettingsError, StoreError
from ..manifest import Batch
from ..manifest.routing import PLACEHOLDER_ADDRESS

LaneKey = TypeVar("LaneKey")

#: File systems where SQLite's write-ahead log and file locks are unreliable (sqlite.org/wal.html).
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.s3fs", "fuse.rclone"}
)
ALLOW = "BATCHGEN_ALLOW_NETWORK_STATE"

#: Open files that a run needs, its threads' included, and that each call in flight needs in addition: its slot, its
#: connection, and the source image that it sends (or the second address that is tried). A download takes two files.
BASE_FILES, FILES_PER_CALL = 64, 3
#: Free descriptors that a run with a single call in flight needs when it starts.
START_FILES = 20
#: Free descriptors that a run needs besides those of its calls, once its database and event loop are open.
SPARE_FILES = 2
#: A limit of open files that suffices for dozens of calls in flight.
RECOMMENDED_FILES = 256


def require_local(folder: Path, mounts: str | None = None) -> None:
    """Raise StoreError if *folder* is on a network file system; *mounts* is /proc/self/mountinfo."""
    kind = file_system(folder, mounts if mounts is not None else _mounts())
    if kind in NETWORK and not os.environ.get(ALLOW):
        raise StoreError(
            f"the state folder {folder} is on a network file system ({kind}), where a job database may be damaged "
            "and two runs may start at once. Keep it on a local disk with --db (images may go anywhere), "
            f"or set {ALLOW}=1"
        )


def file_system(folder: Path, mounts: str) -> str:
    """Return the type of the file system of *folder*, or "" if it is unknown."""
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


def require_files(lanes: int | None = None) -> None:
    """Raise StoreError if the limit of open files is too low for a run: before it begins, or for its *lanes*.

    Raises the soft limit as far as that is allowed.
    """
    free = START_FILES if lanes is None else SPARE_FILES + FILES_PER_CALL * lanes
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < BASE_FILES and (hard == resource.RLIM_INFINITY or soft < hard):
        soft = BASE_FILES if hard == resource.RLIM_INFINITY else min(hard, BASE_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    descriptors: list[int] = []
    try:
        while len(descriptors) < free:
            descriptors.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        needed = soft + free - len(descriptors)
        raise StoreError(
            f"too few files may be open ({error.strerror}): the limit is {soft}, and this run needs at least {needed}. "
            f"Nothing was sent. To raise it: ulimit -n {RECOMMENDED_FILES} "
            f"(systemd: LimitNOFILE={RECOMMENDED_FILES}), then run the same command again"
        ) from error
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def limited_widths(wanted: dict[LaneKey, int]) -> dict[LaneKey, int]:
    """Return how many calls each lane may have in flight: as *wanted*, or less if the limit of open files is low.

    Raises the soft limit of open files as far as allowed.
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


def require_addresses(batch: Batch, providers: Iterable[str]) -> None:
    """Raise ManifestError if jobs go to the address of an example; a sandbox run has no warning of one."""
    addresses = {batch.profiles[name].base_url for name in providers}
    wrong = tuple(
        problem
        for problem in batch.warnings
        if problem.code == PLACEHOLDER_ADDRESS and problem.message.partition(" ")[0] in addresses
    )
    if wrong:
        raise ManifestError(wrong)


def require_names(batch: Batch) -> None:
    """Raise SettingsError if this locale cannot encode the name of a file.

    Such an image would be paid for and could not be published.
    """
    coding = sys.getfilesystemencoding()
    if coding.lower().replace("-", "") == "utf8":
        return
    for name in (str(batch.folder), *(job.output for job in batch.jobs)):
        try:
            os.fsencode(name)
        except UnicodeEncodeError as error:
            raise SettingsError(
                f"the file name {name!r} cannot be encoded in this locale ({coding}). Nothing was sent. "
                "Set PYTHONUTF8=1, or a locale with UTF-8 such as LC_ALL=C.UTF-8"
            ) from error
