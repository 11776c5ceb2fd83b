"""Dialect of gptimageapi.dev: one path, sizes as ratios, and an envelope {code, message, data: {images: [{url}]}}.

A ``code`` other than 0 is an error, even with HTTP 200. No edits are documented.
"""

from __future__ import annotations

from ..task import Kind
from .base import Call, Request
from .model import Rules
from .openai_images import attempt_headers
from .responses import SingleCallDialect
from .validation import wire_fields


class GptImageApi(SingleCallDialect):
    """POST images/generate."""

    def call(self, request: Request, rules: Rules) -> Call | None:
        """Return the paid call."""
        if request.task.kind is not Kind.GENERATE:
            return None
        body = {**wire_fields(request.task, request.model, rules), "prompt": request.task.prompt}
        return Call(method="POST", url=request.profile.url(rules.path), json=body, headers=attempt_headers(request))
