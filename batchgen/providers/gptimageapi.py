"""gptimageapi.dev: one path, sizes as ratios, and an envelope {code, message, data: {images: [{url}]}}.  Pure.

``code`` other than 0 is an error, also under HTTP 200.  No edits are documented.
"""

from __future__ import annotations

from ..fault import ProviderError
from ..task import Generation, Kind
from .answers import declined, generation, listed, opened
from .base import Call, Conversation, Request
from .faults import fault_of
from .fit import wire_fields
from .openai_images import attempt_headers
from .strict import Json
from .usage import stated


class GptImageApi:
    """Speak POST images/generate."""

    def converse(self, request: Request) -> Conversation:
        """Carry one attempt: one paid call, then a download for each picture."""
        profile = request.profile
        reply = yield self.call(request)
        document = opened(reply, profile)
        if _failed(document):
            raise ProviderError(fault_of(reply, profile, document), stated(document, reply.headers))
        data = document.get("data") if isinstance(document, dict) else None
        found = listed(data.get("images") if isinstance(data, dict) else data)
        result: Generation = yield from generation(document, reply, profile, found)
        return result

    def call(self, request: Request) -> Call:
        """Return the paid call."""
        rules = request.model.rules(request.task.kind)
        if rules is None or request.task.kind is not Kind.GENERATE:
            raise declined(f"{request.profile.name} documents no way to {request.task.kind}")
        body = {**wire_fields(request.task, request.model, rules), "prompt": request.task.prompt}
        return Call(method="POST", url=request.profile.url(rules.path), json=body, headers=attempt_headers(request))


def _failed(document: Json) -> bool:
    """Tell whether ``code`` says failure; it may be a number or its text, and absent counts as success."""
    code = document.get("code") if isinstance(document, dict) else None
    return code is not None and str(code).strip().lower() not in ("0", "200", "ok", "success")
