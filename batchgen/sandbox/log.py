"""The charge log: JSON lines, appended and synced, with exact sums."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

Line = dict[str, Any]
Entry = tuple[bytes, asyncio.Future[None] | None]


class ChargeLog:
    """Writer of the log: a thread writes all waiting lines with one sync."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._waiting: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="charge-log", daemon=True)
        self._thread.start()

    def note(self, line: Line) -> None:
        """Append a line without waiting for it; the order of lines is kept."""
        self._waiting.put((_encode(line), None))

    def write(self, line: Line) -> asyncio.Future[None]:
        """Append a line; the returned future is done once it is durable."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put((_encode(line), done))
        return done

    def close(self) -> None:
        """Write all waiting lines, then close the file."""
        self._waiting.put(None)
        self._thread.join()
        os.close(self._fd)

    def _write(self) -> None:
        open_for_more = True
        while open_for_more:
            batch: list[Entry] = []
            entry = self._waiting.get()
            while entry is not None:
                batch.append(entry)
                try:
                    entry = self._waiting.get_nowait()
                except queue.Empty:
                    break
            else:
                open_for_more = False
            if batch:
                _append(self._fd, batch)


def _append(fd: int, batch: list[Entry]) -> None:
    """Write a batch, sync it, and resolve its futures."""
    error: OSError | None = None
    try:
        rest = memoryview(b"".join(line for line, _ in batch))
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
    except OSError as caught:
        error = caught
    for _, future in batch:
        if future is not None:
            loop = future.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, future, error)


def _settle(future: asyncio.Future[None], error: OSError | None) -> None:
    if future.done():  # the handler was cancelled meanwhile
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _encode(line: Line) -> bytes:
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def read_log(path: Path) -> list[Line]:
    """Return every whole line of a charge log; a last line that a crash cut off is skipped."""
    return list(_lines(path))


def totals(path: Path) -> dict[str, Line]:
    """Return charges, images, USD and credits per provider, as exact decimals."""
    sums: dict[str, Line] = {}
    for line in _lines(path):
        if line["event"] != "charge":
            continue
        zero: Line = {"charges": 0, "images": 0, "usd": Decimal(0), "credits": Decimal(0)}
        entry = sums.setdefault(line["provider"], zero)
        entry["charges"] += 1
        entry["images"] += line["images"]
        entry["usd"] += Decimal(line["usd"] or 0)
        entry["credits"] += Decimal(line["credits"] or 0)
    return sums


def _lines(path: Path) -> Iterator[Line]:
    if not path.exists():
        return
    with path.open("rb") as stream:
        for raw in stream:
            if not raw.endswith(b"\n"):
                return  # the line is still being written
            yield json.loads(raw)
