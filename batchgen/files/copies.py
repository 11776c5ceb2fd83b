"""Files of derived copies: written and removed beside the images, and listed in their sidecars.

Only a file that is known to be a copy is ever replaced or removed; any other file of that name stays.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import StoreError
from .atomic import sync
from .inside import content_if_any, new_part, open_folder


class ForeignFileError(StoreError):
    """The name of a copy is taken by a file that batchgen did not write, or that was changed since."""


def write_copy(root: Path, name: str, data: bytes, ours: Container[str]) -> None:
    """Write *data* to *name* below the output folder *root*, whole or not at all.

    *ours* has the hashes of copies that may be replaced. Raises ForeignFileError, StoreError.
    """
    try:
        with open_folder(root, PurePosixPath(name).parent) as folder:
            file = PurePosixPath(name).name
            present = _hash(folder, file)
            if present == hashlib.sha256(data).hexdigest():
                return
            if present is not None and present not in ours:
                raise ForeignFileError("another file has its name, or the copy was edited; move it away")
            with new_part(folder, data) as part:
                os.rename(part, file, src_dir_fd=folder, dst_dir_fd=folder)
            sync(folder)
    except OSError as error:
        raise StoreError(f"cannot write {root / name}: {error.strerror}") from error


def remove_copy(root: Path, name: str, sha256: str) -> None:
    """Remove the copy *name* if its content has this hash; raise StoreError for an error of the file system."""
    try:
        with open_folder(root, PurePosixPath(name).parent, make=False) as folder:
            if _hash(folder, PurePosixPath(name).name) == sha256:
                os.unlink(PurePosixPath(name).name, dir_fd=folder)
                sync(folder)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise StoreError(f"cannot remove {root / name}: {error.strerror}") from error


def _hash(folder: int, name: str) -> str | None:
    """Return the hash of what has this name, "" for anything but a file, None for nothing."""
    data = content_if_any(folder, name)
    if data is not None:
        return hashlib.sha256(data).hexdigest()
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return ""
    return None


def copies_in_sidecar(root: Path, image: str) -> set[str]:
    """Return the hashes of the copies that the sidecar of *image* lists; none if there is no sidecar."""
    with suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
        document = json.loads((root / f"{image}.json").read_bytes())
        return {str(copy["sha256"]) for copy in document.get("copies", [])}
    return set()


def list_in_sidecar(root: Path, image: str, sha256: str, copies: Sequence[Mapping[str, Any]]) -> None:
    """List *copies* in the sidecar of *image*, if it has one that names its hash; raise StoreError.

    The file keeps its times: recovery takes the time of a sidecar for the time of its attempt.
    """
    name = PurePosixPath(f"{image}.json")
    try:
        with open_folder(root, name.parent, make=False) as folder:
            before = content_if_any(folder, name.name)
            document = _sidecar(before, sha256)
            if document is None or document.get("copies", []) == list(copies):
                return
            times = os.stat(name.name, dir_fd=folder, follow_symlinks=False)
            data = json.dumps(document | {"copies": list(copies)}, ensure_ascii=False, indent=2)
            with new_part(folder, data.encode("utf-8", "replace") + b"\n") as part:
                os.utime(part, ns=(times.st_atime_ns, times.st_mtime_ns), dir_fd=folder)
                os.rename(part, name.name, src_dir_fd=folder, dst_dir_fd=folder)
            sync(folder)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise StoreError(f"cannot write {root / name}: {error.strerror}") from error


def _sidecar(data: bytes | None, sha256: str) -> dict[str, Any] | None:
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        document = json.loads(data or b"")
        if isinstance(document, dict) and document["file"]["sha256"] == sha256:
            return document
    return None
