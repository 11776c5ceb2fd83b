"""The figures of a run as text: a bar, a row for each provider, and sums that name their scope."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..output import encodes
from .format import count, credits_, duration, usd
from .table import Fit, table
from .width import cells, short_name

if TYPE_CHECKING:
    from ...app.figures import ProviderFigures, RunFigures
    from ...budget import Budget
    from ...engine.worker_state import WorkerState

HEADS = ("provider", "done", "in flight", "failed", "images/min", "spent", "waiting for")
_FIT = Fit(least={0: 12, 6: 16}, names=(0,), drop=(6, 4, 3, 5))
#: The filled and the empty part of a bar, and the same in ASCII.
_BARS = (("\u2501", "\u2500"), ("#", "-"))
_LEAST_BAR, _LONGEST_BAR = 8, 40
#: Hosts that are listed one by one.
_MOST_HOSTS = 8
#: What a lane waits for whose jobs are in batches of the provider.
_BATCH = "its batch"


def rows(figures: RunFigures, width: int) -> list[str]:
    """Return the table: a head, and a row for each provider."""
    return table([_row(each) for each in figures.providers], HEADS, right=range(1, 6), fit=_FIT, width=width)


def _row(each: ProviderFigures) -> tuple[str, ...]:
    spent = usd(each.usd) + (f" {credits_(each.credits)} cr" if each.credits else "")
    in_flight = str(each.in_flight) if each.width is None else f"{each.in_flight}/{each.width}"
    failed = str(each.failed + each.unknown or "")
    return (each.provider, f"{each.done:,}", in_flight, failed, f"{each.per_minute:,.0f}", spent, each.waits)


def bar(figures: RunFigures, width: int) -> tuple[str, str, str, str]:
    """Return the first line in four parts: the name, the filled and the empty part of the bar, and what follows."""
    name = short_name(figures.batch, max(10, width // 4))
    left = figures.seconds_left
    texts = [f"{figures.share * 100:3.0f} %", duration(figures.seconds)]
    texts += [f"about {duration(left)} left"] if left is not None else []
    while len(texts) > 1 and width < cells(name) + _LEAST_BAR + sum(map(len, texts)) + 2 * len(texts) + 2:
        texts.pop(1)
    end = "  ".join(texts)
    room = max(0, min(_LONGEST_BAR, width - cells(name) - len(end) - 4))
    full, empty = _BARS[0] if encodes("".join(_BARS[0])) else _BARS[1]
    filled = int(room * figures.share)
    return f"{name}  ", full * filled, empty * (room - filled), f"  {end}"


def sums(figures: RunFigures, width: int) -> list[str]:
    """Return the lines below the table: this run, the batch, and its budgets."""
    lines = _wrapped("this run", list(_of_run(figures)), width)
    if batch := _of_batch(figures):
        lines += _wrapped("batch", batch, width)
    if budgets := [budget_line(budget) for budget in figures.budgets if budget.limit]:
        lines += _wrapped("budget", budgets, width)
    if workers := worker_parts(figures.workers):
        lines += _wrapped("workers", workers, width)
    if figures.neighbours:
        lines += _wrapped("beside", list(figures.neighbours), width)
    return lines + ([f"stopping  {figures.stopping}"] if figures.stopping else [])


def summary(figures: RunFigures) -> str:
    """Return the same in one line, for a screen reader or a file."""
    parts = [", ".join(_of_run(figures))]
    if figures.seconds_left is not None:
        parts[0] += f", about {duration(figures.seconds_left)} left"
    if in_batches := [each.provider for each in figures.providers if each.waits == _BATCH]:
        their = "waits for its batch" if len(in_batches) == 1 else "wait for their batches"
        parts.append(f"{', '.join(in_batches)} {their}")
    if batch := _of_batch(figures):
        parts.append(f"batch: {', '.join(batch)}")
    if figures.workers:
        parts.append(f"{sum(worker.alive for worker in figures.workers)} of {count(len(figures.workers), 'worker')}")
    parts += [f"stopping: {figures.stopping}"] if figures.stopping else []
    return "; ".join(parts)


def waits(figures: RunFigures) -> Iterator[str]:
    """Yield what paused and closed providers wait for."""
    for each in figures.providers:
        if any(word in each.waits for word in ("closed:", "resumes in", "unpause")):
            yield (
                f"{each.provider} waits for {each.waits}"
                if each.waits.startswith("you")
                else f"{each.provider} {each.waits}"
            )


def budget_line(budget: Budget) -> str:
    """Return how much of a budget is used, and what it is for."""
    limit = budget.limit
    parts = [] if limit.usd is None else [f"{usd(budget.usd)} of {usd(limit.usd)}"]
    parts += [
        f"{credits_(budget.credits.get(name, 0))} of {credits_(most)} credits at {name}"
        for name, most in limit.credits.items()
    ]
    return f"{', '.join(parts)} for {limit.scope}"


def worker_parts(workers: Sequence[WorkerState]) -> list[str]:
    """Return what the workers of a cluster do: host by host if there are few, and always which ones are silent."""
    by_host: dict[str, list[WorkerState]] = {}
    for worker in sorted(workers, key=lambda worker: worker.host):
        if worker.alive:
            by_host.setdefault(worker.host, []).append(worker)
    silent = [worker for worker in workers if not worker.alive]
    if len(by_host) <= _MOST_HOSTS:
        parts = [
            f"{host}: {sum(worker.in_flight for worker in each)} in flight"
            + (f" at {count(len(each), 'worker')}" if len(each) > 1 else "")
            for host, each in by_host.items()
        ]
    else:
        parts = [f"{len(workers) - len(silent)} on {len(by_host)} hosts"]
    for worker in silent[:_MOST_HOSTS]:
        lost = f" ({count(worker.in_flight, 'call')} there)" if worker.in_flight else ""
        parts.append(f"{worker.host} does not answer{lost}" if worker.host else f"{worker.name} has not started")
    return [*parts, f"{len(silent)} in all do not answer"] if len(silent) > _MOST_HOSTS else parts


def _of_run(figures: RunFigures) -> Iterator[str]:
    yield f"{figures.done:,} of {count(figures.ended + figures.left, 'job')} done"
    for state in ("failed", "unknown"):
        if number := getattr(figures, state):
            yield f"{number:,} {state}"
    yield f"{figures.in_flight} in flight"
    yield f"{figures.per_minute:,.0f} images/min"
    yield f"spent {usd(figures.usd)}"


def _of_batch(figures: RunFigures) -> list[str]:
    """Return the figures of the batch, if this run is only a part of it."""
    counts = figures.counts
    if counts.total == figures.ended + figures.left:
        return []
    failed = [f"{number:,} {state}" for state in ("failed", "unknown") if (number := getattr(counts, state))]
    return [f"{counts.done:,} of {count(counts.total, 'job')} done", *failed]


def _wrapped(head: str, parts: Sequence[str], width: int) -> list[str]:
    """Return *parts* with commas between them, broken into lines only after a comma."""
    lines = [f"{head:<10}"]
    for number, part in enumerate(parts):
        text = part + ("," if number < len(parts) - 1 else "")
        if number and cells(lines[-1]) + cells(text) + 1 > width:
            lines.append(f"{'':<10}{text}")
        else:
            lines[-1] += text if number == 0 else f" {text}"
    return lines
