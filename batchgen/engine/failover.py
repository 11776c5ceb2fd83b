"""Failover: decides whether a lane may take a job of another provider, and which lanes are out of reach with one."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from ..fault import Cause
from ..job import Job
from ..mode import Mode
from .lane import Closure, Lane


def may_fail_over(lanes: Sequence[Lane], lane: Lane, job: Job) -> bool:
    """Return whether all providers before *lane*'s in the route of *job* are out of order."""
    ahead = job.route.before(job.task.provider, lane.provider) if job.route else None
    return ahead is not None and all(_out_of_order(lanes, name, job) for name in ahead)


def _out_of_order(lanes: Sequence[Lane], provider: str, job: Job) -> bool:
    after = job.route.failover_after if job.route else 0.0
    own = (lane for lane in lanes if lane.provider == provider and lane.models.matches(job.task.model))
    return all(lane.out_of_order(after) for lane in own)


def close_siblings(lanes: Sequence[Lane], lane: Lane) -> None:
    """Close all lanes of a provider that is permanently out of reach, whatever their key and models."""
    fault = lane.fault
    if lane.closed is Closure.DOWN and fault is not None and fault.final and fault.cause is Cause.UNREACHED:
        for other in lanes:
            if other.provider == lane.provider:
                other.close(lane.closed, fault)


def job_filter(
    lanes: Sequence[Lane], lane: Lane, excluded: Container[int], mode_at: Callable[[Lane, Job], Mode]
) -> Callable[[Job], bool]:
    """Return a predicate: may *lane* send this job now? Routes are cached, as a page of jobs has few."""
    cache: dict[tuple[int, str, str], bool] = {}

    def may_send(job: Job) -> bool:
        if job.id in excluded or (lane.sheds_flex and mode_at(lane, job) is Mode.FLEX):
            return False
        if job.task.provider != lane.provider:
            key = (id(job.route), job.task.provider, job.task.model)
            if key not in cache:
                cache[key] = may_fail_over(lanes, lane, job)
            if not cache[key]:
                return False
        # Such a call is never sent by itself, by whatever name its job knows the model.
        return not (lane.expects and mode_at(lane, job) is Mode.BATCH)

    return may_send
