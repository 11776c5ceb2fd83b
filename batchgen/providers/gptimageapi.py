"""Dialect of gptimageapi.dev: one path, sizes as ratios, and an envelope {code, message, data: {images: [{url}]}}.

A ``code`` other than 0 is an error, even with HTTP 200.  No edits are documented.
"""

from __future__ import annotations

from ..task import Kind
from .base import Call, Conversation, Request
from .openai_images import attempt_headers
from .responses import declined, read_answer
from .validation import wire_fields


class GptImageApi:
    """POST images/generate."""

    def converse(self, request: Request) -> Conversation:
        """Make one attempt: one paid call, then a download for each image."""
        call = self.call(request)
        reply = yield call
        return (yield from read_answer(reply, request, call.url))

    def call(self, request: Request) -> Call:
        """Return the paid call."""
        rules = request.model.rules(request.task.kind)
        if rules is None or request.task.kind is not Kind.GENERATE:
            raise declined(f"{request.profile.name} documents no way to {request.task.kind}")
        body = {**wire_fields(request.task, request.model, rules), "prompt": request.task.prompt}
        return Call(method="POST", url=request.profile.url(rules.path), json=body, headers=attempt_headers(request))
