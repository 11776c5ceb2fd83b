"""Jobs of reports as plain values."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from batchgen.app.report.jobs import ReportJob
from batchgen.store.report_rows import Call, FileRow, ReportRow
from batchgen.store.rows import encode_task
from batchgen.task import Kind, Task

#: 2026-11-30 01:00 UTC in microseconds, and one second.
NIGHT = int(datetime(2026, 11, 30, 1, tzinfo=UTC).timestamp()) * 1_000_000
SECOND = 1_000_000

_numbers = itertools.count(1)


def call(at: float = 0, *, took: float = 10, **fields: Any) -> Call:
    """Return a delivered call that ended *at* seconds after the start of the night."""
    number = next(_numbers)
    ended = NIGHT + round(at * SECOND)
    usual: dict[str, Any] = dict.fromkeys(Call._fields)
    usual |= {
        "job_id": 1, "id": f"{number:032x}", "run_id": "20261130-010000-aaaaaa", "provider": "openai",
        "model": "gpt-image-2", "state": "delivered", "started_at": ended - round(took * SECOND), "ended_at": ended,
        "seconds": took, "usd": 20_000_000, "basis": "priced", "charged": "yes",
    }  # fmt: skip
    return Call(**usual | fields)


def missed(at: float, cause: str, **fields: Any) -> Call:
    """Return a failed call that cost nothing."""
    usual = {"state": "missed", "cause": cause, "usd": 0, "charged": "no", "message": f"it was {cause}"}
    return call(at, **usual | fields)


def file(of: Call, ordinal: int = 0, **fields: Any) -> FileRow:
    """Return a file that a call delivered."""
    number = next(_numbers)
    usual: dict[str, Any] = {
        "id": number, "job_id": of.job_id, "attempt_id": of.id, "ordinal": ordinal, "path": f"output/shop/{number}.png",
        "sha256": hashlib.sha256(str(number).encode()).hexdigest(), "size_bytes": 1000, "width": 64, "height": 48,
        "mime": "image/png", "created_at": of.at, "superseded_at": None,
    }  # fmt: skip
    return FileRow(**usual | fields)


def job(
    calls: Sequence[Call] = (), files: Sequence[FileRow] = (), *, earlier: Sequence[FileRow] = (), **fields: Any
) -> ReportJob:
    """Return a job with these calls and files; *fields* are columns of its row."""
    task = Task(kind=Kind(fields.get("kind", "generate")), prompt=fields.pop("prompt", "A cat"), provider="openai",
                model="gpt-image-2")  # fmt: skip
    row = {
        "id": 1, "key": "cat", "task": encode_task(task), "fingerprint": "2:ab", "output": "cat", "sidecar": 1,
        "tags": "[]", "priority": 0, "position": 0, "state": "done" if files else "failed", "cause": None,
        "message": None, "wanted": 1, "delivered": len(files), "kind": "generate", "provider": "openai",
        "model": "gpt-image-2",
    }  # fmt: skip
    return ReportJob(
        number=0,
        row=ReportRow(**row | fields),
        every_call=calls,
        calls=calls,
        pictures=files,
        files=files,
        earlier=earlier,
    )
