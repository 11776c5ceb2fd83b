"""The end of a run as a document: what ``run --json`` prints, and ``runs/<id>/summary.json`` beside the job table."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import StoreError
from ..files.atomic import write_atomic
from ..files.output import make_private
from ..money import show_credits, show_usd
from ..store import ledger
from .advice import WHY, NextStep, exit_words, needs_a_person, steps
from .project import Project
from .run_options import LaneResult, RunResult

#: Summaries that are kept; older ones go.
KEPT = 500


def document(ended: RunResult) -> dict[str, Any]:
    """Return the end of a run as a JSON document; money is a decimal string, null where nobody knows."""
    found = ended.standing
    ahead = list(steps(found, ended.way, ended.imageless))
    body = ledger.status_document(found.batch.name, found.counts, found.usage, found.failures)
    return body | {
        "failures": _failures(ended, ahead),
        "unknown": _unknown(ended),
        "exit_code": ended.exit_code,
        "exit_words": exit_words(ended),
        "needs_person": needs_a_person(ended),
        "run": _run(ended),
        "budgets": [purse.as_json() for purse in ended.purses],
        "underpriced": [one.as_json() for one in ended.underpriced],
        "next": [{"command": step.command, "what": step.what, "cause": step.cause} for step in ahead],
    }


def path(project: Project, run_id: str) -> Path:
    """Return where the summary of a run lies."""
    return project.state / "runs" / run_id / "summary.json"


def keep(project: Project, ended: RunResult) -> Path | None:
    """Write the summary of a run, whole or not at all; return its path, None where the disk does not take it."""
    file = path(project, ended.run_id)
    runs = file.parents[1]
    data = json.dumps(document(ended), indent=2).encode() + b"\n"
    try:
        make_private(make_private(runs) / ended.run_id)
        # one temporary name for all runs: what a run leaves when it dies here, the next one overwrites
        write_atomic(file, data, part=runs / ".summary.part")
    except (OSError, StoreError):
        return None
    _forget(runs)
    return file


def _forget(folder: Path) -> None:
    for old in sorted(folder.glob("*-*-*"))[:-KEPT]:
        with suppress(OSError):
            shutil.rmtree(old)


def _failures(ended: RunResult, ahead: list[NextStep]) -> list[dict[str, Any]]:
    cures = {step.cause: step for step in ahead if step.cause}
    return [
        {
            "cause": failure.cause,
            "count": failure.count,
            "example": {"id": failure.key, "message": failure.message},
            "next": cures[failure.cause].command,
            "what": cures[failure.cause].what,
        }
        for failure in ended.standing.failures
    ]


def _unknown(ended: RunResult) -> dict[str, Any]:
    doubtful = [line for line in ended.standing.usage if line.at_risk]
    return {
        "jobs": ended.standing.counts.unknown,
        "attempts": sum(line.at_risk for line in doubtful),
        "usd": show_usd(ledger.add([line.at_risk_usd for line in doubtful])) if doubtful else "0",
        "credits": {
            line.provider: show_credits(line.at_risk_credits) for line in doubtful if line.at_risk_credits is not None
        },
    }


def _run(ended: RunResult) -> dict[str, Any]:
    seconds = round(ended.seconds, 3)
    return {
        "id": ended.run_id,
        "command": ended.command,
        "began": _utc(ended.began),
        "seconds": seconds,
        "images": ended.images,
        "images_per_minute": round(ended.images / seconds * 60, 1) if seconds > 0 else 0.0,
        "failed": ended.failed,
        "unknown": ended.doubtful,
        "usd": show_usd(ended.usd),
        "folder": ended.standing.batch.folder,
        "manifest": ended.standing.batch.manifest,
        "sandbox": ended.sandbox,
        "signal": ended.stopped,
        "stopped": ended.drained,
        "resumed": None if ended.resumed is None else ended.resumed.as_json(),
        "lanes": [_lane(lane) for lane in ended.lanes],
    }


def _lane(lane: LaneResult) -> dict[str, Any]:
    return {
        "provider": lane.provider,
        "closed": lane.closed,
        "why": None if lane.closed is None else WHY[str(lane.closed)],
        "message": lane.message,
        "left": lane.left,
        "stood_in": dict(lane.stood_in),
        "not_bought_again": lane.beyond,
        "denied_models": dict(lane.denied),
    }


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
