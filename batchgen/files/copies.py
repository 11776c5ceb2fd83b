"""Files of derived copies: written and removed beside the images, and listed in their sidecars.

In an object store too (``object_copies``).

Only a file that is known to be a copy is ever replaced or removed; any other file of that name stays.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from ..errors import StoreError
from ..object_url import Folder, ObjectUrl
from .atomic import sync
from .copy_rules import ForeignFileError, sidecar_of
from .inside import content_if_any, new_part, open_folder
from .output_tree import file_at


def write_copy(folder: Folder, name: str, data: bytes, ours: Container[str]) -> None:
    """Write *data* to *name* below an output folder, whole or not at all.

    *ours* has the hashes of copies that may be replaced. Raises ForeignFileError, StoreError.
    """
    if isinstance(folder, ObjectUrl):
        from . import object_copies

        return object_copies.write_copy(folder, name, data, ours)
    try:
        with open_folder(folder, PurePosixPath(name).parent) as inner:
            file = PurePosixPath(name).name
            present = _hash(inner, file)
            if present == hashlib.sha256(data).hexdigest():
                return None
            if present is not None and present not in ours:
                raise ForeignFileError("another file has its name, or the copy was edited; move it away")
            with new_part(inner, data) as part:
                os.rename(part, file, src_dir_fd=inner, dst_dir_fd=inner)
            sync(inner)
    except OSError as error:
        raise StoreError(f"cannot write {folder / name}: {error.strerror}") from error


def remove_copy(folder: Folder, name: str, sha256: str) -> None:
    """Remove the copy *name* if its content has this hash; raise StoreError for an error of the file system."""
    if isinstance(folder, ObjectUrl):
        from . import object_copies

        return object_copies.remove_copy(folder, name, sha256)
    try:
        with open_folder(folder, PurePosixPath(name).parent, make=False) as inner:
            if _hash(inner, PurePosixPath(name).name) == sha256:
                os.unlink(PurePosixPath(name).name, dir_fd=inner)
                sync(inner)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise StoreError(f"cannot remove {folder / name}: {error.strerror}") from error


def _hash(folder: int, name: str) -> str | None:
    """Return the hash of what has this name, "" for anything but a file, None for nothing."""
    data = content_if_any(folder, name)
    if data is not None:
        return hashlib.sha256(data).hexdigest()
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return ""
    return None


def copies_in_sidecar(folder: Folder, image: str) -> set[str]:
    """Return the hashes of the copies that the sidecar of *image* lists; none if there is no sidecar."""
    with suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
        document = json.loads(file_at(folder / f"{image}.json").read())
        return {str(copy["sha256"]) for copy in document.get("copies", [])}
    return set()


def list_in_sidecar(folder: Folder, image: str, sha256: str, copies: Sequence[Mapping[str, Any]]) -> None:
    """List *copies* in the sidecar of *image*, if it has one that names its hash; raise StoreError.

    The file keeps its times: recovery takes the time of a sidecar for the time of its attempt.
    """
    if isinstance(folder, ObjectUrl):
        from . import object_copies

        return object_copies.list_in_sidecar(folder, image, sha256, copies)
    name = PurePosixPath(f"{image}.json")
    try:
        with open_folder(folder, name.parent, make=False) as inner:
            before = content_if_any(inner, name.name)
            document = sidecar_of(before, sha256)
            if document is None or document.get("copies", []) == list(copies):
                return None
            times = os.stat(name.name, dir_fd=inner, follow_symlinks=False)
            data = json.dumps(document | {"copies": list(copies)}, ensure_ascii=False, indent=2)
            with new_part(inner, data.encode("utf-8", "replace") + b"\n") as part:
                os.utime(part, ns=(times.st_atime_ns, times.st_mtime_ns), dir_fd=inner)
                os.rename(part, name.name, src_dir_fd=inner, dst_dir_fd=inner)
            sync(inner)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise StoreError(f"cannot write {folder / name}: {error.strerror}") from error
