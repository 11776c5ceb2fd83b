"""Files of submissions, in a private folder: requests that are uploaded, results that are downloaded, and a note.

The note is what the job database knows of a submission, in lines, for the day on which that is lost.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from ..errors import StoreError
from .atomic import sync, sync_folder, write_atomic
from .output import make_private

#: Name of the folder, in that of a project's state.
FOLDER = "submissions"

_REQUESTS, _ADDRESS, _NOTE, _PART = ".requests.jsonl", ".address", ".note.jsonl", ".part"


def stored_submissions(folder: Path) -> list[SubmissionFiles]:
    """Return the submissions in *folder* whose batches may exist at a provider."""
    return [SubmissionFiles(folder, path.name.removesuffix(_ADDRESS)) for path in sorted(folder.glob(f"*{_ADDRESS}"))]


def noted_submissions(folder: Path) -> list[SubmissionFiles]:
    """Return the submissions in *folder* that have a note."""
    return [SubmissionFiles(folder, path.name.removesuffix(_NOTE)) for path in sorted(folder.glob(f"*{_NOTE}"))]


@dataclass(frozen=True, slots=True)
class SubmissionFiles:
    """The files of one submission."""

    folder: Path
    submission_id: str

    @property
    def requests(self) -> Path:
        """Return the path of the file of requests."""
        return self.folder / f"{self.submission_id}{_REQUESTS}"

    def result(self, name: str) -> Path:
        """Return the path of a file of results, which exists only when it is complete."""
        return self.folder / f"{self.submission_id}.{name}.jsonl"

    def write_requests(self, pieces: Iterable[bytes]) -> str:
        """Write the file of requests, and return its SHA-256; raise StoreError if the disk refuses it."""
        digest = hashlib.sha256()
        try:
            make_private(self.folder)
            with self.requests.open("wb") as file:
                for piece in pieces:
                    digest.update(piece)
                    file.write(piece)
        except OSError as error:
            raise StoreError(f"cannot write {self.requests}: {error.strerror}. Nothing of it was sent.") from error
        return digest.hexdigest()

    def write_address(self, base_url: str, database: str) -> None:
        """Note where the batch is, at any other address it is not known, and the job database that knows of it."""
        try:
            write_atomic(self._address, f"{base_url}\n{database}\n".encode())
        except OSError as error:
            raise StoreError(f"cannot write {self._address}: {error.strerror}. Nothing of it was sent.") from error

    def read_address(self) -> str | None:
        """Return where the batch is; None if another machine submitted it."""
        return next(iter(self._notes()), None)

    def belongs_to(self, database: str) -> bool:
        """Return whether the submission was noted in *database* before its batch was created."""
        return self._notes()[1:] == [database]

    def _notes(self) -> list[str]:
        try:
            return self._address.read_text(encoding="utf-8").splitlines()
        except OSError:
            return []

    @property
    def _address(self) -> Path:
        return self.folder / f"{self.submission_id}{_ADDRESS}"

    @property
    def _note(self) -> Path:
        return self.folder / f"{self.submission_id}{_NOTE}"

    def write_note(self, lines: Iterable[bytes]) -> None:
        """Write the lines of the note, durably and all or none of them; raise StoreError if the disk refuses it."""
        part = self._note.with_name(self._note.name + _PART)
        try:
            make_private(self.folder)
            with part.open("wb") as file:
                file.writelines(line + b"\n" for line in lines)
                file.flush()
                sync(file.fileno())
            part.rename(self._note)
            sync_folder(self.folder)
        except OSError as error:
            raise StoreError(f"cannot write {self._note}: {error.strerror}. Nothing of it was sent.") from error

    def add_to_note(self, line: bytes) -> None:
        """Add a line to the note, durably; a disk that refuses it leaves the note as it is."""
        with suppress(OSError), self._note.open("r+b") as file:
            file.seek(0, os.SEEK_END)
            file.write(line + b"\n")
            file.flush()
            sync(file.fileno())

    def note_lines(self) -> Iterator[bytes]:
        """Yield the lines of the note; none if there is none. Raises OSError."""
        with suppress(FileNotFoundError), self._note.open("rb") as file:
            yield from file

    def is_abandoned(self, before: float) -> bool:
        """Return whether a file of requests has been here since *before*, and no batch was created from it."""
        with suppress(OSError):
            was_created = self._note.exists() or self._address.exists()
            return not was_created and self.requests.stat().st_mtime < before
        return False

    def receive(self, name: str) -> ResultSink:
        """Return a sink for a file of results; raise StoreError if the disk refuses it."""
        make_private(self.folder)
        return ResultSink(self.result(name))

    def remove(self) -> None:
        """Remove all files of the submission."""
        for path in self.folder.glob(f"{self.submission_id}.*"):
            with suppress(OSError):
                path.unlink()


def submissions_with_files(folder: Path) -> list[str]:
    """Return the ids of the submissions that have files in *folder*; none if it does not exist."""
    with suppress(OSError):
        return sorted({path.name.partition(".")[0] for path in folder.iterdir()})
    return []


class ResultSink:
    """A file of results while it arrives. It gets its name when it is complete and durable."""

    def __init__(self, path: Path) -> None:
        self._path, self._part = path, path.with_name(path.name + _PART)
        try:
            self._file: BinaryIO = self._part.open("wb")
        except OSError as error:
            raise _refused(self._part, error) from error
        self._status = 0

    def keep_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Store the status."""
        del headers
        self._status = status

    def write(self, chunk: bytes) -> None:
        """Store a piece of the body; raise StoreError if the disk refuses it: nothing is lost, it can come again."""
        try:
            self._file.write(chunk)
        except OSError as error:
            raise _refused(self._part, error) from error

    def seal(self, *, whole: bool = True) -> None:
        """Do nothing: ``finish`` waits for the disk, and belongs in a thread."""

    def beginning(self) -> bytes:
        """Return the beginning of the body, which explains a refusal."""
        self._file.flush()
        with self._part.open("rb") as file:
            return file.read(64 * 1024)

    def finish(self) -> None:
        """Make the file durable and give it its name; raise StoreError."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._part.rename(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise _refused(self._part, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)


def _refused(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"cannot write {path}: {error.strerror}. The results stay at the provider: free disk space, then run the same "
        "command again"
    )
