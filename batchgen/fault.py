"""Faults: why an attempt failed, as data that can be stored, counted and sent between processes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Self

from .errors import BatchgenError
from .task import Usage

#: Code of a fault: the worker of a cluster was lost with the call, which says nothing about the provider.
WORKER_LOST = "worker_lost"
#: Code of a fault: a firewall in front of the provider blocked the request.
FIREWALL = "firewall"


class Cause(StrEnum):
    """Why an attempt failed; ``engine.retry.judge`` decides what happens next."""

    meaning: str  #: what happened and what batchgen does about it
    cure: str  #: what the user can do about it

    def __new__(cls, name: str, meaning: str = "", cure: str = "") -> Self:
        """Return the cause as plain text that knows its meaning and its cure."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.meaning = meaning
        member.cure = cure
        return member

    THROTTLED = (
        "throttled",
        "429, 503 or overloaded: slows down, waits as long as the provider asks, and tries again",
        "the provider asks for a pause; lower its limits if this happens often",
    )
    UNREACHED = (
        "unreached",
        "nothing was sent (no connection), or carried out (a batch that ended): nothing is charged, tries again",
        "check the network, the proxy and base_url of this provider",
    )
    MONEY = (
        "money",
        "the account is out of money: the lane closes; a fallback provider continues, or jobs stay pending (exit 7)",
        "add credit at the provider or raise its spending limit, then run again",
    )
    DENIED = (
        "denied",
        "key, model or path refused: as for money (exit 5), but a refused model stops only its own jobs",
        "check the key, the model name and base_url of this provider",
    )
    REFUSED = (
        "refused",
        "the provider's content rules refuse the request: the job fails and is not sent again",
        "change the prompt or the source image, then run again",
    )
    INVALID = (
        "invalid",
        "the request or its source image is wrong: the job fails",
        "fix the manifest, then run again (after a fix in the settings: retry --cause invalid)",
    )
    EMPTY = (
        "empty",
        "an answer without an image, or with too few: up to three attempts in all; images that arrived are kept",
        "ask for an image explicitly in the prompt",
    )
    SPOILED = (
        "spoiled",
        "a paid answer that cannot be used: booked, kept in .batchgen/spool, and bought once more",
        "look at the stored answer: `batchgen show` names it",
    )
    ERROR = (
        "error",
        "the provider reported a failure: tries again within retry.attempts, with growing pauses",
        "try again later: batchgen retry --cause error",
    )
    UNKNOWN = (
        "unknown",
        "sent, but whether it was done and charged cannot be known: on_unknown decides whether to buy again",
        "look the request up at the provider; it may have been done and charged",
    )


class Charged(StrEnum):
    """Whether a failed attempt may have cost money."""

    NO = "no"
    MAYBE = "maybe"
    YES = "yes"


class Scope(StrEnum):
    """What a denial applies to."""

    ACCOUNT = "account"
    MODEL = "model"
    JOB = "job"


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimitInfo:
    """A rate limit as stated in headers or messages ("Limit 5, Used 5"); None is not stated."""

    limit: float | None = None
    remaining: float | None = None
    used: float | None = None
    reset_seconds: float | None = None
    window_seconds: float | None = None
    unit: Literal["requests", "images"] = "requests"
    concurrent: bool = False  #: the limit is on requests in flight, not on their rate

    @property
    def spent(self) -> bool:
        """Return whether the limit is used up."""
        if self.remaining is not None:
            return self.remaining < 1
        return self.used is not None and self.limit is not None and self.used >= self.limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Why one attempt failed. ``message`` quotes the provider."""

    cause: Cause
    message: str
    charged: Charged = Charged.NO
    status: int | None = None  #: HTTP status, if there was an answer
    code: str | None = None  #: the provider's error code
    retry_after: float | None = None  #: seconds that the provider asked to wait
    limit: RateLimitInfo | None = None  #: the rate limit stated in the answer to a throttled call
    hint: str = ""  #: what the user can do about it
    final: bool = False  #: the same call would fail again, for a reason that does not pass by itself
    scope: Scope = Scope.ACCOUNT  #: what a denial applies to


class ProviderError(BatchgenError):
    """Carries a fault, and the cost stated in the answer, up to the executor, which handles it."""

    def __init__(self, fault: Fault, usage: Usage | None = None) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.usage = usage
