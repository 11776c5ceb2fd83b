"""Details of a report: one entry for each job, with everything that the full view shows.

Pure but for looks at the disk, which are functions that the caller gives.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ...money import show_credits, show_usd
from ...planning.override_marks import note_of
from ...store.report_rows import Call, FileRow
from ...task import Source, Task
from ..reproduce import manifest_entry, yaml_entry
from .jobs import ReportJob
from .tiles import TICKS, Looks, visible

#: Fields of a task that have a place of their own in the full view, or are internal.
_ELSEWHERE = ("prompt", "images", "mask", "extra")


def detail(job: ReportJob, looks: Looks) -> dict[str, Any]:
    """Return the details of one job."""
    return {
        "parameters": _parameters(job.task, job.row.wanted, looks),
        "attempts": [_attempt(call) for call in job.every_call],
        "files": [_file(file, looks, sidecar=bool(job.row.sidecar)) for file in job.files],
        "copies": [{"path": copy.path, "name": copy.name} for copy in job.copies],
        "message": None if job.row.message is None else visible(job.row.message),
        "note": note_of(job.row.fingerprint),
        "yaml": visible(yaml_entry(manifest_entry(_as_typed(job.task, looks), job.row, job.tags))),
    }


def iso(ticks: int) -> str:
    """Return a time in microseconds as ISO text in UTC."""
    return datetime.fromtimestamp(ticks / TICKS, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _as_typed(task: Task, looks: Looks) -> Task:
    def typed(source: Source) -> Source:
        return source if source.path is None else replace(source, path=looks.typed(source.path))

    mask = None if task.mask is None else typed(task.mask)
    return replace(task, images=tuple(map(typed, task.images)), mask=mask)


def _parameters(task: Task, wanted: int, looks: Looks) -> dict[str, Any]:
    plain = {name: getattr(task, name) for name in task.__slots__ if name not in _ELSEWHERE}
    parameters = {name: value for name, value in plain.items() if value is not None} | {"n": wanted}
    if task.images:
        parameters["images"] = [_source(source, looks) for source in task.images]
    if task.mask is not None:
        parameters["mask"] = _source(task.mask, looks)
    return parameters | {key: _visible_values(value) for key, value in task.extra.items()}


def _visible_values(extra: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(extra, str):
        return visible(extra)
    if isinstance(extra, list):
        return [_visible_values(each) for each in extra]
    return {key: _visible_values(value) for key, value in extra.items()} if isinstance(extra, dict) else extra


def _source(source: Source, looks: Looks) -> str:
    sent = {None: "", "upright": " (sent upright)"}.get(source.copy, f" (sent as {source.copy})")
    return f"{source.shown(looks.typed)}{sent}"


def _attempt(call: Call) -> dict[str, Any]:
    return {
        "id": call.id,
        "run": call.run_id,
        "provider": call.provider,
        "model": call.model,
        "account": call.account,
        "at": iso(call.started_at),
        "seconds": None if call.seconds is None else round(call.seconds, 2),
        "state": call.state,
        "cause": call.cause,
        "message": None if call.message is None else visible(call.message),
        "status": call.status,
        "request_id": call.request_id,
        "usd": show_usd(call.usd),
        "credits": show_credits(call.credits),
        "basis": call.basis,
        "charged": call.charged,
        **_purchase(call),
    }


def _purchase(call: Call) -> dict[str, Any]:
    """Return how a call was bought, and where it is; of most calls this is nothing, and the page is smaller for it."""
    task = None if call.handle is None else visible(str(json.loads(call.handle).get("id") or ""))
    facts = {
        "mode": call.mode,
        "tier": call.tier,
        "standard_usd": show_usd(call.standard_usd),
        "at_provider": call.is_at_provider,
        "reserved_usd": show_usd(call.estimate_usd) if call.is_at_provider else None,
        "task": task,
        "submission": call.submission_id,
    }
    return {name: value for name, value in facts.items() if value}


def _file(file: FileRow, looks: Looks, *, sidecar: bool) -> dict[str, Any]:
    beside = f"{file.path}.json"
    return {
        "ordinal": file.ordinal,
        "path": file.path,
        "sha256": file.sha256,
        "bytes": file.size_bytes,
        "width": file.width,
        "height": file.height,
        "mime": file.mime,
        "sidecar": beside if sidecar and looks.present(beside) else None,
        "at": iso(file.created_at),
    }
