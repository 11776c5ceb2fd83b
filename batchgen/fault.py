"""Why an attempt did not deliver, as data: it can be stored, counted and sent between processes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from .errors import BatchgenError
from .task import Usage

#: The code of a request that a firewall in front of the provider blocked.
FIREWALL = "firewall"


class Cause(StrEnum):
    """The public name of a fault; what happens next is decided in ``retry.judge``."""

    THROTTLED = "throttled"  #: too fast: the lane waits, then the same request will work
    UNREACHED = "unreached"  #: the request never left this machine whole, so it cost nothing
    MONEY = "money"  #: the account cannot pay: the lane closes
    DENIED = "denied"  #: key, model or path refused, for all jobs of the account, of one model, or for one job
    REFUSED = "refused"  #: content policy: the same prompt will be refused again
    INVALID = "invalid"  #: our request is wrong, or its source image is
    EMPTY = "empty"  #: answered without an image
    SPOILED = "spoiled"  #: a paid answer that cannot be used
    ERROR = "error"  #: the provider answered that it failed
    UNKNOWN = "unknown"  #: sent, and nobody can know whether it was done and charged


class Charged(StrEnum):
    """Whether a faulty attempt may have cost money."""

    NO = "no"
    MAYBE = "maybe"
    YES = "yes"


class Scope(StrEnum):
    """What a denial holds for."""

    ACCOUNT = "account"
    MODEL = "model"
    JOB = "job"


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimitInfo:
    """What headers or messages say of a limit, as in "Limit 5, Used 5"; None is unsaid."""

    limit: float | None = None
    remaining: float | None = None
    used: float | None = None
    reset_seconds: float | None = None
    window_seconds: float | None = None
    unit: Literal["requests", "images"] = "requests"
    concurrent: bool = False  #: the limit is on requests in flight, not on a rate

    @property
    def spent(self) -> bool:
        """Return whether nothing is left."""
        if self.remaining is not None:
            return self.remaining < 1
        return self.used is not None and self.limit is not None and self.used >= self.limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Why one attempt failed.  ``message`` keeps the provider's own words."""

    cause: Cause
    message: str
    charged: Charged = Charged.NO
    status: int | None = None  #: HTTP status, where an answer came
    code: str | None = None  #: the provider's own error code
    retry_after: float | None = None  #: seconds the provider asked us to wait
    limit: RateLimitInfo | None = None  #: what a throttled call was told of the limit
    hint: str = ""  #: what the user can do
    final: bool = False  #: the same call would end the same way again, for a reason that does not change by itself
    scope: Scope = Scope.ACCOUNT  #: what a denial holds for


class ProviderError(BatchgenError):
    """Carry a fault, and what the answer said it cost, up to ``perform``, where exceptions end."""

    def __init__(self, fault: Fault, usage: Usage | None = None) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.usage = usage
