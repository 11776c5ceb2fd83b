"""Files and batches on disk, beside the charge log: a server that starts again knows what it had accepted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..log import ChargeLog, Line, read_log
from .batch import Batch, Phase, RemoteFile

#: Seconds for which files and batches are known after a restart.
_REMEMBERED = 2 * 86_400.0
_FILE = ("id", "provider", "purpose", "name", "mime", "size", "created", "failures", "cuts", "padding")


class BatchMemory:
    """The folder of files, and the file of what was accepted and what became of it; both are made when needed."""

    def __init__(self, charges: Path) -> None:
        self._charges = charges
        self.folder = charges.with_name(f"{charges.stem}.files")
        self.path = charges.with_name(f"{charges.stem}.batches.jsonl")
        self._log: ChargeLog | None = None

    def new_path(self, name: str = "") -> Path:
        """Return the path of a new file, or of the one of that *name*, which may have content already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / (name or uuid4().hex)
        path.touch()
        return path

    def add_file(self, file: RemoteFile) -> asyncio.Future[None]:
        """Add a file; the returned future is done once it is durable."""
        facts = {name: getattr(file, name) for name in _FILE}
        return self._open().write({"file": facts | {"path": file.path.name}})

    def remove_file(self, file: RemoteFile) -> None:
        """Forget a file."""
        self._open().note({"removed": file.id})

    def add_batch(self, batch: Batch) -> asyncio.Future[None]:
        """Add a batch; the returned future is done once it is durable."""
        names = ("id", "provider", "kind", "model", "label", "traits", "problems")
        facts = {name: getattr(batch, name) for name in names}
        times = {phase.value: at for phase, at in batch.times.items()}
        return self._open().write({"batch": facts | {"input": batch.input_file.id, "times": times}})

    def change(self, batch: Batch) -> None:
        """Add the present state of a batch."""
        results = {
            name: file.id if file else None for name, file in (("output", batch.output), ("errors", batch.errors))
        }
        times = {phase.value: at for phase, at in batch.times.items()}
        state: Line = {"id": batch.id, "phase": batch.phase.value, "times": times, "is_gone": batch.is_gone}
        self._open().note({"state": state | results})

    def restore(self) -> tuple[dict[str, RemoteFile], dict[str, Batch]]:
        """Return the files and batches of the last days, by id."""
        since = time.time() - _REMEMBERED
        files: dict[str, RemoteFile] = {}
        batches: dict[str, Batch] = {}
        for line in read_log(self.path):
            if "file" in line and line["file"]["created"] > since:
                facts = line["file"]
                path = self.folder / facts["path"]
                files[facts["id"]] = RemoteFile(path=path, **{name: facts[name] for name in _FILE})
            elif "removed" in line:
                files.pop(line["removed"], None)
            elif "batch" in line:
                batch = _batch(line["batch"], files)
                if batch.created > since:
                    batches[batch.id] = batch
            elif "state" in line and line["state"]["id"] in batches:
                _set_state(batches[line["state"]["id"]], line["state"], files)
        self._add_charges(batches)
        self._sweep(files, batches)
        return {file_id: file for file_id, file in files.items() if file.path.exists()}, batches

    def close(self) -> None:
        """Write all waiting lines."""
        if self._log is not None:
            self._log.close()

    def _add_charges(self, batches: Mapping[str, Batch]) -> None:
        """Add the requests whose charges are in the log: they are carried out again, but charged once."""
        for line in read_log(self._charges) if batches else ():
            batch = batches.get(str(line["path"]).rpartition("/")[2])
            if batch is not None and line["event"] == "charge":
                batch.charged.add(line["attempt"])

    def _sweep(self, files: Mapping[str, RemoteFile], batches: Mapping[str, Batch]) -> None:
        """Delete files that nothing refers to."""
        if not self.folder.exists():
            return
        known = {file.path.name for file in files.values()}
        for path in self.folder.iterdir():
            if path.name not in known and path.name.rpartition("-")[0] not in batches:
                with suppress(OSError):
                    path.unlink()

    def _open(self) -> ChargeLog:
        if self._log is None:
            self._log = ChargeLog(self.path)
        return self._log


def _batch(facts: Mapping[str, Any], files: Mapping[str, RemoteFile]) -> Batch:
    names = ("id", "provider", "kind", "model", "label", "traits", "problems")
    missing = RemoteFile(id=facts["input"], provider="", purpose="", name="", mime="", path=Path("missing"))
    return Batch(
        **{name: facts[name] for name in names},
        input_file=files.get(facts["input"], missing),
        times={Phase(phase): at for phase, at in facts["times"].items()},
    )


def _set_state(batch: Batch, state: Mapping[str, Any], files: Mapping[str, RemoteFile]) -> None:
    batch.phase = Phase(state["phase"])
    batch.times = {Phase(phase): at for phase, at in state["times"].items()}
    batch.is_gone = state["is_gone"]
    batch.output, batch.errors = files.get(state["output"] or ""), files.get(state["errors"] or "")
