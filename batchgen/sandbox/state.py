"""State of a running server: settings, log, faults, limits, results, sums."""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from .batches.memory import BatchMemory
from .batches.store import BatchStore
from .cdn import MOST_BYTES, ResultStore
from .faults import Fault, FaultBook
from .log import ChargeLog, Line, read_log, totals
from .timing import Latency, Throttle
from .values import Bill, Package, Trace

_REMEMBERED = 256  # answers remembered for idempotency keys


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Options of the command line."""

    log: Path
    host: str = "127.0.0.1"
    port: int = 0
    any_port: bool = False  #: another port if that one is taken
    ready_file: Path | None = None
    latency: Latency = field(default_factory=lambda: Latency(mode="realistic"))
    seed: int = 0
    faults: tuple[Fault, ...] = ()
    throttles: Mapping[str, str] = field(default_factory=dict)  #: provider -> such as ``60/m``
    idle_exit: float | None = None  #: seconds without requests
    honour_idempotency: bool = False
    keep: int = MOST_BYTES  #: bytes of pictures at addresses
    draw: str = "full"  #: or ``small``
    clock: float = 0  #: error of the date in every answer, in seconds
    providers: Path | None = None  #: a file that describes further providers of tasks


class State:
    """The state of one running server."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.url = ""
        self.log = ChargeLog(settings.log)
        self.book = FaultBook(settings.seed, settings.faults)
        self.results = ResultStore(settings.keep)
        self.batches = BatchStore(BatchMemory(settings.log))
        self.pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="draw")
        self.throttles = {name: Throttle.parse(text, time.monotonic) for name, text in settings.throttles.items()}
        self.busy = 0
        self.last_active = time.monotonic()
        # A restarted server continues the count of its log, so that serials stay unique.
        self._serial = max((line["serial"] for line in read_log(settings.log)), default=0)
        self.spent = {name: entry["usd"] for name, entry in totals(settings.log).items()}
        self._answers: OrderedDict[tuple[str, str], asyncio.Future[Package | None]] = OrderedDict()

    def next_serial(self) -> int:
        """Return the number of a request; the first is 1."""
        self._serial += 1
        return self._serial

    def chance(self, trace: Trace, purpose: str) -> random.Random:
        """Return a repeatable random generator for one request."""
        return random.Random(f"{self.settings.seed}:{purpose}:{trace.serial}")  # noqa: S311 - repeatable on purpose

    def spend(self, provider: str, bill: Bill) -> None:
        """Add a charge to the spending that balance endpoints report."""
        self.spent[provider] = self.spent.get(provider, Decimal(0)) + (bill.usd or Decimal(0))

    def earlier_answer(self, provider: str, key: str | None) -> asyncio.Future[Package | None] | None:
        """Return the answer to an earlier request with this idempotency key; for the first one, return None."""
        if not key or not self.settings.honour_idempotency:
            return None
        earlier = self._answers.get((provider, key))
        if earlier is None:
            self._answers[(provider, key)] = asyncio.get_running_loop().create_future()
            while len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        return earlier

    def remember_answer(self, provider: str, key: str, package: Package | None, *, remember: bool) -> None:
        """Give the answer to all requests that wait for this key; only good answers are remembered."""
        future = self._answers.get((provider, key))
        if future is None or future.done():
            return
        future.set_result(package)
        if not remember:
            del self._answers[(provider, key)]


@dataclass(kw_only=True, slots=True)
class Entry:
    """The log entry of one request; it grows while the request is handled."""

    provider: str
    kind: str
    trace: Trace
    idempotency_key: str | None = None
    model: str | None = None
    prompt: str | None = None
    n: int | None = None
    fault: str | None = None
    task: str | None = None  #: the provider's id of a task
    polls: int | None = None  #: the number of polls of the task until now

    def line(self, event: str, *, bill: Bill | None = None, status: int | None = None) -> Line:
        """Return a line of the log; all lines have the same keys."""
        return {
            "event": event,
            "at": time.time(),
            "serial": self.trace.serial,
            "provider": self.provider,
            "path": self.trace.path,
            "kind": self.kind,
            "model": self.model,
            "attempt": self.trace.client_id,
            "idempotency_key": self.idempotency_key,
            "key_tail": self.trace.key_tail,
            "source": self.trace.source,
            "prompt": self.prompt,
            "n": self.n,
            "images": None if bill is None else bill.images,
            "usd": None if bill is None or bill.usd is None else plain(bill.usd),
            "credits": None if bill is None or bill.credits is None else plain(bill.credits),
            "usage": bill.usage if bill else {},
            "status": status,
            "fault": self.fault,
            "task": self.task,
            "polls": self.polls,
        }


def plain(number: Decimal) -> str:
    """Return a decimal without exponent and trailing zeros."""
    return f"{number.normalize():f}"


def plain_totals(sums: Iterable[tuple[str, Line]]) -> Line:
    """Return totals with decimals as strings, for JSON."""
    return {name: {**entry, "usd": plain(entry["usd"]), "credits": plain(entry["credits"])} for name, entry in sums}
