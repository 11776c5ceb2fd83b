"""Shared syncs of folders: threads that changed one folder at the same time share an fsync.

The first thread syncs for all whose changes were made before it began; those that come later share the next one. A
folder is synced once per call where threads are alone, and up to once per group where they are many.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from threading import Event, Lock
from weakref import WeakValueDictionary

from .atomic import sync


@dataclass(slots=True)
class _Round:
    """One fsync, for all threads that joined before it began."""

    over: Event
    error: OSError | None = None


@dataclass(slots=True, weakref_slot=True)
class _Folder:
    """A folder that is being synced; it lives as long as a thread waits for it."""

    turn: Lock = field(default_factory=Lock)  #: held during an fsync
    next: _Round | None = None  #: the one that has not begun


_lock = Lock()
_folders: WeakValueDictionary[tuple[int, int], _Folder] = WeakValueDictionary()


def sync_shared(descriptor: int) -> None:
    """Make all changes so far in an open folder durable; raise OSError, as for all that share a sync that failed."""
    facts = os.fstat(descriptor)
    with _lock:
        key = facts.st_dev, facts.st_ino
        folder = _folders.get(key) or _folders.setdefault(key, _Folder())
        joined = folder.next
        if joined is None:
            own = folder.next = _Round(Event())
    if joined is None:
        _lead(folder, own, descriptor)
        return
    joined.over.wait()
    if joined.error is not None:
        raise OSError(joined.error.errno, joined.error.strerror)


def _lead(folder: _Folder, own: _Round, descriptor: int) -> None:
    try:
        with folder.turn:
            with _lock:
                folder.next = None
            sync(descriptor)
    except OSError as error:
        own.error = error
        raise
    finally:
        own.over.set()
