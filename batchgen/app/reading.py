"""Reads delivered files, on a disk or in an object store, several at once and never many in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from ..object_url import is_object_url

Item = TypeVar("Item")
Value = TypeVar("Value")

#: Files that are read at once: disks serve several reads, and an object store answers each after some milliseconds.
DISK_WIDTH, STORE_WIDTH = 4, 64
#: Objects whose whole content may be in memory at once.
CONTENT_WIDTH = 16


def reading_width(folder: str) -> int:
    """Return how many files of an output folder are read at once."""
    return STORE_WIDTH if is_object_url(folder) else DISK_WIDTH


def read_ahead(
    items: Iterable[Item], read: Callable[[Item], Value], width: int = CONTENT_WIDTH
) -> Iterator[tuple[Item, Value]]:
    """Yield each of *items*, in order, with what *read* returns for it; up to *width* are read ahead, by threads."""
    rest = iter(items)
    with ThreadPoolExecutor(width) as threads:
        waiting: deque[tuple[Item, Future[Value]]] = deque()
        try:
            waiting += [(item, threads.submit(read, item)) for item in islice(rest, width)]
            while waiting:
                item, result = waiting.popleft()
                value = result.result()
                waiting += [(following, threads.submit(read, following)) for following in islice(rest, 1)]
                yield item, value
        finally:
            for _, result in waiting:
                result.cancel()
