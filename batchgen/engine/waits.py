"""Waits that are ended together, for example when a run ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from anyio import CancelScope


@dataclass(slots=True)
class Waits:
    """The waits of a lane, or of the remote tasks of a run."""

    _scopes: set[CancelScope] = field(default_factory=set)

    @contextmanager
    def interruptible(self) -> Iterator[CancelScope]:
        """Let ``interrupt`` end the waits inside; the scope shows afterwards whether it did."""
        with CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.discard(scope)

    def interrupt(self) -> None:
        """End all waits at once."""
        for scope in tuple(self._scopes):
            scope.cancel()
