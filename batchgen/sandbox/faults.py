"""Faults on demand: by directives in a prompt, by a standing list, or at random with a seed."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from .shapes import SHAPES, Shape

#: Refused with an error; nothing is made or charged.
REFUSALS = {
    "refuse": "the content rules refuse the prompt",
    "throttle": "429, too fast; retry-after=S sets the wait",
    "overloaded": "503, too busy",
    "money": "the account is out of money",
    "quota429": "out of money too, as a 429",
    "denied": "the key is refused",
    "invalid": "a parameter is refused",
    "error500": "500, an error of the provider",
    "error502": "502, an error of the gateway in front of it",
}
#: Answers with wrong content; the work was done.
CONTENT = {
    "empty": "no image in the answer",
    "text": "words in place of an image",
    "truncated": "an image cut in half",
    "badbase64": "an image in broken base64",
    "short": "one image fewer than requested",
    "wrongsize": "another size than requested",
    "url404": "an image at an address that does not exist",
    "url-flaky": "an image at an address that works at the third try",
    "nan": "NaN in place of every number",
}
#: Answers that fail on the way; the work was done.
DELIVERY = {
    "gateway-timeout": "504, though the image was made",
    "cloudflare524": "524 with a page of HTML",
    "badjson": "half of the JSON",
    "html200": "200 with a page of HTML",
    "drop": "the connection is cut, no answer",
    "stall": "no answer for SECONDS",
    "slow": "the answer comes SECONDS later",
    "big": "MEGABYTES of padding in the answer",
    "trickle": "a byte every tenth of a second, for SECONDS",
    "half-body": "half of the answer, then the connection closes",
    "dupkey": "a key twice in the JSON",
}
#: Failures before any work.
EARLY = {
    "drop-before": "the connection is cut before any work",
    "redirect": "a redirect to another address",
    "error200": "an error, with status 200",
}
#: What becomes of a call in the tier flex; calls in other tiers do not have these faults.
FLEX = {
    "flex-shed": "503, no capacity for flex; nothing is made",
    "flex-standard": "a flex call is carried out in the standard tier, at its price",
    "flex-unstated": "an answer without its tier",
}
#: What happens to one request of a batch; at single calls these do nothing.
ROW = {
    "row-lost": "the request of a batch is made and charged, and in no result file",
    "row-twice": "the request of a batch has two rows",
    "row-cut": "the row of a request is cut off",
    "row-null": "the row of a request has neither an answer nor an error",
}
#: What happens to a whole batch if one of its prompts asks for it.
BATCH = {
    "batch-invalid": "the batch fails validation at this request",
    "batch-full": "the batch fails because too much is waiting already",
    "batch-drop": "the batch is created, and the connection is cut",
    "batch-slow": "the batch begins SECONDS later",
    "batch-pause": "the batch stops after COUNT requests until it is cancelled or released",
    "batch-expire": "the batch expires after COUNT requests",
    "batch-forget": "the batch is unknown once it has ended",
    "batch-shuffle": "the rows of the batch come in another order",
    "batch-503": "the first COUNT downloads of results fail",
    "batch-cut": "the first COUNT downloads of results break off half-way",
    "batch-huge": "the results have MEGABYTES of padding, made while they are sent",
}
#: What becomes of a task at a provider that is polled for results; the task was accepted.
TASKS = {
    "task-slow": "the task takes SECONDS",
    "task-stuck": "the task never leaves the queue",
    "task-fail": "the task ends with an error",
    "task-fail-charged": "the same, and it is charged",
    "task-refuse": "the task ends with a refusal by the content rules",
    "task-refuse-charged": "the same, and it is charged",
    "task-cancel": "the provider cancels the task",
    "task-lose": "the task is done and charged, but the provider does not know it any more",
    "result-expired": "the task is done, but the addresses of its images have expired",
    "result-part-expired": "the same, of its last image only",
}
#: Faults of the polls of a task; ``x2`` means the first two polls of each task.
POLLS = {
    "poll-500": "500",
    "poll-429": "429; retry-after=S sets the wait",
    "poll-drop": "the connection is cut",
    "poll-odd": "a state that the documents do not mention",
    "poll-elsewhere": "polls are answered at another host, as the answer to the submission states",
}
KINDS = frozenset((*REFUSALS, *CONTENT, *DELIVERY, *EARLY, *TASKS, *POLLS, *FLEX, *ROW, *BATCH, *SHAPES))

#: The public names of causes, as aliases of the kinds that lead to them.
ALIASES = {
    "refused": "refuse",
    "throttled": "throttle",
    "unreached": "drop-before",
    "spoiled": "truncated",
    "error": "error500",
    "unknown": "drop",
    "timeout": "gateway-timeout",
}
#: Defaults of the kinds that take a value.
DEFAULTS = {
    "stall": 3600.0,
    "slow": 2.0,
    "big": 8.0,
    "trickle": 5.0,
    "task-slow": 2.0,
    "batch-slow": 2.0,
    "batch-503": 1.0,
    "batch-cut": 1.0,
    "batch-huge": 100.0,
}

_DIRECTIVE = re.compile(r"\s*\[sandbox:([^\]]*)\]", re.IGNORECASE)
_REPEAT = re.compile(r"x(\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A kind of fault, and when it strikes."""

    kind: str
    value: float | None = None  #: seconds, megabytes, or a count, depending on the kind
    retry_after: float | None = None  #: seconds; None sends no header
    times: int | None = None  #: only the first requests; None for all
    rate: float = 1.0  #: probability for each request
    provider: str | None = None  #: only at this provider
    match: str | None = None  #: only prompts that contain this text

    @property
    def amount(self) -> float:
        """Return the value, or the kind's default."""
        if self.value is not None:
            return self.value
        return DEFAULTS.get(self.kind, 0.0) if self.shape is None else self.shape.amount

    @property
    def shape(self) -> Shape | None:
        """Return the shape of answers, if the kind is one."""
        return SHAPES.get(self.kind)


def parse_kind(text: str) -> str:
    """Return the kind that *text* names; raise ValueError for an unknown one."""
    kind = ALIASES.get(text.lower(), text.lower())
    if kind not in KINDS:
        near = get_close_matches(text.lower(), [*KINDS, *ALIASES], 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown fault {text!r}{hint}")
    return kind


def split_prompt(prompt: str) -> tuple[str, tuple[Fault, ...]]:
    """Separate a prompt from its directives; raise ValueError for an invalid one."""
    faults = tuple(parse_directive(match.group(1)) for match in _DIRECTIVE.finditer(prompt))
    return (_DIRECTIVE.sub("", prompt).strip() if faults else prompt), faults


def directives(text: str) -> Iterator[tuple[int, str]]:
    """Yield the position and the content of each directive in *text*."""
    for match in _DIRECTIVE.finditer(text):
        yield match.start() + match[0].index("["), match[1]


def parse_directive(text: str) -> Fault:
    """Read ``throttle x2 retry-after=0.2 provider=aigate`` or ``stall=5``."""
    words = text.split()
    if not words:
        raise ValueError("an empty sandbox directive")
    name, _, value = words[0].partition("=")
    fields: dict[str, Any] = {"kind": parse_kind(name), "value": _number(value, words[0]) if value else None}
    for word in words[1:]:
        repeat = _REPEAT.fullmatch(word)
        key, _, setting = word.partition("=")
        if repeat:
            fields["times"] = int(repeat.group(1))
        elif key == "retry-after":
            fields["retry_after"] = _number(setting, word)
        elif key == "provider" and setting:
            fields["provider"] = setting
        else:
            raise ValueError(f"unknown word {word!r} in a sandbox directive; known: xN, retry-after=S, provider=NAME")
    return Fault(**fields)


def parse_rate(text: str) -> Fault:
    """Read ``KIND[:VALUE]=RATE`` from the command line."""
    left, _, rate = text.partition("=")
    name, _, value = left.partition(":")
    chance = _number(rate, text)
    if not 0 <= chance <= 1:
        raise ValueError(f"{text!r}: a rate must be between 0 and 1")
    return Fault(kind=parse_kind(name), value=_number(value, text) if value else None, rate=chance)


def parse_rule(rule: object) -> Fault:
    """Read one entry of the live list: kind, value, retry_after, times, rate, provider, match."""
    names = set(Fault.__dataclass_fields__)
    if not isinstance(rule, dict) or "kind" not in rule or set(rule) - names:
        raise ValueError(f"a fault is an object with kind and any of {', '.join(sorted(names - {'kind'}))}: {rule!r}")
    return Fault(**{**rule, "kind": parse_kind(str(rule["kind"]))})


class FaultBook:
    """The faults of a server: decides which one strikes a request, and counts them."""

    def __init__(self, seed: int, standing: Iterable[Fault] = ()) -> None:
        self._seed = seed
        self._standing = tuple(standing)
        self._struck: Counter[tuple[object, ...]] = Counter()

    def replace(self, standing: Iterable[Fault]) -> None:
        """Replace the standing list, and restart its counts."""
        self._standing = tuple(standing)
        self._struck.clear()

    def pick(self, *, serial: int, provider: str, prompt: str, directives: tuple[Fault, ...]) -> Fault | None:
        """Return the first fault of an answer that applies: directives, then the standing list."""
        strikes = self._strikes(serial, provider, prompt, directives, lambda kind: not _of_task(kind))
        return next(strikes, None)

    def pick_for_task(
        self, *, serial: int, provider: str, prompt: str, directives: tuple[Fault, ...]
    ) -> tuple[Fault, ...]:
        """Return every fault of a task and of its polls that applies."""
        return tuple(self._strikes(serial, provider, prompt, directives, _of_task))

    def _strikes(
        self, serial: int, provider: str, prompt: str, directives: tuple[Fault, ...], wanted: Callable[[str], bool]
    ) -> Iterator[Fault]:
        chance = random.Random(f"{self._seed}:{serial}")  # noqa: S311 - repeatable on purpose
        candidates = [((prompt, place), fault) for place, fault in enumerate(directives)]
        candidates += [(("standing", place), fault) for place, fault in enumerate(self._standing)]
        for key, fault in candidates:
            if chance.random() >= fault.rate or not wanted(fault.kind) or not _applies(fault, provider, prompt):
                continue
            # The times of a poll's fault count the polls of each task, not the tasks.
            if fault.times is not None and fault.kind not in POLLS and self._struck[key] >= fault.times:
                continue
            self._struck[key] += 1
            yield fault


def _of_task(kind: str) -> bool:
    return kind in TASKS or kind in POLLS


def _applies(fault: Fault, provider: str, prompt: str) -> bool:
    return fault.provider in (None, provider) and (fault.match is None or fault.match in prompt)


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{whole!r}: {text!r} is not a number") from None
