"""Points between the steps of a provider's batch at which a run is killed, as hooks that the run calls first."""

from __future__ import annotations

from collections.abc import Callable

from . import deaths

#: Seconds between two looks at a batch, and before a free call is repeated: a kill must not cost seconds.
LOOK = 0.02


def _opened() -> None:
    from batchgen.engine.batches import steps

    deaths.before(steps, "claim_all")


def _claimed() -> None:
    from batchgen.engine.batches import steps

    deaths.after_awaiting(steps, "claim_all")


def _written() -> None:
    from batchgen.files.result_files import SubmissionFiles

    deaths.after(SubmissionFiles, "write_requests")


def _uploaded() -> None:
    from batchgen.engine.batches.steps import Steps

    deaths.after_awaiting(Steps, "_upload")


def _submitting() -> None:
    from batchgen.engine.batches.steps import Steps

    deaths.before(Steps, "_create")


def _created() -> None:
    from batchgen.engine.batches.steps import Steps

    deaths.before(Steps, "_submitted")


def _submitted() -> None:
    from batchgen.engine.batches.steps import Steps

    deaths.after_awaiting(Steps, "_submitted")


def _ended() -> None:
    from batchgen.engine.batches.steps import Steps

    deaths.before(Steps, "_collect")


def _received() -> None:
    from batchgen.files.result_files import ResultSink

    deaths.before(ResultSink, "finish")


def _fetched() -> None:
    from batchgen.engine.batches.collecting import Collector

    deaths.after_awaiting(Collector, "fetch")


def _downloaded() -> None:
    from batchgen.engine.batches.collecting import Collector

    deaths.before(Collector, "deliver")


def _in_slot() -> None:
    from batchgen.engine.batches.collecting import Collector

    deaths.after(Collector, "_store")


def _delivered() -> None:
    from batchgen.engine.batches.collecting import Collector

    deaths.after_awaiting(Collector, "deliver")


def _collected() -> None:
    from batchgen.files.result_files import SubmissionFiles

    deaths.before(SubmissionFiles, "remove")


#: In the order in which a batch passes them.
POINTS: dict[str, Callable[[], None]] = {
    "opened": _opened,
    "claimed": _claimed,
    "written": _written,
    "uploaded": _uploaded,
    "submitting": _submitting,
    "created": _created,
    "submitted": _submitted,
    "ended": _ended,
    "received": _received,
    "fetched": _fetched,
    "downloaded": _downloaded,
    "in slot": _in_slot,
    "examined": deaths.examined,
    "published": deaths.published,
    "settled": deaths.settled,
    "delivered": _delivered,
    "collected": _collected,
}


def hasten() -> None:
    """Hook: look at batches without a pause."""
    from batchgen.engine.batches import decisions, remote

    decisions.SOONEST = remote.FIRST_WAIT = LOOK


def die_at(point: str) -> None:
    """Hook: be killed when the first batch of the run reaches *point*."""
    hasten()
    POINTS[point]()
