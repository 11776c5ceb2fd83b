"""Result files of batches: read row by row, so that a file of gigabytes needs the memory of its longest row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

#: Longest row that is read (bytes): as long as the longest answer to a single call, and its envelope.
MAX_ROW = 257 * 1024 * 1024
_BUFFER = 1024 * 1024


class KeyedRow(Protocol):
    """The content of a row."""

    @property
    def key(self) -> str:
        """The request that it answers."""
        ...

    @property
    def rank(self) -> int:
        """The better of two rows of one request has the higher rank."""
        ...


Row = TypeVar("Row", bound=KeyedRow)


@dataclass(frozen=True, slots=True)
class RowPlace:
    """Where a row is, and how good it is."""

    file: Path
    start: int
    length: int
    rank: int
    digest: bytes  #: of its bytes, so that a file that changed meanwhile is noticed


@dataclass(slots=True)
class ResultRows(Generic[Row]):
    """The rows of the result files of one batch, by the key of their request."""

    read: Callable[[bytes], Row | None]
    places: dict[str, RowPlace] = field(default_factory=dict)
    repeats: int = 0  #: rows of requests that have a better or an earlier row
    unreadable: int = 0  #: rows that name no request, or are too long

    def scan(self, files: Sequence[Path]) -> None:
        """Read *files* once. Of two rows of one request the one with the better answer counts, or else the first."""
        for file in files:
            for start, raw in _lines(file):
                self._add(file, start, raw)

    def size(self, key: str) -> int:
        """Return the bytes of the row of a request; 0 if no file has one."""
        place = self.places.get(key)
        return 0 if place is None else place.length

    def row(self, key: str) -> Row | None:
        """Return the row of a request; None if no file has one. Raise OSError if its file is gone or has changed."""
        place = self.places.get(key)
        if place is None:
            return None
        with place.file.open("rb") as file:
            file.seek(place.start)
            raw = file.read(place.length)
        if _digest(raw) != place.digest:
            raise OSError(f"{place.file} has changed while it was read")
        return self.read(raw)

    def _add(self, file: Path, start: int, raw: bytes | None) -> None:
        row = None if raw is None else self.read(raw)
        if row is None or raw is None:
            self.unreadable += 1
            return
        earlier = self.places.get(row.key)
        if earlier is not None:
            self.repeats += 1
        if earlier is None or row.rank > earlier.rank:
            self.places[row.key] = RowPlace(file, start, len(raw), row.rank, _digest(raw))


def _lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Yield the position and the bytes of each row that is not blank; None in place of one that is too long."""
    with path.open("rb", buffering=_BUFFER) as file:
        start = 0
        while raw := file.readline(MAX_ROW):
            length = len(raw)
            if length == MAX_ROW and not raw.endswith(b"\n"):
                raw = b""
                while (piece := file.readline(_BUFFER)) and not piece.endswith(b"\n"):
                    length += len(piece)
                yield start, None
                start += length + len(piece)
                continue
            if raw.strip():
                yield start, raw
            start += length


def _digest(raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=16).digest()
