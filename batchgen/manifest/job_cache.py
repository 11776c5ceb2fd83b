"""Cache of planned jobs: what one pass over a manifest made, for the next passes; in memory, then in a file.

Making a job again from its list takes 17 microseconds, reading it from this file 2. A run goes over its jobs three
times (check, plan, load), so that a million jobs save half a minute.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import orjson

from ..fingerprint import Stamp
from .batch import PlannedJob, Recipe

T = TypeVar("T")

#: So many jobs stay in memory; the rest goes to the file, so many at once.
_IN_MEMORY, _CHUNK = 50_000, 5_000
#: With more recipes, the jobs are made again instead: each of them may have its own.
_MAX_RECIPES = 5_000
#: A folder on disk where there is one: /tmp is often in memory.
_FOLDER = Path("/var/tmp")  # noqa: S108 - the file has no name there


class JobCache:
    """The jobs of a batch in order. If not all can be stored, ``is_complete`` is False: they have to be made again."""

    def __init__(self) -> None:
        self.is_complete = True
        self._jobs: list[PlannedJob] = []  #: the last ones, not in the file yet
        self._file: _JobFile | None = None

    def add(self, job: PlannedJob) -> None:
        """Add one more job."""
        if not self.is_complete:
            return
        self._jobs.append(job)
        if len(self._jobs) >= _IN_MEMORY or (self._file is not None and len(self._jobs) >= _CHUNK):
            self._write()

    def __iter__(self) -> Iterator[PlannedJob]:
        if self._file is not None:
            yield from self._file
        yield from self._jobs

    def _write(self) -> None:
        """Move the jobs in memory to the file; give up where that is not possible."""
        try:
            self._file = self._file or _JobFile()
            self._file.write(self._jobs)
        except (OSError, orjson.JSONEncodeError, _TooManyRecipesError):
            self.is_complete, self._file = False, None
        self._jobs = []


class _TooManyRecipesError(Exception):
    pass


class _JobFile:
    """A file without a name that holds jobs; their recipes stay in memory."""

    def __init__(self) -> None:
        self._file: IO[bytes] = _temporary_file()
        weakref.finalize(self, self._file.close)
        self._chunks: list[tuple[int, int]] = []  #: offset and size of each
        self._size = 0
        self._recipes = _Numbers[Recipe]()
        self._stamps = _Numbers[Stamp | None]()

    def write(self, jobs: Sequence[PlannedJob]) -> None:
        """Append *jobs*; raise OSError where the disk is full, and _TooManyRecipesError."""
        recipe_number, stamp_number = self._recipes.number, self._stamps.number
        rows = [
            (
                job.key,
                job.prompt,
                job.fingerprint,
                None if job.output == job.key else job.output,
                recipe_number(job.recipe),
                stamp_number(job.id_stamp),
            )
            for job in jobs
        ]
        if len(self._recipes.values) > _MAX_RECIPES:
            raise _TooManyRecipesError
        for start in range(0, len(rows), _CHUNK):
            data = orjson.dumps(rows[start : start + _CHUNK])
            self._file.write(data)
            self._chunks.append((self._size, len(data)))
            self._size += len(data)
        self._file.flush()

    def __iter__(self) -> Iterator[PlannedJob]:
        recipes, stamps = self._recipes.values, self._stamps.values
        for offset, size in self._chunks:
            rows: list[Any] = orjson.loads(_read(self._file.fileno(), offset, size))
            for key, prompt, fingerprint, output, recipe, stamp in rows:
                yield PlannedJob(
                    key, prompt, fingerprint, key if output is None else output, recipes[recipe], stamps[stamp]
                )


class _Numbers(Generic[T]):
    """Objects by the order in which they were first seen."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self._numbers: dict[int, int] = {}  #: by identity; ``values`` keeps the objects alive

    def number(self, value: T) -> int:
        """Return the number of *value*."""
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self.values)
            self.values.append(value)
        return number


def _temporary_file() -> IO[bytes]:
    if "TMPDIR" not in os.environ:
        with suppress(OSError):
            return tempfile.TemporaryFile(dir=_FOLDER)
    return tempfile.TemporaryFile()


def _read(descriptor: int, offset: int, size: int) -> bytes:
    """Return *size* bytes; several passes may read the file at once."""
    parts = []
    while size:
        part = os.pread(descriptor, size, offset)
        if not part:
            raise OSError("a temporary file is shorter than it was")
        parts.append(part)
        offset, size = offset + len(part), size - len(part)
    return b"".join(parts)
