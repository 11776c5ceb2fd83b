"""Upload of a source image to a provider of remote tasks whose submissions hold addresses. It is free."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from ..fault import Cause, Charged, Fault, ProviderError
from ..task import Source
from .base import Call, Reply, Request
from .error_bodies import has_error
from .openai_images import file_part
from .task_answers import read_answer
from .task_body import text_at
from .task_errors import refused_submission
from .task_rules import UploadRules

#: Causes that another upload of the file would meet as well; after any other the job is tried again.
_LASTING = frozenset({Cause.MONEY, Cause.DENIED, Cause.REFUSED, Cause.INVALID, Cause.THROTTLED})


def upload_rules(request: Request) -> UploadRules | None:
    """Return how the source images of *request* are uploaded; None if they are not."""
    task, dialect = request.profile.task, request.model.dialect or request.profile.dialect
    return None if task is None or dialect != "task" else task.upload


def upload(request: Request, source: Source) -> Generator[Call, Reply, str]:
    """Upload a local file, and return its address; raise ProviderError, after which nothing was charged."""
    rules = request.profile.task
    if rules is None or rules.upload is None:  # a bug, since upload_rules returns None then
        raise ProviderError(_failed(Cause.INVALID, f"{request.profile.name} takes no uploads"))
    target = rules.upload
    url = target.url if target.url.startswith("https://") else request.profile.url_of(target.url)
    part = file_part(target.field, source, "source")
    reply = yield Call(method="POST", url=url, form=tuple(target.form.items()), files=(part,), billed=False)
    answer = read_answer(reply, rules)
    address = text_at(answer.document, target.address) if answer.good else ""
    if address.startswith(("https://", "http://")):
        return address
    if answer.good and not has_error(answer.document):
        message = f"the answer (HTTP {reply.status}) holds no address at {target.address}"
        raise ProviderError(_failed(Cause.UNREACHED, message))
    fault = refused_submission(answer.reply, answer.document, request, rules)
    cause = fault.cause if fault.cause in _LASTING else Cause.UNREACHED
    raise ProviderError(replace(fault, cause=cause, message=_unsent(fault.message), charged=Charged.NO))


def _failed(cause: Cause, message: str) -> Fault:
    return Fault(cause=cause, message=_unsent(message), charged=Charged.NO)


def _unsent(message: str) -> str:
    return f"nothing was sent: a source image could not be uploaded: {message}"
