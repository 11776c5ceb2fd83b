"""Thumbnails on disk: their names, and the processes that make them."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..errors import StoreError
from ..object_url import Folder
from ..picture import PictureFacts

#: The folder of thumbnails within that of a report, and the digits of a hash that name one.
FOLDER, SHORT = "thumbs", 16
#: Seconds after which a decoder that has not answered is ended.
_PATIENCE = 120.0
_PART = re.compile(r"\..+\.webp\.(\d+)\.part")
#: Facts of a file at which the process died: they count until the next report, which tries again.
_UNPROVEN = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureFile:
    """A file to make a thumbnail of, and the hash that it had when it was delivered."""

    path: Folder
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FileGone:
    """A file that is missing, cannot be read or has changed."""

    message: str


def thumbnail_path(folder: Path, sha256: str) -> Path:
    """Return the path of a thumbnail within the *folder* of a report."""
    return folder / FOLDER / f"{sha256[:SHORT]}.webp"


def part_name(target: Path) -> str:
    """Return the name under which this process writes a thumbnail."""
    return f".{target.name}.{os.getpid()}.part"


def is_abandoned(name: str) -> bool:
    """Return whether *name* is an unfinished thumbnail of a process that was killed."""
    match = _PART.fullmatch(name)
    if match is None:
        return False
    try:
        os.kill(int(match[1]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass
    return False


class ThumbnailProcess:
    """A process that makes one thumbnail at a time; a context manager. It is started when it is needed first."""

    def __init__(self, *, nice: int = 0) -> None:
        self._nice = nice
        self._process: subprocess.Popen[bytes] | None = None
        self.is_ended = False  #: no further picture is made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def make(self, picture: PictureFile, folder: Path) -> PictureFacts | FileGone:
        """Write the thumbnail of *picture* and return its facts.

        Raises StoreError if it cannot be written, or if the object store of the picture cannot be read.

        A file at which the process dies twice is unreadable.
        """
        order = {"path": str(picture.path), "sha256": picture.sha256}
        order["target"] = str(thumbnail_path(folder, picture.sha256))
        for _ in range(2):
            answer = self._ask(json.dumps(order).encode("ascii") + b"\n")
            if answer is not None:
                return _result(answer, picture)
        message = "the program that decodes it crashed, ran out of memory or did not end"
        return PictureFacts(sha256=picture.sha256, size_bytes=0, error=message, version=_UNPROVEN)

    def end(self) -> None:
        """Kill the process, from any thread; what it was making is left out."""
        self.is_ended = True
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """End the process and free its pipes; only for the thread that uses it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr] # both are pipes

    def _ask(self, line: bytes) -> dict[str, Any] | None:
        """Return the answer to an order; None if the process died."""
        if self.is_ended:
            return None
        process = self._process = self._process or _start(self._nice)
        orders, answers = process.stdin, process.stdout
        assert orders is not None  # noqa: S101 - it was started with pipes
        assert answers is not None  # noqa: S101
        try:
            os.write(orders.fileno(), line)
            if select.select([answers], [], [], _PATIENCE)[0]:
                answer: dict[str, Any] = json.loads(answers.readline())
                return answer
        except (OSError, ValueError):
            pass
        self.close()
        return None


def _result(answer: dict[str, Any], picture: PictureFile) -> PictureFacts | FileGone:
    if "store" in answer:
        raise StoreError(answer["store"])
    if "disk" in answer:
        raise StoreError(f"cannot write the thumbnail of {picture.path}: {answer['disk']}")
    return FileGone(message=answer["gone"]) if "gone" in answer else PictureFacts(**answer["facts"])


def _start(nice: int) -> subprocess.Popen[bytes]:
    # -P: the working folder may hold files named like modules.
    command = [sys.executable, "-P", "-m", "batchgen.files.thumbnail_worker", str(nice)]
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )
    except OSError as error:
        raise StoreError(f"cannot start a process that makes thumbnails: {error.strerror}") from error
