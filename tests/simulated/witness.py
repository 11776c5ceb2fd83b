"""What a provider's own log says about those who called it. Pure: nothing here asks batchgen.

Calls are in the order in which they reached the provider. Times are virtual seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate

from .allowance import DUST
from .server import Call, Said

Log = Sequence[Call]


def fullest(calls: Iterable[Call], seconds: float, *, images: bool = False) -> int:
    """Return the most requests (or images) that any window of *seconds* saw, its start included and its end not."""
    log = list(calls)
    most = start = total = 0
    for call in log:
        total += call.images if images else 1
        while log[start].at <= call.at - seconds + DUST:
            total -= log[start].images if images else 1
            start += 1
        most = max(most, total)
    return most


def makespan(log: Log) -> float:
    """Return the seconds from the first call to the last image."""
    return max(call.ended for call in log if call.said is Said.IMAGE) - log[0].at


def ideal(log: Log, per_minute: float, *, images: bool = False) -> float:
    """Return the makespan of the same calls, each as soon as *per_minute* lets it out at an even pace.

    Refusals and errors that came by chance are part of it: nobody can do without them.
    """
    weights = [call.images if images else 1 for call in log]
    starts = accumulate(weights, initial=0)
    return max(start * 60 / per_minute + call.ended - call.at for start, call in zip(starts, log, strict=False))


def in_vain(log: Log) -> list[Call]:
    """Return the calls that could not succeed, and whose sender could have known.

    Over the limit; sent while an answer that had come before asked to wait; sent after one that said: no credit.
    Refusals by chance and the first calls of an outage are nobody's fault.
    """
    found, answers = [], sorted(log, key=lambda call: call.ended)
    closed_until, broke, heard = 0.0, False, 0
    for call in log:
        while heard < len(answers) and answers[heard].ended < call.sent:
            answer = answers[heard]
            closed_until = max(closed_until, answer.ended + (answer.retry_after or 0.0))
            broke = broke or answer.said is Said.MONEY
            heard += 1
        if call.said is Said.LIMIT or (call.said.refused and (broke or call.sent < closed_until - DUST)):
            found.append(call)
    return found


def after_the_first(log: Log, said: Said) -> list[Call]:
    """Return the calls that were sent after the provider's first answer of that kind was out."""
    first = min((call.ended for call in log if call.said is said), default=float("inf"))
    return [call for call in log if call.sent > first]


def charges(logs: Iterable[Log]) -> Counter[str]:
    """Return how often each job was charged, over all providers."""
    return Counter(call.job for log in logs for call in log if call.charged)


def calls_per_attempt(logs: Iterable[Log]) -> Counter[str]:
    """Return how many calls each attempt made, over all providers."""
    return Counter(call.attempt for log in logs for call in log)


def displacement(log: Log, order: Sequence[str]) -> list[int]:
    """Return by how many places each job was done later (or earlier: negative) than its place in *order*."""
    places = {job: place for place, job in enumerate(order)}
    done = sorted((call for call in log if call.said is Said.IMAGE), key=lambda call: call.ended)
    return [place - places[call.job] for place, call in enumerate(done)]


def waits_for_retry(log: Log) -> list[float]:
    """Return the seconds from the end of each call to the next call for the same job."""
    ended: dict[str, float] = {}
    waits = []
    for call in log:
        if call.job in ended:
            waits.append(call.sent - ended[call.job])
        ended[call.job] = call.ended
    return waits


def share(calls: Sequence[Call], said: Iterable[Said]) -> float:
    """Return which share of *calls* was answered so; 0 of none."""
    wanted = set(said)
    return sum(call.said in wanted for call in calls) / len(calls) if calls else 0.0


def between(log: Log, start: float, end: float) -> list[Call]:
    """Return the calls that reached the provider from *start* on and before *end*."""
    return [call for call in log if start <= call.at < end]
