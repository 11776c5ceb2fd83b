"""Head of a report: the figures of its jobs, its run and budgets, and why jobs wait. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ...errors import ExitCode
from ...money import MILLI, show_credits, show_usd
from ...store.records import Run
from ..queries import BatchStatus
from .jobs import ReportJob, Scope

STATES = ("pending", "running", "done", "failed", "unknown", "cancelled")


@dataclass(kw_only=True, slots=True)
class Figures:
    """Collects the sums over the jobs of a report: nano-USD and milli-credits."""

    states: Counter[str] = field(default_factory=Counter)
    at_provider: int = 0  #: of the running jobs
    images: int = 0
    attempts: int = 0
    usd: int = 0
    priced: int = 0  #: images of calls with a known price
    unpriced: int = 0  #: calls that were charged an unknown amount
    credits: Counter[str] = field(default_factory=Counter)
    at_risk: int = 0
    lost: int = 0
    reserved: int | None = None  #: for what is at a provider

    def add(self, job: ReportJob) -> None:
        """Add one job."""
        self.states[job.row.state] += 1
        self.at_provider += job.is_at_provider
        self.images += len(job.pictures)
        self.attempts += len(job.calls)
        priced = set()
        for call in job.calls:
            if call.usd is None:
                self.unpriced += call.charged not in ("no", None)
            else:
                self.usd += call.usd
                priced.add(call.id)
            self.lost += call.usd or 0 if call.state == "missed" else 0
            if call.is_at_provider and call.estimate_usd is not None:
                self.reserved = (self.reserved or 0) + call.estimate_usd
            self.at_risk += call.at_risk_usd or 0 if call.is_at_risk else 0
            if call.credits:
                self.credits[call.provider] += call.credits
        self.priced += sum(file.attempt_id in priced for file in job.pictures)


def head(figures: Figures, status: BatchStatus, runs: Sequence[Run], scope: Scope, now: datetime) -> dict[str, Any]:
    """Return the head; *runs*: of the batch, latest first."""
    chosen = [run for run in runs if scope.run in (None, run.id) and _is_recent(run, scope)]
    in_progress = status.run.id if status.holder is not None and status.run is not None else None
    seconds = sum(_seconds(run, now if run.id == in_progress else None) for run in chosen)
    usd = None if figures.unpriced and not figures.usd else figures.usd
    return {
        "run": _run(status, runs, scope),
        "jobs": {"total": figures.states.total()}
        | {state: figures.states[state] for state in STATES}
        | {"at_provider": figures.at_provider},
        "images": figures.images,
        "attempts": figures.attempts,
        "usd": show_usd(usd),
        "unpriced": figures.unpriced,
        "credits": {name: show_credits(amount) for name, amount in sorted(figures.credits.items())},
        "at_risk_usd": show_usd(figures.at_risk),
        "lost_usd": show_usd(figures.lost),
        "reserved_usd": show_usd(figures.reserved),
        "budgets": list(_budgets(status)),
        "seconds": round(seconds),
        "in_progress": in_progress is not None,
        "images_per_hour": round(figures.images / seconds * 3600) if seconds >= 1 and figures.images else None,
        "usd_per_image": show_usd(round(figures.usd / figures.priced)) if figures.priced else None,
        "waits": list(_waits(figures, status)),
    }


def _is_recent(run: Run, scope: Scope) -> bool:
    return scope.since is None or run.ended_at is None or run.ended_at >= scope.since


def _seconds(run: Run, now: datetime | None) -> float:
    """Return how long a run was in progress; that of one that was killed is not known."""
    end = run.ended_at or now
    return 0.0 if end is None else max(0.0, (end - run.started_at).total_seconds())


def _run(status: BatchStatus, runs: Sequence[Run], scope: Scope) -> dict[str, Any] | None:
    """Return the run that the report is about, or else the latest."""
    place = next((place for place, run in enumerate(runs) if scope.run in (None, run.id)), None)
    if place is None:
        return None
    run = runs[place]
    meaning = "" if run.exit_code is None else {int(code): code.meaning for code in ExitCode}.get(run.exit_code, "")
    if place == 0 and status.ending is not None:
        meaning = status.ending.meaning
    return {
        "id": run.id,
        "number": len(runs) - place,
        "of": len(runs),
        "started_at": run.started_at.isoformat(),
        "ended_at": None if run.ended_at is None else run.ended_at.isoformat(),
        "exit_code": run.exit_code,
        "meaning": meaning,
    }


def group_stops(stops: Sequence[str]) -> Iterator[str]:
    """Yield why lanes stopped; where several did for the same reason, once, with their providers."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for stop in stops:
        provider, _, text = stop.partition(": ")
        groups.setdefault(text.partition(": ")[0] if text else stop, []).append((provider, stop))
    for reason, lanes in groups.items():
        several = ", ".join(dict.fromkeys(provider for provider, _ in lanes))
        yield f"{reason} ({several})" if len(lanes) > 1 else lanes[0][1]


def _budgets(status: BatchStatus) -> Iterator[dict[str, Any]]:
    for budget in status.budgets:
        name = budget.limit.scope + (f", {budget.limit.only}" if budget.limit.only else "")
        if budget.limit.usd is not None:
            spent = {"usd": show_usd(budget.limit.usd), "spent_usd": show_usd(budget.usd)}
            yield {"name": name, **spent, "unit": "USD"}
        for provider, most in budget.limit.credits.items():
            used = budget.credits.get(provider, 0)
            spent = {"usd": str(most / MILLI), "spent_usd": str(used / MILLI)}
            yield {"name": f"{name}, {provider}", **spent, "unit": "credits"}


def _waits(figures: Figures, status: BatchStatus) -> Iterator[str]:
    """Yield why jobs wait, one sentence for each reason; that of pending jobs is the first."""
    remote = figures.at_provider
    waiting = figures.states["pending"] + figures.states["running"] - remote
    if waiting > 0 and status.holder is None:
        jobs = "1 job waits" if waiting == 1 else f"{waiting:,} jobs wait"
        stops = [] if status.ending is None else list(status.ending.stops)
        if not stops and status.run is not None and status.run.ended_at is None:
            stops = ["the last run was interrupted"]
        paused = [f"{each.provider} is paused" for each in status.controls if each.paused_at is not None]
        yield f"{jobs}: {'; '.join([*group_stops(stops), *paused]) or 'no run is in progress'}"
    if remote and status.holder is None:
        yield _collecting(remote, is_held=status.is_held)
    if unknown := figures.states["unknown"]:
        jobs = "1 job is unknown: it" if unknown == 1 else f"{unknown:,} jobs are unknown: they"
        yield f"{jobs} may have been bought, so no run sends them again without your decision"


def _collecting(remote: int, *, is_held: bool) -> str:
    """Return what the next run does with jobs at the provider."""
    if remote == 1:
        return f"1 job is at the provider: the next run {'does not send it again' if is_held else 'collects it'}"
    them = "sends none again" if is_held else "collects them, and sends none again"
    return f"{remote:,} jobs are at the provider: the next run {them}"
