"""Closures: why lanes end for the rest of a run. Apart from the breaker, so that reports need no engine."""

from __future__ import annotations

from enum import StrEnum


class Closure(StrEnum):
    """Why a lane takes no more jobs in this run."""

    MONEY = "money"  #: the account cannot pay
    DENIED = "denied"  #: key or path refused, or every job refused alike
    DOWN = "down"  #: unreachable, failing or overloaded for too long, or permanently unreachable
    DOUBT = "doubt"  #: takes calls and does not answer: each may cost money
    NO_IMAGE = "no-image"  #: charges and sends no image, whatever the job
    BUDGET = "budget"  #: the next call might exceed the budget
