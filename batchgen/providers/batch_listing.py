"""Lists of a provider's batches, read to their end: only there it is certain that a batch does not exist."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .base import Call, Reply
from .batch_base import BatchOrder, Listing, RemoteBatch, Talk

#: Batches asked for at once, and the pages after which a list is given up: it would have 50,000 batches.
PAGE_SIZE, _MOST_PAGES = 100, 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One page of a list."""

    batches: Sequence[RemoteBatch]
    after: str  #: where the next page begins; "" if the answer does not state it
    is_last: bool


def batches_of_order(order: BatchOrder, ask: Callable[[str], Call], read: Callable[[Reply], Page]) -> Talk[Listing]:
    """Return the batches that *order* created: *ask* makes the call for the page after a place, *read* reads it."""
    found: dict[str, RemoteBatch] = {}
    after, seen = "", set[str]()
    for _ in range(_MOST_PAGES):
        page = read((yield ask(after)))
        found |= {batch.id: batch for batch in page.batches if order.created(batch)}
        if page.is_last:
            return Listing(batches=tuple(found.values()), complete=True)
        if not page.after or page.after in seen:
            break
        after = page.after
        seen.add(after)
    return Listing(batches=tuple(found.values()), complete=False)
