"""Reports an error that ends a run: one message for the user, and for a bug its place in the log."""

from __future__ import annotations

from pathlib import Path
from traceback import extract_tb

from ..errors import BatchgenError, StoreError
from ..files import log


def as_batchgen_error(error: Exception) -> BatchgenError:
    """Return *error* with a message for the user; for a bug the message is written here."""
    if isinstance(error, ExceptionGroup):
        return as_batchgen_error(error.exceptions[0])
    if isinstance(error, BatchgenError):
        return error
    if isinstance(error, OSError):
        return StoreError(str(error))
    frames = (f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in extract_tb(error.__traceback__))
    log.event("bug", log.ERROR, error=f"{type(error).__name__}: {error}", where=" > ".join(frames))
    failure = BatchgenError(
        f"batchgen has a bug ({type(error).__name__}: {error}). The calls in flight were finished and nothing more was "
        "sent; an answer that could not be booked is in the spool, and the next run books it. Please report this"
    )
    failure.__cause__ = error
    return failure
