"""Jobs, as lines, as JSON and as CSV."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...job import State
from ...mode import Mode
from ...money import share, show_credits, show_usd
from .format import count, display_path, money
from .marks import judgement_lines, mark_cell, mark_documents, suspect_cell, suspect_documents
from .status import AT_PROVIDER, local
from .table import Fit, table
from .width import short

if TYPE_CHECKING:
    from ...job import Job
    from ...store.records import AttemptRecord, Bill
    from ...store.submissions import Submission
    from ...task import Source, Task

_PARAMETERS = (
    "size", "quality", "resolution", "background", "output_format", "output_compression", "moderation", "seed"
)  # fmt: skip
_ATTEMPT = ("id", "provider", "account", "mode", "state", "cause", "message", "code", "status", "request_id")


def job_document(job: Job, bill: Bill, root: Path) -> dict[str, Any]:
    """Return a job as ``export`` and ``list --json`` print it; paths are as seen from *root*, the working folder."""
    return {
        "schema_version": 1,
        "id": job.key,
        "batch": job.batch,
        "state": job.state.value,
        "at_provider": bill.at_provider,
        "cause": job.cause,
        "kind": job.task.kind.value,
        "provider": bill.provider or job.task.provider,
        "model": job.task.model,
        "prompt": job.task.prompt,
        "attempts": bill.attempts,
        "usd": show_usd(bill.usd),
        "credits": show_credits(bill.credits),
        "files": [_file(bill, number) for number in range(len(bill.files))],
        "copies": [copy.as_json() for copy in bill.copies],
        "sources": [
            *(_source(source, "image", root) for source in job.task.images),
            *([_source(job.task.mask, "mask", root)] if job.task.mask else []),
        ],
        "marks": mark_documents(bill),
        "suspects": suspect_documents(bill),
        "mode": bill.mode and bill.mode.value,
    }


def job_table(jobs: Iterable[tuple[Job, Bill]]) -> list[str]:
    """Return the table of ``list``; marks and suspects have columns if there are any."""
    pairs = list(jobs)
    rows = [
        [
            job.key,
            _state(job, bill),
            job.cause or "",
            bill.provider or job.task.provider,
            bill.attempts,
            job.task.prompt,
        ]
        for job, bill in pairs
    ]
    heads = ["id", "state", "cause", "provider", "attempts", "prompt"]
    for head, cell in (("mark", mark_cell), ("suspect", suspect_cell)):
        cells = [cell(bill) for _, bill in pairs]
        if any(cells):
            heads.insert(-1, head)
            for row, text in zip(rows, cells, strict=True):
                row.insert(-1, text)
    prompt = len(heads) - 1
    fit = Fit(least={0: 16, prompt: 20}, names=(0,), drop=(4, 3, 2, prompt))
    return table(rows, heads, right=(4,), fit=fit)


def _state(job: Job, bill: Bill) -> str:
    """Return the state of a job for users."""
    return AT_PROVIDER if bill.at_provider and job.state is State.RUNNING else job.state.value


def show_document(
    job: Job, attempts: Sequence[AttemptRecord], bill: Bill, task: str, *, root: Path, answers: Mapping[str, str]
) -> dict[str, Any]:
    """Return one job for ``show --json``; *task* is its task as JSON text."""
    from ...planning.override_marks import note_of

    return job_document(job, bill, root) | {
        "task": json.loads(task),
        "note": note_of(job.fingerprint),
        "fingerprint": job.fingerprint,
        "tags": list(job.tags),
        "at_risk": {
            "attempts": bill.at_risk,
            "usd": show_usd(bill.at_risk_usd),
            "credits": show_credits(bill.at_risk_credits),
        },
        "attempt_log": [
            {
                **_fields(attempt, *_ATTEMPT),
                "started": attempt.started_at.isoformat(),
                "seconds": attempt.seconds,
                "answer": answers.get(attempt.id),
                "mode": attempt.mode.value,
                "task": None if attempt.handle is None else dict(attempt.handle),
                "submission": attempt.submission_id,
            }
            for attempt in attempts
        ],
    }


def show_lines(
    job: Job,
    attempts: Sequence[AttemptRecord],
    bill: Bill,
    answers: Mapping[str, str],
    submissions: Mapping[str, Submission],
) -> Iterator[str]:
    """Yield the lines of ``show``; *submissions* by id are those that its attempts are in."""
    from ...planning.override_marks import describe, note_of, overrides_of

    task = job.task
    yield f"{job.key}: {_state(job, bill)}{f' ({job.cause})' if job.cause else ''}"
    yield f"prompt    {task.prompt}"
    yield f"request   {task.kind.value} by {task.provider}, {task.model}{_parameters(task)}"
    if overrides := describe(overrides_of(job.fingerprint)):
        yield f"with      {overrides}    set by retry or redo"
    if note := note_of(job.fingerprint):
        yield f"note      {note}"
    if job.route is not None:
        yield f"fallback  {', '.join(job.route.others)}"
    for source in task.sources:
        form = {None: "", "upright": "  (sent upright)"}.get(source.copy, f"  (sent as {source.copy})")
        yield f"source    {source.shown(display_path)}{form}"
    for file in bill.files:
        yield f"file      {file.path}  {file.width}x{file.height}, {file.size_bytes} bytes, sha256 {file.sha256}"
    for copy in bill.copies:
        yield f"copy      {copy.path}  {copy.width}x{copy.height}, {copy.size_bytes} bytes, of {copy.source}"
    yield from judgement_lines(bill)
    yield f"cost      {_cost(bill, attempts)}"
    if bill.at_risk:
        risk = money(bill.at_risk_usd, bill.at_risk_credits)
        yield f"at risk   {risk} for {count(bill.at_risk, 'attempt')} that may have been charged"
    for number, attempt in enumerate(attempts, 1):
        yield f"attempt {number} {_attempt(attempt, task.provider, submissions.get(attempt.submission_id or ''))}"
        if (answer := answers.get(attempt.id)) and not _is_remote(attempt):
            yield f"{'':<10}its answer is kept: {answer}"


def _cost(bill: Bill, attempts: Sequence[AttemptRecord]) -> str:
    """Return what is booked, and what is reserved for a call that is at the provider."""
    has_price = bill.usd is not None or bool(bill.credits)
    if not bill.at_provider:
        return "nothing is booked" if bill.at_risk and not has_price else money(bill.usd, bill.credits)
    booked = money(bill.usd, bill.credits) if has_price else "nothing is booked"
    remote = next(each for each in reversed(attempts) if each.state == "open")
    return f"{booked}; {money(remote.estimate_usd, remote.estimate_credits)} reserved"


def csv_rows(lines: Iterable[Mapping[str, Any]], *, copied: bool = False) -> Iterator[list[object]]:
    """Yield the rows of ``export --format csv``: one per file, or one for a job without files.

    ``usd`` is that of the job, in each of its rows; ``usd_share`` can be added up. The mark is that of the file.
    """
    heads = ["id", "batch", "state", "cause", "kind", "provider", "model", "prompt", "attempts", "usd", "credits"]
    of_file = ["path", "sha256", "bytes", "width", "height", "mime", *(["copy"] if copied else [])]
    judgements = ["mark", "stars", "note", "suspects"]
    yield [*heads, *of_file, "usd_share", "credits_share", "sources", "copies", *judgements, "mode"]
    for line in lines:
        sources = _cell([source["path"] or source["url"] for source in line["sources"]])
        for file in line["files"] or [{"usd_share": line["usd"], "credits_share": line["credits"]}]:
            copies = _cell([copy["path"] for copy in line["copies"] if copy["of"] == file.get("path")])
            shares = (file["usd_share"], file["credits_share"])
            number = file.get("picture", 0)
            mark = next((mark for mark in line["marks"] if mark["picture"] == number), None)
            judged = [*((mark or {}).get(name) for name in ("mark", "stars", "note")), _kinds(line, number)]
            cells = (*(line[name] for name in heads), *(file.get(name) for name in of_file), *shares, sources, copies)
            yield [*cells, *judged, line["mode"]]


def _kinds(line: Mapping[str, Any], number: int) -> str:
    return " ".join(dict.fromkeys(each["kind"] for each in line["suspects"] if each["picture"] == number))


def _file(bill: Bill, number: int) -> dict[str, Any]:
    """Return a file, with its part of the job's cost: over the files of a job, the parts add up to it."""
    file, files = bill.files[number], len(bill.files)
    return {
        "picture": file.ordinal + 1,
        **_fields(file, "path", "sha256"),
        "bytes": file.size_bytes,
        **_fields(file, "width", "height", "mime"),
        "usd_share": show_usd(share(bill.usd, files, number)),
        "credits_share": show_credits(share(bill.credits, files, number)),
    }


def _source(source: Source, role: str, root: Path) -> dict[str, Any]:
    path = Path(source.path) if source.path else None
    inside = path is not None and path.is_relative_to(root)
    return {
        "role": role,
        "path": None if path is None else str(path.relative_to(root) if inside else path),
        "url": source.url,
        "sha256": source.sha256,
    }


def _fields(value: object, *names: str) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def _is_remote(attempt: AttemptRecord) -> bool:
    """Return whether an attempt is a remote task that has not ended."""
    return attempt.state == "open" and attempt.handle is not None


def _task(handle: Mapping[str, Any]) -> str:
    """Return where a remote task is, and what the provider stated about it last if that was unusual."""
    parts = [str(handle[name]) for name in ("id", "status", "state") if handle.get(name)]
    return f"{AT_PROVIDER}: task {', '.join(parts)}"


def _batch(submission: Submission | None) -> str:
    """Return which batch of the provider a call is in, and where that is."""
    if submission is None or submission.remote_id is None:
        return "in a batch that is not submitted yet"
    ends = "" if submission.deadline_at is None else f", ends by {local(submission.deadline_at)}"
    asked = "" if submission.cancellation is None else "; its cancellation was requested"
    return f"{AT_PROVIDER}: batch {submission.remote_id}{ends}{asked}"


def _attempt(attempt: AttemptRecord, home: str, submission: Submission | None) -> str:
    took = f"{attempt.seconds:.1f} s" if attempt.seconds is not None else "open"
    result = _task(attempt.handle) if _is_remote(attempt) and attempt.handle else attempt.state
    if attempt.state == "open" and attempt.submission_id:
        result = _batch(submission)
    if attempt.cause:
        status = f"HTTP {attempt.status}, " if attempt.status else ""
        result = f"{attempt.cause}: {status}{short(attempt.message or '', 300)}"
    lane = ""
    if attempt.provider != home or attempt.account:
        lane = f"{attempt.provider}{f'@{attempt.account}' if attempt.account else ''}  "
    mode = "" if attempt.mode is Mode.STANDARD else f"{attempt.mode}  "
    request_id = f" [{attempt.request_id}]" if attempt.request_id else ""
    return f"{attempt.started_at:%Y-%m-%d %H:%M:%S} UTC  {took}  {lane}{mode}{result}{request_id}"


def _parameters(task: Task) -> str:
    return "".join(f", {name} {value}" for name in _PARAMETERS if (value := getattr(task, name)) is not None)


def _cell(paths: Sequence[str]) -> str:
    """Return paths as one cell: one as it is, several as a JSON list, as lists of images are read."""
    return "".join(paths) if len(paths) < 2 else json.dumps(paths, ensure_ascii=False)
