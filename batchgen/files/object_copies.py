"""Derived copies in an object store; the functions are those of ``copies``, and so are their rules."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Mapping, Sequence
from typing import Any

from ..object_url import ObjectUrl
from .copy_rules import ForeignFileError, sidecar_of
from .object_store import ObjectStore
from .object_tree import facts_of


def write_copy(folder: ObjectUrl, name: str, data: bytes, ours: Container[str]) -> None:
    """Write *data* to *name*; raise ForeignFileError, StoreError."""
    store, facts = ObjectStore(folder), facts_of(name, data)
    if store.put_new(name, data, facts):
        return
    present = store.find(name)
    if present == data:
        return
    if present is not None and hashlib.sha256(present).hexdigest() not in ours:
        raise ForeignFileError("another object has its name, or the copy was edited; move it away")
    store.put(name, data, facts)


def remove_copy(folder: ObjectUrl, name: str, sha256: str) -> None:
    """Remove the copy *name* if its content has this hash; raise StoreError."""
    store = ObjectStore(folder)
    present = store.find(name)
    if present is not None and hashlib.sha256(present).hexdigest() == sha256:
        store.delete(name)


def list_in_sidecar(folder: ObjectUrl, image: str, sha256: str, copies: Sequence[Mapping[str, Any]]) -> None:
    """List *copies* in the sidecar of *image*, if it has one that names its hash; raise StoreError.

    A store dates every write, so that the time of the first one, which recovery takes for that of the attempt, goes
    into the sidecar.
    """
    store, name = ObjectStore(folder), f"{image}.json"
    document = sidecar_of(store.find(name), sha256)
    if document is None or document.get("copies", []) == list(copies):
        return
    before = store.head(name)
    if before is None or before.facts is None:
        return
    document = {"written_at": before.changed.isoformat(), **document, "copies": list(copies)}
    data = json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n"
    store.put(name, data, {**before.facts, **facts_of(name, data)})
