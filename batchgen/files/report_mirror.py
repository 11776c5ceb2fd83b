"""Copies a report to an object store: what has changed, and the page last, so that it never shows what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..object_url import ObjectUrl
from .object_store import ObjectStore
from .object_tree import facts_of
from .report_folder import DATA, MARKER
from .thumbnails import FOLDER as THUMBNAILS

#: Objects that are read or written at once.
_WIDTH = 64


def pull_thumbnails(place: ObjectUrl, folder: Path) -> None:
    """Download the thumbnails of the report at *place*, which another machine wrote; raise StoreError, OSError."""
    store, target = ObjectStore(place), folder / THUMBNAILS
    target.mkdir(parents=True, exist_ok=True)

    def pull(name: str) -> None:
        data, file = store.find(name), folder / name
        if data is not None and file.parent == target:
            file.write_bytes(data)

    with ThreadPoolExecutor(_WIDTH) as threads:
        for _ in threads.map(pull, [each.name for each in store.list(THUMBNAILS)]):
            pass


def push_report(folder: Path, place: ObjectUrl, page: str, *, is_whole: bool = True) -> Sequence[str]:
    """Upload what the report at *place* lacks of *folder*; return the names of these files. Raises StoreError.

    A *page* that does not show the whole batch has its details inside, and leaves those of the whole one as they are.
    """
    store = ObjectStore(place)
    present = {each.name: each.size_bytes for each in store.list()}
    thumbnails = [f"{THUMBNAILS}/{path.name}" for path in (folder / THUMBNAILS).glob("[!.]*.webp")]
    data = [f"{DATA}/{path.name}" for path in (folder / DATA).glob("*.js")] if is_whole else []

    def push(name: str) -> str | None:
        content = (folder / name).read_bytes()
        if present.get(name) == len(content):
            if name.startswith(f"{THUMBNAILS}/"):
                return None  # Its name is a hash; other files change under their names.
            before = store.head(name)
            if before is not None and before.facts == facts_of(name, content):
                return None
        store.put(name, content, facts_of(name, content))
        return name

    with ThreadPoolExecutor(_WIDTH) as threads:
        written = [name for name in threads.map(push, [*thumbnails, *data]) if name is not None]
    last = (page, MARKER) if is_whole or MARKER not in present else (page,)
    written += [name for name in map(push, last) if name is not None]
    if is_whole:
        store.delete([name for name in present if name.startswith(f"{DATA}/") and name not in data])
    return written
