"""Settlement: the rows that an ended attempt leaves in attempts, artifacts and ledger. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..fault import Cause, Charged, Fault
from ..job import Deferred, Delivery, Exhausted, Incomplete, PartialDelivery, Released, Settlement, Unknown
from ..learned_prices import larger
from ..task import UNPRICED
from .rows import AttemptRow, artifact_row


def closed_attempt(attempt_row: AttemptRow, settlement: Settlement, now: datetime) -> dict[str, Any]:
    """Return the columns of the attempt's row at its end."""
    fault = _fault_of(settlement)
    return {
        "state": "missed" if fault else "delivered",
        "cause": fault.cause.value if fault else None,
        "message": fault.message if fault else _note(settlement),
        "code": fault.code if fault else None,
        "status": fault.status if fault else None,
        "request_id": settlement.request_id,
        "ended_at": now,
        "seconds": max(0.0, (now - attempt_row.started_at).total_seconds()),  # the clock may have been set back
    }


def artifact_rows(settlement: Settlement, now: datetime, *, stale: bool) -> list[dict[str, Any]]:
    """Return a row for each delivered file; *stale* files are kept, but do not count for the job."""
    if not isinstance(settlement.event, (Delivery, PartialDelivery, Incomplete)):
        return []
    attempt, superseded_at = settlement.attempt, now if stale else None
    return [
        artifact_row(attempt.job_id, attempt.id, file, now, superseded_at=superseded_at)
        for file in settlement.event.outcome.artifacts
    ]


def ledger_row(attempt_row: AttemptRow, batch_id: int, settlement: Settlement, now: datetime) -> dict[str, Any]:
    """Return the ledger row: what the attempt cost, or may have cost, in nano-USD and milli-credits."""
    fault, charge, usage = _fault_of(settlement), settlement.charge, settlement.usage
    charged = fault.charged if fault else Charged.YES
    if charged is Charged.NO and (charge.usd or charge.credits):
        charged = Charged.YES  # the answer stated a cost, although such faults usually cost nothing
    risk_usd, risk_credits = _reserved(attempt_row, settlement)
    unknown = charged is Charged.MAYBE or (fault is not None and fault.cause is Cause.UNKNOWN)
    return {
        "attempt_id": attempt_row.id,
        "batch_id": batch_id,
        "run_id": attempt_row.run_id,
        "provider": attempt_row.provider,
        "model": attempt_row.model,
        "kind": settlement.attempt.task.kind.value,
        "at": now,
        "usd": charge.usd,
        "credits": charge.credits,
        "basis": charge.basis.value,
        "charged": charged.value,
        # What may have been spent stays reserved, unless the answer stated the cost.
        "at_risk_usd": risk_usd if unknown and charge.usd is None else None,
        "at_risk_credits": risk_credits if unknown and charge.credits is None else None,
        "images": usage.images,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "tier": usage.tier,
        "standard_usd": charge.standard_usd,
    }


def _note(settlement: Settlement) -> str | None:
    match settlement.event:
        case Delivery(outcome=outcome) | PartialDelivery(outcome=outcome) | Incomplete(outcome=outcome):
            return outcome.note
        case _:
            return None


def _reserved(attempt_row: AttemptRow, settlement: Settlement) -> tuple[int | None, int | None]:
    """Return the reservation of an attempt, which may have been raised after it was opened."""
    last = settlement.reserved or UNPRICED
    return larger(attempt_row.estimate_usd, last.usd), larger(attempt_row.estimate_credits, last.credits)


def _fault_of(settlement: Settlement) -> Fault | None:
    match settlement.event:
        case Delivery() | PartialDelivery() | Incomplete():
            return None
        case Deferred(fault=fault) | Released(fault=fault) | Exhausted(fault=fault) | Unknown(fault=fault):
            return fault
        case event:  # the job was cancelled while the request was in flight, so its answer was not read
            return Fault(cause=Cause.UNKNOWN, message=type(event).__name__.lower(), charged=Charged.MAYBE)
