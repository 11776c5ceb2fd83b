"""Lock of a batch's output: no run with another job database may write there meanwhile.

A folder on a disk is locked while a run lasts. An object store has no locks that end with their holder, so that a place
there belongs to one job database: an object names it, which only the first run of all can create.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..database_url import DatabaseUrl
from ..errors import AlreadyRunning, StoreError
from ..files import lock
from ..files.output_tree import output_tree
from ..object_url import Folder, ObjectUrl
from ..store.marks import database_id
from .clock import utc_now
from .project import Project

#: The object that names the owner of a place, below the output prefix.
OWNER = ".batchgen/owner.json"


class OutputLock(Protocol):
    """The lock of an output folder."""

    def make(self) -> None:
        """Make the folder if it is missing, before images are paid for; raise AlreadyRunning, StoreError."""
        ...


@contextmanager
def hold_output(
    project: Project, folder: Folder, *, manifest: Path | None = None, wait: float = 0.0
) -> Iterator[OutputLock]:
    """Hold the output of a batch; wait up to *wait* seconds for it; raise AlreadyRunning, which names *manifest*.

    The job database exists and is in its newest form.
    """
    if isinstance(folder, Path):
        # Shards of a batch fill one folder together.
        with lock.hold_folder(folder, wait=wait, shared=isinstance(project.db, DatabaseUrl)) as locked:
            yield locked
    else:
        place = StoreOwner(project, folder, manifest)
        with _unsent():
            place.require()
        yield place


@contextmanager
def _unsent() -> Iterator[None]:
    """Add to an error of the store that nothing was sent."""
    try:
        yield
    except StoreError as error:
        raise type(error)(f"{error}. Nothing was sent") from error


@contextmanager
def hold_recovered(project: Project, folder: Folder) -> Iterator[Callable[[], None]]:
    """Hold the output of a batch whose job database is rebuilt; yield what takes it over once there is a database."""
    if isinstance(folder, Path):
        with lock.hold_folder(folder):
            yield lambda: None
    else:
        yield StoreOwner(project, folder).take_over


def prepare_output(
    folder: Folder, names: Iterable[str] | None, show_message: Callable[[str], None], *, is_alone: bool = True
) -> None:
    """Make sure that files of these *names* can be written; None: none will be. Raises StoreError.

    Before that, remove what a killed run left; not where another runner may be writing (*is_alone* is False).
    """
    tree = output_tree(folder)
    if is_alone:
        tree.sweep()
    if names is not None and not tree.require_writable(names) and isinstance(folder, ObjectUrl):
        show_message(
            f"the store of {folder} ignores conditional writes (If-None-Match): batchgen looks each name up before it "
            "writes. Let only one machine write there at a time"
        )


@dataclass(frozen=True, slots=True)
class StoreOwner:
    """A place in an object store, which belongs to one job database."""

    project: Project
    url: ObjectUrl
    manifest: Path | None = None  #: of the batch, if it is known

    def require(self) -> None:
        """Raise AlreadyRunning if the place belongs to another job database."""
        owner = self._owner()
        if owner is not None and not self._is_own(owner):
            raise AlreadyRunning(self._message(owner))

    def make(self) -> None:
        """Make the place this job database's own; raise AlreadyRunning if it belongs to another one."""
        from ..files.object_store import ObjectStore

        with _unsent():
            if ObjectStore(self.url).put_new(OWNER, *self._note()):
                return
        owner = self._owner()
        if owner is None or not self._is_own(owner):
            raise AlreadyRunning(self._message(owner or {}))
        if owner.get("database") != database_id(self.project.db):
            self.take_over()  # this database was lost and made again

    def take_over(self) -> None:
        """Make the place this job database's own, even if it belongs to another one."""
        from ..files.object_store import ObjectStore

        ObjectStore(self.url).put(OWNER, *self._note())

    def _owner(self) -> dict[str, Any] | None:
        from ..files.object_store import ObjectStore

        data = ObjectStore(self.url).find(OWNER)
        if data is None:
            return None
        try:
            owner = json.loads(data)
        except ValueError:
            return {}
        return owner if isinstance(owner, dict) else {}

    def _is_own(self, owner: dict[str, Any]) -> bool:
        """Return whether *owner* is this job database, or one that was at the same place and is lost."""
        if owner.get("database") == database_id(self.project.db):
            return True
        return (owner.get("host"), owner.get("path")) == self._location()

    def _location(self) -> tuple[str, str]:
        db = self.project.db
        if isinstance(db, Path):
            return socket.gethostname(), str(db.absolute())
        return "", f"{db}{' (sandbox)' if db.sandbox else ''}"

    def _note(self) -> tuple[bytes, dict[str, str]]:
        host, path = self._location()
        note = {"database": database_id(self.project.db), "host": host, "path": path}
        note["since"] = utc_now().isoformat(timespec="seconds")
        return json.dumps(note, indent=1).encode() + b"\n", {"Content-Type": "application/json"}

    def _message(self, owner: dict[str, Any]) -> str:
        flags = self.project.command_flags()
        recover = (
            flags.on_manifest("db recover", self.manifest) if self.manifest else flags.plain("db recover MANIFEST")
        )
        where = owner.get("path", "unknown")
        host = f" on {owner['host']}" if owner.get("host") else ""
        since = f" since {owner['since']}" if owner.get("since") else ""
        return (
            f"{self.url} belongs to another job database{since}: {where}{host}. Neither database knows the jobs of the "
            "other, so everything would be bought twice. Start this run where the other was started, choose another "
            f"place with output: in the manifest, or, if the other is gone, take it over: "
            f"{recover}"
        )
