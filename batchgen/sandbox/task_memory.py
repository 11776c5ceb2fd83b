"""Tasks on disk, beside the charge log: a server that starts again knows the tasks that it had accepted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .dialects.task import Progress, Task
from .faults import Fault
from .log import ChargeLog, Line, read_log
from .state import Entry
from .values import Json, Trace

#: Seconds for which a task is known after a restart.
_REMEMBERED = 86_400.0
#: Headers of a submission that decide what becomes of it.
HEADERS = ("X-DashScope-Async", "Prefer", "Cancel-After", "Idempotency-Key")


@dataclass(kw_only=True, slots=True)
class TaskRecord:
    """A task with what the server needs to carry it out."""

    task: Task
    entry: Entry
    fault: Fault | None  #: of its pictures
    path: Mapping[str, str]  #: the parts of the path of its submission
    headers: Mapping[str, str]
    unread: bool = False  #: it was restored, and its body has not been read again
    charged: bool = False  #: it was restored, and its charge is in the log
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  #: one reads it again, the others wait
    stop: asyncio.Event = field(default_factory=asyncio.Event)  #: it is cancelled
    done: asyncio.Event = field(default_factory=asyncio.Event)  #: it is over


class TaskMemory:
    """The file of accepted tasks and of their ends; it is made with the first task."""

    def __init__(self, charges: Path) -> None:
        self._charges, self.path = charges, charges.with_name(f"{charges.stem}.tasks.jsonl")
        self._log: ChargeLog | None = None

    def accept(self, record: TaskRecord) -> asyncio.Future[None]:
        """Add a task; the returned future is done once it is durable."""
        return self._open().write(_accepted(record))

    def end(self, record: TaskRecord, end: Progress, ended: float) -> asyncio.Future[None]:
        """Add the end of a task; the returned future is done once it is durable."""
        task = record.task
        line: Line = {"id": task.id, "provider": record.entry.provider, "state": end.value}
        return self._open().write(line | {"started": task.started, "ended": ended})

    def restore(self, url: str) -> list[TaskRecord]:
        """Return the tasks of the last day at the address *url* of the server."""
        charged = {line.get("task") for line in read_log(self._charges) if line["event"] == "charge"}
        records: dict[tuple[str, str], TaskRecord] = {}
        for line in read_log(self.path):
            key = (line["provider"], line["id"])
            if "fields" in line and line["trace"]["now"] > time.time() - _REMEMBERED:
                records[key] = _restored(line, url)
                records[key].charged = line["id"] in charged
            elif key in records and "state" in line:
                task = records[key].task
                task.state, task.started, task.ended = Progress(line["state"]), line["started"], line["ended"]
                records[key].done.set()
        return list(records.values())

    def close(self) -> None:
        """Write all waiting lines."""
        if self._log is not None:
            self._log.close()

    def _open(self) -> ChargeLog:
        if self._log is None:
            self._log = ChargeLog(self.path)
        return self._log


def _accepted(record: TaskRecord) -> Line:
    task, entry, trace = record.task, record.entry, record.entry.trace
    names = ("serial", "now", "path", "request_id", "client_id", "key_tail", "source")
    return {
        "id": task.id,
        "provider": entry.provider,
        "model": task.model,
        "fields": task.fields,
        "path": dict(record.path),
        "headers": {name: record.headers[name] for name in HEADERS if name in record.headers},
        "fault": asdict(record.fault) if record.fault else None,
        "faults": [asdict(fault) for fault in task.faults],
        "trace": {name: getattr(trace, name) for name in names},
        "prompt": entry.prompt,
        "n": entry.n,
        "idempotency_key": entry.idempotency_key,
    }


def _restored(line: Mapping[str, Any], url: str) -> TaskRecord:
    trace = Trace(**line["trace"])
    entry = Entry(
        provider=line["provider"],
        kind="task",
        trace=trace,
        idempotency_key=line["idempotency_key"],
        model=line["model"],
        prompt=line["prompt"],
        n=line["n"],
        fault=line["fault"]["kind"] if line["fault"] else None,
        task=line["id"],
    )
    fields: Json = line["fields"]
    task = Task(
        id=line["id"],
        serial=trace.serial,
        url=f"{url}/{line['provider']}",
        model=line["model"],
        fields=fields,
        created=trace.now,
        faults=tuple(Fault(**fault) for fault in line["faults"]),
    )
    fault = Fault(**line["fault"]) if line["fault"] else None
    return TaskRecord(task=task, entry=entry, fault=fault, path=line["path"], headers=line["headers"], unread=True)
