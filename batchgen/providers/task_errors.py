"""Errors of remote tasks: why a submission was refused, why a task has no image, and what that may have cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..fault import Cause, Charged, Fault, Scope
from .base import Reply, Request
from .error_bodies import clean
from .error_mapping import fault_of
from .jsonbody import Json
from .request_echo import RequestEcho
from .task_body import text_at
from .task_rules import ErrorRules, TaskRules


def stated_error(document: Json, errors: ErrorRules) -> tuple[str, str] | None:
    """Return code and message of the error that *document* states; None if it states none."""
    code, message = text_at(document, *errors.code), text_at(document, *errors.message)
    return (code, message) if code or message else None


def refused_submission(reply: Reply, document: Json, request: Request, rules: TaskRules) -> Fault:
    """Return the fault of a submission that was not accepted, by the rules' words where one of them occurs."""
    fault, text = _read(reply, document, request, rules)
    cause = _cause_by_words(text, rules.errors)
    if cause is None or cause is fault.cause:
        return fault
    return replace(fault, cause=cause, charged=Charged.NO, hint=cause.cure, scope=Scope.ACCOUNT)


def failed_task(
    reply: Reply, document: Json, request: Request, rules: TaskRules, *, meaning: str, task_id: str
) -> Fault:
    """Return the fault of a task that failed, was refused or was cancelled (*meaning*)."""
    fault, text = _read(reply, document, request, rules)
    cause = Cause.REFUSED if meaning == "refused" else _cause_by_words(text, rules.errors) or fault.cause
    if meaning == "cancelled" or cause not in (Cause.REFUSED, Cause.INVALID):
        cause = Cause.ERROR
    charged: Charged = rules.charged_when.refused if cause is Cause.REFUSED else getattr(rules.charged_when, meaning)
    charged = Charged.NO if _has(text, rules.errors.free) else charged
    name = "cancelled by the provider" if meaning == "cancelled" else meaning
    has_reason = stated_error(document, rules.errors) is not None or not 200 <= reply.status < 300
    reason = fault.message if has_reason else "the provider states no reason"
    return Fault(
        cause=cause,
        message=f"task {clean(task_id, 100)} {name}: {reason}",
        charged=charged,
        status=reply.status,
        code=fault.code,
        hint=cause.cure,
        # A purchase that may have been charged is not repeated without a decision.
        final=charged is not Charged.NO,
    )


def lost_task(status: int, task_id: str) -> Fault:
    """Return the fault of a task that the provider no longer knows."""
    return Fault(
        cause=Cause.UNKNOWN,
        message=f"the provider no longer knows task {clean(task_id, 100)}",
        charged=Charged.MAYBE,
        status=status,
        hint="it may have been carried out and charged; check the provider's own log",
        final=True,
    )


def names_no_task(reply: Reply, document: Json, request: Request, rules: TaskRules) -> bool:
    """Return whether an error states in words that there is no such task."""
    return bool(rules.errors.lost) and _has(_read(reply, document, request, rules)[1], rules.errors.lost)


def _read(reply: Reply, document: Json, request: Request, rules: TaskRules) -> tuple[Fault, str]:
    """Return the fault in an answer, and its code and message in lower case without what repeats the request."""
    stated = stated_error(document, rules.errors)
    shown = {"error": {"code": stated[0], "message": stated[1]}} if stated else document
    fault = fault_of(reply, request.profile, shown, request.task)
    text = f"{fault.code or ''} {RequestEcho(request.task).without(stated[1] if stated else fault.message)}"
    return fault, text.lower()


def _cause_by_words(text: str, errors: ErrorRules) -> Cause | None:
    words = {Cause.MONEY: errors.money, Cause.REFUSED: errors.refused, Cause.INVALID: errors.invalid}
    return next((cause for cause, listed in words.items() if _has(text, listed)), None)


def _has(text: str, words: Iterable[str]) -> bool:
    return any(word.lower() in text for word in words)
