"""Output files: published whole or not at all, and never over an existing file.

A file is written under a temporary name in its own folder, synced, linked to its name, and the folder is synced. Every
folder below the output folder is opened without following links, so that no link inside the tree can lead a write
out of it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath

from ..errors import StoreError
from .atomic import NO_LINKS, place, sync, sync_folder
from .inside import NEW, PART, content, content_if_any, new_part, open_folder, part_name
from .sidecar import cut_off, parse

#: The folder of replaced files, relative to the output folder.
SUPERSEDED = ".superseded"

_NAME_BYTES = 255
#: The longest suffix that a name gets.
_MAX_SUFFIX = len(".extra99.webp.json")
#: Characters of file names that are tried at a time, each of up to four bytes.
_CHARACTERS = 48


def publish(root: Path, name: str, data: bytes, *, sidecar: bytes | None = None, durable: bool = True) -> None:
    """Write *data* to *name* (relative to *root*) durably, and *sidecar*, if there is one, to ``<name>.json``.

    The sidecar is not synced: after a power cut the next run restores it (``app.recovery.sidecars``). A file with the
    same bytes is left as it is; one with other bytes is moved to ``.superseded/``. Unless it is to be *durable* at
    once, the caller makes its name so with ``sync_names``. Raises StoreError for an error of the file system.
    """
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise StoreError(f"cannot write {name}: it leads out of the output folder {root}")
    try:
        with open_folder(root, PurePosixPath(name).parent) as folder:
            _put(folder, PurePosixPath(name), data, root)
            if sidecar is not None:
                _put_sidecar(folder, PurePosixPath(f"{name}.json"), sidecar, root)
            if durable:
                sync(folder)
    except OSError as error:
        raise _unwritten(root / name, error) from error


def sync_names(files: Sequence[Path]) -> list[StoreError | None]:
    """Make the names of published *files* durable, with one sync for all in a folder; return the error of each."""
    failures = {folder: _sync_failure(folder) for folder in {file.parent for file in files}}
    return [_unwritten(file, failure) if (failure := failures[file.parent]) else None for file in files]


def _sync_failure(folder: Path) -> OSError | None:
    try:
        sync_folder(folder)
    except OSError as error:
        return error
    return None


def _unwritten(file: Path, error: OSError) -> StoreError:
    return StoreError(
        f"cannot write {file}: {error.strerror}. The answer is kept in the spool, nothing is lost: "
        "free disk space or fix the folder, then run the same command again"
    )


def restore_sidecar(root: Path, name: str, data: bytes, at: datetime) -> None:
    """Write the sidecar of the file *name* again, durably, over one that was cut off; raise StoreError.

    Recovery takes the time of a sidecar for the time of its attempt, so it gets the time *at*.
    """
    path = PurePosixPath(f"{name}.json")
    try:
        with open_folder(root, path.parent, make=False) as folder, new_part(folder, data) as part:
            os.utime(part, (at.timestamp(), at.timestamp()), dir_fd=folder)
            os.rename(part, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            sync(folder)
    except OSError as error:
        raise StoreError(f"cannot write {root / path}: {error.strerror}") from error


def withdraw(root: Path, name: str, sha256: str, attempt_id: str, *, bare: Callable[[], bool]) -> None:
    """Move the file *name*, which *attempt_id* delivered, with its sidecar to ``.superseded/``, durably.

    The file is recognized by its hash *sha256* and by a sidecar that names the attempt; without a sidecar, *bare*
    decides. Any other file stays. A second call completes an interrupted one. Raises StoreError for an error of the
    file system.
    """
    try:
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(open_folder(root, PurePosixPath(name).parent, make=False))
            except (FileNotFoundError, NotADirectoryError):
                return  # the folder is gone, or was replaced by a link, so that none of our files is in it
            _withdraw(folder, PurePosixPath(name), root, sha256, attempt_id, bare)
    except OSError as error:
        raise StoreError(
            f"cannot move {root / name} to {root / SUPERSEDED}: {error.strerror}. The new image was written, nothing "
            "is lost: free disk space or fix the folder, then run the same command again"
        ) from error


def sweep(root: Path) -> int:
    """Remove temporary files that a killed run left below *root*; return how many."""
    paths = root.rglob(f"{PART}{'[0-9a-f]' * 16}*.part") if root.is_dir() else ()
    leftovers = [path for path in paths if path.is_file() and not path.is_symlink()]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def require_writable(root: Path, names: Iterable[str] = ()) -> bool:
    """Make sure that the output folder can be written before images are paid for; raise StoreError.

    *names* are the names of the files to come: some file systems do not accept every character. Returns whether the
    file system has hard links.
    """
    try:
        with open_folder(root, PurePosixPath()) as folder:
            linked = _try_to_place(folder)
            _try_names(folder, root, names)
            return linked
    except OSError as error:
        raise StoreError(
            f"the output folder {root} cannot be written: {error.strerror}. Nothing was sent: fix it, or choose "
            "another one with output: in the manifest"
        ) from error


def supports_links(folder: Path) -> bool:
    """Return whether the file system of an existing *folder* has hard links; raise OSError if it cannot be written."""
    with open_folder(folder, PurePosixPath(), make=False) as descriptor:
        return _try_to_place(descriptor)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_private(folder: Path) -> Path:
    """Create *folder* (and missing parents), accessible to its owner only, and return it; raise StoreError."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        facts = folder.stat()
    except OSError as error:
        raise StoreError(f"cannot make the folder {folder}: {error.strerror}. Check the disk and its owner") from error
    writable_by_all = facts.st_mode & stat.S_IWOTH and not facts.st_mode & stat.S_ISVTX
    foreign = os.geteuid() != 0 and facts.st_uid not in (0, os.geteuid())
    if writable_by_all or foreign or not stat.S_ISDIR(facts.st_mode):
        raise StoreError(
            f"{folder} is not private: it belongs to another user, or others may write to it. "
            f"Run: chmod 700 {shlex.quote(str(folder))}, or keep the state elsewhere with --db"
        )
    return folder


def _put(folder: int, name: PurePosixPath, data: bytes, root: Path) -> None:
    with new_part(folder, data) as part:
        try:
            place(part, name.name, folder)
        except FileExistsError:
            if content(folder, name.name) != data:
                _set_aside(folder, name, root)
                os.rename(part, name.name, src_dir_fd=folder, dst_dir_fd=folder)


def _put_sidecar(folder: int, name: PurePosixPath, data: bytes, root: Path) -> None:
    with new_part(folder, data, durable=False) as part:
        try:
            place(part, name.name, folder)
        except FileExistsError:
            before = content(folder, name.name)
            if before != data:
                if before is None or not cut_off(before):
                    _set_aside(folder, name, root)
                os.rename(part, name.name, src_dir_fd=folder, dst_dir_fd=folder)


def _try_to_place(folder: int) -> bool:
    """Try every step of placing a file, and remove the file; return whether there are hard links."""
    name = part_name()
    try:
        with new_part(folder, b"") as part:
            linked = place(part, name, folder)
        with new_part(folder, b"") as part:
            os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
    sync(folder)
    return linked


def _try_names(folder: int, root: Path, names: Iterable[str]) -> None:
    """Make sure that the file system accepts every character of *names*, and the longest of them; raise StoreError."""
    characters, longest = set[str](), ""
    for name in names:
        characters.update(name)
        longest = max(longest, *name.split("/"), key=lambda part: len(os.fsencode(part)))
    most = os.fpathconf(folder, "PC_NAME_MAX") - _MAX_SUFFIX
    if len(os.fsencode(longest)) > most:
        raise StoreError(
            f"the file name {longest} is too long for the file system of {root}, which allows {most} bytes and a "
            "suffix. Nothing was sent: shorten it in the manifest"
        )
    unusual = sorted(char for char in characters if char not in "/." and not (char.isascii() and char.isalnum()))
    for start in range(0, len(unusual), _CHARACTERS):
        middle = "".join(unusual[start : start + _CHARACTERS])
        try:
            os.close(os.open(part := part_name(f".{middle}"), NEW, 0o666, dir_fd=folder))
            os.unlink(part, dir_fd=folder)
        except OSError as error:
            raise StoreError(
                f"the file system of {root} does not accept some of these characters in file names: {middle} "
                f"({error.strerror}). Nothing was sent: change the file names in the manifest, or choose another folder"
            ) from error


def _withdraw(  # noqa: PLR0917 - see withdraw
    folder: int, image: PurePosixPath, root: Path, sha256: str, attempt_id: str, bare: Callable[[], bool]
) -> None:
    sidecar = PurePosixPath(f"{image}.json")
    data, note = content_if_any(folder, image.name), content_if_any(folder, sidecar.name)
    matches = data is not None and hashlib.sha256(data).hexdigest() == sha256
    named = note is not None and attempt_id.encode() in note
    ours = {image: matches and (named or (note is None and bare())), sidecar: named and (matches or data is None)}
    for path in (path for path, is_ours in ours.items() if is_ours):
        _set_aside(folder, path, root)
        os.unlink(path.name, dir_fd=folder)
        sync(folder)


def _set_aside(folder: int, name: PurePosixPath, root: Path) -> None:
    data = content(folder, name.name)
    if data is None:
        return
    with open_folder(root, PurePosixPath(SUPERSEDED, name.parent)) as aside:
        # A name may be taken by the sidecar of another attempt that delivered the same image.
        if not any(_place_aside(folder, name.name, aside, target, data) for target in candidates_aside(name, data)):
            raise FileExistsError(errno.EEXIST, "all names for it are taken there")
        sync(aside)


def candidates_aside(name: PurePosixPath, data: bytes) -> Iterator[str]:
    """Yield the names under which a replaced file may be kept in ``.superseded/``, best first.

    An image gets a part of its hash, and so does its sidecar, which is named after it as in the output folder.
    """
    own = hashlib.sha256(data).hexdigest()
    described = _described(data) if name.suffix == ".json" else None
    if described is not None:
        image, described = PurePosixPath(name.stem), f".{described[:8]}"
        for tag in ("", *_tags(own)):
            yield _name_aside(image.stem, described, tag, image.suffix, ".json")
    yield from names_aside(name, own)


def names_aside(name: PurePosixPath, sha256: str) -> Iterator[str]:
    """Yield the names that a replaced file of this hash may have in ``.superseded/``, best first."""
    ending = "" if name.suffix == ".json" else ".json"  # room for the name of an image's sidecar
    for tag in _tags(sha256):
        yield _name_aside(name.stem, tag, name.suffix, ending).removesuffix(ending)


def name_aside(name: str, sha256: str) -> str:
    """Return the name, relative to the output folder, of a file of this hash that must not take the name *name*."""
    path = PurePosixPath(name)
    return str(PurePosixPath(SUPERSEDED, path.parent, next(names_aside(path, sha256))))


def _tags(sha256: str) -> tuple[str, str, str]:
    return f".{sha256[:8]}", f".{sha256[:16]}", f".{sha256}"


def _name_aside(stem: str, *tail: str) -> str:
    """Return *stem* with *tail*; the name may have to be shortened, and no character of it may be cut in two."""
    room = max(0, _NAME_BYTES - len(os.fsencode("".join(tail))))
    return os.fsencode(stem)[:room].decode(errors="ignore") + "".join(tail)


def _described(data: bytes) -> str | None:
    """Return the hash of the image that a sidecar describes; None for another file."""
    try:
        return parse(data).artifact.sha256
    except ValueError:
        return None


def _place_aside(folder: int, name: str, aside: int, target: str, data: bytes) -> bool:
    """Keep the file *name* as *target* in *aside*; return False if another file has that name."""
    try:
        os.link(name, target, src_dir_fd=folder, dst_dir_fd=aside, follow_symlinks=False)
    except FileExistsError:
        return content(aside, target) == data
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        try:
            with new_part(aside, data) as part:
                place(part, target, aside)
        except FileExistsError:
            return content(aside, target) == data
    return True
