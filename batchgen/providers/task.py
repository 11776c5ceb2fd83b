"""Dialect of remote tasks: submit, poll, fetch the result; what a provider calls all that is data (``task_rules``).

After the submission is accepted, no outcome leads to another purchase that might be charged: what a task is charged
for is booked, and a task that the provider no longer knows is ``unknown`` and held.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urljoin

from .. import redaction
from ..fault import Cause, Charged, Fault, ProviderError
from ..money import milli_credits, nano_usd
from ..task import Usage
from .base import Call, Conversation, Generation, Remember, Reply, Request, Step, Wait
from .error_bodies import clean, has_error
from .error_mapping import empty_fault, spoiled_fault
from .jsonbody import Json
from .model import Rules
from .openai_images import attempt_headers
from .responses import Collector
from .result_images import SentSources, pictures_in
from .task_answers import Answer, read_answer
from .task_body import body_of, text_at, values_at, wire_name
from .task_errors import failed_task, lost_task, names_no_task, refused_submission, stated_error
from .task_rules import Address, TaskRules, is_template
from .usage import read_usage

#: So many answers in a row, at least, must state that a task is not there: a cluster may not know a new one everywhere
#: at once, and a provider in trouble may know none for a while.
LOST_ANSWERS = 3
#: Characters of the longest id or address in a handle.
_LONGEST = 4000
#: Each wait between two polls is so much longer than the one before.
_GROWTH = 1.5
_GONE = (404, 410)
#: Answers to the key, or to the moment, that state nothing about a task.
_REFUSED = (401, 402, 403, 407, 408, 409, 423, 425, 429)


class RemoteTask:
    """POST a task, GET its state until it is over, GET its images."""

    remembers = True

    def cancellation(self, request: Request) -> Call | None:
        """Return the call that asks the provider to cancel the task; None if it offers none."""
        rules = _rules(request)
        url = (request.handle or {}).get("cancel")
        return _free(rules.handle.cancel_method, url) if url else None

    def converse(self, request: Request) -> Conversation:
        """Make one attempt, or poll for the task that an earlier run submitted; raise ProviderError."""
        rules = _rules(request)
        handle, answer = request.handle, _NO_ANSWER
        if handle is None:
            call = _submission(request, rules)
            reply: Reply = yield call
            answer = read_answer(reply, rules)
            handle = _handle(answer, call.url, request, rules)
        yield Remember(handle=handle, patience=rules.poll.patience)
        task = _Task(request, rules, handle)
        last = yield from task.last_answer(answer)
        return (yield from task.finish(last))


_NO_ANSWER = Answer(Reply(status=204, body=b""))


# --- the submission -------------------------------------------------------------


def _submission(request: Request, rules: TaskRules) -> Call:
    operation = request.model.rules(request.task.kind)
    if operation is None:  # a bug, since validation rejects such tasks
        message = f"{request.profile.name} cannot {request.task.kind} with {request.task.model}"
        raise ProviderError(Fault(cause=Cause.INVALID, message=message))
    return Call(
        method="POST",
        url=_url_of_model(request, operation),
        json=body_of(request, operation, rules.submit),
        headers={**rules.submit.headers, **attempt_headers(request)},
    )


def _url_of_model(request: Request, operation: Rules) -> str:
    name = quote(wire_name(request, operation), safe="/:@-._~")
    return request.profile.url(operation.path).replace("{model}", name)


def _handle(answer: Answer, url: str, request: Request, rules: TaskRules) -> Mapping[str, Any]:
    """Return the handle in the answer to the submission; raise ProviderError if there is none."""
    document = answer.document
    task_id = _storable(text_at(document, rules.handle.id)) if answer.good else ""
    status = _address(rules.handle.status, task_id, document, url, request)
    if not task_id or not status:
        raise _not_accepted(answer, task_id, request, rules)
    cost = rules.cost if rules.cost is not None and rules.cost.answer == "submission" else None
    parts: dict[str, Any] = {
        "id": task_id,
        "status": status,
        "result": _address(rules.handle.result, task_id, document, url, request),
        "cancel": _address(rules.handle.cancel, task_id, document, url, request),
        "cost": _storable(text_at(document, cost.path)) if cost else "",
        # An answer may repeat them, and the next run does not know them otherwise.
        "sources": [text for source in request.task.sources if (text := _storable(source.url or ""))],
    }
    return {name: part for name, part in parts.items() if part}


def _storable(text: str) -> str:
    """Return *text* if it may be part of a handle, else "": the job database holds no keys, and no megabytes."""
    is_plain = len(text) <= _LONGEST and text.isprintable()
    return text if is_plain and redaction.hidden(text, redaction.known()) == text else ""


def _address(address: Address | None, task_id: str, document: Json, url: str, request: Request) -> str:
    """Return the absolute URL that *address* means; "" if the answer does not state it."""
    if address is None or not task_id:
        return ""
    if is_template(address):
        filled = address.replace("{id}", quote(task_id, safe="-._~"))
        return filled if filled.startswith("https://") else request.profile.url_of(filled)
    stated = _storable(text_at(document, address))
    try:
        return urljoin(url, stated) if stated else ""
    except ValueError:
        return ""


def _not_accepted(answer: Answer, task_id: str, request: Request, rules: TaskRules) -> ProviderError:
    """Return the error of a submission without a usable task: refused, or accepted in a way that cannot be followed."""
    reply, document = answer.reply, answer.document
    if not answer.good or (not task_id and has_error(document)):
        fault = refused_submission(reply, document, request, rules)
        return ProviderError(fault, read_usage(document, reply.headers))
    what = f"no address of its state (task {clean(task_id, 100)})" if task_id else "no id of a task"
    cut_off = f": {reply.broken}" if reply.broken else ""
    fault = Fault(
        cause=Cause.UNKNOWN,
        message=f"the provider accepted the request (HTTP {reply.status}) and its answer holds {what}{cut_off}",
        charged=Charged.MAYBE,
        status=reply.status,
        hint="look for the task at the provider; what arrived is kept in the spool",
        final=True,
    )
    return ProviderError(fault)


# --- the task -------------------------------------------------------------------


class _Task:
    """A task that the provider has accepted."""

    def __init__(self, request: Request, rules: TaskRules, handle: Mapping[str, Any]) -> None:
        self._request, self._rules, self._handle = request, rules, dict(handle)
        self._strange: str | None = self._handle.get("state")

    def last_answer(self, answer: Answer) -> Generator[Step, Any, Answer]:
        """Poll until the task is over, and return the answer that states it; raise ProviderError if it is lost."""
        if self._is_over(answer):  # the answer to the submission may state it already
            return answer
        if answer is not _NO_ANSWER:
            yield Wait(seconds=self._rules.poll.first_wait)
        return (yield from self._get(self._handle["status"], self._is_over))

    def finish(self, answer: Answer) -> Conversation:
        """Return the images of a task that is over; raise ProviderError if it has none."""
        meaning, status = self._meaning(answer), answer
        images = self._images(answer)
        if meaning == "done" and not images and self._stated_error(answer) is None and "result" in self._handle:
            answer = yield from self._get(self._handle["result"], _is_final)
            images = self._images(answer)
        if meaning != "done" or not answer.good or (not images and self._stated_error(answer) is not None):
            raise self._failure(answer, "failed" if meaning in (None, "done") else meaning)
        return (yield from self._deliver(answer, status, images))

    def _get(self, url: str, is_enough: Callable[[Answer], bool]) -> Generator[Step, Any, Answer]:
        """Ask *url* until an answer *is_enough*, and return it; raise ProviderError if the task is lost."""
        poll, absent, absent_for = self._rules.poll, 0, 0.0
        wait = poll.first_wait
        while True:
            reply: Reply = yield _free("GET", url)
            answer = read_answer(reply, self._rules)
            absent = absent + 1 if self._is_absent(answer) else 0
            if absent >= LOST_ANSWERS and absent_for >= poll.lost_after:
                raise self._lost(answer)
            if not absent and is_enough(answer):
                return answer
            yield from self._remember_strange(answer)
            wait = min(wait * _GROWTH, poll.max_wait)
            absent_for = absent_for + wait if absent else 0.0
            yield Wait(seconds=wait)

    def _is_over(self, answer: Answer) -> bool:
        return answer.good and self._meaning(answer) in ("done", "failed", "refused", "cancelled")

    def _is_absent(self, answer: Answer) -> bool:
        if answer.good:
            return self._meaning(answer) == "lost"
        return answer.reply.status in _GONE or names_no_task(answer.reply, answer.document, self._request, self._rules)

    def _meaning(self, answer: Answer) -> str | None:
        return self._rules.states.meaning(text_at(answer.document, self._rules.poll.state))

    def _remember_strange(self, answer: Answer) -> Generator[Step, Any, None]:
        """Write a state that the rules do not list, or a refused poll, into the handle, where ``show`` finds it."""
        state = text_at(answer.document, self._rules.poll.state) or "no state in the answer"
        is_strange = not answer.good or self._meaning(answer) is None
        strange = clean(state if answer.good else f"HTTP {answer.reply.status}", 60) if is_strange else None
        if strange == self._strange:
            return
        self._strange = strange
        handle = {key: value for key, value in self._handle.items() if key != "state"}
        self._handle = {**handle, "state": strange} if strange else handle
        yield Remember(handle=self._handle, patience=self._rules.poll.patience)

    def _images(self, answer: Answer) -> list[Json]:
        if not answer.good:
            return []
        values = (value for path in self._rules.result.images for value in values_at(answer.document, path))
        return [value for value in values if value and not isinstance(value, list)]

    def _deliver(self, answer: Answer, status: Answer, images: list[Json]) -> Conversation:
        request, document = self._request, answer.document
        sent = SentSources.of(request.task, self._handle.get("sources", ()))
        listed = [{"url": image} if isinstance(image, str) else image for image in images]
        found = pictures_in({"images": listed}, sent)
        if not found:  # a provider may have moved them
            found = [replace(image, certain=False) for image in pictures_in(document, sent)]
        collector = Collector(request, self._handle.get("result", self._handle["status"]))
        pictures = yield from collector.collect(found)
        usage = self._usage(answer, status, len(pictures) + collector.lost)
        if not pictures:
            fault = collector.fault or empty_fault(document, None, request.profile)
            raise ProviderError(self._held(fault, usage), usage)
        return Generation(
            pictures=tuple(pictures),
            usage=usage,
            note="; ".join(dict.fromkeys(collector.problems)) or None,
            shortfall=replace(collector.fault, final=True) if collector.fault else None,
        )

    def _held(self, fault: Fault, usage: Usage) -> Fault:
        """Return the fault of a finished task without an image: final, since the task was carried out."""
        lifetime = self._rules.result.lifetime
        if fault.cause is Cause.SPOILED:
            kept = f" (results are kept for {lifetime / 60:.0f} minutes)" if lifetime else ""
            hint = f"task {self._handle['id']} is finished at the provider{kept}; `batchgen retry` buys it again"
            return replace(spoiled_fault(fault.message, hint=hint), final=True)
        if fault.cause is Cause.REFUSED and not usage.stated:
            return replace(fault, charged=self._rules.charged_when.refused)
        return replace(fault, charged=Charged.YES, final=True)

    def _usage(self, answer: Answer, status: Answer, images: int) -> Usage:
        """Return the usage that the answers state; the rules' cost outranks other figures."""
        usage = read_usage(answer.document, answer.reply.headers, images=images) or Usage(images=images)
        cost = self._rules.cost
        if cost is None:
            return usage
        amount = self._handle.get("cost") or text_at(
            (status if cost.answer == "status" else answer).document, cost.path
        )
        if cost.unit == "usd":
            return replace(usage, usd=nano_usd(amount) if amount else usage.usd)
        return replace(usage, credits=milli_credits(amount) if amount else usage.credits)

    def _stated_error(self, answer: Answer) -> tuple[str, str] | None:
        return stated_error(answer.document, self._rules.errors)

    def _failure(self, answer: Answer, meaning: str) -> ProviderError:
        """Return the error of a task that failed, was refused or was cancelled."""
        reply, document, rules = answer.reply, answer.document, self._rules
        fault = failed_task(reply, document, self._request, rules, meaning=meaning, task_id=self._handle["id"])
        usage = self._usage(answer, answer, 0)
        return ProviderError(fault, usage if usage.stated and fault.charged is not Charged.NO else None)

    def _lost(self, answer: Answer) -> ProviderError:
        return ProviderError(lost_task(answer.reply.status, self._handle["id"]))


def _is_final(answer: Answer) -> bool:
    """Return whether an answer to a request for the result states how the task ended."""
    return answer.good or (400 <= answer.reply.status < 500 and answer.reply.status not in _REFUSED)


def _free(method: str, url: str) -> Call:
    return Call(method=method, url=url, billed=False, signed=True)


def _rules(request: Request) -> TaskRules:
    rules = request.profile.task
    if rules is None:  # a bug, since a profile with this dialect is checked
        raise ProviderError(Fault(cause=Cause.INVALID, message=f"{request.profile.name} has no setting task"))
    return rules
