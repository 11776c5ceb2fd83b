"""A simulated provider: what it lets pass, how long it takes, when it is down, and its own log of every call.

The log is the witness. It is written here, on the far side of the wire, and holds nothing that batchgen says.
A call whose client hangs up goes on: the provider renders it and charges for it.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import anyio

from batchgen.fault import Fault

from .allowance import Allowance
from .clock import Clock


class Tells(StrEnum):
    """How a refusal over the limit says how long to wait, and what is said of the limit itself."""

    HEADER = "header"  #: retry-after, in whole seconds
    WORDS = "words"  #: in its message alone
    NOTHING = "nothing"
    LIMITS = "limits"  #: retry-after, and the limit in OpenAI's headers on every answer
    NUMBERS = "numbers"  #: in its message alone, with the limit


class Said(StrEnum):
    """How a call was answered."""

    IMAGE = "image"
    LIMIT = "429 limit"  #: over what is allowed: the client could have known
    BUSY = "429 busy"  #: for reasons of the provider's own
    OVERLOADED = "503"
    ERROR = "500"
    MONEY = "402"
    LOST = "lost"  #: the connection was cut after the request had been sent
    SILENT = "silent"  #: no answer ever
    UNREACHED = "unreached"  #: the connection never came about
    FAULT = "fault"  #: as the test says

    @property
    def refused(self) -> bool:
        """Return whether the provider turned the call away without doing anything."""
        return self in (Said.LIMIT, Said.BUSY, Said.OVERLOADED, Said.MONEY, Said.UNREACHED)


@dataclass(kw_only=True, slots=True)
class Call:
    """One call as the provider saw it. Times are virtual seconds."""

    attempt: str
    job: str
    images: int  #: as limits count them: those asked for and those sent along
    sent: float  #: when it left the client
    at: float  #: when it reached the provider
    said: Said
    ended: float  #: when the answer is out
    retry_after: float | None = None  #: seconds that the answer named
    charged: bool = False
    limits: Mapping[str, str] = field(default_factory=dict)  #: how the limits stood, as headers
    over: str = ""  #: the limit that it ran into, in words


@dataclass(frozen=True, kw_only=True, slots=True)
class Outage:
    """From *start*, for *seconds*, every call is answered with *said*."""

    start: float
    seconds: float
    said: Said
    retry_after: float | None = None  #: as each answer names it; None: it names none


@dataclass(frozen=True, kw_only=True, slots=True)
class Nature:
    """How a provider behaves."""

    allows: Sequence[Allowance] = ()  #: requests
    allows_images: Sequence[Allowance] = ()
    concurrency: int | None = None
    median: float = 45.0  #: seconds for an image
    sigma: float = 0.4  #: of the log-normal distribution around it
    transit: float = 0.1  #: seconds on the way to the provider, at most
    connect: float = 0.0  #: seconds until a connection is made, at most
    stalls: Sequence[tuple[float, float]] = ()  #: (start, seconds): no connection is made in between, then all at once
    weather: Mapping[Said, float] = field(default_factory=dict)  #: shares of calls that end so by chance
    outages: Sequence[Outage] = ()
    funds: int | None = None  #: images that can be paid for
    poisoned: frozenset[str] = frozenset()  #: jobs that it answers with an error whenever they come
    faults: Mapping[str, Fault] = field(default_factory=dict)  #: what jobs meet whenever they come; "": all others
    fills: int | None = None  #: images of an answer at most
    tells: Tells = Tells.HEADER
    price: int = 40_000_000  #: nano-USD an image


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What comes back over the wire; status 0 where the connection failed instead."""

    call: Call
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"


_STATUS = {Said.IMAGE: 200, Said.LIMIT: 429, Said.BUSY: 429, Said.OVERLOADED: 503, Said.ERROR: 500, Said.MONEY: 402}
_WORDS = {
    Said.IMAGE: ("", ""),
    Said.LIMIT: ("rate_limit_exceeded", "Rate limit reached."),
    Said.BUSY: ("slow_down", "The model is in great demand."),
    Said.OVERLOADED: ("server_is_overloaded", "The server is overloaded."),
    Said.ERROR: ("server_error", "The server had an error."),
    Said.MONEY: ("insufficient_quota", "You have run out of credits."),
}


_PERIODS = {1.0: "sec", 60.0: "min", 3600.0: "hour", 86_400.0: "day"}


@dataclass(slots=True)
class Server:
    """One provider. Times are the clock's, chance is seeded."""

    name: str
    nature: Nature
    clock: Clock
    chance: random.Random
    log: list[Call] = field(default_factory=list)
    heard: set[str] = field(default_factory=set)  #: attempts whose answer the client has whole
    sold: int = 0  #: images charged
    _busy: list[float] = field(default_factory=list)  #: when each call under way ends

    async def connect(self) -> None:
        """Make one connection."""
        await anyio.sleep(self.chance.random() * self.nature.connect)
        for start, seconds in self.nature.stalls:
            if start <= self.clock.seconds < start + seconds:
                await anyio.sleep(start + seconds - self.clock.seconds)

    async def serve(self, attempt: str, job: str, images: int) -> Answer:
        """Take one call and return its answer; may be cancelled, which the provider does not notice."""
        sent = self.clock.seconds
        await anyio.sleep(self.chance.random() * self.nature.transit)
        call = self._take(attempt, job, images, sent)
        self.log.append(call)
        await anyio.sleep(call.ended - self.clock.seconds)
        self.heard.add(attempt)
        return answer(call, self.nature.tells)

    def _take(self, attempt: str, job: str, images: int, sent: float) -> Call:
        now = self.clock.seconds
        said, wait, over = self._decide(now, job, images)
        call = Call(
            attempt=attempt,
            job=job,
            images=images,
            sent=sent,
            at=now,
            said=said,
            ended=now + self._seconds(said),
            retry_after=wait,
            limits=_headers(self.nature, now) if self.nature.tells is Tells.LIMITS else {},
            over=over,
        )
        if not said.refused:
            self._busy.append(call.ended)
        call.charged = said is Said.IMAGE or (said is Said.LOST and self.chance.random() < 0.5)
        self.sold += images if call.charged else 0
        return call

    def _decide(self, now: float, job: str, images: int) -> tuple[Said, float | None, str]:
        nature = self.nature
        for outage in nature.outages:
            if outage.start <= now < outage.start + outage.seconds:
                return outage.said, outage.retry_after, ""
        if nature.funds is not None and self.sold + images > nature.funds:
            return Said.MONEY, None, ""
        self._busy = [ends for ends in self._busy if ends > now] if nature.concurrency is not None else []
        if nature.concurrency is not None and len(self._busy) >= nature.concurrency:
            return Said.LIMIT, None, f"Too many concurrent requests: limit {nature.concurrency}."
        wait, over = self._excess(now, images)
        if wait:
            return Said.LIMIT, None if nature.tells is Tells.NOTHING else wait, over
        if job in nature.poisoned:
            return Said.ERROR, None, ""
        if job in nature.faults or "" in nature.faults:
            return Said.FAULT, None, ""
        lot = self.chance.random()
        for said, share in nature.weather.items():
            if (lot := lot - share) < 0:
                return said, None, ""
        return Said.IMAGE, None, ""

    def _excess(self, now: float, images: int) -> tuple[float, str]:
        """Count the call and return 0, or return the seconds until it may pass and the limit in its way, in words."""
        meters = [(one, 1, "requests") for one in self.nature.allows]
        meters += [(one, images, "input-images") for one in self.nature.allows_images]
        waits = [one.wait(now, amount) for one, amount, _ in meters]
        wait = max(waits, default=0.0)
        if wait:
            one, amount, unit = meters[waits.index(wait)]
            period = _PERIODS.get(one.seconds) or f"{one.seconds:g} s"
            used = f"Limit {one.limit}, Used {round(one.used(now))}, Requested {amount}."
            return wait, f"Rate limit reached for gpt-image-2 on {unit} per {period}: {used}"
        for one, amount, _ in meters:
            one.take(now, amount)
        return 0.0, ""

    def _seconds(self, said: Said) -> float:
        nature = self.nature
        if said is Said.SILENT:
            return 1e6
        if said.refused:
            return 0.2 + 0.3 * self.chance.random()
        return self.chance.lognormvariate(math.log(nature.median), nature.sigma)


def answer(call: Call, tells: Tells = Tells.HEADER) -> Answer:
    """Return *call*'s answer as it comes over the wire."""
    if call.said not in _STATUS:
        return Answer(call=call, status=0)
    code, words = _WORDS[call.said]
    headers = {}
    if tells is Tells.NUMBERS and call.over:
        words = call.over
    if call.retry_after is not None and tells in (Tells.WORDS, Tells.NUMBERS):
        words = f"{words} Please try again in {call.retry_after:.3f}s."
    elif call.retry_after is not None:
        headers = {"retry-after": f"{math.ceil(call.retry_after)}"}
    body = json.dumps({"error": {"code": code, "message": words}}).encode()
    return Answer(call=call, status=_STATUS[call.said], headers={**headers, **call.limits}, body=body)


def _headers(nature: Nature, now: float) -> dict[str, str]:
    """Return how the slowest limit of each unit stands, in OpenAI's form: as if it filled up evenly."""
    told: dict[str, str] = {}
    for unit, limits in (("requests", nature.allows), ("images", nature.allows_images)):
        if limits:
            one = min(limits, key=lambda limit: limit.limit / limit.seconds)
            used = min(float(one.limit), one.used(now))
            told[f"x-ratelimit-limit-{unit}"] = str(one.limit)
            told[f"x-ratelimit-remaining-{unit}"] = str(math.floor(one.limit - used))
            told[f"x-ratelimit-reset-{unit}"] = f"{used * one.seconds / one.limit:.3f}s"
    return told
